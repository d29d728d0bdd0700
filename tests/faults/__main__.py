"""Kill the mesh under load, and check that nothing was lost.

    python -m tests.faults                                       what `make faults` runs: at least 20 kills, every crash point
    python -m tests.faults --kills 200 --requests 100000         the long run, some 70 minutes
    python -m tests.faults --hours 8                             as many kills as that takes
    python -m tests.faults --no-crash-points --kills 5 --pause-s 58 --rate 200     one kill a minute: what is paid twice
    python -m tests.faults --seed 7 --plan                       print what would be done, and do nothing
    python -m tests.faults --check FOLDER                        check the evidence of a run again

A Kafka of its own, two routers, two instances of each tier, a gateway, vendors that log every call and fail on command: each
a process. The seed decides who dies, when, how, and what is asked; timing is the machine's. Status 0: every promise was kept
and every floor reached; 1: not so; 2: it could not be run; 143: told to leave. The evidence stays in the folder that is printed."""

import argparse
import asyncio
import json
import logging
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import uvloop

from infra.kafka.cluster import ClusterOptions, start
from infra.kafka.fetch import KafkaFailed
from infra.part import PartFailed
from tests.faults import report
from tests.faults.checker import check
from tests.faults.evidence import Evidence
from tests.faults.figures import figures
from tests.faults.gather import gather
from tests.faults.load import TENANTS
from tests.faults.mesh import Events, Mesh
from tests.faults.offsets import Offsets
from tests.faults.plan import Step, make
from tests.faults.supervisor import Pace, Supervisor, folder_of
from trivium.core.errors import TriviumError
from trivium.crash import Point
from trivium.kafka.admin import ensure
from trivium.kafka.layout import Layout
from trivium.kafka.topics import all_topics

_SHOWN: Final = 40
_LEAST_S_A_KILL: Final = 5.0
_KILLS_OF_HOURS: Final = 20
_PAID_TWICE: Final = 0.005
"""Of all calls, when processes are killed now and then and not at the worst of moments."""


def say(sentence: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


async def run(chosen: argparse.Namespace, steps: Sequence[Step], folder: Path) -> Evidence:
    """One run on a Kafka of its own, and its evidence. On SIGTERM it ends what it started, and is cancelled."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    say("starting Kafka")
    cluster = start(ClusterOptions(folder / "kafka", port=0), say=lambda _sentence: None)
    try:
        await ensure(cluster.bootstrap, all_topics(TENANTS.values()), Layout(), create=True)
        mesh = Mesh(folder, cluster.bootstrap, chosen.seed, chosen.session_timeout_ms, Events(folder / "events.jsonl"))
        async with Offsets(cluster.bootstrap, folder / "commits.jsonl") as offsets:
            try:
                say("starting the mesh")
                await mesh.start_all()
                pace = Pace(chosen.rate, chosen.quiet_s, chosen.requests, chosen.hours, chosen.kills)
                supervisor = Supervisor(mesh, offsets, pace, say)
                await supervisor.run(steps)
            finally:
                await mesh.stop()
        for missed in supervisor.missed:
            say(f"not reached: {missed}")
        say("reading the log back")
        return await gather(folder, cluster.bootstrap, chosen.seed, chosen.session_timeout_ms)
    finally:
        cluster.stop()
        shutil.copy(cluster.nodes[0].log, folder / "logs" / "kafka.log")
        shutil.rmtree(folder / "kafka", ignore_errors=True)


def judge(evidence: Evidence, folder: Path, floors: Mapping[str, tuple[str, float]], chosen: argparse.Namespace) -> int:
    """Check, print, keep; the exit status."""
    checked, found = check(evidence), figures(evidence)
    missed = report.missed_floors(found, floors)
    report.keep(folder, checked, found, missed, " ".join(["python -m tests.faults", *sys.argv[1:]]))
    report.show(checked, found, missed)
    if chosen.json:
        print(json.dumps(found), flush=True)
    if chosen.shared_machine:
        return 0 if checked.held_but_for_the_clock and all(one.split()[0] in report.BY_CLOCK for one in missed) else 1
    return 0 if checked.held and not missed else 1


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs at least (default 20)")
    parser.add_argument("--hours", type=float, default=0.0, help="as many kills as that takes")
    parser.add_argument("--requests", type=int, default=0, help="the load goes on until there were so many (default: as long as the kills); with both reached, the rest of the plan is left out")
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second (default 25)")
    parser.add_argument("--pause-s", type=float, default=3.0, help="about how long the mesh is left alone after a kill (default 3)")
    parser.add_argument("--quiet-s", type=float, default=12.0, help="load without faults, before and after (default 12)")
    parser.add_argument("--session-timeout-ms", type=int, default=6_000, help="of the groups (default 6000; the product's own is 10000)")
    parser.add_argument("--no-crash-points", action="store_true", help="kills at random moments only, --pause-s apart")
    parser.add_argument("--folder", type=Path, default=Path(".local/faults"), help="where runs are kept (default .local/faults)")
    parser.add_argument("--shared-machine", action="store_true", help="what depends on the machine's pace is printed and decides nothing")
    parser.add_argument("--plan", action="store_true", help="print the plan and leave")
    parser.add_argument("--check", type=Path, default=None, metavar="FOLDER", help="check a run's evidence again and leave")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(1_000_000)
    if chosen.hours:
        chosen.kills = max(chosen.kills, int(chosen.hours * 3600 / _LEAST_S_A_KILL))
    return chosen


def main() -> int:
    """See the module."""
    chosen = options()
    logging.basicConfig(level=logging.ERROR)
    if chosen.check is not None:
        evidence: Evidence = pickle.loads((chosen.check / "evidence.pickle").read_bytes())
        return judge(evidence, chosen.check, {}, chosen)
    steps = make(chosen.seed, chosen.kills, chosen.session_timeout_ms / 1000, chosen.pause_s, not chosen.no_crash_points)
    print(f"seed {chosen.seed}: {len(steps)} steps, {sum(step.kills for step in steps)} kills at least")
    for number, step in enumerate(steps[: len(steps) if chosen.plan else _SHOWN], 1):
        print(f"  {number:3} {step}")
    if chosen.plan:
        return 0
    folder = folder_of(chosen.folder, chosen.seed)
    print(f"evidence: {folder}", flush=True)
    try:
        evidence = uvloop.run(run(chosen, steps, folder))
    except (PartFailed, KafkaFailed, TriviumError) as error:
        say(f"could not be run to its end (seed {chosen.seed}): {error}")
        return 2
    except asyncio.CancelledError:
        say(f"told to leave before its end (seed {chosen.seed})")
        return 128 + signal.SIGTERM
    (folder / "evidence.pickle").write_bytes(pickle.dumps(evidence))
    floors = {"kills": (">=", float(_KILLS_OF_HOURS if chosen.hours else chosen.kills))}
    if chosen.no_crash_points:
        floors["paid_twice_share"] = ("<=", _PAID_TWICE)
    else:
        floors["crash_points"] = (">=", float(len(Point)))
    return judge(evidence, folder, floors, chosen)


if __name__ == "__main__":
    sys.exit(main())
