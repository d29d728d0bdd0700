"""Seeing what a mesh writes into a topic."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.integration.mesh.running import TIMEOUT_S, RunningMesh
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered


@dataclass(slots=True)
class Seen:
    """Records of a topic since `watching` began, as they come."""

    records: list[Delivered] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, record: Delivered) -> None:
        self.records.append(record)
        self._more.set()

    async def until(self, wanted: Callable[[Delivered], bool]) -> Delivered:
        """The first record that is wanted."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                self._more.clear()
                if (found := next(filter(wanted, self.records), None)) is not None:
                    return found
                await self._more.wait()

    def of(self, request_id: str) -> list[Delivered]:
        """Those whose key is acme's identity with this id."""
        return [record for record in self.records if record.key == f"acme/{request_id}".encode()]


@asynccontextmanager
async def watching(mesh: RunningMesh, topic: str) -> AsyncIterator[Seen]:
    """What is written to a topic from now on."""
    seen = Seen()
    async with Tail(mesh.local.addresses.kafka, topic, seen.take, from_beginning=False) as tail:
        assert await tail.wait_caught_up(10_000)
        yield seen
