"""A real Kafka of a test's own: fetched when needed, started on a free port, stopped at the end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_TIMEOUT_S: Final = 600
_HEAP_MIB: Final = "384"


@contextmanager
def real_kafka(folder: Path) -> Iterator[str]:
    """Address of the broker; its data are in `folder`."""
    data = ("--data", str(folder))
    started = _infra("start", *data, "--port", "0", "--heap", _HEAP_MIB, "--json")
    if started.returncode:
        pytest.fail(f"no Kafka could be started: {started.stderr.strip()[-500:]}", pytrace=False)
    try:
        yield str(json.loads(started.stdout.splitlines()[-1])["bootstrap"])
    finally:
        _infra("stop", *data)


def _infra(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "infra.kafka", *arguments)
    return subprocess.run(command, text=True, capture_output=True, timeout=_TIMEOUT_S, check=False)
