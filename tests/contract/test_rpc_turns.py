"""A name with several addresses is several instances: calls take turns."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc

from infra.local import free_ports
from trivium.rpc.channels import SERVER_OPTIONS, channel, stub
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2_grpc

TIMEOUT = 5.0


class Named(services_pb2_grpc.TierServicer):
    """Says which instance it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        await asyncio.sleep(0.001)
        return outcome_pb2.Outcome(instance=self.name, target=context.peer())


async def instance(stack: AsyncExitStack, address: str) -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    services_pb2_grpc.add_TierServicer_to_server(Named(address), server)  # type: ignore[no-untyped-call]
    assert server.add_insecure_port(address)
    await server.start()
    stack.push_async_callback(server.stop, 1)


async def test_calls_take_turns_over_the_instances_of_a_name() -> None:
    (port,) = free_ports(1)
    addresses = [f"127.0.0.{host}:{port}" for host in (1, 2, 3)]
    async with AsyncExitStack() as stack:
        for address in addresses:
            await instance(stack, address)
        wire = await stack.enter_async_context(channel(f"ipv4:{','.join(addresses)}"))
        tier = stub(services_pb2_grpc.TierStub, wire)
        seen: Counter[str] = Counter()
        async with asyncio.timeout(TIMEOUT):
            # All connections are made in the background: until then those that are there take the calls.
            while set(seen) != set(addresses):
                seen[(await tier.Generate(journey_pb2.Work(), timeout=TIMEOUT)).instance] += 1
        turns = Counter([(await tier.Generate(journey_pb2.Work(), timeout=TIMEOUT)).instance for _ in range(30)])
        assert turns == dict.fromkeys(addresses, 10)
