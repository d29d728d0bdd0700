"""What a record of the topics says, as plain values; what is wrong with one that says nothing usable.

A fact has a key made of its content, never of its place: a record that comes twice is the same fact. Times are the writer's,
unless its clock is more than a day away from the broker's: then the broker's time of the record counts.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError, Message

from trivium.core.errors import TriviumError
from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.kafka.record import Delivered
from trivium.v1 import outcome_pb2, records_pb2, request_pb2

DAY_MS: Final = 86_400_000
NOT_SAID: Final = ""
HASH_BYTES: Final = 16
_ATTEMPTS: Final = {topics.attempts(tier): tier.value for tier in Tier}
TOPICS: Final = (*_ATTEMPTS, topics.LEDGER, topics.FEEDBACK)
"""What the store is made of."""
OUTCOMES: Final = ("resolved", "unresolved")
CORRECTED_MOST: Final = 65_536
"""Characters of a corrected text."""
_MOST: Final = 2**62
_SANE: Final = 10**15
"""A thousand million dollars, or thirty thousand years in ms: thousands of these still fit into a sum of 64 bits."""
_SCHEMAS: Final[dict[str, str]] = {
    **dict.fromkeys(_ATTEMPTS, "trivium.v1.AttemptRecord"),
    topics.LEDGER: "trivium.v1.LedgerRecord",
    topics.FEEDBACK: "trivium.v1.FeedbackRecord",
}


class Unusable(TriviumError):
    """A record that cannot be counted; the message says why. `field`: where in it."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Series:
    """What sums are kept by. `day`: days since 1970, UTC."""

    day: int
    tenant: str
    team: str
    application: str
    use_case: str
    user_tier: str
    task_type: str
    tier: str
    target: str

    @property
    def id(self) -> int:
        """63 bits of a hash of all of it."""
        return int.from_bytes(_digest(self.day, *self.words, size=8), "big") >> 1

    @property
    def words(self) -> tuple[str, ...]:
        """Everything but the day."""
        return (
            self.tenant, self.team, self.application, self.use_case, self.user_tier, self.task_type, self.tier, self.target,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of an attempt, as far as it is known: begun, or settled. Costs are micro-dollars."""

    key: bytes
    identity: bytes
    series: Series
    end_user: str
    paid: str
    """The target that was called; the series has the one that it was called for."""
    model: str
    at_ms: int
    part: bool
    """A generator's call for another attempt."""
    settled: bool = False
    fault: str = ""
    cost: int = 0
    costs: tuple[int, ...] = (0,) * 7
    """input, context, output, embedding, vector store, request, and what is not told apart."""
    tokens: tuple[int, ...] = (0,) * 7
    """input, output, context, tool, cache read, cache write, embedding."""
    reserved: int = 0
    """The most that it can cost, where a budget held; 0: nobody said."""
    batch: bool = False
    saved: int = 0
    """What a normal call of the same tokens costs more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that has ended."""

    key: bytes
    identity: bytes
    series: Series
    end_user: str
    arrived_ms: int
    at_ms: int
    kind: str
    cached: bool
    duration_ms: int
    ttft_ms: int | None
    tpot_us: int | None
    patient: bool
    """Some attempt of it was batch work."""
    told: int
    """What its terminal says that it cost."""
    all_cloud: int


@dataclass(frozen=True, slots=True)
class Stray:
    """An outcome that came after another one had won. Its cost is in its execution already."""

    key: bytes
    series: Series
    at_ms: int
    cost: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """How an answer was received. `score`: thousandths, None when not said."""

    key: bytes
    identity: bytes
    tenant: str
    request_id: str
    replay: int
    at_ms: int
    outcome: str
    score: int | None
    corrected_text: str
    correction: int
    source: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """An order to forget a person."""

    tenant: str
    mark: str
    """Of the end user; empty: the identities alone."""
    identities: tuple[bytes, ...]
    before_ms: int
    """What was asked later under the same end user is not forgotten."""


Fact = Execution | Asked | Stray | Feedback | Erasure


def fact_of(record: Delivered) -> Fact:
    """The fact of a record of TOPICS. Raises Unusable, also for what no database takes or could add up."""
    fact = _fact(record)
    for name in fact.__slots__:
        value = getattr(fact, name)
        for one in value.words if isinstance(value, Series) else value if isinstance(value, tuple) else (value,):
            if isinstance(one, str) and "\x00" in one:
                raise Unusable(f"its {name} has a zero character", name)
            if isinstance(one, int) and not -_SANE <= one <= _SANE:
                raise Unusable(f"its {name} is {one}, which is beyond all measure", name)
    return fact


def _fact(record: Delivered) -> Fact:
    try:
        _check_schema(record)
        if (tier := _ATTEMPTS.get(record.topic)) is not None:
            return _execution(records_pb2.AttemptRecord.FromString(record.value or b""), tier, record)
        if record.topic == topics.LEDGER:
            return _ledger(records_pb2.LedgerRecord.FromString(record.value or b""), record)
        return feedback_of(records_pb2.FeedbackRecord.FromString(record.value or b""), record.timestamp_ms)
    except (DecodeError, UnicodeDecodeError):
        name = _SCHEMAS[record.topic]
        raise Unusable(f"its {len(record.value or b'')} bytes are not a {name}") from None


def identity_hash(identity: request_pb2.Identity) -> bytes:
    """HASH_BYTES for (tenant, id, replay)."""
    return _digest(identity.tenant, identity.id, identity.replay)


def _check_schema(record: Delivered) -> None:
    said = record.header(topics.HEADER_SCHEMA)
    wanted = _SCHEMAS[record.topic]
    if said is not None and said != wanted.encode():
        raise Unusable(f"its header schema says {said[:80].decode('utf-8', 'replace')!r}; here it must be {wanted}")


def _execution(m: records_pb2.AttemptRecord, tier: str, record: Delivered) -> Execution:
    _check_identity(m.identity)
    if m.state not in ("started", "settled"):
        raise Unusable(f"its state is {m.state[:40]!r}; it must be started or settled")
    _check_money("cost_micro_dollars", m.cost_micro_dollars)
    _check_money("reserved_micro_dollars", m.reserved_micro_dollars)
    target = m.part_of or m.target
    at_ms = _believed(m.begun_ms or m.at_ms, record.timestamp_ms)
    series = Series(
        at_ms // DAY_MS, m.identity.tenant, m.team, m.application, m.use_case, m.user_tier, m.task_type,
        target.partition("/")[0] or tier, target,
    )  # fmt: skip
    identity = identity_hash(m.identity)
    key = _digest(identity, tier, m.target, m.attempt, m.execution, m.instance, m.begun_ms)
    if m.state == "started":
        return Execution(
            key, identity, series, m.end_user, m.target, m.model, at_ms, bool(m.part_of), reserved=m.reserved_micro_dollars
        )
    return Execution(
        key, identity, series, m.end_user, m.target, m.model, at_ms, bool(m.part_of),
        settled=True, fault=m.fault, cost=_own_cost(m), costs=_costs(m), tokens=_tokens(m.usage, tier),
        reserved=m.reserved_micro_dollars, batch=m.batch, saved=m.saved_micro_dollars,
    )  # fmt: skip


def _own_cost(m: records_pb2.AttemptRecord) -> int:
    """Without what a generator has written down itself."""
    return m.cost_micro_dollars - (m.costs.parts if m.HasField("costs") else 0)


def _costs(m: records_pb2.AttemptRecord) -> tuple[int, ...]:
    """The parts of the own cost; what they leave of it stands last."""
    c = m.costs
    parts = (c.input, c.context, c.output, c.embedding, c.vector_store, c.request)
    return (*parts, _own_cost(m) - sum(parts))


def _tokens(u: outcome_pb2.Usage, tier: str) -> tuple[int, ...]:
    """Retrieval calls no model itself: what its generator used stands in the generator's own record."""
    if tier == Tier.RETRIEVAL.value:
        return (0, 0, u.context_tokens, 0, 0, 0, u.embedding_tokens)
    return (
        u.input_tokens, u.output_tokens, u.context_tokens, u.tool_tokens, u.cache_read_tokens, u.cache_write_tokens,
        u.embedding_tokens,
    )  # fmt: skip


def _ledger(m: records_pb2.LedgerRecord, record: Delivered) -> Asked | Stray | Erasure:
    match m.role:
        case "terminal":
            return _asked(m, record)
        case "stray":
            return _stray(m, record)
        case "erasure":
            return _erasure(m.erasure, record)
        case _:
            raise Unusable(f"its role is {m.role[:40]!r}; it must be terminal, stray or erasure")


def _asked(m: records_pb2.LedgerRecord, record: Delivered) -> Asked:
    t = m.terminal
    _check_identity(t.identity)
    _check_money("cost_micro_dollars", t.cost_micro_dollars)
    _check_money("all_cloud_micro_dollars", t.all_cloud_micro_dollars)
    at_ms = _believed(t.ended_ms or m.at_ms, record.timestamp_ms)
    series = _series(m, at_ms, t.identity.tenant, t.task_type, t.tier or t.kind, t.target)
    identity = identity_hash(t.identity)
    return Asked(
        key=_digest(identity, t.arrived_ms, m.door),
        identity=identity,
        series=series,
        end_user=m.end_user,
        arrived_ms=t.arrived_ms,
        at_ms=at_ms,
        kind=t.kind,
        cached=t.HasField("cache"),
        duration_ms=min(max(t.ended_ms - t.arrived_ms, 0), _MOST),
        ttft_ms=t.ttft_ms if t.HasField("ttft_ms") else None,
        tpot_us=t.tpot_us if t.HasField("tpot_us") else None,
        patient=any(attempt.batch for attempt in t.attempts),
        told=t.cost_micro_dollars,
        all_cloud=t.all_cloud_micro_dollars,
    )


def _stray(m: records_pb2.LedgerRecord, record: Delivered) -> Stray:
    s = m.stray
    _check_identity(s.identity)
    _check_money("cost_micro_dollars", s.cost_micro_dollars)
    at_ms = _believed(s.ended_ms or m.at_ms, record.timestamp_ms)
    series = _series(m, at_ms, s.identity.tenant, "", s.target.partition("/")[0], s.target)
    key = _digest(identity_hash(s.identity), s.attempt, s.target, s.instance, s.started_ms, s.ended_ms)
    return Stray(key, series, at_ms, s.cost_micro_dollars)


def _erasure(m: records_pb2.Erasure, record: Delivered) -> Erasure:
    if not m.tenant:
        raise Unusable("its erasure has no tenant", "erasure.tenant")
    if not (m.end_user_mark or m.identities):
        raise Unusable("its erasure names nobody: it must have an end user's mark or identities", "erasure")
    if any(len(one) != HASH_BYTES for one in m.identities):
        raise Unusable(f"its erasure has an identity that is not a hash of {HASH_BYTES} bytes", "erasure.identities")
    before_ms = min(m.before_ms, record.timestamp_ms) if m.before_ms > 0 else record.timestamp_ms
    return Erasure(m.tenant, m.end_user_mark, tuple(m.identities), before_ms)


def _series(m: records_pb2.LedgerRecord, at_ms: int, tenant: str, task: str, tier: str, target: str) -> Series:
    return Series(at_ms // DAY_MS, tenant, m.team, m.application, m.use_case, m.user_tier, task, tier, target)


def feedback_of(m: records_pb2.FeedbackRecord, broker_ms: int) -> Feedback:
    """Raises Unusable, with the sentence that a caller of Gateway.Feedback gets too."""
    _check_identity(m.identity)
    if m.outcome and m.outcome not in OUTCOMES:
        raise Unusable(f"its outcome is {m.outcome[:40]!r}; it must be resolved, unresolved or left out", "outcome")
    if m.HasField("score") and not 0 <= m.score <= 1:
        raise Unusable(f"its score is {m.score:g}; it must be from 0 to 1", "score")
    _check_money("correction_micro_dollars", m.correction_micro_dollars)
    if m.at_ms < 0:
        raise Unusable(f"its at_ms is {m.at_ms}; it must be epoch ms, or 0 for now", "at_ms")
    if len(m.corrected_text) > CORRECTED_MOST:
        raise Unusable(f"its corrected text has {len(m.corrected_text):,} characters, at most {CORRECTED_MOST:,} are taken", "corrected_text")
    if not (m.outcome or m.HasField("score") or m.corrected_text or m.correction_micro_dollars):
        raise Unusable("it says nothing: give an outcome, a score, a corrected text or what the correction cost")
    return Feedback(
        key=hashlib.blake2b(m.SerializeToString(deterministic=True), digest_size=16).digest(),
        identity=identity_hash(m.identity),
        tenant=m.identity.tenant,
        request_id=m.identity.id,
        replay=m.identity.replay,
        # Later than the broker's own time it cannot be: a clock that is ahead must not win for ever.
        at_ms=min(m.at_ms, broker_ms) if m.at_ms > 0 else broker_ms,
        outcome=m.outcome,
        score=round(m.score * 1000) if m.HasField("score") else None,
        corrected_text=m.corrected_text,
        correction=m.correction_micro_dollars,
        source=m.source,
    )


def _check_identity(identity: Message) -> None:
    assert isinstance(identity, request_pb2.Identity)
    if not identity.tenant or not identity.id:
        raise Unusable(f"its identity has no {'id' if identity.tenant else 'tenant'}")


def _check_money(name: str, micro_dollars: int) -> None:
    if micro_dollars < 0:
        raise Unusable(f"its {name} is {micro_dollars}; money that was spent is never negative", name)


def _believed(said_ms: int, broker_ms: int) -> int:
    return said_ms if abs(said_ms - broker_ms) <= DAY_MS else broker_ms


def _digest(*parts: object, size: int = HASH_BYTES) -> bytes:
    """Each part with its length, so that no two lists of parts make the same text."""
    text = "".join([f"{len(part)}:{part}" for part in map(str, parts)])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
