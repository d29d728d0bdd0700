"""CloudEvents as the project's own SDK makes and reads them, and as careless producers do."""

import base64
import json
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from streams.inbox import read_request
from trivium.codec import CONTENT_TYPES, decode_terminal, encode_terminal, event_headers, form_of
from trivium.core.errors import Undecodable
from trivium.core.outcome import Answer, ReasonCode, Terminal, TerminalKind
from trivium.core.request import Identity
from trivium.core.slip import ContentType
from trivium.kafka.record import Delivered
from trivium.v1 import request_pb2

BODY = {"tenant": "acme", "id": "q1", "endpoint": "/auto", "prompt": "Where is my order?"}
PROTOBUF = request_pb2.Request(**BODY).SerializeToString()
ENVELOPE = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "trivium.request.v1"}
TERMINAL = Terminal(Identity("acme", "q1"), TerminalKind.ANSWERED, Answer("shipping"), ended_ms=1_700_000_000_123)

FORMS = {
    ("binary", "application/protobuf"): ContentType.BINARY_EVENT,
    ("binary", "application/json"): ContentType.BINARY_EVENT_JSON,
    ("structured", "application/protobuf"): ContentType.STRUCTURED_EVENT,
    ("structured", "application/json"): ContentType.STRUCTURED_EVENT_JSON,
}


def delivered(value: bytes, **headers: str) -> Delivered:
    pairs = tuple((name.replace("content_type", "content-type"), text.encode()) for name, text in headers.items())
    return Delivered("trivium.requests", 0, 0, 0, b"acme/q1", value, pairs)


def structured(**fields: Any) -> Delivered:
    event = {name: value for name, value in (ENVELOPE | fields).items() if value is not None}
    return delivered(json.dumps(event).encode(), content_type="application/cloudevents+json; charset=UTF-8")


def binary(value: bytes, content_type: str = "application/json", **attributes: str | None) -> Delivered:
    named = {f"ce_{name}": text for name, text in (ENVELOPE | attributes).items() if text is not None}
    return delivered(value, content_type=content_type, **named)


@pytest.mark.parametrize(("mode", "data_type"), FORMS)
def test_a_request_of_the_sdk_is_read(mode: str, data_type: str) -> None:
    attributes = {"id": "e1", "source": "/shop", "type": "trivium.request.v1", "datacontenttype": data_type}
    event = CloudEvent(attributes, BODY if data_type.endswith("json") else PROTOBUF)
    sent = (to_binary_event if mode == "binary" else to_structured_event)(event)
    came = read_request(Delivered("trivium.requests", 0, 0, 0, b"acme/q1", sent.value, tuple(sent.headers.items())))
    assert (came.wrong, came.content_type) == (None, FORMS[mode, data_type])
    assert came.message == request_pb2.Request(**BODY)


@pytest.mark.parametrize("form", FORMS.values())
def test_the_sdk_reads_a_terminal(form: ContentType) -> None:
    value = encode_terminal(TERMINAL, form)
    is_binary = form in (ContentType.BINARY_EVENT, ContentType.BINARY_EVENT_JSON)
    headers = (("content-type", CONTENT_TYPES[form]), *(event_headers(TERMINAL) if is_binary else ()))
    event = from_kafka_event(KafkaMessage(dict(headers), b"acme/q1", value))
    assert (event.get_type(), event.get_source(), event.get_subject()) == ("trivium.terminal.v1", "trivium", "acme/q1")
    assert event.get_id() == "acme/q1/0"
    assert event.get_time().isoformat() == "2023-11-14T22:13:20.123000+00:00"
    data = event.get_data()
    plain = json.dumps(data).encode() if isinstance(data, dict) else bytes(data)
    assert decode_terminal(plain, event.get_datacontenttype()) == TERMINAL
    assert decode_terminal(value, CONTENT_TYPES[form].decode()) == TERMINAL
    assert form_of(value, headers) is form


def test_the_same_body_is_the_same_request_in_every_form() -> None:
    text = json.dumps(BODY).encode()
    records = [
        delivered(text, content_type="application/json"), delivered(PROTOBUF, content_type="application/protobuf"),
        binary(text), binary(PROTOBUF, "application/protobuf"), structured(data=BODY),
        structured(datacontenttype="application/protobuf", data_base64=base64.b64encode(PROTOBUF).decode()),
    ]  # fmt: skip
    assert len({read_request(record).body_hash for record in records}) == 1


def test_an_event_without_an_id_in_its_data_gives_its_own() -> None:
    nameless = {name: value for name, value in BODY.items() if name != "id"}
    for record in (binary(json.dumps(nameless).encode()), structured(data=nameless)):
        assert read_request(record).identity == Identity("acme", "e1")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"specversion": None}, ReasonCode.MISSING_FIELD, "specversion"),
        ({"specversion": "0.3"}, ReasonCode.UNKNOWN_WORD, "specversion"),
        ({"source": None}, ReasonCode.MISSING_FIELD, "source"),
        ({"id": None}, ReasonCode.MISSING_FIELD, "id"),
        ({"type": None}, ReasonCode.MISSING_FIELD, "type"),
        ({"type": "com.example.order"}, ReasonCode.UNKNOWN_WORD, "type"),
    ],
)
def test_a_bad_envelope_around_a_readable_request_is_told_to_who_asked(
    change: dict[str, str | None], code: ReasonCode, field: str
) -> None:
    for record, where in ((binary(json.dumps(BODY).encode(), **change), f"ce_{field}"), (structured(data=BODY, **change), field)):
        came = read_request(record)
        assert came.identity == Identity("acme", "q1")
        assert came.message is None
        assert came.wrong is not None
        assert (came.wrong.code, came.wrong.field) == (code, where)
        assert came.content_type in FORMS.values()


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (binary(b"\x00", "application/avro"), "content-type"),
        (structured(data=BODY, datacontenttype="text/xml"), "datacontenttype"),
        (structured(data=BODY, datacontenttype=7), "datacontenttype"),
        (structured(), "data"),
        (structured(data="a text"), "value"),
        (structured(datacontenttype="application/protobuf", data=BODY), "data_base64"),
        (structured(datacontenttype="application/protobuf", data_base64="?"), "data_base64"),
        (delivered(b"[]", content_type="application/cloudevents-batch+json"), "content-type"),
        (delivered(b"{}", content_type="application/cloudevents+avro"), "content-type"),
        (delivered(b"[]", content_type="application/cloudevents+json"), "value"),
        (delivered(b"{", content_type="application/cloudevents+json"), "value"),
        (binary(b"", "application/json", specversion=None), "ce_specversion"),
    ],
)
def test_an_event_whose_data_cannot_be_reached_says_where(record: Delivered, field: str) -> None:
    with pytest.raises(Undecodable) as error:
        read_request(record)
    assert error.value.reason.field == field
    assert error.value.reason.hint
