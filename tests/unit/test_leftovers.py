"""A failed test and what it left behind, in a run of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

STORY = '''
import gc, warnings
from pathlib import Path

class Opened:
    closed = False

    def __init__(self):
        self.itself = self

    def __del__(self):
        if not self.closed:
            warnings.warn("never closed", ResourceWarning)

def test_fails_at_its_first_try():
    opened, tried = Opened(), Path(__file__).with_name("tried")
    first = not tried.exists()
    tried.touch()
    opened.closed = not first
    assert not first

def test_is_innocent():
    gc.collect()
'''


@pytest.mark.parametrize(("plugin", "tried_again"), [("tests.leftovers", 1), ("tests.raw_records", 2)])
def test_the_next_test_does_not_pay(tmp_path: Path, plugin: str, tried_again: int) -> None:
    (tmp_path / "test_story.py").write_text(STORY)
    alone = f"-c /dev/null --rootdir {tmp_path} -p no:cacheprovider -p no:asyncio -W error --reruns 1 -p {plugin}"
    command = [sys.executable, "-m", "pytest", str(tmp_path), *alone.split()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert f"2 passed, {tried_again} rerun" in ran.stdout, ran.stdout + ran.stderr
