"""Processes that are frozen for a little less than their group waits: they stay, and nothing is done twice."""

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

from infra.kafka.cluster import Cluster
from infra.part import RunningPart
from tests.real.kafka.conftest import cluster, make_cluster
from tests.real.kafka.load import crowd, loading, make_topics, terminals_in_log
from trivium.core.policy import Tier
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.topics import attempts
from trivium.tier.records import STARTED
from trivium.v1 import records_pb2

__all__ = ["cluster", "make_cluster"]

SESSION_S, HEARTBEAT_S = 20.0, 1.0
FROZEN_S = 0.8 * SESSION_S
MOST_S = 0.85 * SESSION_S
ENVIRON = {"TRIVIUM_SESSION_TIMEOUT_MS": f"{SESSION_S * 1000:.0f}", "TRIVIUM_HEARTBEAT_MS": f"{HEARTBEAT_S * 1000:.0f}"}
VICTIMS = ("router", "finetuned", "cloud")


async def freeze(parts: list[RunningPart]) -> float:
    """SIGSTOP, SIGCONT; how long it was, s: a busy machine may make it longer."""
    began = time.monotonic()
    for part in parts:
        part.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    for part in parts:
        part.process.send_signal(signal.SIGCONT)
    return time.monotonic() - began


async def starts_in_log(bootstrap: str, prefix: str) -> Counter[tuple[str, int]]:
    """(Id, attempt) -> how often it was started, at any tier."""
    found: Counter[tuple[str, int]] = Counter()
    options = ReaderOptions("tests")
    for tier in Tier:
        ends = await end_offsets(bootstrap, attempts(tier), options)
        async for record in read_tail(bootstrap, attempts(tier), 0, ends, options):
            one = records_pb2.AttemptRecord.FromString(record.value or b"")
            if one.state == STARTED and one.identity.id.startswith(prefix) and not one.part_of:
                found[one.identity.id, one.attempt] += 1
    return found


async def test_frozen_for_less_than_its_group_waits_nobody_leaves_and_nothing_is_done_twice(cluster: Cluster, tmp_path: Path) -> None:
    await make_topics(cluster.bootstrap)
    async with crowd(cluster.bootstrap, tmp_path, ENVIRON) as one, loading(cluster.bootstrap, 6.0) as load:
        await load.until(20)
        victims = [one.part(name) for name in VICTIMS]
        frozen_s = await freeze(victims)
        await load.until(60)
        stayed = [one.part(name) is part and part.process.returncode is None for name, part in zip(VICTIMS, victims, strict=True)]
    load.check()
    if frozen_s > MOST_S:
        print(f"\nfrozen for {frozen_s:.1f} s instead of {FROZEN_S:.1f} s by a machine that was busy: not judged")
        return
    assert all(stayed), dict(zip(VICTIMS, stayed, strict=True))
    starts, terminals = await starts_in_log(cluster.bootstrap, load.prefix), await terminals_in_log(cluster.bootstrap, load.prefix)
    print(f"\nfrozen for {frozen_s:.1f} s: {len(terminals)} requests, {len(starts)} attempts, none twice")
    assert len(starts) >= 0.5 * load.sent
    assert {key: count for key, count in starts.items() if count > 1} == {}
    assert len(terminals) == load.sent
    assert {key: count for key, count in terminals.items() if count > 1} == {}
