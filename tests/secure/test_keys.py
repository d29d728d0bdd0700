"""API keys at a gRPC door: which status, said once, counted, and replaced without a restart."""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from trivium.core.errors import BadSetting
from trivium.keys.bucket import Bucket
from trivium.keys.file import KeyFile
from trivium.keys.key import digest_of, new_key
from trivium.keys.once import Once
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.gate import Gate
from trivium.rpc.server import RpcServer, adding
from trivium.telemetry.metrics import Metrics
from trivium.v1 import journey_pb2, outcome_pb2, request_pb2, services_pb2, services_pb2_grpc

SHOP, SLOW, OLD, MESH, FREE = (new_key() for _ in range(5))
FILE = f"""
keys:
  - {{name: shop, sha256: "{digest_of(SHOP).hex()}", tenant: acme, team: support, endpoints: [/classify, classify_ticket], targets: [finetuned/tickets]}}
  - {{name: slow, sha256: "{digest_of(SLOW).hex()}", tenant: acme, rate: {{per_second: 0.5, burst: 2}}}}
  - {{name: old, sha256: "{digest_of(OLD).hex()}", tenant: acme, expires: 2020-01-01}}
  - {{name: mesh, sha256: "{digest_of(MESH).hex()}", tenant: "*", doors: [tier, retrieval]}}
  - {{name: free, sha256: "{digest_of(FREE).hex()}", tenant: acme}}
"""


class Gateway(services_pb2_grpc.GatewayServicer):
    """Says back as whom a request came in."""

    async def Complete(self, message: request_pb2.Request, context: Any) -> outcome_pb2.Terminal:
        return outcome_pb2.Terminal(task_type=f"{message.tenant}/{message.team}")

    async def CompleteStream(self, message: request_pb2.Request, context: Any) -> AsyncIterator[services_pb2.CompletionEvent]:
        yield services_pb2.CompletionEvent(delta=message.tenant)

    async def Await(self, asked: services_pb2.AwaitRequest, context: Any) -> outcome_pb2.Terminal:
        return outcome_pb2.Terminal(task_type=asked.identity.tenant)


class Tier(services_pb2_grpc.TierServicer):
    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        return outcome_pb2.Outcome(target=work.target.name)


class Retrieval(services_pb2_grpc.RetrievalServicer):
    async def Ingest(self, documents: AsyncIterator[Any], context: Any) -> AsyncIterator[services_pb2.IngestReply]:
        async for document in documents:
            yield services_pb2.IngestReply(document=document.tenant)


class Door:
    """A server behind a gate."""

    def __init__(self, path: Path) -> None:
        self.path, self.metrics, self.now = path, Metrics(), 100.0
        path.write_text(FILE)
        self.gate = Gate(KeyFile(str(path)), self.metrics, lambda: self.now)
        self.address = ""

    async def asked(self, key: str, name: str = "Complete", message: Any = None, scheme: str = "Bearer") -> tuple[str, str]:
        """The status with the reason and details; or OK with what the handler saw."""
        message = message or request_pb2.Request(tenant="acme", endpoint="/classify")
        metadata = (("authorization", f"{scheme} {key}"),) if key else ()
        async with channel(self.address) as opened:
            try:
                reply = await getattr(stub(services_pb2_grpc.GatewayStub, opened), name)(message, timeout=5, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                self.trailer = dict(error.trailing_metadata() or ())
                return f"{error.code().name} {self.trailer.get('trivium-reason')}", str(error.details())
            return "OK", reply.task_type

    def counted(self) -> Mapping[tuple[str, str, str], float]:
        return {
            (s.labels["door"], s.labels["reason"], s.labels["key"]): s.value
            for family in self.metrics.registry.collect()
            for s in family.samples
            if s.name == "trivium_refused_total"
        }


@asynccontextmanager
async def opened_door(path: Path) -> AsyncIterator[Door]:
    door = Door(path)
    add = adding(
        (services_pb2_grpc.add_GatewayServicer_to_server, Gateway()),
        (services_pb2_grpc.add_TierServicer_to_server, Tier()),
        (services_pb2_grpc.add_RetrievalServicer_to_server, Retrieval()),
    )
    async with RpcServer(add, notice_ms=0, drain_ms=100, gate=door.gate) as server:
        door.address = f"127.0.0.1:{server.port}"
        yield door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened_door(tmp_path / "keys.yaml") as opened:
        yield opened


Request = request_pb2.Request


@pytest.mark.parametrize(
    ("key", "message", "status"),
    [
        ("", None, "UNAUTHENTICATED no_key"),
        (new_key(), None, "UNAUTHENTICATED wrong_key"),
        (OLD, None, "UNAUTHENTICATED expired_key"),
        (MESH, None, "PERMISSION_DENIED door"),
        (SHOP, Request(tenant="globex", endpoint="/classify"), "PERMISSION_DENIED tenant"),
        (SHOP, Request(tenant="acme", team="sales", endpoint="/classify"), "PERMISSION_DENIED team"),
        (SHOP, Request(tenant="acme", endpoint="/draft"), "PERMISSION_DENIED endpoint"),
        (SHOP, Request(tenant="acme", endpoint="/classify", task_type="draft_reply"), "PERMISSION_DENIED endpoint"),
        (SHOP, Request(tenant="acme", target="finetuned/tickets"), "PERMISSION_DENIED endpoint"),
        (SHOP, Request(tenant="acme", endpoint="/classify", target="cloud/frontier"), "PERMISSION_DENIED target"),
        (SHOP, services_pb2.AwaitRequest(identity={"tenant": "globex", "id": "1"}), "PERMISSION_DENIED tenant"),
    ],
    ids=lambda what: what.replace(" ", "-") if isinstance(what, str) and what[:1].isupper() else "",
)
async def test_who_may_not_is_told_why(
    door: Door, caplog: pytest.LogCaptureFixture, key: str, message: Any, status: str
) -> None:
    name = "Await" if isinstance(message, services_pb2.AwaitRequest) else "Complete"
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            said, details = await door.asked(key, name, message)
            assert said == status, details
    (line,) = [r.getMessage() for r in caplog.records if r.name == "trivium.rpc.gate"]
    assert status.split()[1] in line
    assert not key or key not in line + details
    ((door_name, reason, _), times) = next(iter(door.counted().items()))
    assert (door_name, reason, times) == ("gateway", status.split()[1], 3.0)


async def test_what_a_key_is_bound_to_is_filled_in(door: Door) -> None:
    assert await door.asked(SHOP, message=Request(endpoint="/classify")) == ("OK", "acme/support")
    assert await door.asked(SHOP, message=Request(tenant="acme", task_type="classify_ticket")) == ("OK", "acme/support")
    assert await door.asked(FREE, scheme="bearer", message=Request(target="cloud/frontier", team="x")) == ("OK", "acme/x")
    assert await door.asked(SHOP, "Await", services_pb2.AwaitRequest(identity={"id": "1"})) == ("OK", "acme")
    assert door.counted() == {}


async def test_over_the_rate_is_told_when_to_come_back(door: Door) -> None:
    assert [(await door.asked(SLOW))[0] for _ in range(3)] == ["OK", "OK", "RESOURCE_EXHAUSTED rate"]
    assert door.trailer["retry-after"] == "2"
    door.now += 2.0
    assert [(await door.asked(SLOW))[0] for _ in range(2)] == ["OK", "RESOURCE_EXHAUSTED rate"]
    assert (await door.asked(FREE))[0] == "OK", "the rate is a key's own"


async def test_streams_and_the_doors_of_the_tiers_are_locked_too(door: Door) -> None:
    async with channel(door.address) as opened:
        streamed = stub(services_pb2_grpc.GatewayStub, opened).CompleteStream(Request(), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await streamed.read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    async with channel(door.address, Dial(key=FREE)) as opened:
        event = await stub(services_pb2_grpc.GatewayStub, opened).CompleteStream(Request(), timeout=5).read()
        assert event.delta == "acme"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(services_pb2_grpc.TierStub, opened).Generate(journey_pb2.Work(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    async with channel(door.address, Dial(key=MESH)) as opened:
        work = journey_pb2.Work(request={"tenant": "globex"}, target={"name": "cloud/small"})
        assert (await stub(services_pb2_grpc.TierStub, opened).Generate(work, timeout=5)).target == "cloud/small"


async def test_every_message_of_a_callers_stream_is_looked_at(door: Door) -> None:
    mine = new_key()
    door.path.write_text(FILE + f'  - {{name: docs, sha256: "{digest_of(mine).hex()}", tenant: acme, doors: [retrieval]}}\n')
    door.gate.refresh()

    async def documents() -> AsyncIterator[services_pb2.IngestRequest]:
        yield services_pb2.IngestRequest(document="a")
        yield services_pb2.IngestRequest(tenant="globex", document="b")

    async with channel(door.address, Dial(key=mine)) as opened:
        call = stub(services_pb2_grpc.RetrievalStub, opened).Ingest(documents(), timeout=5)
        assert (await call.read()).document == "acme"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert door.counted() == {("retrieval", "tenant", "docs"): 1.0}


async def test_keys_are_rotated_without_a_restart(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    fresh = new_key()
    door.path.write_text(FILE + f'  - {{name: free-2, sha256: "{digest_of(fresh).hex()}", tenant: acme}}\n')
    door.gate.refresh()
    assert [(await door.asked(key))[0] for key in (FREE, fresh)] == ["OK", "OK"]
    door.path.write_text(f'keys: [{{name: free-2, sha256: "{digest_of(fresh).hex()}", tenant: acme}}]')
    door.gate.refresh()
    assert [(await door.asked(key))[0] for key in (FREE, fresh)] == ["UNAUTHENTICATED wrong_key", "OK"]
    door.path.write_text("keys: [{name: broken}]")
    door.gate.refresh()
    assert (await door.asked(fresh))[0] == "OK"
    assert "the old keys stay in force: keys.yaml:1: keys[0].sha256: is missing" in caplog.text
    os.remove(door.path)
    door.gate.refresh()
    assert (await door.asked(fresh))[0] == "OK"


def test_the_keys_may_stand_in_the_environment() -> None:
    assert KeyFile(FILE).current.find(FREE) is not None
    with pytest.raises(BadSetting, match="TRIVIUM_KEYS: nowhere.yaml cannot be read"):
        KeyFile("nowhere.yaml")
    with pytest.raises(BadSetting) as caught:
        KeyFile(FILE.replace(digest_of(SHOP).hex(), SHOP))
    assert "keys[0].sha256: must be 64 hexadecimal digits" in str(caught.value)
    assert SHOP not in str(caught.value)


def test_a_bucket_fills_at_its_rate_and_never_above_its_burst() -> None:
    bucket = Bucket(2.0, 3)
    assert [bucket.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(10.5) == 0.0
    assert [bucket.take(99.0) for _ in range(4)][:3] == [0.0, 0.0, 0.0]
    assert bucket.take(99.0) > 0


def test_a_refusal_is_said_once_a_minute_with_how_often_it_happened(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    once = Once(logging.getLogger("t"), lambda: now[0])
    for now[0] in (1.0, 2.0, 60.0, 61.5):
        once.say("shop", "rate", "shop calls too often")
    assert [r.getMessage() for r in caplog.records] == [
        "shop calls too often", "shop calls too often (2 more since this was said last)"
    ]  # fmt: skip
