"""How every target is right now, as the pulses of its instances tell it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

from google.protobuf.message import DecodeError

from trivium.core.slip import Health, TargetFacts
from trivium.kafka import topics
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered
from trivium.v1 import records_pb2

_RECOMPUTE_MS: Final = 100
_EARLIER_MS: Final = 10_000
_FORGET_MS: Final = 3_600_000
_UP: Final = TargetFacts()
_LEAVING: Final = TargetFacts(Health.LEAVING)
_SILENT: Final = TargetFacts(Health.SILENT)


class Facts(Mapping[str, TargetFacts]):
    """Target -> how it is. A target that no pulse has named yet is as its tier is; a tier that was never heard of is
    absent (unknown is not ill)."""

    __slots__ = ("_targets", "_tiers")

    def __init__(self, targets: Mapping[str, TargetFacts], tiers: Mapping[str, TargetFacts]) -> None:
        self._targets = targets
        self._tiers = tiers

    def __getitem__(self, target: str) -> TargetFacts:
        known = self._targets.get(target)
        return self._tiers[target.partition("/")[0]] if known is None else known

    def get(self, target: str, default: Any = None) -> Any:
        """As Mapping's own, which would raise and catch an error for every target that is not known."""
        known = self._targets.get(target)
        return self._tiers.get(target.partition("/")[0], default) if known is None else known

    def __contains__(self, target: object) -> bool:
        return isinstance(target, str) and (target in self._targets or target.partition("/")[0] in self._tiers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)


class PulseView:
    """Follows trivium.pulse without a group. `async with` it, then ask `facts`."""

    def __init__(self, bootstrap: str, session_timeout_ms: int = 10_000, options: ReaderOptions | None = None) -> None:
        """A pulse counts for `session_timeout_ms`, by the broker's clock."""
        self._session_timeout_ms = session_timeout_ms
        self._pulses: dict[str, tuple[int, records_pb2.Pulse]] = {}
        self._facts: Facts = Facts({}, {})
        self._computed_ms = 0
        self._tail = Tail(bootstrap, topics.PULSE, self.take, options=options)

    async def __aenter__(self) -> Self:
        self._tail.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tail.stop()

    async def wait_caught_up(self, timeout_ms: int) -> bool:
        """Wait until the pulses that were there at the start are known; False after `timeout_ms`."""
        return await self._tail.wait_caught_up(timeout_ms)

    def take(self, record: Delivered) -> None:
        """One record of the topic."""
        try:
            pulse = records_pb2.Pulse.FromString(record.value or b"")
        except DecodeError:
            return
        if pulse.instance:
            self._pulses[pulse.instance] = (record.timestamp_ms, pulse)

    def facts(self, now_ms: int) -> Mapping[str, TargetFacts]:
        """How every target is at `now_ms` (epoch ms). Computed anew at most every 100 ms; an instant that is a little
        earlier (records of several partitions come in turns) is served by the newer facts."""
        if not -_EARLIER_MS < now_ms - self._computed_ms < _RECOMPUTE_MS:
            self._facts = self._compute(now_ms)
            self._computed_ms = now_ms
        return self._facts

    def instances(self, now_ms: int) -> Mapping[str, records_pb2.Pulse]:
        """The instances that live."""
        return {name: pulse for name, (at_ms, pulse) in self._pulses.items() if self._lives(at_ms, pulse, now_ms)}

    def _is_there(self, at_ms: int, pulse: records_pb2.Pulse, now_ms: int) -> bool:
        return not pulse.left and now_ms - at_ms < self._session_timeout_ms

    def _lives(self, at_ms: int, pulse: records_pb2.Pulse, now_ms: int) -> bool:
        return not pulse.draining and self._is_there(at_ms, pulse, now_ms)

    def _compute(self, now_ms: int) -> Facts:
        for name in [name for name, (at_ms, _) in self._pulses.items() if now_ms - at_ms > _FORGET_MS]:
            del self._pulses[name]
        seen: dict[str, list[records_pb2.TargetPulse]] = {}
        living: set[str] = set()
        leaving: set[str] = set()
        services: set[str] = set()
        for at_ms, pulse in self._pulses.values():
            services.add(pulse.service)
            lives = self._lives(at_ms, pulse, now_ms)
            if lives:
                living.add(pulse.service)
            elif self._is_there(at_ms, pulse, now_ms):
                leaving.add(pulse.service)
            for target in pulse.targets:
                seen.setdefault(target.target, []).extend([target] if lives else ())
        tiers = {
            service: _UP if service in living else _LEAVING if service in leaving else _SILENT for service in services
        }
        targets = {name: _combined(name, reports, tiers) for name, reports in seen.items()}
        return Facts(targets, tiers)


def _combined(name: str, reports: Iterable[records_pb2.TargetPulse], tiers: Mapping[str, TargetFacts]) -> TargetFacts:
    """The best instance counts for health and queue, because work goes to whoever has room; latency is the worst of
    those that can answer. A living tier whose instances have not met the target yet (a restart) is up."""
    told = list(reports)
    if not told:
        return tiers.get(name.partition("/")[0], _SILENT)
    able = [report for report in told if report.breaker != "open"]
    chosen = able or told
    return TargetFacts(
        health=Health.UP if able else Health.OPEN,
        queue_wait_ms=min(report.queue_wait_ms for report in chosen),
        p95_ms=max(report.p95_ms for report in chosen),
    )
