"""Malformed calls at the gRPC doors."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import grpc
from google.protobuf.message import Message

from tests.faults.poison.cases import odd, record
from trivium.rpc.channels import channel
from trivium.v1 import journey_pb2, request_pb2, services_pb2

DOORS: Final[Mapping[str, Sequence[tuple[str, type[Message], bool]]]] = {
    "gateway": (
        ("/trivium.v1.Gateway/Complete", request_pb2.Request, False), ("/trivium.v1.Gateway/CompleteStream", request_pb2.Request, True),
        ("/trivium.v1.Gateway/Submit", request_pb2.Request, False), ("/trivium.v1.Gateway/Await", services_pb2.AwaitRequest, False),
        ("/trivium.v1.Gateway/Cancel", services_pb2.CancelRequest, False), ("/trivium.v1.Gateway/Nothing", request_pb2.Request, False),
    ),
    "finetuned": (("/trivium.v1.Tier/Generate", journey_pb2.Work, False), ("/trivium.v1.Tier/GenerateStream", journey_pb2.Work, True)),
    "cloud": (("/trivium.v1.Tier/Generate", journey_pb2.Work, False), ("/trivium.v1.Tier/GenerateStream", journey_pb2.Work, True)),
    "retrieval": (
        ("/trivium.v1.Tier/Generate", journey_pb2.Work, False), ("/trivium.v1.Retrieval/Retrieve", services_pb2.RetrieveRequest, False),
        ("/trivium.v1.Retrieval/Forget", services_pb2.ForgetRequest, False),
    ),
}  # fmt: skip
_TIMEOUT_S: Final = 5.0
_AT_ONCE: Final = 16
_ODD_METADATA: Final = (
    (), (), (("idempotency-key", ""),), (("idempotency-key", "x" * 2_000),), (("traceparent", "nonsense"),), (("authorization", "Bearer"),),
)  # fmt: skip


async def calls(address: str, door: str, draw: random.Random, count: int) -> Counter[str]:
    """Make them, some at a time; returns how they ended, by status. Each must end by its own deadline."""
    ended: Counter[str] = Counter()
    room = asyncio.Semaphore(_AT_ONCE)
    async with channel(address) as opened, asyncio.TaskGroup() as group:

        async def one(path: str, body: bytes, streamed: bool, metadata: tuple[tuple[str, str], ...]) -> None:
            async with room, asyncio.timeout(_TIMEOUT_S + 2):
                ended[await _ended(opened, path, body, streamed, metadata)] += 1

        for _ in range(count):
            path, kind, streamed = draw.choice(DOORS[door])
            body = record(draw, kind)[0] or b"" if draw.random() < 0.6 else odd(draw, kind).SerializeToString()
            group.create_task(one(path, body, streamed, draw.choice(_ODD_METADATA)))
    return ended


async def _ended(opened: grpc.aio.Channel, path: str, body: bytes, streamed: bool, metadata: tuple[tuple[str, str], ...]) -> str:
    try:
        if not streamed:
            await opened.unary_unary(path)(body, timeout=_TIMEOUT_S, metadata=metadata)
        else:
            async for _ in opened.unary_stream(path)(body, timeout=_TIMEOUT_S, metadata=metadata):
                pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
