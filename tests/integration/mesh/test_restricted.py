"""A restricted request does not reach the cloud: not by a route, a pin, a rule, a fall back, a generator or a tool."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.mesh.running import RunningMesh, new_id
from trivium.core.outcome import Terminal
from trivium.core.policy import Tier
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import CACHE, attempts, lanes
from trivium.v1 import request_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

CANARY = "canary-7f3a91"
WORDS = f"My diagnosis {CANARY} was sent to the wrong address."
CLOUD = (*lanes(Tier.CLOUD), attempts(Tier.CLOUD))
TOOL = request_pb2.ToolSpec(name="get_order", description="Looks up an order.", parameters_json='{"type": "object"}')

ROUTES: tuple[dict[str, Any], ...] = (
    *({"endpoint": endpoint} for endpoint in (
        "/classify", "/sentiment", "/urgency", "/language", "/extract-order", "/draft-reply", "/summarise", "/account",
        "/ask-docs", "/how-to", "/policy-question", "/troubleshoot", "/reason", "/translate", "/auto", "/frontier",
    )),
    {"endpoint": "/sentiment", "target": "cloud/small"},
    {"endpoint": "/policy-question", "target": "cloud/frontier"},
    {"endpoint": "/draft-reply", "user_tier": "enterprise", "stakes": "high"},
    {"endpoint": "/troubleshoot", "knowledge": "documents"},
    {"endpoint": "/sentiment", "tools": [TOOL]},
    {"endpoint": "/classify", "priority": "batch"},
    {"endpoint": "/sentiment", "cache": "refresh"},
)  # fmt: skip


@dataclass(slots=True)
class Watch:
    """Records of topics that must not hold the canary."""

    seen: dict[str, int] = field(default_factory=dict)
    leaked: list[str] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, record: Delivered) -> None:
        self.seen[record.topic] = self.seen.get(record.topic, 0) + 1
        if CANARY.encode() in (record.value or b""):
            self.leaked.append(f"{record.topic}-{record.partition}-{record.offset}")
        self.more.set()


@pytest_asyncio.fixture(loop_scope="session")
async def watch(mesh: RunningMesh) -> AsyncIterator[Watch]:
    """Watches the cloud's topics and the cache's, and lets the cloud fail by name whatever holds the canary."""
    found = Watch()
    tails = [Tail(mesh.local.addresses.kafka, topic, found.take, from_beginning=False) for topic in (*CLOUD, CACHE)]
    for tail in tails:
        tail.start()
        assert await tail.wait_caught_up(10_000)
    # The stand-in keeps no prompts; a fault that only the canary triggers says whether one came.
    await mesh.control("cloud", fault="generation", count=-1, match=CANARY)
    yield found
    for tail in tails:
        await tail.stop()


async def reached(mesh: RunningMesh) -> int:
    """Calls that the cloud was asked with the canary in them."""
    return int((await mesh.calls("cloud"))["by_fault"].get("generation", 0))


async def asked(mesh: RunningMesh, **fields: Any) -> list[Terminal]:
    """The terminals of every door."""
    by_kafka, by_grpc, (_, by_stream) = await asyncio.gather(
        mesh.by_kafka(**fields), mesh.by_grpc(**fields), mesh.by_stream(**fields)
    )
    return [by_kafka, by_grpc, by_stream]


def of_the_cloud(terminal: Terminal) -> bool:
    return terminal.tier == "cloud" or any(attempt.target.startswith("cloud/") for attempt in terminal.attempts)


async def marked(mesh: RunningMesh, watch: Watch) -> None:
    """Waits until an unrestricted request has passed the watched topics, so that what came before it was seen."""
    before = dict(watch.seen)
    await mesh.by_kafka(endpoint="/translate", prompt=f"Translate into French: {new_id()}")
    async with asyncio.timeout(60):
        while any(watch.seen.get(topic, 0) == before.get(topic, 0) for topic in (CLOUD[0], CLOUD[-1])):
            await watch.more.wait()
            watch.more.clear()


async def test_no_route_of_a_restricted_request_leads_to_the_cloud(mesh: RunningMesh, watch: Watch) -> None:
    before = await reached(mesh)
    for route in ROUTES:
        for terminal in await asked(mesh, prompt=WORDS, sensitivity="restricted", subject="patient-1", **route):
            assert not of_the_cloud(terminal), route
            assert terminal.cache is None, route
            assert terminal.kind.value in ("answered", "refused"), (route, terminal.reason)
    await marked(mesh, watch)
    assert await reached(mesh) == before
    assert watch.leaked == []


async def test_no_fall_back_of_a_restricted_request_leads_to_the_cloud(mesh: RunningMesh, watch: Watch) -> None:
    before = await reached(mesh)
    # A request that is rejected says nothing about the health of the server: the breaker stays shut.
    await mesh.control("model", fault="bad_request", count=-1, match=CANARY)
    for endpoint in ("/sentiment", "/draft-reply", "/policy-question", "/troubleshoot", "/auto"):
        for terminal in await asked(mesh, prompt=WORDS, sensitivity="restricted", endpoint=endpoint):
            assert not of_the_cloud(terminal), endpoint
            assert terminal.kind.value in ("failed", "answered", "refused"), endpoint
    await marked(mesh, watch)
    assert await reached(mesh) == before
    assert watch.leaked == []


async def test_the_watch_would_have_seen_it(mesh: RunningMesh, watch: Watch) -> None:
    before = await reached(mesh)
    terminal = await mesh.by_kafka(prompt=f"Translate into French: {WORDS}", endpoint="/translate")
    assert of_the_cloud(terminal)
    assert await reached(mesh) > before
    async with asyncio.timeout(60):
        while not watch.leaked:
            await watch.more.wait()
            watch.more.clear()
