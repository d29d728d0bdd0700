"""Malformed records put to the router, its fold, the tiers' reading and every view: none stops them or loses a neighbour.

The same generator at length, on a broker and against whole processes: tests/faults/poison."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from streams.effects import EffectOptions, Effects
from streams.fold import Fold
from streams.inbox import read_request
from streams.memory import Memory
from streams.router import Router, RouterPorts
from tests.faults.poison.cases import Raw, odd, record
from tests.unit.journeys import a_policy
from trivium.codec import decode_terminal
from trivium.core.errors import BadRequest
from trivium.core.slip import Health
from trivium.facts import FactSource
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import DEADLETTER, OUTCOMES, REQUESTS, RESPONSES
from trivium.ledger.facts import Unusable, fact_of
from trivium.pulse.view import PulseView
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.tracing import start
from trivium.tier.memory import AttemptMemory
from trivium.v1 import journey_pb2, outcome_pb2, request_pb2
from trivium.v1 import records_pb2 as pb

CASES = 1_500
NOW = 1_800_000_000_000


class Fixed:
    """A policy that stays."""

    current = a_policy()


@dataclass
class Confirmed:
    """An outbox that confirms at once."""

    written: list[Record] = field(default_factory=list)

    def put(self, stages: Sequence[Sequence[Record]], done: object) -> None:
        self.written.extend(one for stage in stages for one in stage)
        assert callable(done)
        done()


class World:
    """One router with one partition, and what it did with each record."""

    def __init__(self) -> None:
        self.outbox = Confirmed()
        effects = Effects(EffectOptions(1, 1_000_000), lambda _end: None)
        ports = RouterPorts(Fixed(), FactSource(Fixed()), effects, self.outbox, Metrics(), start("r", "i", ""))  # type: ignore[arg-type]
        self.router = Router(ports)
        self.router.memories = {0: Memory(140_000, 20_000)}
        self.offset = 0

    def take(self, found: Delivered) -> list[Record]:
        """What a record leads to; it is acknowledged exactly once."""
        before, acknowledged = len(self.outbox.written), []
        self.router.take(found, lambda: acknowledged.append(found.offset))
        assert acknowledged == [found.offset]
        return self.outbox.written[before:]

    def delivered(self, topic: str, raw: Raw) -> Delivered:
        self.offset += 1
        value, headers = raw
        shown = tuple((name.decode("utf-8", "backslashreplace"), content or b"") for name, content in headers)
        return Delivered(topic, 0, self.offset, NOW + self.offset, b"acme/x", value, shown)

    def neighbour(self) -> Delivered:
        """A request that is right."""
        body = request_pb2.Request(tenant="acme", id=f"n{self.offset}", task_type="classify", prompt="Where is my order?")
        return self.delivered(REQUESTS, (body.SerializeToString(), ((b"content-type", b"application/protobuf"),)))


def sound_outcome(world: World) -> bytes:
    """An outcome as a tier writes it."""
    [work] = world.take(world.neighbour())
    sent = journey_pb2.Work.FromString(work.value or b"")
    outcome = outcome_pb2.Outcome(attempt=sent.attempt, target=sent.target.name, answer=outcome_pb2.Answer(text="yes"))
    outcome.identity.tenant, outcome.identity.id = sent.request.tenant, sent.request.id
    return journey_pb2.OutcomeRecord(request=sent.request, slip=sent.slip, outcome=outcome).SerializeToString()


def malformed(world: World, topic: str, draw: random.Random, count: int) -> Iterator[Delivered]:
    for number in range(count):
        if topic == REQUESTS:
            sound = request_pb2.Request(tenant="acme", id=f"m{number}", prompt="hello", timeout_ms=5).SerializeToString()
            yield world.delivered(topic, record(draw, request_pb2.Request, sound))
        else:
            yield world.delivered(topic, record(draw, journey_pb2.OutcomeRecord, sound_outcome(world)))


def answers(world: World, found: Delivered) -> None:
    """A neighbour is called as ever."""
    topics = [one.topic for one in world.take(found)]
    assert topics == ["trivium.work.finetuned"]


@pytest.mark.parametrize("seed", range(1, 3))
def test_no_malformed_request_stops_the_router_or_goes_unanswered(seed: int) -> None:
    world, draw = World(), random.Random(seed)
    letters = 0
    for found in malformed(world, REQUESTS, draw, CASES):
        written = world.take(found)
        replies = [one for one in written if one.topic.startswith(("trivium.responses", "trivium.replies."))]
        put_aside = [one for one in written if one.topic == DEADLETTER]
        letters += len(put_aside)
        assert len(replies) + sum(one.topic.startswith("trivium.work.") for one in written) <= 1
        assert replies or written or found.value is not None
        try:
            identity = read_request(found).identity
        except BadRequest:
            assert len(put_aside) == 1
            continue
        for one in replies:
            assert decode_terminal(one.value or b"", dict(one.headers)["content-type"].decode()).identity == identity
    assert letters > CASES / 3
    answers(world, world.neighbour())


@pytest.mark.parametrize("seed", range(1, 3))
def test_no_malformed_outcome_stops_the_router(seed: int) -> None:
    world, draw = World(), random.Random(seed)
    for found in malformed(world, OUTCOMES, draw, CASES // 2):
        for one in world.take(found):
            # Never to a topic that the record names: one that is not there stops whoever writes to it.
            assert one.topic.startswith("trivium.")
    answers(world, world.neighbour())


@pytest.mark.parametrize("seed", range(1, 3))
def test_no_malformed_record_stops_the_fold(seed: int) -> None:
    world, draw = World(), random.Random(seed)
    memory = Memory(140_000, 20_000)
    fold = Fold(memory, 0, lambda _identity: 0)
    for found in malformed(world, RESPONSES, draw, CASES // 3):
        fold.reply(found)
    for found in malformed(world, REQUESTS, draw, CASES // 2):
        fold.request(found)
    for found in malformed(world, OUTCOMES, draw, CASES // 3):
        fold.outcome(found)
    fold.resolve(Fixed.current)
    world.router.memories = {0: memory}
    answers(world, world.neighbour())


@pytest.mark.parametrize("seed", [5])
def test_no_malformed_pulse_stops_the_view(seed: int) -> None:
    view, draw = PulseView("nowhere:1"), random.Random(seed)
    good = pb.Pulse(instance="good", service="finetuned", targets=[pb.TargetPulse(target="finetuned/support")]).SerializeToString()
    for number in range(CASES):
        value, _ = record(draw, pb.Pulse, good)
        view.take(Delivered("trivium.pulse", 0, number, NOW, b"k", value, ()))
        view.facts(NOW + number * 200).get("finetuned/support")
    view.take(Delivered("trivium.pulse", 0, 0, NOW + CASES * 200, b"good", good, ()))
    assert view.facts(NOW + CASES * 200 + 500)["finetuned/support"].health in (Health.UP, Health.OPEN)
    assert "good" in view.instances(NOW + CASES * 200 + 500)


@pytest.mark.parametrize("seed", [6])
def test_no_malformed_attempt_stops_a_tier_from_recollecting(seed: int) -> None:
    memory, draw = AttemptMemory(160_000), random.Random(seed)
    for number in range(CASES):
        value, _ = record(draw, pb.AttemptRecord)
        memory.fold([Delivered("trivium.attempts.cloud", 0, number, NOW, b"k", value, ())], NOW)
    started = pb.AttemptRecord(state="started", door="kafka", attempt=1, execution=2)
    started.identity.tenant, started.identity.id = "acme", "neighbour"
    memory.fold([Delivered("trivium.attempts.cloud", 0, CASES, NOW, b"k", started.SerializeToString(), ())], NOW)
    assert memory.starts(("acme/neighbour", 0, 1)) == 2


@pytest.mark.parametrize("seed", [7])
def test_no_malformed_record_gives_the_ledger_what_no_database_takes(seed: int) -> None:
    draw, facts = random.Random(seed), 0
    for number in range(CASES):
        topic, kind = draw.choice((("trivium.ledger", pb.LedgerRecord), ("trivium.attempts.cloud", pb.AttemptRecord)))
        message = odd(draw, kind)
        assert isinstance(message, pb.LedgerRecord | pb.AttemptRecord)
        identity = message.identity if isinstance(message, pb.AttemptRecord) else message.terminal.identity
        identity.tenant, identity.id = identity.tenant or "acme", identity.id or "x"
        setattr(*((message, "role", "terminal") if isinstance(message, pb.LedgerRecord) else (message, "state", "settled")))
        try:
            fact = fact_of(Delivered(topic, 0, number, NOW, b"k", message.SerializeToString(), ()))
        except Unusable:
            continue
        facts += 1
        said = repr([value for name in fact.__slots__ if not isinstance(value := getattr(fact, name), bytes)])
        assert "\\x00" not in said
        assert max((int(digits) for digits in re.findall(r"\b\d{16,}\b", said)), default=0) <= 10**15
    assert facts > CASES / 50
