"""Lag without progress is noticed; idleness and slow work are not."""

import asyncio

import pytest

from streams.watchdog import Stall, Watchdog
from trivium.core.errors import Unreachable


def test_lag_without_progress_for_the_limit_is_a_stall() -> None:
    stall = Stall(60_000)
    assert not stall.observe(0, done=5, behind=10)
    assert not stall.observe(59_999, done=5, behind=10)
    assert stall.observe(60_000, done=5, behind=10)


def test_progress_starts_the_clock_again() -> None:
    stall = Stall(60_000)
    assert not stall.observe(0, done=5, behind=10)
    assert not stall.observe(59_000, done=6, behind=10)
    assert not stall.observe(118_000, done=6, behind=10)
    assert stall.observe(119_000, done=6, behind=10)


def test_nothing_to_do_is_no_stall() -> None:
    stall = Stall(60_000)
    assert not any(stall.observe(at, done=5, behind=0) for at in range(0, 600_000, 5_000))


def test_a_broker_that_does_not_say_is_no_progress() -> None:
    stall = Stall(60_000)
    assert not stall.observe(0, done=5, behind=None)
    assert stall.observe(60_000, done=5, behind=None)


async def test_it_barks_when_nothing_moves() -> None:
    async def behind() -> int:
        return 3

    async with Watchdog(behind, lambda: 7, limit_ms=30) as dog:
        with pytest.raises(Unreachable, match="no progress for 0 s while records wait: 3"):
            await asyncio.wait_for(dog.barked, 5)


async def test_a_question_that_fails_counts_as_no_progress() -> None:
    async def behind() -> int:
        raise OSError("gone")

    async with Watchdog(behind, lambda: 7, limit_ms=30) as dog:
        with pytest.raises(Unreachable, match="does not say"):
            await asyncio.wait_for(dog.barked, 5)


async def test_it_stays_quiet_while_events_are_finished() -> None:
    done = 0
    asked = asyncio.Semaphore(0)

    async def behind() -> int:
        nonlocal done
        done += 1
        asked.release()
        return 3

    async with Watchdog(behind, lambda: done, limit_ms=60) as dog:
        for _ in range(24):
            await asyncio.wait_for(asked.acquire(), 5)
        assert not dog.barked.done()
