"""Does a plan to a mesh under load, and waits until nothing is left to do."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, assert_never

from infra.part import PartFailed, RunningPart
from tests.faults.mesh import Mesh
from tests.faults.offsets import Offsets
from tests.faults.plan import Step, What
from trivium.crash import Point

_CRASH_S: Final = 60.0
_THAW_S: Final = 10.0
"""A place may not be passed while a breaker is open, which is 30 s."""
_CALM_S: Final = 60.0
_LOOK_S: Final = 0.25
_RECOVERY_S: Final = 20.0
_FEW: Final = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run goes. Times in s."""

    rate: float = 25.0
    quiet_s: float = 15.0
    """Load without faults, before the first and after the last."""
    requests: int = 0
    """The load goes on until there were so many at least."""
    hours: float = 0.0
    """No step begins later than this; 0: all are taken."""
    kills: int = 0
    """Of a long run: with so many, and so many requests, it has seen enough; 0: all steps are taken."""
    background: float = 0.01
    """Share of a vendor's calls that fail all the time, in different ways."""


class Supervisor:
    """One run."""

    def __init__(self, mesh: Mesh, offsets: Offsets, pace: Pace, say: Say) -> None:
        self._mesh = mesh
        self._offsets = offsets
        self._pace = pace
        self._say = say
        self.kills = 0
        self.missed: list[str] = []
        """Crash points that were not reached."""

    async def run(self, steps: Sequence[Step]) -> None:
        """The plan under load, and the calm after it."""
        until = time.monotonic() + (self._pace.hours * 3600 or float("inf"))
        load = await self._mesh.start_load(self._pace.rate)
        await self._background()
        await asyncio.sleep(self._pace.quiet_s)
        for number, step in enumerate(steps):
            if time.monotonic() > until or self._enough():
                break
            following = steps[number + 1] if number + 1 < len(steps) else None
            if following is None:
                # What comes after the last fault is calm, not more load.
                await self._until_asked(load)
            await self._do(step, following)
            if not step.hasty:
                await self._until_recovered()
            self._say(f"{number + 1}/{len(steps)} {step}: {self.kills} kills, {self._progress()}")
            self._look_for_the_dead()
        last_ms = _now_ms()
        await self._mesh.order("tgi", {"clear": True})
        await self._mesh.order("claude", {"clear": True})
        self._mesh.events.note("last")
        await asyncio.sleep(self._pace.quiet_s)
        load.ask_to_leave()
        await self._until_ended(load)
        no_lag_ms = await self._until_calm()
        (self._mesh.folder / "calm.json").write_text(json.dumps({"last_fault_ms": last_ms, "no_lag_ms": no_lag_ms}))

    async def _until_asked(self, load: RunningPart) -> None:
        while self._load()["sent"] < self._pace.requests and load.process.returncode is None:
            self._say(f"one fault is left: {self._progress()}")
            await asyncio.sleep(5)

    def _enough(self) -> bool:
        wanted = self._pace
        return 0 < wanted.kills <= self.kills and 0 < wanted.requests <= self._load()["sent"]

    async def _background(self) -> None:
        share = self._pace.background
        tgi = {"unavailable": share, "cut": share, "reset": share, "hang": share / 4}
        claude = {"overloaded": share, "cut": share, "reset": share, "hang": share / 4}
        for vendor, rates in (("tgi", tgi), ("claude", claude)):
            await self._mesh.order(vendor, {"rates": rates, "seed": self._mesh.seed})

    async def _do(self, step: Step, following: Step | None) -> None:
        mesh, victim = self._mesh, step.victim
        match step.what:
            case What.KILL:
                await self._kill(victim)
                await mesh.start(victim)
            case What.CRASH:
                await self._crash(step)
                if following is None or following.what is not What.CRASH or following.victim != victim:
                    await mesh.start(victim)
            case What.STOP:
                mesh.signal(victim, signal.SIGSTOP)
                await asyncio.sleep(step.seconds)
                mesh.signal(victim, signal.SIGCONT)
                await self._thawed(victim)
                return
            case What.LEAVE:
                if status := await mesh.leave(victim):
                    raise PartFailed(f"{victim} left with status {status} when it was told to")
                await mesh.start(victim)
            case What.STORM:
                mesh.events.note("storm", victim, fault=step.fault)
                await mesh.order(victim, {"fault": step.fault, "count": -1})
                await asyncio.sleep(step.seconds)
                await mesh.order(victim, {"clear": True})
                mesh.events.note("calm", victim)
                await self._background()
                return
            case unreachable:
                assert_never(unreachable)
        await asyncio.sleep(step.seconds)

    async def _thawed(self, victim: str) -> None:
        """It sees that it slept too long, and leaves; whoever runs it starts it again."""
        try:
            async with asyncio.timeout(_THAW_S):
                await self._mesh.parts[victim].process.wait()
        except TimeoutError:
            raise PartFailed(f"{victim} was stopped for longer than its group waits, and did not leave") from None
        await self._mesh.start(victim)

    async def _kill(self, victim: str) -> None:
        if self._mesh.parts[victim].process.returncode is None:
            await self._mesh.kill(victim)
            self.kills += 1

    async def _crash(self, step: Step) -> None:
        assert step.point is not None
        await self._kill(step.victim)
        await self._mesh.start(step.victim, f"{step.point.value}:{step.passages}")
        dying = asyncio.create_task(self._mesh.crashed(step.victim, _CRASH_S), name="dying")
        if step.point is Point.DURING_REVOKE:
            await self._shake(step.victim, dying)
        if await dying:
            self._mesh.events.note("crash", step.victim, point=step.point.value)
            self.kills += 1
        else:
            self.missed.append(str(step))
            await self._kill(step.victim)

    async def _shake(self, victim: str, dying: "asyncio.Task[bool]") -> None:
        """Let the others of its group come and go until it has had partitions and they are taken away."""
        kind, _, number = victim.partition("-")
        other = f"{kind}-{2 if number == '1' else 1}"
        await asyncio.wait((dying,), timeout=self._mesh.session_timeout_ms / 1000 + 4)
        if not dying.done():
            await self._mesh.leave(other)
            await self._mesh.start(other)

    async def _until_recovered(self) -> None:
        """Until few requests are held up, for a bounded time: some vendors hang."""
        until = time.monotonic() + _RECOVERY_S
        while self._load()["slow"] > _FEW and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    def _progress(self) -> str:
        told = self._load()
        return f"{told['sent']} requests, {told['sent'] - told['ended']} under way"

    def _load(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._mesh.folder / "load.json").read_text())
        except FileNotFoundError:
            return {"sent": 0, "ended": 0, "slow": 0}
        return found

    def _look_for_the_dead(self) -> None:
        if broken := self._mesh.broken():
            raise PartFailed("; ".join(broken))

    async def _until_ended(self, load: Any) -> None:
        while load.process.returncode is None:
            try:
                async with asyncio.timeout(90):
                    await load.process.wait()
            except TimeoutError:
                self._say(f"no more faults: {self._progress()}")
        if load.process.returncode:
            raise PartFailed(load.failure())

    async def _until_calm(self) -> int:
        """When every group had committed everything; 0 when that never came."""
        until = time.monotonic() + _CALM_S
        while time.monotonic() < until:
            if not await self._offsets.lag():
                return _now_ms()
            await asyncio.sleep(_LOOK_S)
        return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def folder_of(base: Path, seed: int) -> Path:
    """A new folder for a run."""
    number = 1
    while (folder := base / f"seed-{seed}-{number}").exists():
        number += 1
    folder.mkdir(parents=True)
    return folder
