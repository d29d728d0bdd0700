"""Connecting to Milvus over a connection that its server is closing."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from services.retrieval.milvus import CONNECT_AGAIN_S, Milvus, Place
from services.retrieval.store import Mode
from trivium.core.errors import Unreachable

SETTINGS = b"\0\0\0\x04\0" + bytes(4)
CALM = b"too_many_pings"
GOAWAY = struct.pack(">I", 8 + len(CALM))[1:] + b"\x07\0" + bytes(4) + struct.pack(">II", 2**31 - 1, 0xB) + CALM
"""RFC 9113, 6.8: ENHANCE_YOUR_CALM, after streams that the server may have taken."""
HEADERS = b"\x01"
PING = b"\x06\0"
"""One that asks; an answer has a flag."""
Met = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Handles a connection; the number is the port of the server behind it."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Old(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """As much of a Milvus 2.3.5 as a client asks for when it comes."""

    def Connect(self, request: object, context: object) -> object:
        return milvus_pb2.ConnectResponse(identifier=1)

    def GetVersion(self, request: object, context: object) -> object:
        return milvus_pb2.GetVersionResponse(version="v2.3.5")


@asynccontextmanager
async def fronted(met: Met) -> AsyncIterator[str]:
    """The URI of a server before which every connection is met by that."""
    server = grpc.server(ThreadPoolExecutor(2))
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(Old(), server)
    behind = server.add_insecure_port("127.0.0.1:0")
    server.start()
    front = await asyncio.start_server(lambda reader, writer: met(reader, writer, behind), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    finally:
        front.close()
        await asyncio.to_thread(server.stop(0).wait)


@asynccontextmanager
async def closing(times: int) -> AsyncIterator[tuple[str, list[int]]]:
    """The URI of a server that closes its first connections as too_many_pings does; a list with an entry for each connection."""
    seen = list[int]()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int) -> None:
        seen.append(len(seen))
        if len(seen) <= times:
            # A call that was not sent yet gRPC sends again by itself.
            writer.write(SETTINGS)
            await until_called(reader)
            writer.write(GOAWAY)
            await writer.drain()
            writer.close()
            return
        to, back = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(passed_on(reader, back), passed_on(to, writer))

    async with fronted(met) as uri:
        yield uri, seen


async def until_called(reader: asyncio.StreamReader) -> None:
    await reader.readexactly(len(PREFACE))
    kind = b""
    while kind != HEADERS:
        head = await reader.readexactly(9)
        kind = head[3:4]
        await reader.readexactly(int.from_bytes(head[:3], "big"))


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The URI of a server; kinds and flags of the HTTP/2 frames that its clients send."""
    kinds = list[bytes]()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(PREFACE)))
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readexactly(9):
                kinds.append(head[3:5])
                writer.write(head + await reader.readexactly(int.from_bytes(head[:3], "big")))
        writer.close()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int) -> None:
        to, back = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(told(reader, back), passed_on(to, writer))

    async with fronted(met) as uri:
        yield uri, kinds


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_connection_that_goes_away_is_made_again() -> None:
    async with closing(2) as (uri, seen):
        store = Milvus(Place(uri, lanes=1), 8)
        await store.connect()
        assert store.mode is Mode.DENSE
        assert len(seen) == 3
        await store.close()


async def test_a_server_that_closes_every_connection_is_one_sentence() -> None:
    async with closing(10_000) as (uri, seen):
        store = Milvus(Place(uri, lanes=1), 8)
        with pytest.raises(Unreachable, match="no Milvus answers at"):
            await store.connect()
        assert len(seen) >= len(CONNECT_AGAIN_S) + 1
        await store.close()


async def test_milvus_lite_is_not_asked_whether_it_lives() -> None:
    """pymilvus asks an idle connection after 10 s; Milvus Lite closes one that asks too often, and whatever is under way fails."""
    async with listening() as (server, asked), listening() as (lite, spared):
        stores = [Milvus(Place(server, lanes=1), 8), Milvus(Place(lite, lanes=1, asked_if_alive=False), 8)]
        for store in stores:
            await store.connect()
        await asyncio.sleep(1)
        asked.clear()
        spared.clear()
        await asyncio.sleep(11)
        for store in stores:
            await store.close()
    assert PING in asked
    assert PING not in spared
