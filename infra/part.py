"""One process of the mesh on this machine: started, awaited until it says that it is ready, stopped."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trivium.core.errors import TriviumError

READY_TIMEOUT_S: Final = 120.0
"""A cold start compiles byte code on two cores: about 8 s for the slowest part, seen once after an install; more than 30 s
on a machine that had other things to do. A part that fails leaves, and is not waited for."""

_CHILD: Final = Path(__file__).with_name("child.py")


class PartFailed(TriviumError):
    """A process of the mesh left, or never became ready; the message ends with what it said last."""


@dataclass(frozen=True, slots=True)
class Part:
    """What to run: `python -m module arguments` with `environ` on top of the supervisor's own."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


class RunningPart:
    """A started part. Its output goes to a log file; the one line of JSON that says ready is kept as `ready`."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process, log: Path) -> None:
        self.part = part
        self.process = process
        self.log = log
        self.ready: dict[str, Any] = {}
        self._drain: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, part: Part, folder: Path) -> "RunningPart":
        """Starts the process; it dies with this one."""
        log = folder / f"{part.name}.log"
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), part.module, *part.arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=sink,
                env=os.environ | dict(part.environ), start_new_session=True,
            )  # fmt: skip
        return cls(part, process, log)

    async def until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> dict[str, Any]:
        """Its ready line. PartFailed when it leaves first or stays silent."""
        try:
            async with asyncio.timeout(timeout_s):
                self.ready = await self._ready_line()
        except TimeoutError:
            raise PartFailed(f"{self.part.name} was not ready after {timeout_s:.0f} s; {self._last_words()}") from None
        self._drain = asyncio.create_task(self._discard())
        return self.ready

    async def _ready_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found
        status = await self.process.wait()
        raise PartFailed(f"{self.part.name} left with status {status} before it was ready; {self._last_words()}")

    async def _discard(self) -> None:
        assert self.process.stdout is not None
        while await self.process.stdout.read(65_536):
            pass

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        said = " / ".join(line.strip() for line in lines[-3:]) or "it said nothing"
        return f"{said} (whole log: {self.log})"

    def ask_to_leave(self) -> None:
        """SIGTERM; the part drains."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Waits for a clean end, then kills."""
        self.ask_to_leave()
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        if self._drain is not None:
            await self._drain

    def rss_mib(self) -> float:
        """Resident memory of the process and its children, MiB; 0 when it has left."""
        return family_rss_mib(self.process.pid)

    def failure(self) -> str:
        """What to say when it left by itself."""
        return f"{self.part.name} left with status {self.process.returncode}; {self._last_words()}"


def family_rss_mib(pid: int) -> float:
    """Resident memory of a process and its children, MiB; 0 when it has left."""
    return sum(_rss_mib(member) for member in _family(pid))


def family_cpu_s(pid: int) -> float:
    """Processor time that a process and its living children have used, s; 0 when it has left."""
    return sum(cpu_s(member) for member in _family(pid))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def cpu_s(pid: int) -> float:
    """Processor time that a process itself has used, user and system, s; 0 when it has left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
