"""A process that was stopped for longer than its group waits."""

import signal
import subprocess
import sys
import time

import pytest

from trivium.kafka.frozen import STATUS, Frozen

PROGRAM = """
import time
from trivium.kafka.frozen import frozen_noticed
with frozen_noticed(1_200, 200, alone=True) as look:
    print("here", flush=True)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        look()
print("to the end")
"""


@pytest.mark.parametrize(("stopped_s", "status"), [(1.6, STATUS), (0.1, -signal.SIGTERM)])
def test_it_leaves_when_it_thaws_and_not_before(stopped_s: float, status: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(stopped_s)
        process.send_signal(signal.SIGCONT)
        if status != STATUS:
            process.terminate()
        _, told = process.communicate(timeout=30)
    assert process.returncode == status
    assert ("others have this process's partitions" in told) is (status == STATUS)


def test_whoever_is_only_busy_stays() -> None:
    gaps: list[float] = []
    frozen = Frozen(0.5, gaps.append)
    frozen.start()
    try:
        time.sleep(1.0)
        frozen.look()
    finally:
        frozen.stop()
    assert gaps == []
