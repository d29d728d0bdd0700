"""The load of the fault harness, a process of its own: `python -m tests.faults.load --help`.

Requests of three tenants go in through Kafka (KafkaClient) and through the gateway (Submit and Await; Complete with an
idempotency key, asked again until it is answered). Who asks what follows from the seed and the number of the request.

    offered.jsonl     before a request is handed over
    accepted.jsonl    once the broker, or the gateway, says that it has it; fsynced
    seen.jsonl        each terminal that a caller was given
    load.json         how far it is, twice a second

It ends after `--requests`, or at SIGTERM, when everything that was accepted has its terminal or ran out of time."""

import argparse
import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from opentelemetry.trace import Tracer

from tests.faults.marks import UNSURE, marked
from trivium.client import KafkaClient, request
from trivium.client.grpc_client import GatewayError, TriviumClient
from trivium.client.kafka_client import KafkaClientOptions
from trivium.core.outcome import Terminal
from trivium.telemetry.tracing import start
from trivium.v1 import request_pb2

T = TypeVar("T")

TENANTS: Final[Mapping[str, str]] = {
    "acme": "trivium.responses", "globex": "trivium.replies.globex", "initech": "trivium.replies.initech",
}  # fmt: skip
TASKS: Final = {"/short": 38, "/cascade": 22, "/hard": 12, "/alone": 8, "/once": 5, "/docs": 8, "/faq": 7}
"""Endpoint -> share of the requests."""
DOORS: Final = {"kafka": 80, "submit": 10, "complete": 10}
TIMEOUTS_MS: Final = {8_000: 20, 20_000: 60, 40_000: 20}
QUESTIONS: Final = (
    "What is a rule of a policy?", "How is a target chosen?", "What does a bar do?", "How are prices given?", "What is a task type?",
)  # fmt: skip
_PATIENCE_S: Final = 45.0
"""After a request's own time: a router that died, and the one that takes over."""
_AGAIN_S: Final = 0.2
_SLOW_S: Final = 2.0
_TELL_S: Final = 0.5
_FSYNC_S: Final = 0.02


class Journal:
    """Lines that are on disk before `written` returns: one fsync for all that came meanwhile."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, **what: Any) -> None:
        """A line that may be lost with the machine."""
        os.write(self._file, json.dumps(what).encode() + b"\n")

    async def written(self, **what: Any) -> None:
        """A line that is not lost any more."""
        self._waiting.append(json.dumps(what).encode() + b"\n")
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._flush(), name="journal")
        await asyncio.shield(self._written)

    async def _flush(self) -> None:
        await asyncio.sleep(_FSYNC_S)
        lines, written = self._waiting, self._written
        self._waiting, self._written = [], None
        os.write(self._file, b"".join(lines))
        await asyncio.to_thread(os.fsync, self._file)
        assert written is not None
        written.set_result(None)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of the load."""

    number: int
    message: request_pb2.Request
    mark: str
    door: str

    @property
    def told(self) -> dict[str, Any]:
        """What the journals say of it."""
        message = self.message
        return {"id": message.id, "tenant": message.tenant, "mark": self.mark, "endpoint": message.endpoint, "door": self.door,
                "timeout_ms": message.timeout_ms, "at_ms": _now_ms()}  # fmt: skip


def ask_of(seed: int, number: int) -> Ask:
    """Request `number` of the load of this seed."""
    draw = random.Random(f"{seed}/{number}")
    tenant = draw.choice(list(TENANTS))
    endpoint, door, timeout_ms = (_drawn(draw, of) for of in (TASKS, DOORS, TIMEOUTS_MS))
    id = f"f{seed}-{number:07d}"
    mark = f"{tenant}/faq-{draw.randrange(20)}" if endpoint == "/faq" else f"{tenant}/{id}"
    text = f"{marked(mark)} {draw.choice(QUESTIONS)} {UNSURE if endpoint == '/cascade' and draw.random() < 0.3 else ''}"
    use = "use" if endpoint == "/faq" else "bypass"
    return Ask(number, request(tenant, text.strip(), id=id, endpoint=endpoint, timeout_ms=timeout_ms, cache=use), mark, door)


def _drawn(draw: random.Random, shares: Mapping[Any, int]) -> Any:
    return draw.choices(list(shares), list(shares.values()))[0]


@dataclass(slots=True)
class Load:
    """What runs."""

    seed: int
    rate: float
    offered: Journal
    accepted: Journal
    seen: Journal
    gateway: TriviumClient
    kafka: Mapping[str, KafkaClient]
    sent: int = 0
    ended: int = 0
    under_way: dict[int, float] = field(default_factory=dict)
    """Number of a request -> when it was handed over."""
    failures: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, requests: int) -> None:
        """One request every 1/rate seconds; late ones are caught up with."""
        began, tasks = time.monotonic(), set[asyncio.Task[None]]()
        while self.sent < requests and not self.stop.is_set():
            task = asyncio.create_task(self._one(ask_of(self.seed, self.sent)), name=f"ask-{self.sent}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            self.sent += 1
            await asyncio.sleep(max(0.0, began + self.sent / self.rate - time.monotonic()))
        await asyncio.gather(*tasks)

    async def _one(self, ask: Ask) -> None:
        self.offered.note(**ask.told)
        self.under_way[ask.number] = time.monotonic()
        doors: Mapping[str, Callable[[Ask], Awaitable[Terminal]]] = {
            "kafka": self._by_kafka, "submit": self._by_submit, "complete": self._by_complete,
        }  # fmt: skip
        try:
            async with asyncio.timeout(ask.message.timeout_ms / 1000 + _PATIENCE_S):
                terminal = await doors[ask.door](ask)
        except Exception as error:
            self.failures += 1
            self.seen.note(id=ask.message.id, tenant=ask.message.tenant, kind="nothing", text=repr(error)[:300], at_ms=_now_ms())
        else:
            self._given(terminal)
        self.ended += 1
        del self.under_way[ask.number]

    def _given(self, terminal: Terminal) -> None:
        answer = terminal.answer.text if terminal.answer is not None else ""
        self.seen.note(id=terminal.identity.id, tenant=terminal.identity.tenant, kind=terminal.kind.value, text=answer, at_ms=_now_ms(),
                       cost=terminal.cost_micro_dollars, trace=terminal.trace_id)  # fmt: skip

    async def _by_kafka(self, ask: Ask) -> Terminal:
        # The timeouts are the callers' own (in _one): the client waits longer.
        pending = await self.kafka[ask.message.tenant].publish(ask.message, timeout_ms=600_000)
        await pending.accepted.wait()
        await self.accepted.written(**ask.told)
        return await pending

    async def _by_submit(self, ask: Ask) -> Terminal:
        identity = await _insist(lambda: self.gateway.submit(ask.message, timeout_s=5))
        await self.accepted.written(**ask.told)
        return await _insist(lambda: self.gateway.wait(identity, timeout_s=10))

    async def _by_complete(self, ask: Ask) -> Terminal:
        # Whether it was accepted is known with the answer only: until then it may be asked again under its key.
        terminal = await _insist(lambda: self.gateway.complete(ask.message, timeout_s=10, idempotent=True))
        await self.accepted.written(**ask.told)
        return terminal

    def slow(self) -> int:
        """How many are under way for longer than they take when nobody has died."""
        since = time.monotonic() - _SLOW_S
        return sum(began < since for began in self.under_way.values())

    @property
    def duplicates(self) -> int:
        """Terminals that the library kept from its callers."""
        return sum(client.duplicates for client in self.kafka.values())


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Until the gateway answers: it is killed too, and a wait is shorter than a request may take."""
    while True:
        try:
            return await call()
        except GatewayError:
            await asyncio.sleep(_AGAIN_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _told(load: Load, progress: Path) -> None:
    """Progress, for the supervisor."""
    while True:
        _say(load, "running", progress)
        await asyncio.sleep(_TELL_S)


def _say(load: Load, state: str, progress: Path) -> None:
    told = {"load": state, "sent": load.sent, "ended": load.ended, "failures": load.failures, "slow": load.slow(), "kept_back": load.duplicates}
    progress.with_suffix(".new").write_text(json.dumps(told))
    progress.with_suffix(".new").rename(progress)


async def main(chosen: argparse.Namespace) -> None:
    """Run the load."""
    tracing = start("faults-load", f"faults-load-{os.getpid()}", chosen.otlp)
    folder: Path = chosen.folder
    tracer: Tracer = tracing.tracer
    offered, accepted, seen = (Journal(folder / f"{name}.jsonl") for name in ("offered", "accepted", "seen"))
    options = KafkaClientOptions(in_flight=20_000, timeout_ms=600_000, fetch_max_wait_ms=100)
    async with AsyncExitStack() as stack:
        kafka = {tenant: await stack.enter_async_context(KafkaClient(chosen.kafka, tenant, reply_topic=topic, options=options, tracer=tracer))
                 for tenant, topic in TENANTS.items()}  # fmt: skip
        gateway = await stack.enter_async_context(TriviumClient(chosen.gateway, tracer=tracer))
        load = Load(chosen.seed, chosen.rate, offered, accepted, seen, gateway, kafka)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
        print(json.dumps({"load": "ready"}), flush=True)
        progress = folder / "load.json"
        telling = asyncio.create_task(_told(load, progress), name="telling")
        await load.run(chosen.requests)
        telling.cancel()
        _say(load, "done", progress)
    tracing.close()


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kafka", "gateway"):
        parser.add_argument(f"--{name}", required=True, metavar="HOST:PORT")
    parser.add_argument("--otlp", default="")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second")
    parser.add_argument("--requests", type=int, default=10**9)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(options()))
