"""Everything is restarted, one after the other, under load: nothing is lost, nothing is seen twice, nothing is paid twice."""

from collections import Counter
from pathlib import Path

from infra.kafka.cluster import Cluster
from infra.part import RunningPart
from tests.real.kafka.load import Crowd, crowd, loading, make_topics, terminals_in_log
from trivium.core.policy import Tier
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.topics import attempts
from trivium.v1.records_pb2 import AttemptRecord

RATE = 15.0
ORDER = ("cloud", "finetuned", "retrieval", "router", "gateway")


async def test_a_rolling_restart_of_everything_loses_shows_and_pays_nothing_twice(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path) as mesh, loading(cluster.bootstrap, RATE) as load:
        await load.until(40)
        for name in ORDER:
            await _restart(mesh, name)
            await load.until(15)
        await load.until(40)
    load.check()
    assert load.client.duplicates == 0
    in_log = await terminals_in_log(cluster.bootstrap, load.prefix)
    assert len(in_log) == load.sent
    repeated = in_log.total() - len(in_log)
    started, settled, unpaid = await _executions(cluster.bootstrap)
    print(f"{load.sent} requests, {dict(load.tiers)}, slowest {load.slowest_ms} ms; {started.total()} calls were begun")
    assert repeated == 0
    assert [place for place, count in started.items() if count > 1] == []
    assert started.keys() - settled.keys() == set(), "begun and never settled: paid perhaps, and nobody knows"
    assert unpaid == 0


async def _restart(mesh: Crowd, name: str) -> None:
    """Told to leave as an operator tells it; the same program again, at the same address."""
    part = mesh.mesh.parts[name]
    await mesh.leave(name)
    again = await RunningPart.start(part.part, mesh.folder / "mesh" / "logs")
    mesh.extra[name] = again
    await again.until_ready(120)


Place = tuple[str, str, int, str]


async def _executions(bootstrap: str) -> tuple[Counter[Place], Counter[Place], int]:
    """How often each attempt was started and settled, and how many starts were not the first."""
    started, settled, again = Counter[Place](), Counter[Place](), 0
    options = ReaderOptions("tests")
    for tier in Tier:
        ends = await end_offsets(bootstrap, attempts(tier), options)
        async for record in read_tail(bootstrap, attempts(tier), 0, ends, options):
            message = AttemptRecord.FromString(record.value or b"")
            place = (message.identity.id, message.door, message.attempt, message.target)
            (started if message.state == "started" else settled)[place] += 1
            again += message.execution > 1
    return started, settled, again
