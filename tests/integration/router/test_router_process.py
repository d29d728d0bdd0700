"""The router as a process of its own: it says that it is ready, or in one sentence why it cannot start."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

STREAMS = (sys.executable, "-m", "streams")
FAUST = (sys.executable, "-m", "faust", "-A", "streams.app", "worker", "--without-web")


def run(command: Sequence[str], environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    policy = Path("examples/support/policy.yaml").resolve()
    there = {"PATH": "/usr/bin:/bin", "TRIVIUM_POLICY": str(policy), "TRIVIUM_DATADIR": str(folder), **environ}
    return subprocess.run(command, env=there, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("command", [STREAMS, FAUST], ids=["streams", "faust"])
def test_a_broker_that_is_not_there_is_one_sentence(command: Sequence[str], tmp_path: Path) -> None:
    ended = run(command, {"TRIVIUM_KAFKA": "127.0.0.1:1", "TRIVIUM_KAFKA_WAIT_MS": "500"}, tmp_path)
    assert ended.returncode == 2
    assert "no Kafka broker answers at 127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [STREAMS, FAUST], ids=["streams", "faust"])
def test_a_setting_that_does_not_exist_is_one_sentence(command: Sequence[str], tmp_path: Path) -> None:
    ended = run(command, {"TRIVIUM_KAFKAA": "x"}, tmp_path)
    assert ended.returncode == 2
    assert "TRIVIUM_KAFKAA is not a setting; did you mean TRIVIUM_KAFKA?" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_it_says_where_it_is_and_leaves_on_sigterm(world: Any) -> None:
    environ = {"PATH": "/usr/bin:/bin", **world.environ}
    with subprocess.Popen(STREAMS, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            ready = json.loads(process.stdout.readline())
            terminal = await world.terminal(await world.ask("hello"))
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert ready["service"] == "router"
    assert ready["ops_port"] > 0
    assert terminal.tier == "finetuned"
