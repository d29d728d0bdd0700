"""The router itself under load: half requests, half outcomes, the real policy, everything but the tiers."""

import asyncio
import gc
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kafkakit import fill
from streams.app import make
from streams.transport import safe_consumer
from trivium.codec import body_hash, call_to_work, outcome_record, request_from
from trivium.core.journey import begin
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.partition import home
from trivium.core.policy import Policy
from trivium.core.slip import Arrival, Call, Facts
from trivium.kafka.record import Record
from trivium.kafka.topics import OUTCOMES, REQUESTS
from trivium.policy import load
from trivium.process import Process
from trivium.settings import ProcessSettings
from trivium.v1 import request_pb2

POLICY = Path("examples/support/policy.yaml")
PATIENCE_S = 120
GC_EVERY = (20_000, 20, 50)
TICKETS = Path("examples/support/tickets.jsonl")
ENDPOINTS = ("/classify", "/draft-reply", "/summarise", "/ask-docs", "/reason", "/account")


def reply_topics() -> list[str]:
    """Where the policy's tenants are answered."""
    return sorted({topic for tenant in load(POLICY).tenants.values() for topic in tenant.reply_topics})


def records(events: int, partitions: int) -> Iterator[Record]:
    """`events` records: requests, and outcomes of other requests."""
    policy = load(POLICY)
    texts = [json.loads(line)["text"] for line in TICKETS.read_text(encoding="utf-8").splitlines()]
    for number in range(events):
        message = _request(number, texts[number * 7 % len(texts)])
        key = f"{message.tenant}/{message.id}"
        partition = home(key, partitions)
        if number % 2:
            yield Record(OUTCOMES, key.encode(), _outcome(message, policy), (), partition)
        else:
            yield Record(REQUESTS, key.encode(), message.SerializeToString(), (), partition)


def _request(number: int, text: str) -> request_pb2.Request:
    endpoint = ENDPOINTS[number // 2 % len(ENDPOINTS)]
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


async def routed(bootstrap: str, events: int, settings: Mapping[str, str]) -> Pace:
    """The pace of one router over the `events` records that wait in both topics, from when it has its partitions."""
    environ = {"TRIVIUM_KAFKA": bootstrap, **settings}
    process = Process("router", environ, ProcessSettings(policy=str(POLICY)))
    app, crew = make(process)
    # As every process of the mesh does once it stands (trivium/process.py).
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_EVERY)
    try:
        await app.start()
        await crew.working()
        consumer = safe_consumer(app)
        done, began, cpu = consumer.acks_total, time.perf_counter(), time.process_time()
        async with asyncio.timeout(PATIENCE_S):
            while consumer.acks_total < events:  # noqa: ASYNC110 a consumer counts, it does not tell
                await asyncio.sleep(0.002)
        left = events - done
        return Pace(left / (time.perf_counter() - began), (time.process_time() - cpu) / left * 1e6)
    finally:
        await app.stop()
        gc.unfreeze()


async def filled(bootstrap: str, events: int, partitions: int) -> None:
    """Put the records of a run into the log."""
    await fill(bootstrap, records(events, partitions))
