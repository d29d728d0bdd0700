"""The Milvus server: its package in an environment of its own, its documents in a folder that outlives it.

The package is older than BM25 and hybrid search (2.3): passages are found by vectors alone. It needs an environment of
its own because the product's client is newer than the package allows.
"""

import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.background import Running, Say, Server, ServerFailed, accepts, find, launch, refuse_used

FOLDER: Final = Path(".local/milvus")
PACKAGE: Final = "milvus==2.3.5"
HOST: Final = "127.0.0.1"
PORT: Final = 19530
HEALTH_PORT: Final = 9091
READY_S: Final = 120.0
"""9 s on an idle machine of two cores."""
_INSTALL_S: Final = 900


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens, on the loopback interface."""

    milvus: int = PORT
    health: int = HEALTH_PORT


def start(ports: Ports, say: Say, programs: Path = FOLDER, run: Path = FOLDER) -> Running:
    """Installs the package into `programs`/env when needed and starts the server; documents, log and run.json are in `run`.

    Raises ServerFailed."""
    if (running := find(run)) is not None:
        raise ServerFailed(f"Milvus runs already (process {running.pid}): {running.settings}; stop it by `make milvus-stop`")
    refuse_used(HOST, {"--port": ports.milvus, "--health-port": ports.health})
    python = installed(programs / "env", say)
    serve = str(Path(__file__).with_name("serve.py"))
    command = [str(python), serve, str((run / "data").absolute()), str(ports.milvus), str(ports.health)]
    addresses = {"TRIVIUM_MILVUS": f"http://{HOST}:{ports.milvus}"}
    say("starting Milvus: about 10 seconds")
    return launch(run, Server("Milvus", command, addresses, lambda: _ready(ports), READY_S, {}))


def installed(environment: Path, say: Say) -> Path:
    """The interpreter of an environment with the package. Raises ServerFailed."""
    python = (environment / "bin" / "python").absolute()
    if (environment / PACKAGE).is_file():
        return python
    say(f"installing {PACKAGE} into {environment}: 57 MB to download")
    _run("make an environment", sys.executable, "-m", "venv", "--clear", str(environment))
    _run(f"install {PACKAGE}", str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE)
    (environment / PACKAGE).touch()
    return python


def _run(what: str, *command: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise ServerFailed(f"could not {what} within {_INSTALL_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise ServerFailed(f"could not {what}: {said[0]}")


def _ready(ports: Ports) -> bool:
    if not accepts(HOST, ports.milvus):
        return False
    try:
        with urllib.request.urlopen(f"http://{HOST}:{ports.health}/healthz", timeout=2) as reply:
            return b"OK" in reply.read()
    except OSError:
        return False
