"""The router itself under load: requests and their outcomes, the real policy, everything but the tiers."""

import asyncio
import gc
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kafkakit import fill
from streams.app import make
from streams.consumer import SafeConsumer
from streams.transport import safe_consumer
from trivium.codec import body_hash, call_to_work, outcome_record, request_from
from trivium.core import murmur2
from trivium.core.journey import begin
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.partition import home
from trivium.core.policy import Policy
from trivium.core.slip import Arrival, Call, Facts
from trivium.kafka.record import Record
from trivium.kafka.topics import OUTCOMES, REQUESTS
from trivium.policy import load
from trivium.process import GC_EVERY, Process
from trivium.settings import ProcessSettings
from trivium.v1 import request_pb2

POLICY = Path("examples/support/policy.yaml")
PATIENCE_S = 120
ROUNDS = 2
TICKETS = Path("examples/support/tickets.jsonl")
ENDPOINTS = ("/classify", "/draft-reply", "/summarise", "/ask-docs", "/reason", "/account")


def reply_topics() -> list[str]:
    """Where the policy's tenants are answered."""
    return sorted({topic for tenant in load(POLICY).tenants.values() for topic in tenant.reply_topics})


def requests(wave: range, partitions: int) -> Iterator[Record]:
    """The requests with these numbers, each with a question of its own: none is answered by the exact cache."""
    texts = [json.loads(line)["text"] for line in TICKETS.read_text(encoding="utf-8").splitlines()]
    for number in wave:
        message = _request(number, f"{texts[number * 7 % len(texts)]} It is about order {number}.")
        key = f"{message.tenant}/{message.id}"
        yield Record(REQUESTS, key.encode(), message.SerializeToString(), (), home(key, partitions))


def outcomes(asked: Iterable[Record]) -> Iterator[Record]:
    """What comes back for these requests, as tiers write it."""
    policy = load(POLICY)
    for record in asked:
        message = request_pb2.Request.FromString(record.value or b"")
        yield Record(OUTCOMES, record.key, _outcome(message, policy), (), record.partition)


def _request(number: int, text: str) -> request_pb2.Request:
    endpoint = ENDPOINTS[number % len(ENDPOINTS)]
    return request_pb2.Request(
        tenant="acme", id=f"bench-{number}", endpoint=endpoint, prompt=text, end_user=f"u{number % 997}",
        application="bench", team="desk", subject=f"c{number % 997}",
    )  # fmt: skip


def _outcome(message: request_pb2.Request, policy: Policy) -> bytes:
    now_ms = int(time.time() * 1000)
    request = request_from(message)
    call = begin(request, policy, Facts(now_ms), Arrival(body_hash=body_hash(message)))
    if not isinstance(call, Call):
        raise ValueError(f"the policy gives no call for {message.endpoint}")
    usage = Usage(input_tokens=180, output_tokens=60)
    answer = Answer("Your order is on its way and comes tomorrow. " * 4, confidence=0.9, model="m")
    work = call.work
    outcome = Outcome(request.identity, work.attempt, work.target.name, answer, usage, 40, now_ms, now_ms + 30)
    return outcome_record(call_to_work(call, message), outcome).SerializeToString()


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a router was: events a second, and microseconds of CPU of its process (all threads) an event."""

    per_s: float
    cpu_us: float


async def routed(bootstrap: str, events: int, partitions: int, settings: Mapping[str, str]) -> Pace:
    """The pace of one router over `events` records: waves of requests, and after each the outcomes of those very requests.

    A wave is in the log before the router may read it. Its clock runs from its first finished record to its last."""
    environ = {"TRIVIUM_KAFKA": bootstrap, "TRIVIUM_PARTITIONS": str(partitions), **settings}
    process = Process("router", environ, ProcessSettings(policy=str(POLICY)))
    app, crew = make(process)
    # As every process of the mesh does once it stands (trivium/process.py).
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_EVERY)
    each = events // (2 * ROUNDS)
    try:
        await app.start()
        await crew.working()
        consumer = safe_consumer(app)
        paces = []
        for number in range(ROUNDS):
            asked = list(requests(range(number * each, (number + 1) * each), partitions))
            paces += [await _wave(consumer, bootstrap, wave) for wave in (asked, list(outcomes(asked)))]
        return Pace(len(paces) / sum(1 / pace.per_s for pace in paces), sum(pace.cpu_us for pace in paces) / len(paces))
    finally:
        await app.stop()
        gc.unfreeze()


async def _wave(consumer: SafeConsumer, bootstrap: str, records: Sequence[Record]) -> Pace:
    before = consumer.acks_total
    owned = consumer.assignment()
    consumer.pause_partitions(owned)
    await fill(bootstrap, records)
    # In the mesh others have made the records: this process has hashed none of their keys.
    murmur2.partition_of.cache_clear()
    consumer.resume_partitions(owned)
    async with asyncio.timeout(PATIENCE_S):
        await _acked(consumer, before + 1)
        done, began, cpu = consumer.acks_total, time.perf_counter(), time.process_time()
        await _acked(consumer, before + len(records))
    left = before + len(records) - done
    return Pace(left / (time.perf_counter() - began), (time.process_time() - cpu) / left * 1e6)


async def _acked(consumer: SafeConsumer, total: int) -> None:
    while consumer.acks_total < total:  # noqa: ASYNC110 a consumer counts, it does not tell
        await asyncio.sleep(0.002)
