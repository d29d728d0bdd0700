"""CloudEvents through the whole mesh: asked as an event, answered as one of the same kind."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.integration.mesh.running import RunningMesh, new_id
from tests.integration.mesh.watching import Seen, watching
from trivium.codec import decode_terminal
from trivium.core.outcome import ReasonCode, TerminalKind
from trivium.kafka.producer import Producer
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import REQUESTS, RESPONSES
from trivium.v1 import request_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def replies(mesh: RunningMesh) -> AsyncIterator[Seen]:
    async with watching(mesh, RESPONSES) as seen:
        yield seen


async def ask(mesh: RunningMesh, replies: Seen, request_id: str, sent: KafkaMessage) -> Delivered:
    key = f"acme/{request_id}".encode()
    async with Producer(mesh.local.addresses.kafka) as producer:
        await producer.publish(Record(REQUESTS, key, sent.value, tuple(sent.headers.items())), 5_000)
    return await replies.until(lambda record: record.key == key)


def event(request_id: str, data_type: str, kind: str = "trivium.request.v1") -> CloudEvent:
    fields = {"tenant": "acme", "id": request_id, "endpoint": "/classify", "prompt": "Where is my order?"}
    data = fields if data_type == "application/json" else request_pb2.Request(**fields).SerializeToString()
    return CloudEvent({"id": "e1", "source": "/shop", "type": kind, "datacontenttype": data_type}, data)


def opened(reply: Delivered) -> CloudEvent:
    return from_kafka_event(KafkaMessage(dict(reply.headers), reply.key, reply.value or b""))


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("data_type", ["application/json", "application/protobuf"])
async def test_an_event_is_answered_by_an_event_of_its_kind(
    mesh: RunningMesh, replies: Seen, mode: str, data_type: str
) -> None:
    request_id = new_id()
    write = to_binary_event if mode == "binary" else to_structured_event
    reply = await ask(mesh, replies, request_id, write(event(request_id, data_type)))
    stated = (reply.header("content-type") or b"").decode()
    assert stated.startswith("application/cloudevents+json") == (mode == "structured")
    answer = opened(reply)
    assert (answer.get_type(), answer.get_subject()) == ("trivium.terminal.v1", f"acme/{request_id}")
    assert answer.get_datacontenttype() == data_type
    terminal = decode_terminal(reply.value or b"", stated)
    assert (terminal.kind, terminal.identity.id) == (TerminalKind.ANSWERED, request_id)
    assert terminal.answer is not None
    assert terminal.answer.text == "shipping"
    data = answer.get_data()
    assert decode_terminal(json.dumps(data).encode() if isinstance(data, dict) else bytes(data), data_type) == terminal


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
async def test_an_event_of_another_type_is_refused_and_put_aside(
    mesh: RunningMesh, replies: Seen, write: Callable[[CloudEvent], KafkaMessage]
) -> None:
    request_id = new_id()
    reply = await ask(mesh, replies, request_id, write(event(request_id, "application/json", "com.example.order")))
    assert opened(reply).get_type() == "trivium.terminal.v1"
    terminal = decode_terminal(reply.value or b"", (reply.header("content-type") or b"").decode())
    assert terminal.kind is TerminalKind.REFUSED
    assert terminal.reason is not None
    assert (terminal.reason.code, terminal.reason.hint) == (ReasonCode.UNKNOWN_WORD, "trivium.request.v1")
    letter = await mesh.letters.until(lambda letter: letter.identity.id == request_id)
    assert (letter.reason.code, letter.topic) == ("unknown_word", REQUESTS)


async def test_an_event_that_cannot_be_opened_is_put_aside(mesh: RunningMesh) -> None:
    name = new_id()
    async with Producer(mesh.local.addresses.kafka) as producer:
        headers = (("content-type", b"application/cloudevents-batch+json"),)
        await producer.publish(Record(REQUESTS, b"", f'["{name}"]'.encode(), headers), 5_000)
    letter = await mesh.letters.until(lambda letter: name.encode() in letter.value)
    assert (letter.reason.code, letter.reason.field) == ("undecodable", "content-type")
    assert "one event a record" in letter.reason.hint


async def test_headers_without_a_value_are_empty_ones(mesh: RunningMesh) -> None:
    """Kafka allows them. What cannot be read is put aside with all of its headers, and the next record is carried."""
    name = new_id()
    producer = AIOKafkaProducer(bootstrap_servers=mesh.local.addresses.kafka)
    await producer.start()
    try:
        headers = [("ce_id", None), ("content-type", b"application/json"), ("traceparent", None)]
        await producer.send_and_wait(REQUESTS, f"{name} is no JSON".encode(), headers=headers)
    finally:
        await producer.stop()
    letter = await mesh.letters.until(lambda letter: name.encode() in letter.value)
    assert (letter.reason.code, letter.reason.field) == ("missing_field", "ce_specversion")
    assert dict(letter.headers) == {"ce_id": "", "content-type": "application/json", "traceparent": ""}
    assert (await mesh.by_kafka(prompt="Where is my order?", endpoint="/classify")).kind is TerminalKind.ANSWERED
