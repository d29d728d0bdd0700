"""The fold: from any prefix of the log, a rebuilt memory decides as the live one does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.effects import CANCELLED, EffectOptions, Effects
from streams.fold import Fold
from streams.memory import Memory
from streams.router import Router, RouterPorts
from trivium.codec import identity_to, outcome_record
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome
from trivium.core.partition import home
from trivium.core.policy import Leg, Policy, Target, TaskSpec, TaskType, Tenant, Tier
from trivium.core.request import Identity
from trivium.facts import FactSource, RetryBudget
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import OUTCOMES, REQUESTS, RESPONSES
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.tracing import start
from trivium.v1 import journey_pb2, request_pb2

SMALL = Target("finetuned/small", Tier.FINETUNED, "m")
LARGE = Target("cloud/large", Tier.CLOUD, "c")
ROUTE = (Leg(SMALL, 0.5), Leg(LARGE))
TASK = TaskType(TaskSpec("draft"), ROUTE, can_wait=True)
POLICY = Policy(
    1, "f", {t.name: t for t in (SMALL, LARGE)}, {}, {"draft": TASK}, {"acme": Tenant("acme", (RESPONSES,))},
    ROUTE, ROUTE, TaskSpec("novel"),
)  # fmt: skip
WINDOW, LATE = 140_000, 20_000


class Fixed:
    """A policy that stays."""

    current = POLICY


def nothing() -> None:
    """An acknowledgement that nobody waits for."""


@dataclass
class Log:
    """One home partition and what its router writes: an outbox that confirms at once."""

    records: list[Delivered] = field(default_factory=list)
    written: list[Record] = field(default_factory=list)
    replied_ms: list[int] = field(default_factory=list)
    """When each terminal among `written` was written."""
    now_ms: int = 0

    def put(self, stages: Sequence[Sequence[Record]], done: Callable[[], None]) -> None:
        self.written.extend(record for stage in stages for record in stage)
        self.replied_ms += [self.now_ms for stage in stages for record in stage if record.topic == RESPONSES]
        done()


@dataclass
class Owner:
    """A router of one partition, with its memory and its log."""

    log: Log
    memory: Memory
    retries: RetryBudget = field(default_factory=lambda: RetryBudget(0))

    def __post_init__(self) -> None:
        effects = Effects(EffectOptions(1, 1_000_000), lambda _end: None)
        ports = RouterPorts(
            Fixed(), FactSource(Fixed()), effects, self.log, Metrics(), start("r", "i", ""), self.retries  # type: ignore[arg-type]
        )  # fmt: skip
        self.router = Router(ports)
        self.router.memories = {0: self.memory}

    def take(self, record: Delivered) -> list[tuple[str, bytes | None, str]]:
        """What the record leads to: topic, key and, for an end, its kind."""
        before = len(self.log.written)
        self.log.now_ms = record.timestamp_ms
        self.router.take(record, nothing)
        return [_seen(r) for r in self.log.written[before:]]


def _seen(record: Record) -> tuple[str, bytes | None, str]:
    headers = dict(record.headers)
    return record.topic, record.key, headers.get("kind", b"").decode() + headers.get("cause", b"").decode()


def request_of(number: int, body: int, ts_ms: int, offset: int) -> Delivered:
    message = request_pb2.Request(tenant="acme", id=f"r{number}", task_type="draft", prompt=f"body {body}")
    return Delivered(REQUESTS, 0, offset, ts_ms, b"k", message.SerializeToString())


def outcome_of(work: Record, kind: str, ts_ms: int, offset: int, cost: int = 0) -> Delivered:
    sent = journey_pb2.Work.FromString(work.value or b"")
    results = {"good": Answer("a", confidence=0.9), "poor": Answer("a", confidence=0.1)}
    result = results.get(kind, Fault(FaultKind.UNAVAILABLE, "away"))
    identity = Identity("acme", sent.request.id)
    record = outcome_record(sent, Outcome(identity, sent.attempt, sent.target.name, result, cost_micro_dollars=cost))
    return Delivered(OUTCOMES, 0, offset, ts_ms, b"k", record.SerializeToString())


def cancel_of(number: int, ts_ms: int, offset: int) -> Delivered:
    record = journey_pb2.OutcomeRecord(cancel=True)
    record.outcome.identity.CopyFrom(identity_to(Identity("acme", f"r{number}")))
    return Delivered(OUTCOMES, 0, offset, ts_ms, b"k", record.SerializeToString())


def next_record(step: tuple[str, int, int], owner: Owner, offset: int) -> Delivered | None:
    """A record that may come now: a request, an outcome of any work that was ever written, or a cancel."""
    kind, number, body = step
    ts_ms = 1_000 + offset * 7
    if kind == "request":
        return request_of(number, body, ts_ms, offset)
    if kind == "cancel":
        return cancel_of(number, ts_ms, offset)
    works = [r for r in owner.log.written if r.topic.startswith("trivium.work.")]
    return outcome_of(works[number % len(works)], kind, ts_ms, offset) if works else None


STEPS = st.lists(
    st.tuples(st.sampled_from(("request", "request", "good", "poor", "bad", "cancel")), st.integers(0, 5), st.integers(0, 1)),
    max_size=25,
)  # fmt: skip


def rebuilt(log: Log, records: Sequence[Delivered], policy: Policy = POLICY) -> Memory:
    """The memory of a new owner, when exactly `records` were committed. It sees every reply that was ever written."""
    fold = Fold(Memory(WINDOW, LATE), 0, lambda identity: home(identity.key, 1))
    replies = [record for record in log.written if record.topic == RESPONSES]
    for at_ms, record in zip(log.replied_ms, replies, strict=True):
        fold.reply(Delivered(RESPONSES, 0, 0, at_ms, record.key, record.value, record.headers))
    for record in records:
        if record.topic == REQUESTS:
            fold.request(record)
    for record in records:
        if record.topic == OUTCOMES:
            fold.outcome(record)
    fold.resolve(policy)
    return fold.memory


def state(memory: Memory) -> dict[str, object]:
    known = [Identity("acme", f"r{number}") for number in range(6)]
    open_now = {i.id: (e.attempt, e.deadline_ms, e.target, e.body_hash) for i in known if (e := memory.find(i)) is not None}
    return {"open": open_now, "ended": {i.id for i in known if memory.has_ended(i)}}


@settings(max_examples=120, deadline=None)
@given(STEPS, st.integers(0, 25), STEPS)
def test_from_any_prefix_of_the_log_it_decides_as_the_live_one(
    past: list[tuple[str, int, int]], uncommitted: int, future: list[tuple[str, int, int]]
) -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    for step in past:
        record = next_record(step, live, len(live.log.records))
        if record is not None:
            live.take(record)
            live.log.records.append(record)
    committed = live.log.records[: max(0, len(live.log.records) - uncommitted)]
    reference = Owner(Log(), Memory(WINDOW, LATE))
    for record in committed:
        reference.take(record)
    fresh = Owner(Log(), rebuilt(live.log, committed))
    assert state(fresh.memory) == state(reference.memory)
    for record in live.log.records[len(committed) :]:
        assert fresh.take(record) == reference.take(record)
    for step in future:
        record = next_record(step, reference, 1_000 + len(live.log.records))
        if record is not None:
            assert fresh.take(record) == reference.take(record)
    assert state(fresh.memory) == state(reference.memory)


def test_a_reply_whose_cause_is_not_committed_suppresses_nothing() -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    request = request_of(1, 0, 1_000, 0)
    live.take(request)
    outcome = outcome_of(live.log.written[0], "good", 1_010, 1)
    live.take(outcome)
    fresh = Owner(Log(), rebuilt(live.log, [request]))
    assert [topic for topic, _, _ in fresh.take(outcome)] == ["trivium.ledger", RESPONSES]


def test_what_ended_before_the_window_is_not_begun_again_by_what_came_late() -> None:
    """A window shows the end of a request and what came after it (a stray, the same request once more), not its cause."""
    live = Owner(Log(), Memory(WINDOW, LATE))
    live.take(request_of(1, 0, 1_000, 0))
    live.take(outcome_of(live.log.written[0], "poor", 1_010, 0))
    live.take(outcome_of(live.log.written[1], "good", 1_020, 1))
    stray = outcome_of(live.log.written[0], "bad", 2_000, 2)
    again = request_of(1, 0, 2_000, 1)
    later = [request_of(2, 0, 3_000, 2), outcome_of(live.log.written[0], "bad", 3_000, 3)]
    for shown in (stray, again):
        memory = rebuilt(live.log, [shown, *later])
        assert memory.find(Identity("acme", "r1")) is None
        assert memory.has_ended(Identity("acme", "r1"))


def test_who_asks_again_when_the_end_is_forgotten_is_pending() -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    live.take(request_of(1, 0, 1_000, 0))
    live.take(outcome_of(live.log.written[0], "good", 1_010, 0))
    asked = [request_of(1, 0, 1_011 + WINDOW, 1), request_of(2, 0, 1_012 + WINDOW, 2)]
    for record in asked:
        live.take(record)
    again, other = live.log.written[-2:]
    asked.append(outcome_of(other, "bad", 1_013 + WINDOW, 1))
    for shown in (asked, [*asked, outcome_of(again, "poor", 1_014 + WINDOW, 2)]):
        live.take(shown[-1])
        assert state(rebuilt(live.log, shown)) == state(live.memory)
        assert live.memory.find(Identity("acme", "r1")) is not None


def test_a_call_that_the_policy_of_now_would_not_make_is_still_timed_out() -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    request = request_of(1, 0, 1_000, 0)
    live.take(request)
    fold = Fold(Memory(WINDOW, LATE), 0, lambda identity: home(identity.key, 1))
    fold.request(request)
    fold.resolve(replace(POLICY, tasks={}))
    [due] = fold.memory.due(1_000 + POLICY.attempt_cap_ms)
    assert due.identity == Identity("acme", "r1")
    assert journey_pb2.Work.FromString(due.carry).slip.reply_topic == RESPONSES


def test_what_was_spent_before_a_fold_is_in_the_bill_after_it() -> None:
    """The last target is asked a second time out of the tokens that all share; then another router takes over."""
    live = Owner(Log(), Memory(WINDOW, LATE), RetryBudget())
    live.retries.add(5)
    committed = [request_of(0, 0, 1_000, 0)]
    live.take(committed[0])
    for offset, cost in enumerate((3, 76)):
        committed.append(outcome_of(live.log.written[-1], "bad", 1_100 + offset, offset, cost))
        live.take(committed[-1])
    sent = journey_pb2.Work.FromString(live.log.written[-1].value or b"")
    assert (sent.attempt, sent.target.name) == (3, LARGE.name)
    for policy in (POLICY, replace(POLICY, targets={SMALL.name: SMALL}, novel_route=(), default_route=())):
        entry = rebuilt(live.log, committed, policy).find(Identity("acme", "r0"))
        assert entry is not None
        again = journey_pb2.Work.FromString(entry.carry)
        assert again.attempt == 3
        assert [attempt.cost_micro_dollars for attempt in again.slip.attempts] == [3, 76, 0]
        assert [attempt.fault.kind for attempt in again.slip.attempts] == ["unavailable", "unavailable", ""]
        assert [attempt.verdict for attempt in again.slip.attempts] == ["fell_back", "fell_back", "open"]


def test_a_key_with_more_than_one_slash_is_read_from_the_terminal() -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    hostile = request_pb2.Request(tenant="acme", id="a/b", task_type="none", prompt="x").SerializeToString()
    refused = Delivered(REQUESTS, 0, 0, 1_000, b"k", hostile)
    live.take(refused)
    assert rebuilt(live.log, [refused]).has_ended(Identity("acme", "a/b"))
    assert not rebuilt(live.log, [refused]).has_ended(Identity("acme/a", "b"))


def test_the_cause_of_a_cancel_is_its_own() -> None:
    live = Owner(Log(), Memory(WINDOW, LATE))
    live.take(request_of(1, 0, 1_000, 0))
    assert live.take(cancel_of(1, 1_010, 1))[-1] == (RESPONSES, b"acme/r1", f"failed{CANCELLED}")
