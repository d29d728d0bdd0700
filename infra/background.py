"""A server that outlives the command that started it: started, found again, stopped; never somebody else's process.

`command` is the program around it: `python -m infra.NAME start|stop|status`.

What runs is written to `run.json` in the server's folder, with the time at which the kernel began the process: a
process number alone may be another's by now. Its output goes to `server.log` beside it.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trivium.core.errors import TriviumError

_LOOK_S: Final = 0.1

Say = Callable[[str], None]


class ServerFailed(TriviumError):
    """A server could not be started or stopped; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs. `addresses`: what a caller needs to know, by name."""

    pid: int
    born: str
    addresses: dict[str, str]

    @property
    def settings(self) -> str:
        """The addresses as a shell takes them."""
        return " ".join(f"{name}={value}" for name, value in self.addresses.items())


@dataclass(frozen=True, slots=True)
class Server:
    """What to start. `ready` is asked until it says yes."""

    name: str
    command: Sequence[str]
    addresses: Mapping[str, str]
    ready: Callable[[], bool]
    ready_s: float
    environ: Mapping[str, str]


def find(folder: Path) -> Running | None:
    """The server that was started in this folder, when it still runs."""
    try:
        running = Running(**json.loads((folder / "run.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return running if _born(running.pid) == running.born else None


def launch(folder: Path, server: Server) -> Running:
    """Starts a server and waits until it is ready. Raises ServerFailed with what it said last."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    pid = _spawn(server, log)
    running = Running(pid, _born(pid), dict(server.addresses))
    (folder / "run.json").write_text(json.dumps(asdict(running)))
    until = time.monotonic() + server.ready_s
    while not server.ready():
        if not _born(pid):
            raise ServerFailed(f"{server.name} left before it was ready; {_last_words(log)}")
        if time.monotonic() > until:
            end(folder, 5.0)
            raise ServerFailed(f"{server.name} was not ready after {server.ready_s:.0f} s; {_last_words(log)}")
        time.sleep(_LOOK_S)
    return running


def end(folder: Path, patience_s: float = 15.0) -> bool:
    """Stops the server of this folder, by force after `patience_s`; False when none ran."""
    running = find(folder)
    if running is not None:
        for sent, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
            _tell(running.pid, sent)
            if _gone(running, wait_s):
                break
        else:
            raise ServerFailed(f"process {running.pid} does not end")
    (folder / "run.json").unlink(missing_ok=True)
    return running is not None


def refuse_used(host: str, ports: Mapping[str, int]) -> None:
    """Raises ServerFailed when one of these ports (by the option that sets it) is taken."""
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ServerFailed(f"{host}:{port} cannot be used ({error.strerror}): choose another port by {option}") from None


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


# --- the program around it -----------------------------------------------------------------------------------------


def command(
    name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, start: Callable[[Any, Say], Running]
) -> int:
    """Answers `start`, `stop` or `status`. `parser` has an option `--folder`. Returns the exit status: 0 done, 1 nothing
    runs, 2 could not be done."""
    parser.add_argument("do", choices=("start", "stop", "status"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    asked = parser.parse_args(argv)
    try:
        match asked.do:
            case "start":
                return _tell_running(name, start(asked, _say), asked.json)
            case "stop":
                stopped = end(asked.folder)
                text = f"{name} is stopped" if stopped else f"no {name} was started here"
                print(json.dumps({"stopped": stopped}) if asked.json else text)
                return 0
            case _:
                return _tell_running(name, find(asked.folder), asked.json)
    except ServerFailed as error:
        _say(f"{parser.prog}: {error}")
        return 2


def _tell_running(name: str, running: Running | None, as_json: bool) -> int:
    if running is None:
        print(json.dumps({"running": False}) if as_json else f"no {name} runs here: start it by `make {name.lower()}`")
        return 1
    data = {"running": True, "pid": running.pid, **running.addresses}
    print(json.dumps(data) if as_json else f"{name} runs (process {running.pid}): {running.settings}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- processes -----------------------------------------------------------------------------------------------------


def _spawn(server: Server, log: Path) -> int:
    # Not subprocess: nobody here waits for its end, and an object that is dropped before would warn.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    environ = os.environ | dict(server.environ)
    return os.posix_spawnp(server.command[0], list(server.command), environ, file_actions=actions, setsid=True)


def _born(pid: int) -> str:
    """When the kernel began this process (its 22nd field in /proc/PID/stat), "" when it has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _tell(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, what)


def _gone(running: Running, wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    while _born(running.pid) == running.born:
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    said = " / ".join(line.strip()[:300] for line in lines[-3:]) or "it said nothing"
    return f"{said} (whole log: {log})"
