"""Batch work that is still waiting when a home partition comes to a new owner.

It waits for longer than the log is read again for, so what is left of it in its lanes is read too: an entry is emptied as soon as
its outcome is in the log. It has to be timed, and a request that is sent again while it waits has to be known.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError

from streams.memory import Memory
from trivium.core.partition import home
from trivium.core.policy import Policy
from trivium.core.request import Identity
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.topics import DAY_MS, PATIENT, PULLED, Lane, work
from trivium.v1 import journey_pb2

_LOG = logging.getLogger(__name__)
_KEPT_MS: Final = 2 * DAY_MS
_YIELD_EVERY: Final = 200


async def remember_waiting(
    memories: Mapping[int, Memory], policy: Policy, bootstrap: str, partitions: int, before_ms: int, options: ReaderOptions
) -> int:
    """Put what waits into the memories of its home partitions; returns how much it was. `before_ms`: what was left to wait later
    than that has a cause that is read again anyway, or is not committed. Raises Unreachable."""
    if policy.patience is None:
        return 0
    found = 0
    for topic in [work(tier, Lane.BATCH) for tier in PATIENT]:
        for value in (await _left(topic, before_ms, bootstrap, options)).values():
            found += _remembered(value, memories, partitions)
    if found:
        _LOG.info("%d requests wait as batch work since before the log that was read again", found)
    return found


async def _left(topic: str, before_ms: int, bootstrap: str, options: ReaderOptions) -> Mapping[bytes, bytes]:
    ends = await end_offsets(bootstrap, topic, options)
    left: dict[bytes, bytes] = {}
    count = 0
    async for record in read_tail(bootstrap, topic, int(time.time() * 1000) - _KEPT_MS, ends, options):
        key = record.key or b""
        if not record.value:
            left.pop(key, None)
        elif record.timestamp_ms < before_ms and not key.startswith(PULLED):
            left[key] = record.value
        count += 1
        if count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
    return left


def _remembered(value: bytes, memories: Mapping[int, Memory], partitions: int) -> bool:
    try:
        sent = journey_pb2.Work.FromString(value)
    except DecodeError:
        return False
    identity = Identity(sent.request.tenant, sent.request.id, sent.request.replay)
    memory = memories.get(home(identity.key, partitions))
    if memory is None or memory.known(identity):
        return False
    memory.still_open(identity, sent.slip.body_hash)
    memory.opened(identity, sent.attempt, sent.deadline_ms, sent.target.name, value, patient=True)
    return True
