"""Calls of one tier with a TaskSpec of one's own, as many at once as are allowed."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from trivium.codec import outcome_from, work_to
from trivium.core.errors import TriviumError, Unreachable
from trivium.core.outcome import Fault, FaultKind, Outcome
from trivium.core.policy import Target, TaskSpec
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Work
from trivium.economy.questions import Question
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.tls import handshake_trouble
from trivium.v1.services_pb2_grpc import TierStub

PASSING: Final = frozenset(
    {FaultKind.OVERLOADED, FaultKind.RATE_LIMITED, FaultKind.UNAVAILABLE, FaultKind.CUT, FaultKind.LATE, FaultKind.OVERDUE}
)
"""Faults that say nothing of the prompt: asked again."""
TRIES: Final = 4
WAIT_S: Final = 0.5
USE_CASE: Final = "prompts-slim"
"""By which the attempts are found in the bill."""


class NotAnswered(TriviumError):
    """A question that no answer came for, for a reason that is not the prompt's."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Where and how questions are asked. `timeout_ms` is for one of them."""

    address: str
    target: Target
    tenant: str
    timeout_ms: int
    at_once: int
    sensitivity: Sensitivity = Sensitivity.INTERNAL


class TierCalls:
    """Has questions answered by one target; open only in its `async with`."""

    def __init__(self, calls: Calls, dial: Dial, advance: Callable[[], None]) -> None:
        self._calls, self._dial, self._advance = calls, dial, advance

    async def __aenter__(self) -> "TierCalls":
        self._channel = channel(self._calls.address, self._dial)
        self._stub = stub(TierStub, self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def ask_all(self, spec: TaskSpec, questions: Sequence[Question]) -> list[Outcome]:
        """Raises NotAnswered or Unreachable at the first question that has no answer; the others are cancelled."""
        found: list[Outcome | None] = [None] * len(questions)
        numbers = iter(range(len(questions)))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._calls.at_once, len(questions))):
                    group.create_task(self._worker(spec, questions, numbers, found))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [outcome for outcome in found if outcome is not None]

    async def _worker(self, spec: TaskSpec, questions: Sequence[Question], numbers: Iterator[int], found: list[Outcome | None]) -> None:
        for number in numbers:
            found[number] = await self._ask(spec, questions[number])
            self._advance()

    async def _ask(self, spec: TaskSpec, question: Question) -> Outcome:
        tried = 0
        while True:
            outcome, tried = await self._call(spec, question), tried + 1
            fault = outcome.result
            if not isinstance(fault, Fault) or fault.kind is FaultKind.INVALID:
                return outcome
            if fault.kind not in PASSING or tried == TRIES:
                raise NotAnswered(f"{self._calls.target.name} did not answer {question.text[:60]!r}: {fault.kind.value}, {fault.message}")
            await asyncio.sleep(max(WAIT_S * 2**tried, fault.retry_after_ms / 1000))

    async def _call(self, spec: TaskSpec, question: Question) -> Outcome:
        calls = self._calls
        request = Request(
            Identity(calls.tenant, f"slim-{uuid.uuid4().hex}"), (Message(Role.USER, question.text),),
            task_type=spec.name, use_case=USE_CASE, sensitivity=calls.sensitivity,
        )  # fmt: skip
        work = Work(request, 1, calls.target, spec, int(time.time() * 1000) + calls.timeout_ms)
        generate: Any = self._stub.Generate
        try:
            return outcome_from(await generate(work_to(work), timeout=calls.timeout_ms / 1000 + 1))
        except grpc.aio.AioRpcError as error:
            said = error.details() or error.code().name
            raise Unreachable(f"the tier at {calls.address}: {handshake_trouble(said, self._dial) or said}") from None
