"""Instances that come later take their share of the calls, and no call is lost for it."""

import asyncio
import socket
import struct
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from infra.local import free_ports
from services.gateway.flights import Flight
from services.gateway.tiers import Tiers
from tests.contract.test_rpc_turns import instance
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Request
from trivium.core.slip import Work
from trivium.rpc import renewed
from trivium.rpc.channels import Dial, stub
from trivium.rpc.renewed import renewed_channel
from trivium.rpc.resolving import Resolving, resolve
from trivium.tier.meter import now_ms
from trivium.v1 import journey_pb2, request_pb2, services_pb2_grpc


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that gives `hosts` for every name, and no IPv6."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        asks_ipv4 = data[end - 4 : end - 2] == b"\0\x01"
        found = [socket.inet_aton(host) for host in self.hosts] if asks_ipv4 else []
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        answers = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + host for host in found)
        self.transport.sendto(head + data[12:end] + answers, addr)

    async def resolve(self, _name: str) -> frozenset[str]:
        return frozenset(self.hosts)


async def test_an_instance_that_comes_later_is_called_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewed, "_LOOK_S", 0.0)
    monkeypatch.setattr(renewed, "EVERY_S", 0.0)
    (port,) = free_ports(1)
    names = Names()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: names, ("127.0.0.1", 0))
    server = "{}:{}".format(*transport.get_extra_info("sockname"))
    first, second = (f"127.0.0.{host}:{port}" for host in (1, 2))
    async with AsyncExitStack() as stack:
        stack.callback(transport.close)
        await instance(stack, first)
        names.hosts = ["127.0.0.1"]
        opened = await stack.enter_async_context(
            renewed_channel(f"dns://{server}/tiers.example:{port}", {}, names.resolve)
        )
        generate = stub(services_pb2_grpc.TierStub, opened).Generate
        seen = Counter([(await generate(journey_pb2.Work(), timeout=20)).instance for _ in range(20)])
        assert seen == {first: 20}
        await instance(stack, second)
        names.hosts.append("127.0.0.2")
        async with asyncio.timeout(60):
            while second not in seen:
                seen[(await generate(journey_pb2.Work(), timeout=20)).instance] += 1


async def test_calls_on_connections_of_before_are_finished() -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        await instance(stack, address)
        tiers = Tiers({Tier.CLOUD: address}, now_ms)
        stack.push_async_callback(tiers.close)
        identity = Identity("acme", "1")
        work = Work(Request(identity, ()), 1, Target("x", Tier.CLOUD, "m"), TaskSpec("t"), now_ms() + 20_000)

        async def called() -> str:
            outcome = await tiers.generate(work, Flight(identity, request_pb2.Request()), ())
            return repr(outcome.result)

        calls = []
        for _ in range(20):
            calls.append(asyncio.create_task(called()))
            await asyncio.sleep(0)
            tiers.redial(Dial())
        answers = await asyncio.gather(*calls)
        assert not [answer for answer in answers if "UNAVAILABLE" in answer or "CANCELLED" in answer]


async def test_what_is_news_of_a_name() -> None:
    answers: list[str] = []

    async def given(_name: str) -> frozenset[str]:
        return frozenset(answers.pop(0))

    resolving = Resolving(("tiers:1",), given)

    async def news(*said: str) -> list[bool]:
        answers.extend(said)
        return [await resolving.grown() for _ in said]

    # The first answer, no answer, one more, one less, and one that comes back soon: its connection may still be there.
    assert await news("", "a", "a", "", "ab", "b", "ab") == [False, False, False, False, True, False, False]
    # Some of many at a time are news once; who was gone for long is news again.
    assert await news("c", "ab", "bc", "ca") == [True, False, False, False]
    assert await news("c", "c", "c", "a") == [False, False, False, True]


async def test_what_has_no_name_is_not_asked_for() -> None:
    assert await resolve("127.0.0.1:7301") == {"127.0.0.1"}
    for target in ("ipv4:127.0.0.1:7301", "unix:/run/x", "dns://127.0.0.1:53/tiers:7301", "no-such-name.invalid:1", "tiers"):
        assert await resolve(target) == frozenset()
