"""The wire: core -> protobuf -> core is the identity, and fields of a newer writer survive."""

import json
from dataclasses import replace

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium import codec
from trivium.core import decision, outcome, policy, request, slip
from trivium.core.errors import BadRequest, Undecodable
from trivium.core.outcome import ReasonCode
from trivium.v1 import journey_pb2, outcome_pb2, records_pb2, request_pb2

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.integers(0, 2**31 - 1)
ratio = st.floats(0, 1)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)

for kind in (words, names):
    st.register_type_strategy(str, kind)
st.register_type_strategy(int, number)
st.register_type_strategy(float, ratio)
st.register_type_strategy(bytes, st.just(b""))

identities = st.builds(request.Identity, names, names, st.integers(0, 9))
usages = st.builds(outcome.Usage, *[number] * 7)
answers = st.builds(outcome.Answer)
outcomes = st.builds(outcome.Outcome, identity=identities, usage=usages, result=st.one_of(answers, st.builds(outcome.Fault)))
targets = st.builds(policy.Target, generator=st.none() | st.builds(policy.Target, generator=st.none()))
legs = st.builds(policy.Leg, targets, st.none() | ratio)
requests = st.builds(request.Request, identity=identities)
journeys = st.builds(
    slip.Journey,
    request=requests,
    task=st.builds(policy.TaskSpec),
    route=st.lists(legs, max_size=3).map(tuple),
    decision=st.builds(decision.Decision),
    earlier=st.none() | outcomes,
)
terminals = st.builds(outcome.Terminal, identity=identities, usage=usages)


@settings(max_examples=60, deadline=None)
@given(requests)
def test_a_request_comes_back_as_it_was(value: request.Request) -> None:
    assert codec.request_from(request_pb2.Request.FromString(codec.request_to(value).SerializeToString())) == value


@settings(max_examples=60, deadline=None)
@given(outcomes)
def test_an_outcome_comes_back_as_it_was(value: outcome.Outcome) -> None:
    assert codec.outcome_from(outcome_pb2.Outcome.FromString(codec.outcome_to(value).SerializeToString())) == value


@settings(max_examples=60, deadline=None)
@given(journeys)
def test_a_journey_comes_back_as_it_was(value: slip.Journey) -> None:
    asked, carried = codec.journey_to(value)
    wire = carried.SerializeToString()
    assert codec.journey_from(asked, journey_pb2.Slip.FromString(wire)) == value


@settings(max_examples=60, deadline=None)
@given(terminals, st.sampled_from(slip.ContentType))
def test_a_terminal_is_read_in_the_form_it_was_asked_in(value: outcome.Terminal, kind: slip.ContentType) -> None:
    assert codec.decode_terminal(codec.encode_terminal(value, kind), kind.value) == value


def newer(full_name: str) -> type:
    """The message as a later version writes it: with a string field 1999."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="newer.proto", package="newer", syntax="proto3")
    message = file.message_type.add(name=full_name)
    message.field.add(name="added_later", number=1999, type=9, label=1)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"newer.{full_name}"))


def test_what_a_newer_writer_added_survives_the_round_trip() -> None:
    later = newer("Slip")(added_later="keep me").SerializeToString()
    asked = request_pb2.Request.FromString(
        request_pb2.Request(tenant="a", id="1", prompt="x").SerializeToString() + later
    )
    carried = journey_pb2.Slip.FromString(journey_pb2.Slip(task_type="t").SerializeToString() + later)
    asked_again, carried_again = codec.journey_to(codec.journey_from(asked, carried))
    assert later in asked_again.SerializeToString()
    assert later in carried_again.SerializeToString()


def test_the_same_body_has_the_same_hash_in_json_and_protobuf() -> None:
    message = request_pb2.Request(tenant="a", id="1", prompt="héllo", timeout_ms=5, tags=["x"])
    text = json.dumps({"tenant": "a", "id": "1", "prompt": "héllo", "timeout_ms": 5, "tags": ["x"]}).encode()
    one = codec.decode_request(message.SerializeToString(), "application/protobuf")
    other = codec.decode_request(text, "application/json; charset=utf-8")
    assert one.body_hash == other.body_hash
    assert codec.decode_request(text, None).content_type is slip.ContentType.JSON


@pytest.mark.parametrize(
    ("value", "content_type"),
    [(b"\xff\xfe\x00", None), (b"{", None), (b"[1]", "application/json"), (b"{}", None), (b"x", "text/plain"), (b"", None),
     (b'{"tenant":"a","id":"' + b"i" * 300 + b'"}', None), (b"[" * 100_000, "application/json"), (b'"\xff"', "application/json")],
)  # fmt: skip
def test_without_an_identity_nobody_can_be_answered(value: bytes, content_type: str | None) -> None:
    with pytest.raises(Undecodable) as raised:
        codec.decode_request(value, content_type)
    assert raised.value.reason.message
    assert raised.value.reason.hint


def test_a_wrong_field_names_itself_and_what_was_meant() -> None:
    with pytest.raises(BadRequest) as raised:
        codec.decode_request(b'{"tenant":"a","id":"1","promt":"x"}', None)
    assert raised.value.identity == request.Identity("a", "1")
    assert (raised.value.reason.code, raised.value.reason.field) == (ReasonCode.WRONG_SHAPE, "promt")
    assert raised.value.reason.hint == "did you mean prompt?"


def test_an_unknown_word_is_refused_with_the_words_that_exist() -> None:
    message = request_pb2.Request(tenant="a", id="1", prompt="x", sensitivity="secret")
    with pytest.raises(BadRequest) as raised:
        codec.request_from(message)
    assert raised.value.reason.code is ReasonCode.UNKNOWN_WORD
    assert raised.value.reason.hint == "one of public, internal, restricted"
    assert raised.value.identity == request.Identity("a", "1")


@settings(max_examples=60, deadline=None)
@given(journeys, targets, number)
def test_a_work_record_put_together_from_its_parts_is_the_same_message(
    value: slip.Journey, target: policy.Target, attempt: int
) -> None:
    call = slip.Call(value, slip.Work(value.request, attempt, target, value.task, 1_700_000_000_000))
    asked = codec.request_to(value.request)
    wire = codec.work_wire(call, asked.SerializeToString())
    assert journey_pb2.Work.FromString(wire) == codec.call_to_work(call, asked)


@settings(max_examples=60, deadline=None)
@given(journeys, terminals, st.none() | answers)
def test_a_ledger_record_put_together_from_its_parts_is_the_same_message(
    value: slip.Journey, terminal: outcome.Terminal, answer: outcome.Answer | None
) -> None:
    ended = replace(terminal, answer=answer)
    end = slip.End(ended, value.decision, value.request, "", slip.ContentType.PROTOBUF)
    wire = codec.ledger_wire(end, "kafka", codec.terminal_to(ended))
    assert records_pb2.LedgerRecord.FromString(wire) == codec.ledger_record(end, "kafka")
