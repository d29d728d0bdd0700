"""The processes that the gateway benchmark runs: bare echoes to compare with, and a tier that answers at once.

    python -m benchmarks.gateway_parts echo
    python -m benchmarks.gateway_parts hop --next 127.0.0.1:7000
    python -m benchmarks.gateway_parts tier
"""

import argparse
import asyncio
import gc
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from trivium.process import GC_EVERY
from trivium.rpc.channels import SERVER_OPTIONS
from trivium.rpc.channels import channel as mesh_channel
from trivium.v1 import journey_pb2, outcome_pb2, request_pb2, services_pb2, services_pb2_grpc

TEXT = "The refund takes three to five working days after the parcel has come back to our warehouse. " * 3


class Echo:
    """Gives a request back: what grpc.aio itself costs with these messages."""

    async def answer(self, message: request_pb2.Request, context: Any) -> request_pb2.Request:
        return message


class Hop:
    """Asks the next one."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._next = caller(channel)

    async def answer(self, message: request_pb2.Request, context: Any) -> request_pb2.Request:
        reply: request_pb2.Request = await self._next(message, timeout=10)
        return reply


class InstantTier(services_pb2_grpc.TierServicer):
    """A tier whose model takes no time, without what a tier does around a call."""

    def __init__(self) -> None:
        self._outcome = outcome_pb2.Outcome(cost_micro_dollars=12, ttft_ms=0)
        self._outcome.answer.text = TEXT
        self._outcome.answer.finish = "stop"
        self._outcome.answer.confidence = 0.9
        self._outcome.usage.input_tokens = 120
        self._outcome.usage.output_tokens = 60

    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        outcome = outcome_pb2.Outcome()
        outcome.CopyFrom(self._outcome)
        request = work.request
        outcome.identity.tenant, outcome.identity.id, outcome.identity.replay = request.tenant, request.id, request.replay
        outcome.attempt, outcome.target = work.attempt, work.target.name
        return outcome

    async def GenerateStream(self, work: journey_pb2.Work, context: Any) -> AsyncIterator[services_pb2.TierEvent]:
        yield services_pb2.TierEvent(outcome=await self.Generate(work, context))


def caller(channel: grpc.aio.Channel) -> Any:
    """The bare echo's method."""
    return channel.unary_unary(
        "/benchmark.Echo/Answer", request_pb2.Request.SerializeToString, request_pb2.Request.FromString
    )


def _add_echo(server: grpc.aio.Server, answer: Any) -> None:
    write, read = request_pb2.Request.SerializeToString, request_pb2.Request.FromString
    method = grpc.unary_unary_rpc_method_handler(answer, read, write)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark.Echo", {"Answer": method}),))


async def _serve(kind: str, following: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = grpc.aio.server(options=(*SERVER_OPTIONS, ("grpc.so_reuseport", 1)))
    channel = mesh_channel(following) if following else None
    register: Any = services_pb2_grpc.add_TierServicer_to_server
    if kind == "tier":
        register(InstantTier(), server)
    else:
        _add_echo(server, Hop(channel).answer if channel is not None else Echo().answer)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    # As trivium/process.py does it for the gateway.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_EVERY)
    print(json.dumps({"port": port}), flush=True)
    await stopping.wait()
    await server.stop(0.1)
    if channel is not None:
        await channel.close(None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_parts", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("kind", choices=("echo", "hop", "tier"))
    parser.add_argument("--next", default="", metavar="HOST:PORT", help="of a hop: whom it asks")
    parser.add_argument("--port", type=int, default=0, help="one that another process of this kind has too; 0: any")
    chosen = parser.parse_args()
    uvloop.run(_serve(chosen.kind, chosen.next, chosen.port))


if __name__ == "__main__":
    main()
