"""A failed test and what it left behind, in a run of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

STORY = '''
import asyncio
from pathlib import Path

class Circle:
    """Kept by itself until the garbage collector comes."""

TRIED = Path(__file__).with_name("tried")

async def opens():
    circle = Circle()
    circle.itself = circle
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    circle.opened = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    first = not TRIED.exists()
    TRIED.touch()
    if not first:
        circle.opened[1].close()
    assert not first

def test_fails_at_its_first_try():
    asyncio.run(opens())

def test_is_innocent():
    import gc
    gc.collect()
'''


@pytest.mark.parametrize(("plugin", "tried_again"), [("tests.leftovers", 1), ("tests.raw_records", 3)])
def test_the_next_test_does_not_pay(tmp_path: Path, plugin: str, tried_again: int) -> None:
    (tmp_path / "test_story.py").write_text(STORY)
    alone = f"-c /dev/null --rootdir {tmp_path} -p no:cacheprovider -p no:asyncio -W error --reruns 1 -p {plugin}"
    command = [sys.executable, "-m", "pytest", str(tmp_path), *alone.split()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert f"2 passed, {tried_again} rerun" in ran.stdout, ran.stdout + ran.stderr
