"""What no broker would take: work goes on with the fault, answers become failures that keep their cost."""

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from streams.effects import MARGIN_BYTES, EffectOptions, Effects, TooLarge
from streams.refused import Replacements
from trivium.codec import decode_terminal, form_of, request_to
from trivium.core.journey import advance, begin
from trivium.core.outcome import Answer, Outcome, ReasonCode, TerminalKind
from trivium.core.policy import Leg, Policy, Target, TaskSpec, TaskType, Tenant, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Arrival, Call, ContentType, End, Facts
from trivium.facts import FactSource
from trivium.kafka.record import Record
from trivium.kafka.topics import DEADLETTER, LEDGER, REQUESTS, RESPONSES, work
from trivium.v1 import records_pb2, request_pb2

SMALL = Target("finetuned/small", Tier.FINETUNED, "m", context_window=10_000_000)
LARGE = Target("cloud/large", Tier.CLOUD, "c", context_window=10_000_000)
ROUTE = (Leg(SMALL), Leg(LARGE))
POLICY = Policy(
    1, "f", {t.name: t for t in (SMALL, LARGE)}, {}, {"draft": TaskType(TaskSpec("draft"), ROUTE)},
    {"acme": Tenant("acme", (RESPONSES,))}, ROUTE, ROUTE, TaskSpec("novel"),
)  # fmt: skip
LIMIT = MARGIN_BYTES + 20_000


class Fixed:
    """A policy that stays."""

    current = POLICY


@pytest.fixture
def effects() -> Effects:
    return Effects(EffectOptions(4, LIMIT), lambda _end: None)


def called(prompt: str) -> Call:
    request = Request(Identity("acme", "1"), (Message(Role.USER, prompt),), task_type="draft")
    call = begin(request, POLICY, Facts(1_000), Arrival())
    assert isinstance(call, Call)
    return call


def ended(answer: str, kind: ContentType) -> End:
    request = Request(Identity("acme", "1"), (Message(Role.USER, "hello"),), task_type="draft")
    call = begin(request, POLICY, Facts(1_000), Arrival(kind))
    assert isinstance(call, Call)
    end = advance(call.journey, Outcome(request.identity, 1, SMALL.name, Answer(answer), cost_micro_dollars=7), POLICY, Facts(2_000))
    assert isinstance(end, End)
    return end


def test_work_that_leaves_no_room_for_its_outcome_is_not_sent(effects: Effects) -> None:
    fits, too_much = called("x" * 15_000), called("x" * 25_000)
    record = effects.work(fits, request_to(fits.work.request), POLICY, ())
    assert record.topic == work(Tier.FINETUNED)
    with pytest.raises(TooLarge, match="at most 20000"):
        effects.work(too_much, request_to(too_much.work.request), POLICY, ())


@pytest.mark.parametrize("kind", ContentType)
def test_an_answer_that_is_too_large_becomes_a_failure_with_its_cost(effects: Effects, kind: ContentType) -> None:
    _, [reply] = effects.end(ended("y" * LIMIT, kind), 1, ())
    terminal = decode_terminal(reply.value or b"", kind.value)
    assert len(reply.value or b"") < LIMIT
    assert (terminal.kind, terminal.answer, terminal.cost_micro_dollars) == (TerminalKind.FAILED, None, 7)
    assert terminal.reason is not None
    assert terminal.reason.code is ReasonCode.TOO_LARGE


def test_what_the_broker_itself_refuses_is_replaced(effects: Effects) -> None:
    replaced = Replacements(effects, Fixed(), FactSource(Fixed()), lambda _partition: None)
    call = called("x" * 15_000)
    record = effects.work(call, request_to(call.work.request), POLICY, ())
    ledger, reply = replaced(record, MessageSizeTooLargeError())
    terminal = decode_terminal(reply.value or b"", None)
    assert (ledger.topic, reply.topic) == (LEDGER, RESPONSES)
    assert terminal.kind is TerminalKind.FAILED
    assert [a.fault.kind.value for a in terminal.attempts if a.fault] == ["too_large", "too_large"]
    [smaller] = replaced(effects.end(ended("y" * 10_000, ContentType.PROTOBUF), 1, ())[1][0], MessageSizeTooLargeError())
    assert decode_terminal(smaller.value or b"", None).kind is TerminalKind.FAILED
    assert dict(smaller.headers)["kind"] == b"failed"


@pytest.mark.parametrize("kind", ContentType)
def test_a_reply_that_the_broker_refuses_keeps_its_form(effects: Effects, kind: ContentType) -> None:
    replaced = Replacements(effects, Fixed(), FactSource(Fixed()), lambda _partition: None)
    reply = effects.end(ended("y" * 10_000, kind), 1, ())[1][0]
    [smaller] = replaced(reply, MessageSizeTooLargeError())
    headers = dict(smaller.headers)
    assert headers == dict(reply.headers) | {"kind": b"failed"}
    assert form_of(smaller.value or b"", smaller.headers) is kind
    terminal = decode_terminal(smaller.value or b"", headers["content-type"].decode())
    assert (terminal.kind, terminal.cost_micro_dollars) == (TerminalKind.FAILED, 7)


def test_a_dead_letter_that_the_broker_refuses_keeps_its_beginning(effects: Effects) -> None:
    replaced = Replacements(effects, Fixed(), FactSource(Fixed()), lambda _partition: None)
    letter = records_pb2.DeadLetter(value=b"z" * 50_000, id="a")
    [shorter] = replaced(Record(DEADLETTER, b"a", letter.SerializeToString(), ()), MessageSizeTooLargeError())
    kept = records_pb2.DeadLetter.FromString(shorter.value or b"")
    assert (kept.id, len(kept.value)) == ("a", 1_000)


def test_a_request_that_is_too_large_to_be_sent_home_is_refused_and_not_lost(effects: Effects) -> None:
    replaced = Replacements(effects, Fixed(), FactSource(Fixed()), lambda _partition: None)
    body = request_pb2.Request(tenant="acme", id="far", prompt="z" * 50_000, reply_to="trivium.work.cloud").SerializeToString()
    # The caller's own word about the record must not decide how it is read.
    headers = (("schema", b"trivium.v1.Work"), ("forwarded", b"3"))
    letter, ledger, reply = replaced(Record(REQUESTS, b"acme/far", body, headers, 1), MessageSizeTooLargeError())
    assert (letter.topic, ledger.topic, reply.topic) == (DEADLETTER, LEDGER, RESPONSES)
    terminal = decode_terminal(reply.value or b"", None)
    assert (terminal.kind, terminal.identity) == (TerminalKind.REFUSED, Identity("acme", "far"))
    assert terminal.reason is not None
    assert "away from its home partition" in terminal.reason.message
    assert records_pb2.DeadLetter.FromString(letter.value or b"").partition == 3
