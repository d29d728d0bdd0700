"""A process that was told where to crash does so there, and one that was not has no such place."""

import subprocess
import sys

import pytest

from trivium.core.errors import BadSetting
from trivium.crash import Crash, Point, pass_by, read_crash
from trivium.kafka.crashing import CrashingOutbox, _place, outbox
from trivium.kafka.outbox import Outbox, OutboxOptions
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_KIND, LEDGER, OUTCOMES, RESPONSES
from trivium.v1 import records_pb2

ATTEMPTS = "trivium.attempts.cloud"
PROGRAM = "from trivium.crash import *; c = read_crash('before_commit:3')\nfor n in range(5): print(n, flush=True); pass_by(c, Point.BEFORE_COMMIT)"


def test_the_process_ends_at_the_passage_that_was_named() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.split()) == (-9, ["0", "1", "2"])


def test_other_places_are_passed_by() -> None:
    crash = Crash(Point.AFTER_LEDGER, 1)
    pass_by(crash, Point.BEFORE_COMMIT)
    pass_by(None, Point.AFTER_LEDGER)
    assert crash.left == 1


def test_nothing_is_read_from_nothing() -> None:
    assert read_crash("") is None
    said = read_crash("after_started")
    assert said is not None
    assert (said.point, said.left) == (Point.AFTER_STARTED, 1)


@pytest.mark.parametrize("told", ["after_lunch", "after_started:x", "after_started:0", ":3"])
def test_a_wrong_place_is_told(told: str) -> None:
    with pytest.raises(BadSetting, match="TRIVIUM_CRASH_AT"):
        read_crash(told)


async def test_the_plain_outbox_is_taken_when_nothing_was_told() -> None:
    assert type(outbox(None, None, None, OutboxOptions())) is Outbox  # type: ignore[arg-type]
    assert type(outbox(Crash(Point.AFTER_LEDGER, 1), None, None, OutboxOptions())) is CrashingOutbox  # type: ignore[arg-type]


@pytest.mark.parametrize(("record", "more", "place"), [
    (Record(OUTCOMES, b"k", b""), True, Point.AFTER_OUTCOME),
    (Record(LEDGER, b"k", b""), True, Point.AFTER_LEDGER),
    (Record(LEDGER, b"k", b""), False, None),
    (Record(RESPONSES, b"k", b"", ((HEADER_KIND, b"answered"),)), False, Point.AFTER_TERMINAL),
    (Record(ATTEMPTS, b"k", records_pb2.AttemptRecord(state="started").SerializeToString()), False, Point.AFTER_STARTED),
    (Record(ATTEMPTS, b"k", records_pb2.AttemptRecord(state="settled").SerializeToString()), False, None),
])  # fmt: skip
def test_the_place_follows_from_what_is_in_the_log(record: Record, more: bool, place: Point | None) -> None:
    assert _place((record,), more) is place
