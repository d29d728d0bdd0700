"""What an instance knows of the targets it calls: breaker, pacing, latency and queue wait. It learns them from work."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from trivium.core import breaker, pacing
from trivium.core.breaker import Breaker, State
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome
from trivium.core.pacing import FREE, Pacing

_WINDOW_MS: Final = 60_000
_WAIT_WINDOW_MS: Final = 10_000
_SAMPLES: Final = 512
_TAKES_MS: Final = 1_000
"""How old the median of a target's calls may be."""

_ILL: Final = frozenset((FaultKind.OVERDUE, FaultKind.OVERLOADED, FaultKind.UNAVAILABLE, FaultKind.CUT))
"""Faults that are the target's; the others are the request's or ours. Who says that we call too often is well, and paced."""
_SLOWER: Final = frozenset((FaultKind.RATE_LIMITED, FaultKind.OVERLOADED))


class BreakerGauge(Protocol):
    """What is told of a breaker's state: closed, half_open or open."""

    def breaker(self, target: str, state: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One target as the pulse tells it. Times in ms."""

    target: str
    breaker: State
    queue_wait_ms: int
    p50_ms: int
    p95_ms: int
    in_flight: int


class _Known:
    """One target."""

    __slots__ = ("breaker", "durations", "in_flight", "others", "pacing", "takes", "waiting", "waits")

    def __init__(self, name: str) -> None:
        self.breaker = Breaker(name)
        self.pacing: Pacing = FREE
        self.in_flight = 0
        self.others: dict[str, tuple[int, State]] = {}
        self.takes = (0, 0)
        self.durations: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)
        self.waits: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)
        self.waiting: deque[int] = deque()


class TargetBoard:
    """All targets of one instance. Instants are epoch ms, given by the caller."""

    def __init__(self, instance: str, gauge: BreakerGauge) -> None:
        self._instance = instance
        self._gauge = gauge
        self._targets: dict[str, _Known] = {}

    def blocked(self, target: str, now_ms: int) -> Fault | None:
        """Why no call may go now: an open breaker, or a vendor that asked us to wait. None lets one call go."""
        known = self._known(target)
        if left := pacing.left_ms(known.pacing, now_ms):
            return Fault(FaultKind.RATE_LIMITED, f"{target} asked to wait, {left} ms are left", left)
        before = known.breaker.state
        probed = before is State.OPEN and bool(known.others) and self._probed_elsewhere(known, now_ms)
        allowed, known.breaker = breaker.allows(known.breaker, now_ms, probed)
        self._tell(target, before, known.breaker.state)
        if allowed:
            return None
        return Fault(FaultKind.UNAVAILABLE, f"the breaker of {target} is open", max(0, known.breaker.until_ms - now_ms))

    def pause_ms(self, target: str, now_ms: int) -> int:
        """How long the vendor still wants us to wait, and the turn in the queue after it: those who waited must not all
        call in the same moment. 0: call now."""
        known = self._known(target)
        pause, known.pacing = pacing.turn(known.pacing, now_ms)
        return pause

    def heard(self, target: str, instance: str, state: State, now_ms: int) -> None:
        """Another instance's pulse tells of its breaker of this target. Targets that were not called here are not heard of."""
        known = self._targets.get(target)
        if known is None:
            return
        told = known.others.get(instance)
        if state is State.CLOSED and told is None:
            return
        before = known.breaker
        known.breaker = breaker.heard(before, told[1] if told else None, state, now_ms)
        self._tell(target, before.state, known.breaker.state)
        if state is State.CLOSED:
            del known.others[instance]
        else:
            known.others[instance] = (now_ms, state)

    def takes_ms(self, target: str, now_ms: int) -> int:
        """The median of its calls of the last minute, looked at once a second; 0: none has ended."""
        known = self._known(target)
        if now_ms - known.takes[0] >= _TAKES_MS:
            known.takes = (now_ms, _quantile(_recent(known.durations, now_ms - _WINDOW_MS), 0.5))
        return known.takes[1]

    def queued(self, target: str, now_ms: int) -> None:
        """Work for it waits for a slot."""
        self._known(target).waiting.append(now_ms)

    def unqueued(self, target: str, waited_ms: int, now_ms: int) -> None:
        """It waits no longer: it has a slot, or was withdrawn."""
        known = self._known(target)
        if known.waiting:
            known.waiting.popleft()
        known.waits.append((now_ms, waited_ms))

    def began(self, target: str) -> None:
        """A call is out."""
        self._known(target).in_flight += 1

    def ended(self, target: str, outcome: Outcome, now_ms: int) -> None:
        """A call came back. Feeds breaker, pacing and latency."""
        known = self._known(target)
        known.in_flight -= 1
        result = outcome.result
        if isinstance(result, Answer):
            self._record(target, known, True, now_ms)
            known.durations.append((now_ms, outcome.ended_ms - outcome.started_ms))
            known.pacing = pacing.answered(known.pacing)
            return
        if result.kind in _ILL:
            self._record(target, known, False, now_ms)
        elif result.kind is not FaultKind.CANCELLED:
            self._record(target, known, True, now_ms)
        if result.kind is FaultKind.OVERDUE:
            known.durations.append((now_ms, outcome.ended_ms - outcome.started_ms))
        if result.kind in _SLOWER:
            known.pacing = pacing.slowed(known.pacing, result.retry_after_ms, now_ms)

    def reports(self, now_ms: int) -> Iterator[TargetReport]:
        """Every target that was seen, as of now."""
        for name, known in self._targets.items():
            durations = _recent(known.durations, now_ms - _WINDOW_MS)
            waits = _recent(known.waits, now_ms - _WAIT_WINDOW_MS)
            oldest = now_ms - known.waiting[0] if known.waiting else 0
            yield TargetReport(
                target=name,
                breaker=breaker.state_at(known.breaker, now_ms),
                queue_wait_ms=max(oldest, _quantile(waits, 0.95), pacing.left_ms(known.pacing, now_ms)),
                p50_ms=_quantile(durations, 0.5),
                p95_ms=_quantile(durations, 0.95),
                in_flight=known.in_flight,
            )

    def states(self) -> Mapping[str, State]:
        """Target -> breaker state."""
        return {name: known.breaker.state for name, known in self._targets.items()}

    def _probed_elsewhere(self, known: _Known, now_ms: int) -> bool:
        """An instance whose name comes before ours is half open."""
        return any(
            state is State.HALF_OPEN and name < self._instance and now_ms - at_ms < breaker.WARY_MS
            for name, (at_ms, state) in known.others.items()
        )

    def _record(self, target: str, known: _Known, ok: bool, now_ms: int) -> None:
        before = known.breaker.state
        if ok and before is State.CLOSED and all(went_well for _, went_well in known.breaker.recent):
            # The usual case: nothing to remember, and no window to rebuild at every call.
            return
        known.breaker = breaker.record(known.breaker, ok, now_ms)
        self._tell(target, before, known.breaker.state)

    def _tell(self, target: str, before: State, after: State) -> None:
        if before is not after:
            self._gauge.breaker(target, after.value)

    def _known(self, target: str) -> _Known:
        known = self._targets.get(target)
        if known is None:
            known = self._targets[target] = _Known(f"{target}@{self._instance}")
            self._gauge.breaker(target, known.breaker.state.value)
        return known


def _recent(samples: deque[tuple[int, int]], since_ms: int) -> list[int]:
    while samples and samples[0][0] < since_ms:
        samples.popleft()
    return sorted(value for _, value in samples)


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0
