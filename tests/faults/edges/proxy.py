"""A TCP proxy that misbehaves on command: slow, hanging, resetting, cutting an answer in half, trickling.

    async with Proxy("127.0.0.1:9092", seed=7, kafka=True) as proxy:
        client(proxy.address)
        proxy.order(Trouble.HANG)        from now on, on open connections too
        proxy.heal()                     what hung goes on, new connections are as they should be

A Kafka broker tells its clients where it is, so behind `kafka=True` the answers have the proxy's port in the place of the
broker's. The same seed gives the same delays and places of cuts for the same traffic.
"""

import asyncio
import random
import struct
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Final, Self, assert_never

_CHUNK: Final = 65_536
_TRICKLE_BYTES: Final = 64
_TRICKLE_S: Final = 0.01
_SLOW_S: Final = (0.05, 0.4)
_LENGTH: Final = struct.Struct(">i")


class Trouble(Enum):
    """What an edge does."""

    NONE = "none"
    LATENCY = "latency"
    """Every piece comes 50 to 400 ms late, in both directions."""
    HANG = "hang"
    """Nothing goes through, nobody is told; what was sent goes on when it is healed."""
    RESET = "reset"
    """Open connections are broken with RST, and so is every new one."""
    CUT = "cut"
    """A part of the next answer comes, then the connection ends as if all were well."""
    TRICKLE = "trickle"
    """Sixty-four bytes every ten ms."""


class Proxy:
    """One edge. `target`: host:port."""

    def __init__(self, target: str, seed: int = 0, kafka: bool = False) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._port, self._kafka = host, int(port), kafka
        self._draw = random.Random(seed)
        self._trouble = Trouble.NONE
        self._healed = asyncio.Event()
        self._healed.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0
        """How many came."""
        self.troubled = 0
        """How many pieces or connections the trouble met."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self._break_all()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    def order(self, trouble: Trouble) -> None:
        """From now on."""
        self._trouble = trouble
        if trouble is Trouble.RESET:
            self.troubled += len(self._open)
            self._break_all()
        if trouble is Trouble.HANG:
            self._healed.clear()
        else:
            self._healed.set()

    def heal(self) -> None:
        """No trouble any more."""
        self.order(Trouble.NONE)

    def _break_all(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.connections += 1
        try:
            await self._joined(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._trouble is Trouble.RESET:
            self.troubled += 1
            writer.transport.abort()
            return
        await self._healed.wait()
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self._open.add(far_writer)
        ways = (
            asyncio.create_task(self._way(reader, far_writer, answers=False), name="proxy-out"),
            asyncio.create_task(self._way(far_reader, writer, answers=True), name="proxy-back"),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(far_writer)
            far_writer.transport.abort()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while piece := await self._piece(reader, answers):
                if not await self._through(piece, writer, answers):
                    return

    async def _piece(self, reader: asyncio.StreamReader, answers: bool) -> bytes:
        if not (answers and self._kafka):
            return await reader.read(_CHUNK)
        head = await reader.readexactly(_LENGTH.size)
        return self._moved(head + await reader.readexactly(_LENGTH.unpack(head)[0]))

    def _moved(self, answer: bytes) -> bytes:
        ours = self._host.encode()
        return answer.replace(ours + _LENGTH.pack(self._port), ours + _LENGTH.pack(self.port))

    async def _through(self, piece: bytes, writer: asyncio.StreamWriter, answers: bool) -> bool:
        """Hand a piece on; False when the connection ends here."""
        trouble = self._trouble
        self.troubled += trouble is not Trouble.NONE
        match trouble:
            case Trouble.NONE | Trouble.RESET:
                writer.write(piece)
            case Trouble.LATENCY:
                await asyncio.sleep(self._draw.uniform(*_SLOW_S))
                writer.write(piece)
            case Trouble.HANG:
                await self._healed.wait()
                writer.write(piece)
            case Trouble.CUT:
                writer.write(piece if not answers else piece[: self._draw.randrange(len(piece))])
                await writer.drain()
                return not answers
            case Trouble.TRICKLE:
                for begin in range(0, len(piece), _TRICKLE_BYTES):
                    writer.write(piece[begin : begin + _TRICKLE_BYTES])
                    if self._trouble is Trouble.TRICKLE:
                        await asyncio.sleep(_TRICKLE_S)
            case unreachable:
                assert_never(unreachable)
        await writer.drain()
        return True
