"""A server of both vendors' wires that nobody here wrote: the npm package @copilotkit/aimock, with the answers of
answers.json. Fetched into .local/aimock."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from infra.local import free_ports

HERE: Final = Path(__file__).parent
HOME: Final = Path(__file__).resolve().parents[3] / ".local/aimock"
_FETCH_S: Final = 300
_START_S: Final = 60.0


@pytest.fixture(scope="session")
def other_server() -> Iterator[str]:
    """URL of the server, without /v1."""
    program, (port,) = _fetched(), free_ports(1)
    log = HOME / "server.log"
    with log.open("w") as sink:
        command = ["node", str(program), "--port", str(port), "--fixtures", str(HERE / "answers.json"), "--strict"]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=10)


def _fetched() -> Path:
    if shutil.which("npm") is None:
        pytest.fail("the other wires need Node and npm, and npm is not installed", pytrace=False)
    HOME.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, HOME / name)
    command = ["npm", "ci", "--no-fund", "--no-audit", "--loglevel=error"]
    done = subprocess.run(command, cwd=HOME, text=True, capture_output=True, timeout=_FETCH_S, check=False)
    if done.returncode:
        pytest.fail(f"npm could not fetch @copilotkit/aimock: {done.stderr.strip()[-500:]}", pytrace=False)
    return HOME / "node_modules/.bin/llmock"


def _wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"aimock did not open its port: {log.read_text()[-500:]}", pytrace=False)
