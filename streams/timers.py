"""What makes sure that every call ends: overdue outcomes for attempts that nothing came back for."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from streams.effects import Effects
from streams.memory import Due
from streams.router import Router
from trivium.core.slip import Health
from trivium.facts import Pulses
from trivium.kafka.frozen import nothing
from trivium.kafka.outbox import Outbox
from trivium.telemetry.metrics import Metrics

_TICK_S: Final = 0.05
_LISTEN_EVERY: Final = 10
GRACE_MS: Final = 200
"""After the deadline: the worker's own outcome, written at the deadline, comes first when there is one."""


class OverdueTimer:
    """One task for all home partitions of this worker.

    The overdue outcome goes into the home partition like any other, so that whichever comes first there wins."""

    def __init__(
        self,
        router: Router,
        effects: Effects,
        outbox: Outbox,
        pulses: Pulses,
        metrics: Metrics,
        awake: Callable[[], None] = nothing,
    ) -> None:
        self._router = router
        self._effects = effects
        self._outbox = outbox
        self._pulses = pulses
        self._metrics = metrics
        self._awake = awake
        self._task: asyncio.Task[None] | None = None
        self._ticks = 0

    def start(self) -> asyncio.Task[None]:
        """Begin; the owner watches the task that is returned."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="overdue")
        return self._task

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._awake()
            self.look(time.time_ns() // 1_000_000)
            await asyncio.sleep(_TICK_S)

    def look(self, now_ms: int) -> int:
        """Write what is overdue at `now_ms`; returns how many."""
        facts = self._pulses.facts(now_ms)

        def silent(target: str) -> bool:
            return target in facts and facts[target].health is Health.SILENT

        # Every pending attempt is looked at for a sign of life, so that is done less often.
        self._ticks += 1
        listen = self._ticks % _LISTEN_EVERY == 0
        found = 0
        for memory in self._router.memories.values():
            for due in memory.due(now_ms - GRACE_MS, silent if listen else None):
                self._write(due, now_ms)
                found += 1
        self._metrics.pending(sum(memory.pending for memory in self._router.memories.values()))
        return found

    def _write(self, due: Due, now_ms: int) -> None:
        why = f"{due.target} gives no sign of life" if due.silent else "nothing came back in time"
        record = self._effects.overdue(due.carry, due.identity, due.attempt, due.target, now_ms, why)
        self._outbox.put(((record,),), _nothing)


def _nothing() -> None:
    """An overdue outcome acknowledges no record."""
