"""Every second an instance says how it is. A pulse that cannot be sent is dropped: the next one is better."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Self

from aiokafka.errors import KafkaError

from trivium.kafka import topics
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.v1 import records_pb2

_LOG = logging.getLogger(__name__)
_EVERY_S: Final = 1.0
_PATIENCE_MS: Final = 900
_HEADERS: Final = (
    (topics.HEADER_CONTENT_TYPE, b"application/protobuf"),
    (topics.HEADER_SCHEMA, b"trivium.v1.Pulse"),
)

TakePulse = Callable[[], records_pb2.Pulse]
"""The state of the instance right now; instance and service set."""


class PulseWriter:
    """Writes `take()` to trivium.pulse (key: the instance) every second, and a last one that says that it has left."""

    def __init__(self, producer: Producer, take: TakePulse) -> None:
        self._producer = producer
        self._take = take
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin; the first pulse goes at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._beat(), name="pulse")

    async def stop(self) -> None:
        """Say that this instance leaves."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._send(left=True)

    async def _beat(self) -> None:
        while True:
            await self._send(left=False)
            await asyncio.sleep(_EVERY_S)

    async def _send(self, left: bool) -> None:
        pulse = self._take()
        pulse.left = left
        pulse.draining = pulse.draining or left
        record = Record(topics.PULSE, pulse.instance.encode(), pulse.SerializeToString(), _HEADERS, 0)
        try:
            await self._producer.publish(record, _PATIENCE_MS)
        except (KafkaError, OSError) as error:
            _LOG.debug("a pulse was not sent: %r", error)
