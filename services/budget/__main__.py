"""The process trivium-budget: `python -m services.budget`."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from services.budget.auditor import ATTEMPTS, Auditor
from trivium.alerts.figures import BudgetFigures
from trivium.alerts.watch import Alerts
from trivium.alerts.webhook import Webhook
from trivium.core.budget import Key
from trivium.core.budget_fold import State
from trivium.kafka import topics
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions
from trivium.kafka.security import read_kafka
from trivium.kafka.waiting import await_broker
from trivium.process import Process, run
from trivium.settings import AlertSettings, KafkaSettings, read
from trivium.tier.meter import now_ms


async def main(process: Process) -> None:
    """Close what died holders left, and tell of budgets that near their end, until told to stop."""
    settings, kafka = read(AlertSettings, process.environ), read_kafka(process.environ)
    webhook = Webhook(settings)
    if not await await_broker(kafka, process.stopping, (topics.BUDGET, topics.ALERTS, *ATTEMPTS)):
        return
    options = ProducerOptions(client_id=process.instance, start_timeout_ms=kafka.connect_timeout_ms)
    reading = ReaderOptions(client_id=process.instance, fetch_max_wait_ms=max(kafka.fetch_max_wait_ms, 50))
    alerts: list[Alerts] = []

    def look(_state: State, key: Key | None) -> None:
        for one in alerts:
            one.took(key)

    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(kafka.bootstrap, options))
        auditor = Auditor(kafka.bootstrap, process.instance, producer, look, reading)
        if not await _opened(stack.enter_async_context(auditor), process.stopping):
            return
        alerts.append(await stack.enter_async_context(Alerts(auditor.state, producer, kafka.bootstrap, webhook, reading)))
        alerts[0].begin()
        figures = BudgetFigures(auditor.state, now_ms, lambda: alerts[0].count, lambda: webhook.given_up)
        process.metrics.registry.register(figures)
        await process.ready()
        await auditor.run(process.stopping)


async def _opened(opening: Coroutine[Any, Any, Any], stopping: asyncio.Event) -> bool:
    """Reading the logs may take a while: False when told to stop before it was done."""
    tasks = [asyncio.ensure_future(opening), asyncio.ensure_future(stopping.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    done = tasks[0].done()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if done:
        tasks[0].result()
    return done


if __name__ == "__main__":
    run(
        "budget",
        main,
        reads=(AlertSettings, KafkaSettings),
        about="The auditor of budgets: closes what holders left behind when they died, and tells when a budget nears its end.",
    )
