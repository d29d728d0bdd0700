"""Alerts of budgets: the topic, the log and a webhook, on a broker that speaks Kafka's wire and an HTTP server."""

import asyncio
import calendar
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from infra.broker import EmbeddedBroker
from trivium.alerts.watch import Alerts
from trivium.alerts.webhook import Webhook
from trivium.core.budget import AccountRecord, Rules
from trivium.core.budget_fold import State
from trivium.core.errors import BadSetting
from trivium.core.policy import Budget, Period
from trivium.kafka.producer import Producer
from trivium.kafka.reader import end_offsets, read_tail
from trivium.kafka.record import Record
from trivium.kafka.topics import ALERTS
from trivium.settings import AlertSettings
from trivium.v1.records_pb2 import BudgetAlert

DOLLAR = 1_000_000
NOW = calendar.timegm((2026, 11, 11, 0, 0, 0)) * 1000
RULE = Budget("acme-month", Period.MONTH, 30 * DOLLAR, tenant="acme")
KEY = ("acme-month", "2026-11")


@dataclass
class Hook:
    """A webhook that answers as told, and remembers."""

    statuses: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    url: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        self.headers.append(request.headers.get("Authorization", ""))
        if status == 200:
            self.taken.append(await request.json())
        self.came.set()
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with EmbeddedBroker({ALERTS: 3}) as running:
        yield running


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook, app = Hook(), web.Application()
    app.router.add_post("/alert", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alert"
    yield hook
    await runner.cleanup()


class Mesh:
    """A fold of one budget, whose holder says what was spent."""

    def __init__(self, rule: Budget = RULE) -> None:
        self.state = State()
        self.number = 0
        self.now_ms = NOW
        self.rule(rule, 1)

    def rule(self, rule: Budget, revision: int) -> None:
        self.state.take_rules(Rules(revision, (rule,)), NOW)

    def spend(self, dollars: int, key: tuple[str, str] = KEY) -> tuple[str, str]:
        self.number += 1
        spent = dollars * DOLLAR
        self.state.take_account(AccountRecord("cloud-1", *key, have=spent, upto=spent, spent=spent, number=self.number), NOW)
        return key


def alerts(mesh: Mesh, broker: EmbeddedBroker, producer: Producer, webhook: Webhook) -> Alerts:
    return Alerts(mesh.state, producer, broker.bootstrap, webhook, now_ms=lambda: mesh.now_ms)


def silent() -> Webhook:
    return Webhook(AlertSettings())


async def told(broker: EmbeddedBroker) -> list[BudgetAlert]:
    until = await end_offsets(broker.bootstrap, ALERTS)
    return [BudgetAlert.FromString(r.value or b"") async for r in read_tail(broker.bootstrap, ALERTS, 0, until)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_each_share_is_told_once_to_topic_log_and_webhook(
    broker: EmbeddedBroker, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mesh, webhook = Mesh(), Webhook(AlertSettings(hook.url, "Authorization: Bearer abc"))
    async with Producer(broker.bootstrap) as producer, alerts(mesh, broker, producer, webhook) as watching:
        watching.begin()
        for number, dollars in enumerate((5, 15, 16, 25, 29, 30, 30), 1):
            watching.took(mesh.spend(dollars))
            await until(lambda number=number: len(hook.taken) >= (0, 0, 1, 1, 2, 2, 3, 3)[number])  # type: ignore[misc]
    assert [(a.percent, a.spent_micro_dollars // DOLLAR, a.runs_out) for a in await told(broker)] == [
        (50, 15, "2026-11-21"),
        (80, 25, "2026-11-13"),
        (100, 30, "2026-11-11"),
    ]
    assert [alert["percent"] for alert in hook.taken] == [50, 80, 100]
    assert set(hook.headers) == {"Bearer abc"}
    said = "budget acme-month (hard, 2026-11): $15.00 of $30.00 are spent, 50 % is passed; at this pace it runs out on 2026-11-21"
    assert hook.taken[0]["text"] == said
    assert said in caplog.text
    assert "100 % is passed; what costs money is not called any more" in caplog.text


async def test_nothing_is_told_again_after_a_restart_nor_by_another_process(broker: EmbeddedBroker) -> None:
    mesh = Mesh()
    async with Producer(broker.bootstrap) as producer:
        async with alerts(mesh, broker, producer, silent()) as watching:
            watching.begin()
            watching.took(mesh.spend(15))
            await until(lambda: watching.count == 1)
        async with alerts(mesh, broker, producer, silent()) as again:
            again.begin()
            again.took(mesh.spend(16))
            again.took(mesh.spend(24))
            await until(lambda: again.count == 1)
    assert [a.percent for a in await told(broker)] == [50, 80]


async def test_two_processes_that_watch_tell_it_once(broker: EmbeddedBroker, hook: Hook) -> None:
    mesh = Mesh()
    async with (
        Producer(broker.bootstrap) as producer,
        alerts(mesh, broker, producer, Webhook(AlertSettings(hook.url))) as one,
        alerts(mesh, broker, producer, Webhook(AlertSettings(hook.url))) as other,
    ):
        one.begin()
        other.begin()
        for dollars in (15, 25, 30):
            key = mesh.spend(dollars)
            one.took(key)
            other.took(key)
            await until(lambda dollars=dollars: len(hook.taken) == {15: 1, 25: 2, 30: 3}[dollars])  # type: ignore[misc]
        await until(lambda: not one._pending and not other._pending)
        await until(lambda: all(len(watching._told[KEY][30 * DOLLAR]) == 3 for watching in (one, other)))
        assert one.count + other.count == 3
    assert [alert["percent"] for alert in hook.taken] == [50, 80, 100]


async def test_history_is_not_told_and_a_limit_below_what_is_spent_is(broker: EmbeddedBroker) -> None:
    mesh = Mesh(replace(RULE, limit_micro_dollars=10 * DOLLAR))
    async with Producer(broker.bootstrap) as producer, alerts(mesh, broker, producer, silent()) as watching:
        watching.took(mesh.spend(9))
        mesh.rule(replace(RULE, limit_micro_dollars=100 * DOLLAR), 2)
        watching.begin()
        assert watching.count == 0
        mesh.rule(replace(RULE, limit_micro_dollars=5 * DOLLAR), 3)
        watching.took()
        await until(lambda: watching.count == 1)
        mesh.rule(replace(RULE, limit_micro_dollars=4 * DOLLAR), 2)
        watching.took()
    assert [(a.percent, a.limit_micro_dollars // DOLLAR) for a in await told(broker)] == [(100, 5)]


async def test_the_clock_alone_brings_a_forecast_and_a_wrong_clock_brings_nothing(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivium.alerts.watch.LOOK_S", 0.01)
    mesh = Mesh()
    mesh.now_ms = NOW - 30 * 86_400_000
    async with Producer(broker.bootstrap) as producer, alerts(mesh, broker, producer, silent()) as watching:
        watching.begin()
        watching.took(mesh.spend(14))
        assert watching.count == 0
        mesh.now_ms = NOW
        await until(lambda: watching.count == 1)
        mesh.now_ms = NOW + 400 * 86_400_000
        watching.took(mesh.spend(29))
        watching.took(("gone", "2026-11"))
    assert [(a.percent, a.runs_out) for a in await told(broker)] == [(0, "2026-11-22")]


async def test_a_broker_that_is_away_holds_nothing_up_and_gets_the_newest(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trivium.alerts.watch._RETRY_S", 0.01)
    monkeypatch.setattr("trivium.alerts.watch._PATIENCE_MS", 50)
    mesh = Mesh()
    async with Producer(broker.bootstrap) as producer, alerts(mesh, broker, producer, silent()) as watching:
        watching.begin()
        broker.set_down()
        watching.took(mesh.spend(15))
        await until(lambda: "cannot be written yet" in caplog.text)
        watching.took(mesh.spend(25))
        broker.set_up()
        await until(lambda: watching.count >= 1 and not watching._pending)
    assert (await told(broker))[-1].percent == 80


async def test_what_stands_in_the_topic_and_is_no_alert_is_passed_by(broker: EmbeddedBroker) -> None:
    mesh = Mesh()
    async with Producer(broker.bootstrap) as producer:
        for value in (b"\xff\xff\xff", None, BudgetAlert(period="2026-11").SerializeToString()):
            await producer.publish(Record(ALERTS, b"k", value), 10_000)
        async with alerts(mesh, broker, producer, silent()) as watching:
            watching.begin()
            watching.took(mesh.spend(30))
            await until(lambda: watching.count == 1)


@pytest.mark.parametrize(
    ("statuses", "taken", "given_up"),
    [([500, 429, 503], 1, 0), ([500, 500, 500, 500], 0, 1), ([404], 0, 1), ([302], 0, 1)],
)
async def test_a_webhook_that_fails_is_asked_again_for_a_while(hook: Hook, statuses: list[int], taken: int, given_up: int) -> None:
    hook.statuses = list(statuses)
    async with Webhook(AlertSettings(hook.url), pauses_s=(0.001, 0.001, 0.001)) as webhook:
        webhook.post({"text": "a"})
        await until(lambda: len(hook.taken) + webhook.given_up == 1)
    assert (len(hook.taken), webhook.given_up) == (taken, given_up)


async def test_a_webhook_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("trivium.alerts.webhook.WAITING", 2)
    async with Webhook(AlertSettings("http://127.0.0.1:9/alert"), pauses_s=(60.0,)) as webhook:
        await asyncio.sleep(0)
        for number in range(5):
            webhook.post({"text": f"alert {number}"})
        assert webhook.given_up == 3
    assert "2 others wait already: alert 4" in caplog.text


@pytest.mark.parametrize(
    ("url", "header", "told"),
    [
        ("hooks.example/alert", "", "must be a URL like https://"),
        ("ftp://hooks.example", "", "must be a URL like https://"),
        ("http://", "", "must be a URL like https://"),
        ("https://h/a", "s3cret", "must be one header like"),
        ("https://h/a", "X-Key: a\nX-Other: s3cret", "must be one header like"),
    ],
)
def test_a_wrong_setting_is_one_sentence_without_its_secret(url: str, header: str, told: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Webhook(AlertSettings(url, header))
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
