"""Starts, watches and stops the nodes of one cluster; what it is stands in <data>/cluster.json, so that another process can."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.kafka.fetch import HOME, KafkaFailed, Say, class_path, java, to_stderr, version
from infra.kafka.nodes import Node, plan, properties, refuse_taken
from infra.kafka.security import Vault

READY_S: Final = 120.0
STOP_S: Final = 40.0
_LOOK_S: Final = 0.1
_STARTED: Final = "Kafka Server started"
_SPECIFICATION: Final = "cluster.json"


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What to start."""

    data: Path = HOME / "data"
    nodes: int = 1
    port: int = 9092
    """Of the first node; the others follow. 0: free ones."""
    secure: bool = False
    heap_mib: int = 512


class Cluster:
    """The nodes that belong to one data folder, whoever started them."""

    def __init__(self, data: Path, nodes: Sequence[Node], secure: bool, id: str) -> None:
        self.data = data
        self.nodes = tuple(nodes)
        self.secure = secure
        self.id = id
        self.vault = Vault(data / "security")

    @property
    def bootstrap(self) -> str:
        """For a client's bootstrap servers."""
        return ",".join(node.address for node in self.nodes)

    @classmethod
    def found(cls, data: Path) -> "Cluster | None":
        """The cluster of a data folder; None when there is none."""
        try:
            told: dict[str, Any] = json.loads((data / _SPECIFICATION).read_text())
        except FileNotFoundError:
            return None
        nodes = [Node(n["id"], n["port"], n["controller_port"], n["internal_port"], data / f"node-{n['id']}") for n in told["nodes"]]
        return cls(data, nodes, told["secure"], told["id"])

    def running(self) -> dict[int, int]:
        """Node id -> process id, of the nodes that live."""
        return {node.id: pid for node in self.nodes if (pid := _pid(node))}

    def start(self, heap_mib: int = 512, say: Say = to_stderr) -> None:
        """Start the nodes that are not up, and wait until all are. KafkaFailed says why one is not."""
        program, jars = java(), class_path(say)
        down = [node for node in self.nodes if not _pid(node)]
        refuse_taken(down, self.secure)
        self._prepare(program, jars)
        launched = [(node, _launch(node, program, jars, heap_mib)) for node in down]
        try:
            for node, process in launched:
                _await_started(node, process)
        except KafkaFailed:
            self.stop()
            raise
        finally:
            for _, process in launched:
                # Else its destructor warns: the node is meant to outlive this program.
                process.returncode = 0

    def stop(self) -> list[int]:
        """SIGTERM to every node that lives, SIGKILL after 40 s; the ids of those that were stopped."""
        lived = self.running()
        for pid in lived.values():
            os.kill(pid, signal.SIGTERM)
        _await_gone(self.running, STOP_S)
        for pid in self.running().values():
            os.kill(pid, signal.SIGKILL)
        _await_gone(self.running, STOP_S)
        return sorted(lived)

    def kill(self, node_id: int) -> None:
        """SIGKILL one node, as a crash does."""
        pid = self.running().get(node_id)
        if pid is None:
            raise KafkaFailed(f"node {node_id} is not running")
        os.kill(pid, signal.SIGKILL)
        _await_gone(lambda: {i: p for i, p in self.running().items() if i == node_id}, STOP_S)

    def _prepare(self, program: str, jars: str) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        if self.secure:
            self.vault.fill()
        told = {"id": self.id, "secure": self.secure, "nodes": [
            {"id": n.id, "port": n.port, "controller_port": n.controller_port, "internal_port": n.internal_port} for n in self.nodes
        ]}  # fmt: skip
        (self.data / _SPECIFICATION).write_text(json.dumps(told))
        users = self.vault.scram_arguments() if self.secure else []
        formatting = []
        for node in self.nodes:
            node.folder.mkdir(exist_ok=True)
            security = self.vault.listeners(node) if self.secure else ()
            node.properties.touch(mode=0o600)
            node.properties.write_text(properties(node, self.nodes, security))
            if not (node.folder / "data" / "meta.properties").exists():
                order = ["format", "--cluster-id", self.id, "--config", str(node.properties), *users]
                formatting.append(_tool(program, jars, "kafka.tools.StorageTool", order))
        for process in formatting:
            out, _ = process.communicate(timeout=READY_S)
            if process.returncode:
                raise KafkaFailed(f"Kafka could not format its folder: {out.strip()[-400:]}")


def start(options: ClusterOptions, fresh: bool = False, say: Say = to_stderr) -> Cluster:
    """The cluster of the options, up; of one that is half up, the rest. KafkaFailed when it is up, or was made otherwise."""
    old = Cluster.found(options.data)
    if old is not None and (up := old.running()):
        if len(up) == len(old.nodes) or len(old.nodes) != options.nodes:
            raise KafkaFailed(f"Kafka is running already at {old.bootstrap} (data in {options.data}): make kafka-stop first")
        say(f"starting again what is down: node {', '.join(str(n.id) for n in old.nodes if n.id not in up)} at {old.bootstrap}")
        old.start(options.heap_mib, say)
        return old
    if fresh:
        shutil.rmtree(options.data, ignore_errors=True)
        old = None
    if old is not None and (len(old.nodes), old.secure) != (options.nodes, options.secure):
        was = f"{_count(len(old.nodes))}{' and secure listeners' if old.secure else ''}"
        raise KafkaFailed(f"the data in {options.data} was made with {was}: start it so, or add --fresh to begin with empty data")
    # As Kafka's own ids: none begins with a hyphen, which its tools take for an option.
    id = old.id if old else base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    cluster = Cluster(options.data, plan(options.data, options.nodes, options.port), options.secure, id)
    say(f"starting Kafka {version()}: {_count(options.nodes)} at {cluster.bootstrap}{', SASL over TLS' if options.secure else ''}")
    cluster.start(options.heap_mib, say)
    return cluster


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def _tool(program: str, jars: str, name: str, order: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [program, "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=log4j2.xml", "-cp", jars, name, *order],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _launch(node: Node, program: str, jars: str, heap_mib: int) -> subprocess.Popen[bytes]:
    with node.log.open("wb") as log:
        process = subprocess.Popen(
            [program, f"-Xmx{heap_mib}m", "-Xms128m", "-XX:+UseG1GC", "-Djava.net.preferIPv4Stack=true",
             "-Dlog4j2.configurationFile=log4j2.xml", "-cp", jars, "kafka.Kafka", str(node.properties.resolve())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    node.pid_file.write_text(str(process.pid))
    return process


def _await_started(node: Node, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while _STARTED not in (said := node.log.read_text(errors="replace")):
        if process.poll() is not None:
            raise KafkaFailed(f"node {node.id} left while it started: {_why(said)} (whole log: {node.log})")
        if time.monotonic() > until:
            raise KafkaFailed(f"node {node.id} was not up after {READY_S:.0f} s: {_why(said)} (whole log: {node.log})")
        time.sleep(_LOOK_S)


def _why(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line]
    return (telling or lines or ["it said nothing"])[-1][:400]


def _await_gone(living: Callable[[], object], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while living() and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _pid(node: Node) -> int:
    """Process id of a node that lives, else 0: a pid in a file may by now be somebody else's."""
    try:
        pid = int(node.pid_file.read_text())
        os.waitpid(pid, os.WNOHANG)
    except (FileNotFoundError, ValueError):
        return 0
    except ChildProcessError:
        pass
    said = subprocess.run(["ps", "-ww", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False).stdout
    return pid if str(node.properties.resolve()) in said and not said.startswith("Z") else 0
