"""`trivium budget` reads the log by the same fold as everybody else."""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.broker import EmbeddedBroker
from trivium.cli.app import trivium
from trivium.codec.budgets import RULES_KEY, account_key, account_to, rules_to
from trivium.core.budget import AccountRecord, Rules, period_of
from trivium.core.policy import EACH, Budget, Over, Period
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import BUDGET

DOLLAR = 1_000_000
NOW = time.time_ns() // 1_000_000
MONTH, DAY = period_of(Period.MONTH, NOW), period_of(Period.DAY, NOW)
RULES = Rules(
    3,
    (
        Budget("acme-month", Period.MONTH, 10 * DOLLAR, over=Over.CHEAPER, tenant="acme"),
        Budget("team", Period.DAY, 5 * DOLLAR, tenant=EACH, team=EACH),
        Budget("heads-up", Period.MONTH, 2 * DOLLAR, hard=False),
    ),
)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Midnight may pass between the records and the look at them."""
    monkeypatch.setattr("trivium.cli.budget.time", SimpleNamespace(time_ns=lambda: NOW * 1_000_000))


def account(budget: str, period: str, spent: int, has: int, holder: str = "cloud-1", **more: Any) -> AccountRecord:
    return AccountRecord(holder, budget, period, have=has, upto=has, spent=spent, number=1, at_ms=NOW, **more)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({BUDGET: 1}) as running:
        yield running


@pytest.fixture(scope="module")
def filled(broker: EmbeddedBroker) -> str:
    told = [
        account("acme-month", MONTH, 3 * DOLLAR, 4 * DOLLAR),
        account("acme-month", MONTH, DOLLAR, DOLLAR, "cloud-2", closed=True, by="budget-1"),
        account("team/acme/support", DAY, 1_000_000, 1_500_000),
        account("acme-month", "2001-01", DOLLAR, DOLLAR),
        account("gone", MONTH, DOLLAR, DOLLAR),
    ]
    asyncio.run(write(broker, [Rules(2, ()), RULES], told))
    return broker.bootstrap


async def write(broker: EmbeddedBroker, rules: Iterable[Rules], accounts: Iterable[AccountRecord]) -> None:
    async with Producer(broker.bootstrap) as producer:
        for rule in rules:
            await producer.publish(Record(BUDGET, RULES_KEY, rules_to(rule).SerializeToString(), partition=0), 10_000)
        for one in accounts:
            await producer.publish(Record(BUDGET, account_key(one), account_to(one).SerializeToString(), partition=0), 10_000)
        await producer.publish(Record(BUDGET, b"?", b"\xff\xff", partition=0), 10_000)


def asked(bootstrap: str, *words: str) -> Result:
    return CliRunner().invoke(trivium, ["budget", *words, "--kafka", bootstrap], standalone_mode=False)


def test_every_budget_is_shown_with_what_is_left(filled: str) -> None:
    result = asked(filled)
    assert result.return_value == 0
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in result.output.splitlines() if "│" in line}
    assert rows["acme-month"][:7] == [MONTH, "hard", "$10.00", "$4.00", "$1.00", "$5.00", "40 %"]
    assert rows["acme-month"][8] == "1"
    assert rows["team/acme/support"][:7] == [DAY, "hard", "$5.00", "$1.00", "$0.50", "$3.50", "20 %"]
    assert rows["heads-up"][1:7] == ["soft", "$2.00", "$0.00", "$0.00", "$2.00", "0 %"]
    assert rows["gone"][1:3] == ["no rule any more", "-"]
    assert "2001-01" not in result.output


def test_a_name_shows_its_holders_and_a_rule_stands_for_all_its_parts(filled: str) -> None:
    result = asked(filled, "acme-month")
    assert "cloud-2" in result.output
    assert "closed by budget-1" in result.output
    assert "team" not in result.output
    assert "team/acme/support" in asked(filled, "team").output
    assert "2001-01" in asked(filled, "acme-month", "--past").output


def test_json_is_one_object_a_budget(filled: str) -> None:
    found = [json.loads(line) for line in asked(filled, "--json").output.splitlines()]
    acme = next(one for one in found if one["budget"] == "acme-month")
    assert {name: acme[name] for name in ("limit_micro_dollars", "spent_micro_dollars", "reserved_micro_dollars", "percent", "over")} == {
        "limit_micro_dollars": 10 * DOLLAR, "spent_micro_dollars": 4 * DOLLAR, "reserved_micro_dollars": DOLLAR, "percent": 40,
        "over": "cheaper",
    }  # fmt: skip
    assert [(h["holder"], h["closed"]) for h in acme["holders"]] == [("cloud-1", False), ("cloud-2", True)]


def test_an_unknown_name_is_told_what_may_have_been_meant(filled: str) -> None:
    result = asked(filled, "acme-mont")
    assert result.return_value == 1
    assert "no budget 'acme-mont'; did you mean acme-month?" in result.stderr


def test_a_limit_below_what_is_spent_is_used_up_and_the_status_says_so() -> None:
    with EmbeddedBroker({BUDGET: 1}) as broker:
        lower = replace(RULES.budgets[0], limit_micro_dollars=DOLLAR)
        empty = asked(broker.bootstrap)
        assert (empty.return_value, "No budgets: the policy names none" in empty.output) == (0, True)
        spent = account("acme-month", MONTH, 3 * DOLLAR, 4 * DOLLAR)
        asyncio.run(write(broker, [RULES], [spent]))
        assert asked(broker.bootstrap).return_value == 0
        asyncio.run(write(broker, [replace(RULES, revision=4, budgets=(lower,)), RULES], []))
        result = asked(broker.bootstrap, "acme-month")
    assert result.return_value == 1
    assert "used up" in result.output
    assert "-$3.00" in result.output


def test_few_are_shown_and_the_rest_is_counted(filled: str) -> None:
    result = asked(filled, "--most", "1")
    assert "3 more are further from their end; --most 0 shows all." in result.output
    assert "heads-up" not in result.output
