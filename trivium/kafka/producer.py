"""The one way to produce: idempotent, acknowledged by all replicas, and never waiting without a bound.

aiokafka's own `send_and_wait` and `stop` hang for as long as the broker is gone (aiokafka #1101), and one
failed batch can kill its sender for good. This wrapper bounds the first and replaces the second.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from trivium.core.murmur2 import partition_of
from trivium.kafka.guard import hang_up
from trivium.kafka.record import Record
from trivium.kafka.security import arguments, unreachable

_LOG = logging.getLogger(__name__)

MAX_RECORD_BYTES: Final = 1_000_000
"""Just under Kafka's default `message.max.bytes` (1,048,588): what is larger is refused before it is sent."""


_LAST_WAIT_S: Final = 2.0
_OVERHEAD: Final = 100


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """How to produce. Times are ms."""

    client_id: str = "trivium"
    linger_ms: int = 0
    """0 is best under load too: one request a broker is in flight, and what arrives meanwhile is one batch."""
    max_batch_bytes: int = 131_072
    max_record_bytes: int = MAX_RECORD_BYTES
    request_timeout_ms: int = 10_000
    start_timeout_ms: int = 8_000
    stop_timeout_ms: int = 5_000


class Producer:
    """An `AIOKafkaProducer` with bounded waits that can be replaced when its sender died."""

    def __init__(self, bootstrap: str, options: ProducerOptions | None = None) -> None:
        """`bootstrap`: `host:port[,host:port]`."""
        self._bootstrap = bootstrap
        self._options = options or ProducerOptions()
        self._client: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._known: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect. Raises Unreachable within `start_timeout_ms`."""
        if self._client is None:
            self._client = await self._connected()

    async def stop(self) -> None:
        """Send what is pending and close, or give up after `stop_timeout_ms`: then its fate is unknown."""
        client, self._client = self._client, None
        if client is not None:
            await self._close(client)

    def known(self, topic: str) -> int:
        """How many partitions `topic` has; 0 while this producer has not learned it."""
        return self._known.get(topic, 0)

    async def learn(self, topic: str) -> int:
        """Ask the broker how many partitions `topic` has. Raises KafkaError when it does not say, or has none."""
        client = self._require()
        try:
            async with asyncio.timeout(self._options.request_timeout_ms / 1000):
                count = len(await client.partitions_for(topic) or ())
        except TimeoutError as error:
            raise KafkaTimeoutError(f"no broker told the partitions of {topic}") from error
        if count:
            self._known[topic] = count
        return count

    async def send_batch(
        self, topic: str, partition: int, records: Iterable[Record]
    ) -> tuple[int, asyncio.Future[RecordMetadata]]:
        """Send the first of `records` that fit into one batch; returns how many, and the future of them all.

        The topic must be known. Waits while an earlier batch of the partition waits to be sent. Raises aiokafka's
        MessageSizeTooLargeError when the very first is larger than `max_record_bytes`.
        """
        client, limit = self._require(), self._options.max_record_bytes
        builder, taken = client.create_batch(), 0
        for record in records:
            if _bytes_of(record) > limit:
                if taken:
                    break
                raise MessageSizeTooLargeError(f"{topic}: a record of {_bytes_of(record)} bytes, the limit is {limit}")
            if builder.append(
                timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=list(record.headers)
            ) is None:
                break
            taken += 1
        return taken, await client.send_batch(builder, topic, partition=partition)

    async def send(self, record: Record) -> asyncio.Future[RecordMetadata]:
        """Hand over one record; the future ends when all replicas have it.

        Waits only while the partition's batch is full. Raises aiokafka's MessageSizeTooLargeError for what is
        larger than `max_record_bytes`, KafkaTimeoutError when nothing moves.
        """
        client, topic = self._require(), record.topic
        try:
            if topic not in self._known:
                await self.learn(topic)
            # Waits only for room in the partition's batch, and for no longer than the request timeout.
            future: asyncio.Future[RecordMetadata] = await client.send(
                topic, record.value, record.key, record.partition, record.timestamp_ms, list(record.headers)
            )
        except AssertionError as error:
            raise KafkaError(f"{topic} has no partition {record.partition}") from error
        return future

    async def publish(self, record: Record, timeout_ms: int) -> RecordMetadata:
        """Produce one record and wait until the broker has it.

        Raises KafkaTimeoutError after `timeout_ms`: it is then unknown whether the broker has the record.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await (await self.send(record))
        except TimeoutError as error:
            raise KafkaTimeoutError(f"{record.topic}: not confirmed in {timeout_ms} ms") from error

    @property
    def alive(self) -> bool:
        """Whether the sender still runs; when not, `renew` is needed."""
        client = self._client
        if client is None:
            return False
        task = client._sender.sender_task
        return task is not None and not task.done()

    async def renew(self) -> None:
        """Replace a client whose sender died. Records without a confirmation must be sent again by their owner."""
        async with self._renewing:
            if self.alive:
                return
            fresh = await self._connected()
            old, self._client = self._client, fresh
            self._known.clear()
            if old is not None:
                _LOG.warning("the producer's sender died; it was replaced")
                await self._close(old)

    def _require(self) -> AIOKafkaProducer:
        if self._client is None:
            raise KafkaError("the producer is not started")
        return self._client

    async def _connected(self) -> AIOKafkaProducer:
        options = self._options
        client = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=options.client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=options.linger_ms,
            max_batch_size=options.max_batch_bytes,
            max_request_size=options.max_record_bytes,
            request_timeout_ms=options.request_timeout_ms,
            partitioner=_partition,
            **arguments(self._bootstrap),
        )
        try:
            async with asyncio.timeout(options.start_timeout_ms / 1000):
                await client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._close(client)
            raise await unreachable(self._bootstrap, error) from error
        except BaseException:
            await self._close(client)
            raise
        return client

    async def _close(self, client: AIOKafkaProducer) -> None:
        if not await _ended(client.flush(), self._options.stop_timeout_ms / 1000):
            _LOG.warning("records were not confirmed in %d ms and given up", self._options.stop_timeout_ms)
            await _give_up(client)
        if not await _ended(client.stop(), _LAST_WAIT_S):
            hang_up(client)


def _bytes_of(record: Record) -> int:
    """An upper bound of the record's size on the wire."""
    size = _OVERHEAD + len(record.value or b"") + len(record.key or b"")
    return size + sum(len(name) + len(value) + 8 for name, value in record.headers)


def _partition(key: bytes | None, every: Sequence[int], available: Sequence[int]) -> int:
    """Kafka's default choice: by the key when there is one, else any that has a leader."""
    if key is None:
        return random.choice(available or every)
    return every[partition_of(key, len(every))]


async def _ended(work: Awaitable[None], timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await work
    except (KafkaError, OSError, TimeoutError) as error:
        return not isinstance(error, TimeoutError)
    return True


async def _give_up(client: AIOKafkaProducer) -> None:
    """End what waits for a broker that is gone. The sender goes first: it puts failed batches back."""
    await _ended(client._sender.close(), _LAST_WAIT_S)
    client._message_accumulator.fail_all(KafkaTimeoutError("the producer was closed before the broker confirmed"))
