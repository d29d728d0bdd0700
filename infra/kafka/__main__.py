"""`python -m infra.kafka start|stop|status|acls`: a real Apache Kafka on this machine, and who may do what on any Kafka."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.kafka.acls import FILE, compare, read_acls
from infra.kafka.cluster import Cluster, ClusterOptions, start
from infra.kafka.fetch import HOME, to_stderr, version
from trivium.core.errors import TriviumError
from trivium.kafka.security import read_kafka

_EPILOG = """example:
  python -m infra.kafka start --nodes 3
  export TRIVIUM_KAFKA=127.0.0.1:9092 TRIVIUM_REPLICATION=3
  .venv/bin/trivium topics --create
  python -m infra.kafka stop
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.kafka", description=__doc__, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=HOME / "data", help="folder of the cluster (default .local/kafka/data)")
    shared.add_argument("--json", action="store_true", help="print one line of JSON")
    commands = parser.add_subparsers(dest="command", required=True, metavar="start|stop|status|acls")
    begin = commands.add_parser("start", parents=[shared], help="fetch it when needed, start it, wait until it is up")
    begin.add_argument("--nodes", type=int, default=1, help="1 (default) or 3: then replication 3, min.insync.replicas 2")
    begin.add_argument("--port", type=int, default=9092, help="of the first node, the others follow (default 9092; 0: free ones)")
    begin.add_argument("--secure", action="store_true", help="SASL/SCRAM over TLS, with a test CA, users and an authorizer")
    begin.add_argument("--heap", type=int, default=512, metavar="MIB", help="of each node's Java (default 512)")
    begin.add_argument("--fresh", action="store_true", help="throw away the data of an earlier cluster in this folder")
    commands.add_parser("stop", parents=[shared], help="stop every node; the data stay")
    commands.add_parser("status", parents=[shared], help="which nodes are up; exit status 1 when not all are")
    _acls_parser(commands)
    return parser


def _acls_parser(commands: Any) -> None:
    rules = commands.add_parser("acls", help="compare a broker's ACLs with acls.yaml; exit status 1 when some are missing",
                                description="Who it is that asks: TRIVIUM_KAFKA_PROTOCOL, _USER, _PASSWORD and _CA.")  # fmt: skip
    rules.add_argument("--apply", action="store_true", help="add what is missing; nothing is ever taken away")
    rules.add_argument("--file", type=Path, default=FILE, help="default infra/kafka/acls.yaml")
    rules.add_argument("--principals", default="{}", help="how users are named after the file's entries, e.g. 'trivium-{}'")
    rules.add_argument("--json", action="store_true", help="print one line of JSON")


def _acls(chosen: argparse.Namespace) -> int:
    wanted = read_acls(chosen.file, chosen.principals)
    found = asyncio.run(compare(read_kafka(os.environ).bootstrap, wanted, chosen.apply))
    if chosen.json:
        print(json.dumps({"missing": [str(a) for a in found.missing], "applied": chosen.apply, "beside": found.beside}))
    else:
        for acl in found.missing:
            print(f"{'added' if chosen.apply else 'missing'}: {acl}")
        for text in found.beside:
            print(f"beside the file: {text}")
        print(f"{len(wanted)} rules, {len(found.missing)} {'added' if chosen.apply else 'missing'}, {len(found.beside)} beside the file")
    return 0 if chosen.apply or not found.missing else 1


def _start(chosen: argparse.Namespace) -> int:
    options = ClusterOptions(chosen.data, chosen.nodes, chosen.port, chosen.secure, chosen.heap)
    cluster = start(options, chosen.fresh)
    if chosen.json:
        print(json.dumps(_plain(cluster)))
        return 0
    print(f"Kafka {version()} is up at {cluster.bootstrap}; data and logs in {chosen.data}")
    print(f"  export TRIVIUM_KAFKA={cluster.bootstrap} TRIVIUM_REPLICATION={len(cluster.nodes)}")
    if cluster.secure:
        print(f"  . {cluster.vault.folder / 'operator.env'}      # or router.env, cloud.env ...: one for each principal")
    return 0


def _stop(chosen: argparse.Namespace) -> int:
    cluster = Cluster.found(chosen.data)
    stopped = cluster.stop() if cluster is not None else []
    if chosen.json:
        print(json.dumps({"stopped": stopped}))
    else:
        print(f"Kafka is stopped; its data stay in {chosen.data}" if stopped else f"no Kafka of {chosen.data} was running")
    return 0


def _status(chosen: argparse.Namespace) -> int:
    cluster = Cluster.found(chosen.data)
    if cluster is None:
        print(json.dumps({"nodes": []}) if chosen.json else f"there is no cluster in {chosen.data}")
        return 1
    plain = _plain(cluster)
    if chosen.json:
        print(json.dumps(plain))
    else:
        for node in cluster.nodes:
            pid = cluster.running().get(node.id)
            print(f"node {node.id} at {node.address}: {f'up, process {pid}' if pid else 'down'}; log {node.log}")
    return 0 if len(cluster.running()) == len(cluster.nodes) else 1


def _plain(cluster: Cluster) -> dict[str, object]:
    running = cluster.running()
    nodes = [{"id": n.id, "address": n.address, "pid": running.get(n.id), "log": str(n.log)} for n in cluster.nodes]
    return {"bootstrap": cluster.bootstrap, "secure": cluster.secure, "nodes": nodes}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 status says no, 2 could not be done (one sentence says why)."""
    chosen = _parser().parse_args(argv)
    commands = {"start": _start, "stop": _stop, "status": _status, "acls": _acls}
    try:
        return commands[chosen.command](chosen)
    except TriviumError as error:
        to_stderr(f"infra.kafka: {error}")
    except KeyboardInterrupt:
        to_stderr("infra.kafka: interrupted; `python -m infra.kafka stop` stops what was started")
    return 2


if __name__ == "__main__":
    sys.exit(main())
