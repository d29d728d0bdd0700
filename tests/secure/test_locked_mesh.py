"""Restricted by topology, on every edge, in a mesh whose doors are locked: canaries go in, none is seen in the cloud.

The last test asks whether the watching works: an unrestricted canary does reach the cloud.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.secure.locked_mesh import CANARY, PARTS, Locked, http, locked_mesh, sightings
from trivium.codec import spec_to, target_to
from trivium.core.outcome import Terminal, TerminalKind
from trivium.core.policy import Policy, Tier
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import DEADLETTER, OUTCOMES, REQUESTS, Lane, attempts, lanes, work
from trivium.policy import load
from trivium.rpc.channels import Dial, channel, stub
from trivium.v1 import journey_pb2, outcome_pb2, request_pb2, services_pb2, services_pb2_grpc

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = f"My diagnosis {CANARY} was sent to the wrong address. What does the documentation say about restricted requests?"
CARD = f"Please refund 4111 1111 1111 1111 ({CANARY})"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, pki: Path) -> AsyncIterator[Locked]:
    async with locked_mesh(tmp_path_factory.mktemp("locked"), pki) as running:
        yield running
        running.local.check()


@pytest.fixture(scope="module")
def policy(mesh: Locked) -> Policy:
    return load(mesh.folder / "hostile.yaml")


async def asked(mesh: Locked, prompt: str = WORDS, **fields: Any) -> list[Terminal]:
    """Through every door."""
    by_stream = [event async for event in mesh.grpc.stream(mesh.asking(prompt, **fields), timeout_s=30)]
    terminals = await asyncio.gather(
        mesh.kafka.ask(mesh.asking(prompt, **fields), timeout_ms=30_000),
        mesh.grpc.complete(mesh.asking(prompt, **fields), timeout_s=30),
        mesh.grpc.complete(mesh.asking(prompt, **fields), timeout_s=30, idempotent=True),
    )
    assert isinstance(by_stream[-1], Terminal)
    return [*terminals, by_stream[-1]]


def of_the_cloud(terminal: Terminal) -> bool:
    return terminal.tier == "cloud" or any(attempt.target.startswith("cloud/") for attempt in terminal.attempts)


def restricted_work(policy: Policy, target: str, **fields: Any) -> journey_pb2.Work:
    """What a wrong router or an intruder sends."""
    task = policy.tasks["product_question"]
    request = request_pb2.Request(tenant="acme", id=f"stolen-{time.time_ns()}", prompt=WORDS, sensitivity="restricted", **fields)
    deadline = time.time_ns() // 1_000_000 + 10_000
    return journey_pb2.Work(
        request=request, attempt=1, target=target_to(policy.targets[target]), task=spec_to(task.spec), deadline_ms=deadline
    )


async def test_a_hostile_policy(mesh: Locked) -> None:
    for fields in (
        {"endpoint": "/sentiment"}, {"endpoint": "/reason"}, {"endpoint": "/frontier"}, {"endpoint": "/ask-docs"},
        {"endpoint": "/auto"}, {"endpoint": "/sentiment", "target": "cloud/small"},
        {"endpoint": "/ask-docs", "target": "retrieval/leaky"}, {"endpoint": "/troubleshoot", "knowledge": "documents"},
    ):  # fmt: skip
        for terminal in await asked(mesh, sensitivity="restricted", **fields):
            assert not of_the_cloud(terminal), fields
            assert terminal.cache is None
            assert terminal.kind in (TerminalKind.ANSWERED, TerminalKind.REFUSED), (fields, terminal.reason)
    assert await mesh.reached() == 0


async def test_an_undeclared_request_in_which_a_card_is_found(mesh: Locked) -> None:
    for terminal in await asked(mesh, CARD, endpoint="/frontier"):
        assert not of_the_cloud(terminal)
        assert terminal.kind is TerminalKind.REFUSED
    for terminal in await asked(mesh, CARD, endpoint="/ask-docs", sensitivity="public"):
        assert (terminal.kind, terminal.target) == (TerminalKind.ANSWERED, "retrieval/leaky"), terminal.reason
    assert await mesh.reached() == 0


async def test_a_wrong_router(mesh: Locked, policy: Policy) -> None:
    """Work records that no router of ours writes, in every topic that the cloud reads, and with a cloud generator."""
    stray = {
        work(Tier.CLOUD, Lane.MAIN): "cloud/frontier", work(Tier.CLOUD, Lane.SPARE): "cloud/small",
        work(Tier.RETRIEVAL, Lane.MAIN): "retrieval/leaky", work(Tier.RETRIEVAL, Lane.RESTRICTED): "retrieval/leaky",
    }  # fmt: skip
    async with Producer(mesh.local.addresses.kafka) as producer:
        for topic, target in stray.items():
            sent = restricted_work(policy, target, team=topic)
            sent.slip.deadline_ms = sent.deadline_ms
            await producer.publish(Record(topic, b"acme/stolen", sent.SerializeToString()), 5_000)
            outcome = await mesh.watch.until(OUTCOMES, sent.request.id)
            fault = journey_pb2.OutcomeRecord.FromString(outcome.value or b"").outcome.fault
            assert fault.kind == "forbidden", (topic, fault)
    assert await mesh.reached() == 0


async def test_direct_grpc_to_the_tiers(mesh: Locked, policy: Policy) -> None:
    at = mesh.local.addresses
    for address, target in ((at.cloud, "cloud/frontier"), (at.cloud, "cloud/small"), (at.retrieval, "retrieval/leaky")):
        async with channel(address, mesh.dial) as opened:
            tier = stub(services_pb2_grpc.TierStub, opened)
            outcome: outcome_pb2.Outcome = await tier.Generate(restricted_work(policy, target), timeout=10)
            assert outcome.fault.kind == "forbidden", outcome
            events = [event async for event in tier.GenerateStream(restricted_work(policy, target), timeout=10)]
            assert [event.outcome.fault.kind for event in events] == ["forbidden"]
    assert await mesh.reached() == 0


async def test_the_tool_searches_without_the_cloud(mesh: Locked) -> None:
    question = f"What does section 2 of the documentation say about restricted topics? {CANARY}"
    for terminal in await asked(mesh, question, sensitivity="restricted", endpoint="/troubleshoot"):
        assert not of_the_cloud(terminal)
    async with channel(mesh.local.addresses.retrieval, mesh.dial) as opened:
        asking = services_pb2.RetrieveRequest(tenant="acme", corpus="docs", query=WORDS, limit=3, budget_tokens=500)
        assert (await stub(services_pb2_grpc.RetrievalStub, opened).Retrieve(asking, timeout=10)).passages
    assert await mesh.reached() == 0


async def test_fallback_has_nowhere_to_go_but_home(mesh: Locked) -> None:
    await http(f"{mesh.local.addresses.model_url}/control", {"fault": "bad_request", "count": -1, "match": CANARY})
    try:
        for endpoint in ("/sentiment", "/ask-docs", "/auto"):
            for terminal in await asked(mesh, sensitivity="restricted", endpoint=endpoint):
                assert not of_the_cloud(terminal), endpoint
                assert terminal.kind in (TerminalKind.FAILED, TerminalKind.REFUSED, TerminalKind.ANSWERED)
    finally:
        await http(f"{mesh.local.addresses.model_url}/control", {"clear": True})
    assert await mesh.reached() == 0


async def test_the_cache_neither_learns_nor_tells(mesh: Locked) -> None:
    prompt = f"How happy is this customer about {CANARY}?"
    for sensitivity in ("restricted", "restricted", "internal"):
        terminal = await mesh.grpc.complete(mesh.asking(prompt, endpoint="/sentiment", sensitivity=sensitivity), timeout_s=30)
        assert terminal.cache is None, "what a restricted request was answered serves nobody"
    before = await mesh.reached()
    again = await mesh.grpc.complete(mesh.asking(prompt, endpoint="/sentiment", sensitivity="restricted"), timeout_s=30)
    assert again.cache is None
    assert await mesh.reached() == before == 0


async def test_dead_letters_stay_out_of_the_clouds_topics(mesh: Locked) -> None:
    message = mesh.asking(WORDS, sensitivity="restricted", endpoint="/frontier")
    record = Record(REQUESTS, b"acme/x", message.SerializeToString())
    async with Producer(mesh.local.addresses.kafka) as producer:
        await producer.publish(record, 5_000)
        letter = await mesh.watch.until(DEADLETTER, message.id)
    assert b"unsigned" in (letter.value or b"")
    assert await mesh.reached() == 0


async def test_locked_doors_say_why(mesh: Locked, pki: Path) -> None:
    at = mesh.local.addresses
    credentials, shop = mesh.dial.credentials, mesh.secrets["shop key"]

    async def status(dial: Dial, address: str = at.gateway, **fields: Any) -> grpc.StatusCode:
        async with channel(address, dial) as opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub(services_pb2_grpc.GatewayStub, opened).Complete(mesh.asking("x", endpoint="/auto", **fields), timeout=5)
            return caught.value.code()

    roots = (pki / "ca.pem").read_bytes()
    stranger = grpc.ssl_channel_credentials(roots, (pki / "stranger.key").read_bytes(), (pki / "stranger.pem").read_bytes())
    expired = grpc.ssl_channel_credentials(roots, (pki / "expired.key").read_bytes(), (pki / "expired.pem").read_bytes())
    assert await status(Dial(None, shop)) is grpc.StatusCode.UNAVAILABLE
    assert await status(Dial(stranger, shop)) is grpc.StatusCode.UNAVAILABLE
    assert await status(Dial(expired, shop)) is grpc.StatusCode.UNAVAILABLE
    assert await status(Dial(credentials)) is grpc.StatusCode.UNAUTHENTICATED
    assert await status(Dial(credentials, "trv_guessed")) is grpc.StatusCode.UNAUTHENTICATED
    assert await status(Dial(credentials, shop), tenant="globex") is grpc.StatusCode.PERMISSION_DENIED
    async with channel(at.cloud, Dial(credentials, shop)) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(services_pb2_grpc.TierStub, opened).Generate(journey_pb2.Work(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_nothing_said_holds_a_secret_or_a_restricted_text(mesh: Locked) -> None:
    """Logs, metrics and spans of every part, after all of the above and a backend that refuses the key."""
    await http(f"{mesh.local.addresses.cloud_url}/control", {"fault": "unauthorized", "count": 3})
    for _ in range(2):
        await mesh.grpc.complete(mesh.asking("Translate into French: good morning", endpoint="/frontier"), timeout_s=30)
    said = await mesh.everything_said()
    assert {f"{part} /metrics" for part in PARTS} <= said.keys()
    assert {f"trivium-{part} spans" for part in PARTS} <= said.keys()
    assert len(said["trivium-router spans"]) > 10_000
    for name, secret in mesh.secrets.items():
        assert not list(sightings(said, secret)), name
    assert not list(sightings(said, CANARY))
    assert 'trivium_refused_total{door="gateway",key="shop",reason="tenant"}' in said["gateway /metrics"]


async def test_the_watch_would_have_seen_it(mesh: Locked) -> None:
    # But for what the wrong router wrote there itself (it wrote the topic's name beside it).
    for topic in (*lanes(Tier.CLOUD), attempts(Tier.CLOUD)):
        assert [r for r in mesh.watch.holding(topic, CANARY) if b"trivium.work" not in (r.value or b"")] == [], topic
    assert await mesh.reached() == 0
    await mesh.kafka.ask(mesh.asking(f"Translate into French: {CANARY}", endpoint="/frontier"), timeout_ms=30_000)
    assert await mesh.reached() > 0
    await mesh.watch.until(work(Tier.CLOUD, Lane.MAIN), CANARY)
