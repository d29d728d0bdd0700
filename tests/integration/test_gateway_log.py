"""Submit, Await, Cancel and idempotent Complete: the gateway's way through the log, with a router that answers by rote."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.integration.gateway_mesh import PARTITIONS, TIMEOUT, GatewayMesh, asking, gateway_mesh
from trivium.codec import decode_request
from trivium.core.partition import home
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail, end_offsets, read_tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import FEEDBACK, OUTCOMES, REQUESTS, RESPONSES
from trivium.rpc.guard import TRAILER_FIELD, TRAILER_REASON
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2, services_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Rote:
    """Reads what is published, and answers when told to."""

    def __init__(self, mesh: GatewayMesh, producer: Producer) -> None:
        self.seen: list[Delivered] = []
        self.cancels: list[Delivered] = []
        self._more = asyncio.Event()
        self._producer = producer
        self._tails = [Tail(mesh.bootstrap, REQUESTS, self._take), Tail(mesh.bootstrap, OUTCOMES, self._take)]

    async def __aenter__(self) -> "Rote":
        for tail in self._tails:
            tail.start()
            assert await tail.wait_caught_up(10_000)
        return self

    async def __aexit__(self, *_: object) -> None:
        for tail in self._tails:
            await tail.stop()

    async def request(self, name: str) -> Delivered:
        """The record of the request with this id."""
        async with asyncio.timeout(TIMEOUT):
            while not (found := [r for r in self.seen + self.cancels if (r.key or b"").endswith(b"/" + name.encode())]):
                self._more.clear()
                await self._more.wait()
        return found[-1]

    async def answer(self, name: str, text: str, topic: str = RESPONSES, tenant: str = "acme") -> None:
        terminal = outcome_pb2.Terminal(kind="answered", tier="cloud", target="cloud/small")
        terminal.identity.tenant, terminal.identity.id, terminal.answer.text = tenant, name, text
        key = f"{tenant}/{name}"
        headers = (("content-type", b"application/protobuf"), ("replay", b"0"), ("kind", b"answered"))
        record = Record(topic, key.encode(), terminal.SerializeToString(), headers, home(key, PARTITIONS))
        await self._producer.publish(record, 5_000)

    def _take(self, record: Delivered) -> None:
        (self.seen if record.topic == REQUESTS else self.cancels).append(record)
        self._more.set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayMesh]:
    async with gateway_mesh(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rote(mesh: GatewayMesh) -> AsyncIterator[Rote]:
    async with Producer(mesh.bootstrap) as producer, Rote(mesh, producer) as router:
        yield router


def named(name: str, tenant: str = "acme") -> request_pb2.Identity:
    return request_pb2.Identity(tenant=tenant, id=name)


def awaiting(name: str, reply_to: str = "", tenant: str = "acme") -> services_pb2.AwaitRequest:
    return services_pb2.AwaitRequest(identity=named(name, tenant), reply_to=reply_to)


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


async def test_a_submitted_request_is_in_the_log_at_home_with_its_trace(mesh: GatewayMesh, rote: Rote) -> None:
    metadata = (("traceparent", TRACEPARENT),)
    receipt = await mesh.stub.Submit(asking(id="s1", team="desk"), timeout=TIMEOUT, metadata=metadata)
    record = await rote.request("s1")
    assert (receipt.partition, receipt.offset) == (record.partition, record.offset)
    assert record.partition == home("acme/s1", PARTITIONS)
    assert record.key == b"acme/s1"
    assert [value for key, value in record.headers if key == "traceparent"] == [TRACEPARENT.encode()]
    decoded = decode_request(record.value or b"", "application/protobuf")
    assert (decoded.message.team, decoded.message.prompt) == ("desk", "hello")


async def test_what_would_be_refused_is_not_published(mesh: GatewayMesh) -> None:
    error = await refused(mesh.stub.Submit(asking(id="s2", endpoint="/onne"), timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "/one" in (error.details() or "")
    assert set(error.trailing_metadata()) >= {(TRAILER_REASON, "unknown_endpoint")}


async def test_a_terminal_is_awaited_before_and_after_it_came(mesh: GatewayMesh, rote: Rote) -> None:
    waiting = mesh.stub.Await(awaiting("w1"), timeout=TIMEOUT)
    await mesh.stub.Submit(asking(id="w1"), timeout=TIMEOUT)
    await rote.request("w1")
    await rote.answer("w1", "the first")
    assert (await waiting).answer.text == "the first"
    await rote.answer("w1", "a repetition")
    assert (await mesh.stub.Await(awaiting("w1"), timeout=TIMEOUT)).answer.text == "the first"


async def test_a_terminal_of_another_reply_topic_is_found_there(mesh: GatewayMesh, rote: Rote) -> None:
    await rote.answer("w2", "elsewhere", topic="trivium.replies.acme")
    found = await mesh.stub.Await(awaiting("w2", "trivium.replies.acme"), timeout=TIMEOUT)
    assert found.answer.text == "elsewhere"


async def test_a_terminal_from_before_the_start_is_found_in_the_log(
    rote: Rote, mesh: GatewayMesh, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await rote.answer("old", "long ago")
    folder = tmp_path_factory.mktemp("second")
    async with gateway_mesh(folder, broker=mesh.bootstrap) as second:
        assert (await second.stub.Await(awaiting("old"), timeout=TIMEOUT)).answer.text == "long ago"


async def test_an_await_without_a_terminal_says_that_it_goes_on(mesh: GatewayMesh) -> None:
    error = await refused(mesh.stub.Await(awaiting("never"), timeout=0.5))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (awaiting("x", "trivium.replies.globex"), "bad_reply_topic"),
        (awaiting("x", tenant="nobody"), "unknown_tenant"),
        (awaiting(""), "missing_field"),
    ],
)
async def test_a_wrong_await_is_refused(mesh: GatewayMesh, asked: services_pb2.AwaitRequest, reason: str) -> None:
    error = await refused(mesh.stub.Await(asked, timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(error.trailing_metadata()) >= {(TRAILER_REASON, reason)}


async def test_complete_with_an_idempotency_key_goes_through_the_log(mesh: GatewayMesh, rote: Rote) -> None:
    metadata = (("idempotency-key", "k1"),)
    call = mesh.stub.Complete(asking(), timeout=TIMEOUT, metadata=metadata)
    record = await rote.request("k1")
    assert record.topic == REQUESTS
    await rote.answer("k1", "by the log")
    terminal = await call
    assert (terminal.identity.id, terminal.answer.text) == ("k1", "by the log")
    assert mesh.finetuned.works == []
    assert (await mesh.stub.Complete(asking(), timeout=TIMEOUT, metadata=metadata)).answer.text == "by the log"


async def test_a_stream_with_an_idempotency_key_is_one_piece(mesh: GatewayMesh, rote: Rote) -> None:
    call = mesh.stub.CompleteStream(asking(), timeout=TIMEOUT, metadata=(("idempotency-key", "k2"),))
    await rote.request("k2")
    await rote.answer("k2", "whole")
    assert [event.WhichOneof("event") async for event in call] == ["delta", "terminal"]


async def test_a_key_that_is_not_the_id_is_refused(mesh: GatewayMesh) -> None:
    error = await refused(mesh.stub.Complete(asking(id="a"), timeout=TIMEOUT, metadata=(("idempotency-key", "b"),)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cancel_of_what_runs_elsewhere_goes_to_its_home(mesh: GatewayMesh, rote: Rote) -> None:
    reply = await mesh.stub.Cancel(services_pb2.CancelRequest(identity=named("c1")), timeout=TIMEOUT)
    assert reply.state == "requested"
    record = await rote.request("c1")
    assert (record.topic, record.partition) == (OUTCOMES, home("acme/c1", PARTITIONS))
    cancel = journey_pb2.OutcomeRecord.FromString(record.value or b"")
    assert cancel.cancel
    assert (cancel.outcome.identity.tenant, cancel.outcome.identity.id) == ("acme", "c1")


async def test_a_cancel_for_an_unknown_tenant_is_refused(mesh: GatewayMesh) -> None:
    error = await refused(mesh.stub.Cancel(services_pb2.CancelRequest(identity=named("c", "nobody")), timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "nobody" in (error.details() or "")


async def test_feedback_is_in_the_log_when_the_call_returns(mesh: GatewayMesh) -> None:
    said = records_pb2.FeedbackRecord(identity=named("f1"), outcome="resolved", score=0.5)
    receipt = await mesh.stub.Feedback(said, timeout=TIMEOUT)
    assert receipt.identity == named("f1")
    assert receipt.partition == home("acme/f1", PARTITIONS)
    found = [r async for r in read_tail(mesh.bootstrap, FEEDBACK, 0, await end_offsets(mesh.bootstrap, FEEDBACK))]
    record = records_pb2.FeedbackRecord.FromString(found[-1].value or b"")
    assert (found[-1].offset, record.outcome, record.score) == (receipt.offset, "resolved", 0.5)
    assert record.at_ms > 0


@pytest.mark.parametrize(
    ("said", "field", "why"),
    [
        ({"identity": named("f", "nobody"), "outcome": "resolved"}, "tenant", "no tenant 'nobody'"),
        ({"identity": request_pb2.Identity(tenant="acme"), "outcome": "resolved"}, "identity.id", "is missing"),
        ({"identity": named("f"), "outcome": "fine"}, "outcome", "it must be resolved, unresolved or left out"),
        ({"identity": named("f"), "score": 7.0}, "score", "it must be from 0 to 1"),
        ({"identity": named("f"), "correction_micro_dollars": -1}, "correction_micro_dollars", "never negative"),
        ({"identity": named("f"), "corrected_text": "x" * 70_000}, "corrected_text", "at most 65,536"),
        ({"identity": named("f")}, "", "it says nothing"),
    ],
)  # fmt: skip
async def test_wrong_feedback_is_refused(mesh: GatewayMesh, said: dict[str, Any], field: str, why: str) -> None:
    error = await refused(mesh.stub.Feedback(records_pb2.FeedbackRecord(**said), timeout=TIMEOUT))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert why in (error.details() or "")
    assert dict(error.trailing_metadata() or ()).get(TRAILER_FIELD, "") == field


async def test_the_first_terminal_counts_although_only_its_repetition_was_followed(mesh: GatewayMesh, rote: Rote) -> None:
    await mesh.stub.Submit(asking(id="w9"), timeout=TIMEOUT)
    await rote.request("w9")
    await rote.answer("w9", "the first")
    assert (await mesh.stub.Await(awaiting("w9"), timeout=TIMEOUT)).answer.text == "the first"
    await rote.answer("w9", "a repetition")
    await rote.answer("w10", "somebody else's, which the gateway reads after it")
    await mesh.stub.Await(awaiting("w10"), timeout=TIMEOUT)
    assert (await mesh.stub.Await(awaiting("w9"), timeout=TIMEOUT)).answer.text == "the first"
