"""Leaves a process that has work and does none of it.

A consumer can stay in its group and stop fetching (faust-streaming #629), an agent can end unnoticed, an event
can be dropped and hold the floor: each looks healthy from outside. Lag without progress for a minute does not.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from trivium.core.errors import Unreachable

Behind = Callable[[], Awaitable[int | None]]
"""Records that wait, asked from the broker itself; None when it does not say."""


class Stall:
    """When was there last progress, or nothing to do? Pure; times are ms of any clock that only goes forward."""

    def __init__(self, limit_ms: int) -> None:
        self._limit_ms = limit_ms
        self._done = -1
        self._since_ms: int | None = None

    def observe(self, now_ms: int, done: int, behind: int | None) -> bool:
        """`done`: a count that grows with progress. True when there was lag and no progress for the limit."""
        if done != self._done or behind == 0 or self._since_ms is None:
            self._done = done
            self._since_ms = now_ms
        return now_ms - self._since_ms >= self._limit_ms


class Watchdog:
    """Looks every twelfth of the limit; `barked` ends with an exception when the process should leave."""

    def __init__(self, behind: Behind, done: Callable[[], int], limit_ms: int) -> None:
        """`done`: grows with every event that is finished, for example `SafeConsumer.acks_total`."""
        self._behind = behind
        self._done = done
        self._limit_ms = limit_ms
        self._task: asyncio.Task[None] | None = None
        self.barked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to watch."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="watchdog")

    async def stop(self) -> None:
        """Stop watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not self.barked.done():
            self.barked.cancel()
        elif not self.barked.cancelled():
            self.barked.exception()

    async def _watch(self) -> None:
        stall, loop = Stall(self._limit_ms), asyncio.get_running_loop()
        pause_s = self._limit_ms / 12_000
        while True:
            behind = await self._asked(pause_s)
            if stall.observe(int(loop.time() * 1000), self._done(), behind):
                waiting = "the broker does not say how many" if behind is None else str(behind)
                seconds = self._limit_ms / 1000
                self.barked.set_exception(Unreachable(f"no progress for {seconds:.0f} s while records wait: {waiting}"))
                return
            await asyncio.sleep(pause_s)

    async def _asked(self, timeout_s: float) -> int | None:
        try:
            async with asyncio.timeout(max(timeout_s, 1.0)):
                return await self._behind()
        except Exception:
            # Whatever the reason: not knowing is not progress.
            return None
