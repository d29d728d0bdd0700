"""One attempt, whatever door it came through: guards, the call under its deadline, and what is learnt from it."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Literal, Protocol

from opentelemetry.trace import Span, use_span

from trivium.core.outcome import Fault, FaultKind, Outcome
from trivium.core.policy import Tier
from trivium.core.shedding import expected_wait_ms, most_wait_ms, words
from trivium.core.slip import Work
from trivium.ports import Generator
from trivium.tier import spans
from trivium.tier.meter import Tap, now_ms, uncalled
from trivium.tier.slots import Slots
from trivium.tier.targets import TargetBoard

_LOG = logging.getLogger(__name__)


class TierMetrics(Protocol):
    """What a tier counts (trivium/telemetry/metrics.py)."""

    def attempt(self, outcome: Outcome, target: str = "") -> None: ...

    def queue_wait(self, target: str, wait_ms: float) -> None: ...

    def breaker(self, target: str, state: str) -> None: ...

    def deadletter(self, code: str) -> None: ...

    def shed(self, target: str, priority: str) -> None: ...

    def ambiguous(self, target: str, then: Literal["called", "failed"]) -> None: ...


@dataclass(slots=True)
class Caller:
    """A tier's generator with all that surrounds a call of it. Shared by both doors of an instance."""

    tier: Tier
    generator: Generator
    instance: str
    metrics: TierMetrics
    slots: Slots
    capture_prompts: bool = False
    board: TargetBoard = field(init=False)

    def __post_init__(self) -> None:
        self.board = TargetBoard(self.instance, self.metrics)

    def refused(self, work: Work) -> Outcome | None:
        """Work that this tier must never see, whatever a router thought. Asked before anything else is done."""
        if self.tier is Tier.CLOUD and work.request.restricted:
            return self.own(uncalled(work, FaultKind.FORBIDDEN, "a restricted request may not reach the cloud"))
        if work.target.tier is not self.tier:
            sent = f"{work.target.name} is a target of the tier {work.target.tier.value}, this is {self.tier.value}"
            return self.own(uncalled(work, FaultKind.REJECTED, sent))
        return None

    def shed(self, work: Work, spare: bool, ahead: int) -> Outcome | None:
        """Turned away at once: with `ahead` before it, it would wait for longer than its priority may. So somebody else can be
        asked while there is time. Nothing is foretold before a call of the target has ended."""
        if not ahead:
            return None
        at_ms, task, priority = now_ms(), work.task, work.request.priority
        takes_ms = self.board.takes_ms(work.target.name, at_ms)
        wait_ms = expected_wait_ms(ahead, self.slots.at_once(task.name, task.slots, spare), takes_ms)
        left_ms = work.deadline_ms - at_ms
        if wait_ms < max(1, most_wait_ms(priority, left_ms)):
            return None
        self.metrics.shed(work.target.name, priority.value)
        said = f"{ahead} are before it: {words(wait_ms, priority, left_ms)}"
        return self.own(uncalled(work, FaultKind.OVERLOADED, said, wait_ms))

    def late(self, work: Work, queue_ms: int = 0) -> Outcome | None:
        """The attempt's deadline has passed."""
        past_ms = now_ms() - work.deadline_ms
        if past_ms < 0:
            return None
        said = f"the attempt's deadline passed {past_ms} ms before the call"
        return self.own(uncalled(work, FaultKind.LATE, said), queue_ms)

    def blocked(self, work: Work, queue_ms: int) -> Outcome | None:
        """Why no call goes now: the deadline has passed, the breaker is open, the vendor asked us to wait. None lets
        one call go, so ask once a call."""
        if (late := self.late(work, queue_ms)) is not None:
            return late
        fault = self.board.blocked(work.target.name, now_ms())
        if fault is None:
            return None
        return self.own(uncalled(work, fault.kind, fault.message, fault.retry_after_ms), queue_ms)

    async def paced(self, work: Work) -> None:
        """Waits as long as the vendor asked us to, while half of the attempt's time is left after it: a fault would send
        the request to a dearer target, or end it, for a wait that it can afford."""
        while 0 < (pause_ms := self.board.pause_ms(work.target.name, now_ms())) <= (work.deadline_ms - now_ms()) // 2:  # noqa: ASYNC110
            await asyncio.sleep(pause_ms / 1000)

    async def call(self, work: Work, tap: Tap, queue_ms: int, span: Span) -> Outcome:
        """Ask the generator until the deadline. Raises only CancelledError; `cancelled` then tells what was spent."""
        name = work.target.name
        self.board.began(name)
        outcome: Outcome | None = None
        try:
            outcome = self.own(await self._asked(work, tap, span), queue_ms)
        finally:
            if outcome is None:
                outcome = self.cancelled(work, tap, queue_ms)
            self.board.ended(name, outcome, now_ms())
            self.metrics.attempt(outcome)
            spans.note_outcome(span, work, outcome, self.capture_prompts)
        return outcome

    async def _asked(self, work: Work, tap: Tap, span: Span) -> Outcome:
        try:
            async with asyncio.timeout((work.deadline_ms - now_ms()) / 1000):
                # Also that of a trace which is not sent: what is called from here must not begin another.
                if not span.get_span_context().is_valid:
                    return await self.generator.answer(work, tap)
                with use_span(span, record_exception=False, set_status_on_exception=False):
                    return await self.generator.answer(work, tap)
        except TimeoutError:
            return _ended(work, tap, Fault(FaultKind.OVERDUE, "no answer in time"))
        except Exception as error:
            _LOG.exception("%s: a call of %s failed", work.request.identity, work.target.name)
            return _ended(work, tap, Fault(FaultKind.INTERNAL, f"the tier failed: {type(error).__name__}"))

    def cancelled(self, work: Work, tap: Tap, queue_ms: int) -> Outcome:
        """The outcome of a call that the caller gave up, with what is known of its cost."""
        return self.own(_ended(work, tap, Fault(FaultKind.CANCELLED, "the caller gave up")), queue_ms)

    def own(self, outcome: Outcome, queue_ms: int = 0) -> Outcome:
        """The outcome signed by this instance. Built anew field by field: `replace` takes three times as long."""
        return Outcome(
            outcome.identity,
            outcome.attempt,
            outcome.target,
            outcome.result,
            outcome.usage,
            outcome.cost_micro_dollars,
            outcome.started_ms,
            outcome.ended_ms,
            outcome.ttft_ms,
            outcome.tpot_us,
            queue_ms,
            outcome.tool_uses,
            self.instance,
        )


def _ended(work: Work, tap: Tap, fault: Fault) -> Outcome:
    if tap.meter is None:
        return uncalled(work, fault.kind, fault.message)
    return tap.meter.faulted(fault)
