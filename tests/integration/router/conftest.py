"""A world around one router: embedded broker, a policy, small tiers that answer as told, and somebody who reads the replies."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from infra.broker import EmbeddedBroker
from streams.app import make
from streams.worker import Crew
from trivium.codec import decode_terminal, outcome_record
from trivium.core.outcome import Answer, Fault, Outcome, Terminal, Usage
from trivium.core.partition import home
from trivium.core.policy import Tier
from trivium.core.request import Identity
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.reader import delivered
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import DEADLETTER, LEDGER, OUTCOMES, REQUESTS, RESPONSES, all_topics, lanes
from trivium.process import Process
from trivium.settings import ProcessSettings
from trivium.telemetry.tracing import Tracing
from trivium.v1 import journey_pb2, records_pb2, request_pb2

PARTITIONS = 4
POLICY = """
revision: 7
attempt_cap_ms: 20_000
reference_target: cloud/frontier
tenants:
  acme: {reply_topics: [trivium.responses]}
  globex: {reply_topics: [trivium.replies.globex], requests_per_minute: 2}
targets:
  finetuned/small: {tier: finetuned, model: m, prices: {input: 0.05, output: 0.10}}
  cloud/frontier: {tier: cloud, model: c, prices: {input: 5, output: 25}, context_window: 200_000}
endpoints:
  /draft: draft
  /quick: quick
  /ours: ours
  /faq: faq
default: {route: [finetuned/small, cloud/frontier]}
novel: {route: [cloud/frontier]}
tasks:
  draft: {can_wait: true, route: [{target: finetuned/small, bar: 0.5}, cloud/frontier], system: Draft., timeout_ms: 20_000}
  quick: {route: [finetuned/small, cloud/frontier], system: Quick., timeout_ms: 1_000}
  ours: {route: [finetuned/small], system: Ours., timeout_ms: 30_000}
  faq: {route: [finetuned/small], system: Faq., cache: {semantic: false}}
"""

Behaviour = Callable[[journey_pb2.Work], Answer | Fault | None]
"""What the tiers do with a work record; None: nothing comes back."""


def good(_work: journey_pb2.Work) -> Answer | Fault | None:
    """An answer that passes every bar."""
    return Answer("fine", confidence=0.9)


@dataclass
class World:
    """One test's mesh. `behaviour` may be changed at any time."""

    broker: EmbeddedBroker
    environ: dict[str, str]
    producer: Producer
    outbox: Outbox
    behaviour: Behaviour = good
    cost: int = 5
    seen: dict[str, list[Delivered]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ids: Any = field(default_factory=itertools.count)

    # --- the caller's side -----------------------------------------------------------------------------------------

    async def ask(self, prompt: str = "hello", *, partition: int | None = None, as_json: bool = False, **fields: Any) -> Identity:
        """Publish a request as a client does; returns its identity."""
        body = {"tenant": "acme", "id": f"r{next(self.ids)}", "endpoint": "/draft", "prompt": prompt, **fields}
        identity = Identity(body["tenant"], body["id"], body.get("replay", 0))
        value = json.dumps(body).encode() if as_json else request_pb2.Request(**body).SerializeToString()
        headers = (("content-type", b"application/json" if as_json else b"application/protobuf"),)
        await self.send(Record(REQUESTS, identity.key.encode(), value, headers, partition))
        return identity

    async def send(self, record: Record) -> None:
        await self.producer.publish(record, 5_000)

    async def cancel(self, identity: Identity) -> None:
        message = journey_pb2.OutcomeRecord(cancel=True)
        message.outcome.identity.tenant, message.outcome.identity.id = identity.tenant, identity.id
        await self.send(
            Record(OUTCOMES, identity.key.encode(), message.SerializeToString(), (), home(identity.key, PARTITIONS))
        )

    def terminals(self, identity: Identity) -> list[Terminal]:
        found = (self._terminal(r) for topic, rs in self.seen.items() if _is_reply(topic) for r in rs)
        return [t for t in found if t.identity == identity]

    async def terminal(self, identity: Identity) -> Terminal:
        """The first terminal of an identity."""
        await self.until(lambda: bool(self.terminals(identity)), f"a terminal of {identity}")
        return self.terminals(identity)[0]

    def reply(self, identity: Identity) -> Delivered:
        """The raw record of the first terminal."""
        return next(
            r for topic, rs in self.seen.items() if _is_reply(topic) for r in rs if self._terminal(r).identity == identity
        )

    def letters(self) -> list[records_pb2.DeadLetter]:
        return [records_pb2.DeadLetter.FromString(r.value or b"") for r in self.seen.get(DEADLETTER, [])]

    async def letter(self, number: int = 1) -> records_pb2.DeadLetter:
        """The dead letter of this number, from 1."""
        await self.until(lambda: len(self.letters()) >= number, f"dead letter {number}")
        return self.letters()[number - 1]

    def ledger(self, role: str = "terminal") -> list[records_pb2.LedgerRecord]:
        records = [records_pb2.LedgerRecord.FromString(r.value or b"") for r in self.seen.get(LEDGER, [])]
        return [r for r in records if r.role == role]

    def work(self, topic: str | None = None) -> list[Delivered]:
        return [r for t, rs in self.seen.items() if t.startswith("trivium.work.") and topic in (None, t) for r in rs]

    async def until(self, enough: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(60):
                while not enough():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            counts = {topic: len(records) for topic, records in self.seen.items()}
            raise AssertionError(f"{what} did not come; seen: {counts}") from None

    # --- the tiers' side -------------------------------------------------------------------------------------------

    def took(self, record: Delivered) -> None:
        self.seen.setdefault(record.topic, []).append(record)
        self.changed.set()
        if record.topic.startswith("trivium.work."):
            sent = journey_pb2.Work.FromString(record.value or b"")
            result = self.behaviour(sent)
            if result is not None:
                self.answer(sent, result, tuple(header for header in record.headers if header[0] == "traceparent"))

    def answer(self, sent: journey_pb2.Work, result: Answer | Fault, trace: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Write the outcome of a work record."""
        identity = Identity(sent.request.tenant, sent.request.id, sent.request.replay)
        outcome = Outcome(identity, sent.attempt, sent.target.name, result, Usage(10, 5), self.cost)
        value = outcome_record(sent, outcome).SerializeToString()
        record = Record(OUTCOMES, identity.key.encode(), value, trace, home(identity.key, PARTITIONS))
        self.outbox.put(((record,),), lambda: None)

    def _terminal(self, record: Delivered) -> Terminal:
        return decode_terminal(record.value or b"", (record.header("content-type") or b"").decode())

    # --- the router ------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def router(self, tracing: Tracing | None = None) -> AsyncIterator[Crew]:
        """One router in this process, from its start to its stop."""
        settings = ProcessSettings(policy=self.environ["TRIVIUM_POLICY"])
        process = Process("router", self.environ, settings, tracing=tracing)
        app, crew = make(process)
        try:
            await app.start()
            await crew.working()
            yield crew
        finally:
            await app.stop()


def _is_reply(topic: str) -> bool:
    return topic == RESPONSES or topic.startswith("trivium.replies.")


async def _read(world: World, consumer: AIOKafkaConsumer) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                world.took(delivered(record))


def _keep(record: Record, error: BaseException) -> Sequence[Record]:
    raise AssertionError(f"{record.topic}: {error}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    topics = {t.name: t.partitions for t in all_topics(["trivium.replies.globex"], PARTITIONS)}
    read = [DEADLETTER, LEDGER, RESPONSES, "trivium.replies.globex", OUTCOMES, *(n for t in Tier for n in lanes(t))]
    with EmbeddedBroker(topics) as broker:
        environ = {
            "TRIVIUM_KAFKA": broker.bootstrap,
            "TRIVIUM_PARTITIONS": str(PARTITIONS),
            "TRIVIUM_POLICY": str(policy),
            "TRIVIUM_DATADIR": str(tmp_path / "faust"),
            "TRIVIUM_SESSION_TIMEOUT_MS": "2000",
            "TRIVIUM_HEARTBEAT_MS": "300",
        }
        consumer = AIOKafkaConsumer(
            *read, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=10,
            enable_auto_commit=False,
        )  # fmt: skip
        await consumer.start()
        async with Producer(broker.bootstrap) as producer, Outbox(producer, _keep) as outbox:
            world = World(broker, environ, producer, outbox)
            reading = asyncio.create_task(_read(world, consumer))
            yield world
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()
