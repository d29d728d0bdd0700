"""A client that cannot reach its broker says the same a hundred times a second: the log has it once in a while."""

import logging

from trivium.kafka.quiet import Seldom


def said(seldom: Seldom, at_s: float, text: str, *, name: str = "aiokafka.conn", level: int = logging.ERROR) -> str | None:
    record = logging.LogRecord(name, level, __file__, 1, text, (1,), None)
    record.created = at_s
    return record.getMessage() if seldom.filter(record) else None


def test_the_same_is_said_once_in_half_a_minute_with_how_often_it_came() -> None:
    seldom = Seldom()
    assert said(seldom, 100.0, "node %d is away") == "node 1 is away"
    assert [said(seldom, 100.0 + n / 10, "node %d is away") for n in range(1, 51)] == [None] * 50
    assert said(seldom, 130.1, "node %d is away") == "node 1 is away (and 50 times more since it was last said)"
    assert said(seldom, 160.2, "node %d is away") == "node 1 is away"


def test_other_messages_and_other_loggers_pass() -> None:
    seldom = Seldom()
    for _ in range(3):
        assert said(seldom, 100.0, "tier %d died", name="trivium.tier") is not None
    assert said(seldom, 100.0, "node %d is away") is not None
    assert said(seldom, 100.0, "fetch %d failed") is not None
