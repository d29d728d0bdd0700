"""Hands malformed records to a broker as they are, and remembers where they went."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from google.protobuf.message import Message

from tests.faults.poison.cases import Raw, record
from tests.raw_records import batch
from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

A_BATCH: Final = 20

SHARES: Final[Sequence[tuple[str, type[Message], int]]] = (
    (topics.REQUESTS, request_pb2.Request, 30), (topics.OUTCOMES, journey_pb2.OutcomeRecord, 14),
    *((name, journey_pb2.Work, 4) for tier in Tier for name in topics.lanes(tier)),
    *((topics.attempts(tier), records_pb2.AttemptRecord, 3) for tier in Tier),
    (topics.CACHE, records_pb2.CacheEntry, 5), (topics.DOCUMENTS, records_pb2.DocumentRecord, 3), (topics.LEDGER, records_pb2.LedgerRecord, 3),
    (topics.RESPONSES, outcome_pb2.Terminal, 3), (topics.PULSE, records_pb2.Pulse, 1),
)  # fmt: skip
"""Topic, what it carries, and its share in hundredths."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One malformed record and its place."""

    topic: str
    partition: int
    offset: int
    raw: Raw


class Sender:
    """`async with` it; what it sends is in `sent`."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap)
        self.sent: list[Sent] = []

    async def __aenter__(self) -> Self:
        await self._client.bootstrap()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self._client.close()

    async def send(self, draw: random.Random, topic: str, kind: type[Message], sound: bytes = b"") -> None:
        """A batch of malformed records for one partition of the topic."""
        raws = [record(draw, kind, sound) for _ in range(A_BATCH)]
        await self._client._wait_on_metadata(topic)
        partition = draw.choice(sorted(self._client.cluster.partitions_for_topic(topic)))
        keys = [draw.choice((None, b"acme/x", b"\xff/\x00", b"", b"no tenant")) for _ in raws]
        whole = batch([(key, value, headers) for key, (value, headers) in zip(keys, raws, strict=True)], draw.choice((0, 0, 0)))
        base = await self._produced(topic, partition, whole)
        self.sent += [Sent(topic, partition, base + number, raw) for number, raw in enumerate(raws)]

    async def _produced(self, topic: str, partition: int, whole: bytes) -> int:
        node = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
        asked = ProduceRequest(required_acks=-1, timeout=10_000, topics=[(topic, [(partition, whole)])], transactional_id=None)
        response = await self._client.send(node, asked)
        ((_, ((_, code, base, *_rest),)),) = response.topics
        if code:
            raise for_code(code)(f"{topic}-{partition}")
        return int(base)


def plan(draw: random.Random, count: int) -> list[tuple[str, type[Message]]]:
    """Batches of each topic by its share, in a drawn order; pulses, which colour what is decided, come last."""
    batches = [
        (topic, kind) for topic, kind, share in SHARES for _ in range(max(1, round(count * share / 100 / A_BATCH)))
    ]
    draw.shuffle(batches)
    return sorted(batches, key=lambda one: one[0] == topics.PULSE)
