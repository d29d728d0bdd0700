"""Who loads a policy tells its budgets, once: on a broker that speaks Kafka's wire."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from infra.broker import EmbeddedBroker
from tests.unit.journeys import a_policy
from trivium.budget import publishing
from trivium.budget.publishing import FRESH_MS, RulesPublisher, is_due, rules_of
from trivium.codec.budgets import RULES_KEY, budget_record_from, rules_to
from trivium.core.budget import Rules
from trivium.core.policy import Budget, Period, Policy
from trivium.kafka.producer import Producer
from trivium.kafka.reader import end_offsets, read_tail
from trivium.kafka.record import Record
from trivium.kafka.topics import BUDGET

NOW = 1_800_000_000_000
ONE = Budget("one", Period.DAY, 5_000_000)
TWO = Budget("two", Period.MONTH, 7_000_000, hard=False, tenant="acme")


def policy(revision: int, *budgets: Budget) -> Policy:
    return a_policy(revision=revision, fingerprint=str(revision), budgets={b.name: b for b in budgets})


@dataclass
class Following:
    """A policy file that changes."""

    current: Policy


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({BUDGET: 1}) as running:
        yield running


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(publishing, "LOOK_S", 0.02)
    caplog.set_level(logging.INFO)


def publisher(broker: EmbeddedBroker, producer: Producer, current: Policy) -> RulesPublisher:
    return RulesPublisher(Following(current), producer, broker.bootstrap, "gateway-1")


async def said(caplog: pytest.LogCaptureFixture, words: str) -> None:
    while words not in caplog.text:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def told(broker: EmbeddedBroker) -> list[Rules]:
    async with asyncio.timeout(30):
        until = await end_offsets(broker.bootstrap, BUDGET)
        found = [budget_record_from(r.value) async for r in read_tail(broker.bootstrap, BUDGET, 0, until) if r.key == RULES_KEY]
    return [rules for rules in found if isinstance(rules, Rules)]


async def test_budgets_are_told_once_whoever_starts_and_again_when_they_change(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer:
        assert await publisher(broker, producer, policy(3)).publish(policy(3)) is False
        assert await publisher(broker, producer, policy(4, ONE)).publish(policy(4, ONE)) is True
        assert await publisher(broker, producer, policy(4, ONE)).publish(policy(4, ONE)) is False
        assert await publisher(broker, producer, policy(5, ONE, TWO)).publish(policy(5, ONE, TWO)) is True
        assert await publisher(broker, producer, policy(6)).publish(policy(6)) is True
        assert await publisher(broker, producer, policy(7)).publish(policy(7)) is False
    assert [(rules.revision, rules.budgets) for rules in await told(broker)] == [(4, (ONE,)), (5, (ONE, TWO)), (6, ())]


async def test_a_process_that_lags_behind_writes_nothing_and_says_why(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    async with Producer(broker.bootstrap) as producer:
        await publisher(broker, producer, policy(4, ONE)).publish(policy(4, ONE))
        assert await publisher(broker, producer, policy(3, TWO)).publish(policy(3, TWO)) is False
    assert "those of policy revision 4, not those of revision 3 here: give the policy a revision above 4" in caplog.text


async def test_newer_rules_are_put_back_over_older_ones_that_came_late(broker: EmbeddedBroker) -> None:
    async with Producer(broker.bootstrap) as producer:
        await publisher(broker, producer, policy(4, ONE)).publish(policy(4, ONE))
        late = rules_to(rules_of(policy(3, TWO), NOW)).SerializeToString()
        await producer.publish(Record(BUDGET, RULES_KEY, late, partition=0), 10_000)
        await producer.publish(Record(BUDGET, RULES_KEY, b"\xff\xff", partition=0), 10_000)
        await producer.publish(Record(BUDGET, b"h|one|2026-11", b"", partition=0), 10_000)
        assert await publisher(broker, producer, policy(4, ONE)).publish(policy(4, ONE)) is True
    assert [rules.revision for rules in await told(broker)] == [4, 3, 4]


async def test_it_follows_the_policy_for_as_long_as_the_process_lives(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    following = Following(policy(1, ONE))
    async with (
        Producer(broker.bootstrap) as producer,
        RulesPublisher(following, producer, broker.bootstrap, "router-1"),
        asyncio.timeout(60),
    ):
        await said(caplog, "the 1 budgets of policy revision 1 are published")
        following.current = policy(2, TWO)
        await said(caplog, "the 1 budgets of policy revision 2 are published")
    assert [rules.budgets for rules in await told(broker)] == [(ONE,), (TWO,)]


async def test_a_mesh_without_the_topic_is_left_alone_by_a_policy_without_budgets() -> None:
    with EmbeddedBroker({"other": 1}) as broker:
        async with Producer(broker.bootstrap) as producer:
            assert await publisher(broker, producer, policy(3)).publish(policy(3)) is False


async def test_a_broker_that_is_away_is_asked_again(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    following = Following(policy(1, ONE))
    async with Producer(broker.bootstrap) as producer, asyncio.timeout(60):
        broker.set_down()
        async with RulesPublisher(following, producer, broker.bootstrap, "router-1"):
            await said(caplog, "are not published yet")
            broker.set_up()
            await said(caplog, "are published")
    assert [rules.budgets for rules in await told(broker)] == [(ONE,)]


@pytest.mark.parametrize(
    ("last", "age_ms", "due"),
    [
        (None, 0, True),
        (Rules(4, (ONE,)), FRESH_MS, False),
        (Rules(4, (ONE,)), FRESH_MS + 1, True),
        (Rules(3, (ONE,)), 0, True),
        (Rules(4, (TWO,)), FRESH_MS + 1, False),
        (Rules(4, ()), 0, False),
        (Rules(3, ()), 0, True),
        (Rules(5, (ONE,)), FRESH_MS + 1, False),
        (Rules(4, (ONE,)), -FRESH_MS, False),
    ],
)
def test_when_rules_are_due(last: Rules | None, age_ms: int, due: bool) -> None:
    assert is_due(Rules(4, (ONE,)), last, NOW - age_ms, NOW) is due
    assert is_due(replace(Rules(4, ()), at_ms=NOW), None, 0, NOW) is False
