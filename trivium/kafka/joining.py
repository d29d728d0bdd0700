"""How a member comes into a group, and where it begins to read."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from trivium.kafka.claim import GroupOptions
from trivium.kafka.security import arguments
from trivium.kafka.suspects import Manner, Note, Taken, take_over

_LOG = logging.getLogger(__name__)


def consumer_of(bootstrap: str, group: str, options: GroupOptions) -> AIOKafkaConsumer:
    """The consumer of a member, not started."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=options.client_id,
        group_id=group,
        group_instance_id=options.instance_id,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=options.fetch_max_wait_ms,
        max_poll_records=options.max_poll_records,
        session_timeout_ms=options.session_timeout_ms,
        heartbeat_interval_ms=options.heartbeat_ms,
        request_timeout_ms=options.request_timeout_ms,
        **arguments(bootstrap),
    )


@dataclass(frozen=True, slots=True)
class Begin:
    """Where reading of a partition goes on: the committed offset, or the oldest record when there is none."""

    offset: int
    taken: Taken
    """How, after what earlier members left."""


async def reading_begins(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], careful: bool, kept: Mapping[TopicPartition, str]
) -> Mapping[TopicPartition, Begin]:
    """For each partition. `careful`: look for what killed earlier members (trivium/kafka/suspects.py). `kept`: what this member
    wanted to leave beside those that it had; the broker need not have it, for a rebalance may overtake a commit."""
    wanted = list(partitions)
    found = await consumer._coordinator.fetch_committed_offsets(wanted)
    without = [partition for partition in wanted if partition not in found]
    first = await consumer.beginning_offsets(without) if without else {}
    ends = await consumer.end_offsets(wanted) if careful and wanted else {}
    begins = {}
    for partition in wanted:
        offset, left = (first[partition], "") if partition in first else (found[partition].offset, found[partition].metadata)
        note = kept.get(partition, left or "")
        taken = take_over(note, offset, ends[partition], manner=Manner.SINGLY) if careful else Taken(Note())
        begins[partition] = Begin(offset, taken)
    return begins


async def start_over(consumer: AIOKafkaConsumer, group: str, gone: Mapping[TopicPartition, int]) -> None:
    """Records were deleted before they were read: nothing can be done but to say so and go on."""
    first = await consumer.beginning_offsets(list(gone))
    for partition, wanted in gone.items():
        _LOG.error(
            "group %s: %s/%d: offsets %d to %d were deleted before they were read",
            *(group, partition.topic, partition.partition, wanted, first[partition] - 1),
        )
        consumer.seek(partition, first[partition])


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Eager rebalancing: everything is revoked, then everything assigned."""

    def __init__(self, revoked: Callable[[], Awaitable[None]], assigned: Callable[[Iterable[TopicPartition]], None]) -> None:
        self._revoked = revoked
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._assigned(assigned)
