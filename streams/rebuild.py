"""Reading a home partition's log again on assignment, and folding it into its memory."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import TopicPartition

from streams.fold import Fold
from streams.memory import Memory
from streams.waiting import remember_waiting
from trivium.core.detect import Look, nothing_found
from trivium.core.partition import home
from trivium.core.policy import Policy
from trivium.crash import Crash, Point, pass_by
from trivium.kafka.reader import ReaderOptions, connected, end_offsets, read_tail
from trivium.kafka.record import Delivered
from trivium.kafka.signature import Signatures
from trivium.kafka.topics import OUTCOMES, REQUESTS, RESPONSES

_LOG = logging.getLogger(__name__)

GRACE_MS: Final = 10_000
"""On top of attempt cap and session timeout: clocks that differ, a fold that takes its time."""
_LOOK_S: Final = 2.0
_YIELD_EVERY: Final = 200


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """Where the log is and how far back it counts."""

    bootstrap: str
    partitions: int
    session_timeout_ms: int = 10_000
    reader: ReaderOptions = field(default_factory=ReaderOptions)
    signatures: Signatures | None = None
    look: Look = nothing_found
    crash: Crash | None = None
    killers: Mapping[tuple[str, int], frozenset[int]] = field(default_factory=dict)
    """Topic and partition -> offsets of records that nobody may look into (trivium/kafka/suspects.py)."""

    def late_ms(self) -> int:
        """How long after an attempt's deadline its first outcome may be written."""
        return self.session_timeout_ms + GRACE_MS

    def window_ms(self, policy: Policy) -> int:
        """How far back a pending attempt may have begun, and how long an end is remembered."""
        return policy.attempt_cap_ms + self.late_ms()


Committed = Mapping[str, Mapping[int, int]]
"""Topic -> partition -> the offset that reading begins at: what lies below is done."""


async def rebuild(committed: Committed, policy: Policy, options: RebuildOptions) -> dict[int, Memory]:
    """The memories of the partitions in `committed` (of requests and outcomes). Raises Unreachable."""
    began = time.monotonic()
    window = options.window_ms(policy)
    owned = sorted({*committed.get(REQUESTS, {}), *committed.get(OUTCOMES, {})})
    folds = {p: _fold(p, window, options) for p in owned}
    again = any(end for ends in committed.values() for end in ends.values())
    since = await _read_all(folds, committed, policy, window, options) if again else 0
    pending = sum(fold.resolve(policy, options.look) for fold in folds.values())
    memories = {p: fold.memory for p, fold in folds.items()}
    if again:
        newest = since + window
        pending += await remember_waiting(memories, policy, options.bootstrap, options.partitions, newest, options.reader)
    seconds = time.monotonic() - began
    _LOG.info("partitions %s: %d requests are pending, folded in %.2f s", owned, pending, seconds)
    return memories


def _fold(partition: int, window_ms: int, options: RebuildOptions) -> Fold:
    memory = Memory(window_ms, options.late_ms())
    return Fold(memory, partition, lambda identity: home(identity.key, options.partitions), options.signatures)


async def _read_all(
    folds: Mapping[int, Fold], committed: Committed, policy: Policy, window_ms: int, options: RebuildOptions
) -> int:
    """Returns since when it was read, epoch ms."""
    since = await _since(committed, window_ms, options)
    replies = {RESPONSES, *(t for tenant in policy.tenants.values() for t in tenant.reply_topics)}
    for topic in sorted(replies):
        ends = await end_offsets(options.bootstrap, topic, options.reader)
        # What came late to a request that had ended may stand in the window while its end stands before it.
        await _read(topic, since - window_ms, {p: end for p, end in ends.items() if p in folds}, options, folds)
    for topic in (REQUESTS, OUTCOMES):
        await _read(topic, since, committed.get(topic, {}), options, folds)
        pass_by(options.crash, Point.DURING_FOLD)
    return since


async def _read(
    topic: str, since_ms: int, until: Mapping[int, int], options: RebuildOptions, folds: Mapping[int, Fold]
) -> None:
    count = 0
    until = {p: end for p, end in until.items() if end > 0}
    if not until:
        return
    async for record in read_tail(options.bootstrap, topic, since_ms, until, options.reader):
        if record.offset not in options.killers.get((topic, record.partition), ()):
            _give(folds[record.partition], topic, record)
        count += 1
        if count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)


def _give(fold: Fold, topic: str, record: Delivered) -> None:
    try:
        if topic == REQUESTS:
            fold.request(record)
        elif topic == OUTCOMES:
            fold.outcome(record)
        else:
            fold.reply(record)
    except Exception:
        # The same record would end every router that gets this partition. Live it was put aside.
        _LOG.exception("%s-%d offset %d is left out of the fold", topic, record.partition, record.offset)


async def _since(committed: Committed, window_ms: int, options: RebuildOptions) -> int:
    """A window before the last committed record, not before now: after a long stop of every router, what was pending
    then is pending still."""
    newest = 0
    for topic in (REQUESTS, OUTCOMES):
        ends = {p: end for p, end in committed.get(topic, {}).items() if end > 0}
        if ends:
            newest = max(newest, await _newest(topic, ends, options))
    now_ms = int(time.time() * 1000)
    return (min(newest, now_ms) if newest else now_ms) - window_ms


async def _newest(topic: str, ends: Mapping[int, int], options: RebuildOptions) -> int:
    """The broker's time of the youngest of the last committed records; 0 when they are gone."""
    async with connected(options.bootstrap, topic, options.reader) as consumer:
        wanted = {TopicPartition(topic, p): end for p, end in ends.items()}
        first = await consumer.beginning_offsets(list(wanted))
        wanted = {tp: end for tp, end in wanted.items() if end > first[tp]}
        consumer.pause(*(consumer.assignment() - wanted.keys()))
        for tp, end in wanted.items():
            consumer.seek(tp, end - 1)
        times: dict[TopicPartition, int] = {}
        deadline = time.monotonic() + _LOOK_S
        while len(times) < len(wanted) and time.monotonic() < deadline:
            missing = [tp for tp in wanted if tp not in times]
            for tp, records in (await consumer.getmany(*missing, timeout_ms=200)).items():
                times[tp] = records[0].timestamp
        return max(times.values(), default=0)


def owned_partitions(committed: Committed) -> Collection[int]:
    """The home partitions that come with these topic partitions; both topics have the same number on one worker.

    Raises ValueError when they do not: an assignor that splits them would split memories."""
    requests, outcomes = set(committed.get(REQUESTS, {})), set(committed.get(OUTCOMES, {}))
    if requests != outcomes:
        raise ValueError(f"requests {sorted(requests)} and outcomes {sorted(outcomes)} came to one worker")
    return requests
