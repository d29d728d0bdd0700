"""Where the reading of partitions begins, and what stands beside it."""

from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP


async def begun(consumer: AIOKafkaConsumer, wanted: Iterable[TP]) -> tuple[dict[TopicPartition, int], dict[TopicPartition, str]]:
    """The group's committed offset, or the oldest record where there is none; and the metadata of the first."""
    partitions = [TopicPartition(*tp) for tp in wanted]
    found = await consumer._coordinator.fetch_committed_offsets(partitions)
    without = [tp for tp in partitions if tp not in found or found[tp].offset < 0]
    first = await consumer.beginning_offsets(without) if without else {}
    starts = {tp: first[tp] if tp in first else found[tp].offset for tp in partitions}
    return starts, {tp: "" if tp in first else found[tp].metadata for tp in partitions}
