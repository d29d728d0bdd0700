"""Idempotency keys over gRPC: two gateways and a restart, with a router that answers by rote."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.gateway.keys import KEPT_MS, Keys
from tests.integration.gateway_mesh import PARTITIONS, TIMEOUT, GatewayMesh, asking, gateway_mesh
from tests.integration.test_gateway_log import Rote, refused
from trivium.core.request import Identity
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, end_offsets
from trivium.kafka.record import Delivered
from trivium.kafka.topics import REQUESTS
from trivium.rpc.guard import TRAILER_REASON
from trivium.v1 import records_pb2


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[GatewayMesh, GatewayMesh, Rote]]:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with (
        gateway_mesh(tmp_path / "one") as one,
        gateway_mesh(tmp_path / "other", broker=one.bootstrap) as other,
        Producer(one.bootstrap) as producer,
        Rote(one, producer) as rote,
    ):
        yield one, other, rote


async def requests_in(bootstrap: str) -> int:
    """How many requests the log has."""
    return sum((await end_offsets(bootstrap, REQUESTS)).values())


def complete(mesh: GatewayMesh, key: str, text: str = "hello") -> Any:
    return mesh.stub.Complete(asking(text), timeout=TIMEOUT, metadata=(("idempotency-key", key),))


async def test_a_key_joins_or_returns_the_same_terminal_in_every_gateway_and_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(tmp_path) as (one, other, rote):
        first, joined = complete(one, "k1"), complete(other, "k1")
        await rote.request("k1")
        wrong = await refused(complete(other, "k1", "something else"))
        assert wrong.code() is grpc.StatusCode.ALREADY_EXISTS
        assert (TRAILER_REASON, "id_reused") in set(wrong.trailing_metadata())
        await rote.answer("k1", "once")
        assert [(await call).answer.text for call in (first, joined)] == ["once", "once"]
        published = await requests_in(one.bootstrap)
        assert (await complete(one, "k1")).answer.text == "once"
        # Long after: no router knows it any more.
        monkeypatch.setattr("services.gateway.keys.FRESH_MS", -1)
        (tmp_path / "third").mkdir()
        async with gateway_mesh(tmp_path / "third", broker=one.bootstrap) as restarted:
            assert (await complete(restarted, "k1")).answer.text == "once"
            assert (await refused(complete(restarted, "k1", "else"))).code() is grpc.StatusCode.ALREADY_EXISTS
        assert await requests_in(one.bootstrap) == published


async def test_a_key_whose_gateway_died_before_it_published_is_published_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.keys.FRESH_MS", -1)
    async with two(tmp_path) as (one, other, rote):

        async def dies(*_: object) -> None:
            raise RuntimeError("the process is gone")

        with monkeypatch.context() as dying:
            dying.setattr("services.gateway.log.Log.submit", dies)
            await refused(complete(one, "k1"))
        assert rote.seen == []
        call = complete(other, "k1")
        await rote.request("k1")
        await rote.answer("k1", "all the same")
        assert (await call).answer.text == "all the same"
        assert len(rote.seen) == 1


async def test_a_bad_request_uses_no_key_up(tmp_path: Path) -> None:
    async with gateway_mesh(tmp_path) as mesh, Producer(mesh.bootstrap) as producer, Rote(mesh, producer) as rote:
        error = await refused(mesh.stub.Complete(asking(endpoint="/nowhere"), timeout=TIMEOUT, metadata=(("idempotency-key", "k"),)))
        assert (TRAILER_REASON, "unknown_endpoint") in set(error.trailing_metadata())
        call = complete(mesh, "k")
        await rote.request("k")
        await rote.answer("k", "right")
        assert (await call).answer.text == "right"


@pytest.fixture
async def told() -> AsyncIterator[tuple[Keys, Callable[[str, str, int], None]]]:
    offsets = iter(range(100))

    async with Keys("nowhere:1", Producer("nowhere:1"), PARTITIONS, ReaderOptions()) as keys:

        def tell(name: str, body: str, at_ms: int) -> None:
            message = records_pb2.IdempotencyRecord(body_hash=body)
            message.identity.tenant, message.identity.id = "acme", name
            keys.take(Delivered("trivium.idempotency", 0, next(offsets), at_ms, b"", message.SerializeToString(), ()))

        yield keys, tell


async def test_the_first_body_holds_for_a_day_and_its_request_may_be_submitted_again(told: Any) -> None:
    keys, tell = told
    tell("a", "one", 1_000)
    tell("a", "other", 2_000)
    tell("a", "one", 3_000)
    key = keys.find(Identity("acme", "a"))
    assert (key.body_hash, key.first_ms, key.since_ms) == ("one", 1_000, 3_000)
    assert keys.find(Identity("globex", "a")) is keys.find(Identity("acme", "a", 1)) is None
    tell("a", "other", 1_000 + KEPT_MS)
    assert keys.find(Identity("acme", "a")).body_hash == "other"


async def test_keys_are_forgotten_after_a_day_at_least_and_two_at_most(told: Any) -> None:
    keys, tell = told
    for name, at_ms in (("a", KEPT_MS), ("b", 2 * KEPT_MS - 1), ("c", 2 * KEPT_MS), ("d", 3 * KEPT_MS)):
        tell(name, "x", at_ms)
    assert [name for name in "abcd" if keys.find(Identity("acme", name)) is not None] == ["c", "d"]
