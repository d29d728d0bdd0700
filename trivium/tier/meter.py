"""Building an outcome: what was spent, how long it took, and what it ended in."""

import time
from dataclasses import replace

from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, ToolUse, Usage
from trivium.core.price import cost
from trivium.core.slip import Work
from trivium.ports import Emit, emit_nothing


def now_ms() -> int:
    """Epoch ms of this machine."""
    return time.time_ns() // 1_000_000


class Tap:
    """An Emit through which the harness also learns what a call has spent, should it be ended from outside."""

    __slots__ = ("_emit", "meter")

    def __init__(self, emit: Emit = emit_nothing) -> None:
        self._emit = emit
        self.meter: Meter | None = None
        """Set by the engine's meter as the call begins."""

    def __call__(self, delta: str) -> None:
        self._emit(delta)


class Meter:
    """One attempt as an engine sees it: make it when the call begins, end it with `answered` or `faulted`.

    `usage` may be raised at any time; a timeout or a cancellation settles with what is known then."""

    __slots__ = ("_emit", "_first_ns", "_last_ns", "_started_ns", "started_ms", "tools", "usage", "work")

    def __init__(self, work: Work, emit: Emit = emit_nothing) -> None:
        self.work = work
        self.started_ms = now_ms()
        self.usage = Usage()
        self.tools: tuple[ToolUse, ...] = ()
        self._emit = emit
        self._started_ns = time.monotonic_ns()
        self._first_ns = 0
        self._last_ns = 0
        if isinstance(emit, Tap):
            emit.meter = self

    def token(self, delta: str = "") -> None:
        """A piece of the answer came; empty when it is not to be shown yet (a tool call, JSON to be checked)."""
        self._last_ns = time.monotonic_ns()
        if not self._first_ns:
            self._first_ns = self._last_ns
        if delta:
            self._emit(delta)

    def show(self, text: str) -> None:
        """Emit text that was held back; it does not count as tokens coming in."""
        if text:
            self._emit(text)

    def answered(self, answer: Answer) -> Outcome:
        """The whole answer came."""
        return self._outcome(answer)

    def faulted(self, fault: Fault) -> Outcome:
        """No whole answer came; what was spent stays spent."""
        return self._outcome(fault)

    def _outcome(self, result: Answer | Fault) -> Outcome:
        work = self.work
        # What the tier's tools cost (their embeddings) is in the usage too.
        spent = cost(work.target.prices, self.usage) if self.usage != _NOTHING or isinstance(result, Answer) else 0
        return Outcome(
            identity=work.request.identity,
            attempt=work.attempt,
            target=work.target.name,
            result=result,
            usage=self.usage,
            cost_micro_dollars=spent,
            started_ms=self.started_ms,
            ended_ms=now_ms(),
            ttft_ms=(self._first_ns - self._started_ns) // 1_000_000 if self._first_ns else None,
            tpot_us=self._tpot_us(),
            tool_uses=self.tools,
        )

    def _tpot_us(self) -> int | None:
        after_first = self.usage.output_tokens - 1
        if after_first < 1 or self._last_ns <= self._first_ns:
            return None
        return (self._last_ns - self._first_ns) // 1_000 // after_first


_NOTHING = Usage()


def uncalled(work: Work, kind: FaultKind, message: str, retry_after_ms: int = 0) -> Outcome:
    """An attempt that ended without a call: it cost nothing."""
    at_ms = now_ms()
    return Outcome(
        identity=work.request.identity,
        attempt=work.attempt,
        target=work.target.name,
        result=Fault(kind, message, retry_after_ms),
        started_ms=at_ms,
        ended_ms=at_ms,
    )


def too_large(outcome: Outcome, size: int) -> Outcome:
    """The same attempt when its answer does not fit into a record; the cost stays."""
    return replace(
        outcome, result=Fault(FaultKind.TOO_LARGE, f"the outcome of {size} bytes is larger than a record may be")
    )
