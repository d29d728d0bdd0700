"""The three ways to the cloud: by Kafka and router, by the gateway, by a direct call of a tier."""

import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self

import grpc

from trivium.client import KafkaClient, TriviumClient
from trivium.client.grpc_client import GatewayError
from trivium.client.kafka_client import KafkaClientOptions
from trivium.codec import outcome_from, work_to
from trivium.core.outcome import Fault, FaultKind, ReasonCode, Terminal, TerminalKind
from trivium.core.policy import Policy
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka.topics import PARTITIONS
from trivium.rpc.channels import channel, stub
from trivium.tier.meter import now_ms
from trivium.v1 import request_pb2
from trivium.v1.services_pb2_grpc import TierStub

TENANT: Final = "acme"
TIMEOUT_S: Final = 120.0
_WORDS: Final = "The customer wrote at length what had happened to the parcel, whom they had asked, and what they were told. "
_TIMES: Final = 28
"""About 3,000 bytes: a call costs half a cent."""


class Came(Enum):
    """What a request ended in."""

    ANSWERED = "answered"
    OVER_BUDGET = "over_budget"
    OTHER = "other"
    """Its process was killed, or it was turned away by load."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and the door that it takes."""

    id: str
    door: int
    team: str

    @property
    def text(self) -> str:
        return f"{self.id}: what is to be done? {_WORDS * _TIMES}"


class Doors:
    """Doors 0: Kafka, 1: the gateway, 2 and on: direct calls of a tier's addresses."""

    def __init__(self, kafka: str, gateway: str, tiers: Sequence[str], policy: Policy, partitions: int = PARTITIONS) -> None:
        self._kafka = KafkaClient(kafka, TENANT, options=KafkaClientOptions(partitions=partitions))
        self._gateway = TriviumClient(gateway)
        self._addresses, self._policy = tiers, policy
        self._tiers: list[Any] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._kafka)
        await self._stack.enter_async_context(self._gateway)
        for address in self._addresses:
            self._tiers.append(stub(TierStub, await self._stack.enter_async_context(channel(address))))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def requests(self, count: int, team: str) -> list[Asked]:
        """One after the other through all doors, under ids that nobody has used."""
        run = uuid.uuid4().hex[:8]
        return [Asked(f"{team}-{run}-{number}", number % (2 + len(self._addresses)), team) for number in range(count)]

    async def ask(self, asked: Asked) -> Came:
        """Through its door, to its end."""
        if asked.door > 1:
            return await self._directly(asked)
        message = request_pb2.Request(
            tenant=TENANT, id=asked.id, endpoint="/ask", prompt=asked.text, team=asked.team, timeout_ms=int(TIMEOUT_S * 1000)
        )
        try:
            if asked.door:
                return _came(await self._gateway.complete(message, timeout_s=TIMEOUT_S))
            return _came(await self._kafka.ask(message, timeout_ms=int(TIMEOUT_S * 1000)))
        except (GatewayError, TimeoutError):
            return Came.OTHER

    async def _directly(self, asked: Asked) -> Came:
        request = Request(Identity(TENANT, asked.id), (Message(Role.USER, asked.text),), team=asked.team)
        task, target = self._policy.tasks["ask"].spec, self._policy.targets["cloud/frontier"]
        work = Work(request, 1, target, task, now_ms() + int(TIMEOUT_S * 1000))
        try:
            outcome = outcome_from(await self._tiers[asked.door - 2].Generate(work_to(work), timeout=TIMEOUT_S))
        except grpc.aio.AioRpcError:
            return Came.OTHER
        if not isinstance(outcome.result, Fault):
            return Came.ANSWERED
        return Came.OVER_BUDGET if outcome.result.kind is FaultKind.OVER_BUDGET else Came.OTHER


def _came(terminal: Terminal) -> Came:
    if terminal.kind is TerminalKind.ANSWERED:
        return Came.ANSWERED
    reason = terminal.reason
    return Came.OVER_BUDGET if reason is not None and reason.code is ReasonCode.OVER_BUDGET else Came.OTHER
