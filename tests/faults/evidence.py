"""Everything that is known of a run when it is over: what the callers' journals say, what stands in the log, what the vendors were
asked, what was done to the mesh. The checker reads nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Key = str
"""tenant/id"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as its caller knows it. Times in epoch ms everywhere."""

    key: Key
    mark: str
    door: str
    timeout_ms: int
    at_ms: int
    accepted: bool
    """The broker or the gateway said that it has it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A terminal that a caller was given; kind `nothing`: it gave up."""

    key: Key
    kind: str
    text: str
    at_ms: int
    cost: int = 0
    trace: str = ""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    partition: int
    offset: int
    at_ms: int
    key: Key
    mark: str
    tenant: str


@dataclass(frozen=True, slots=True)
class WorkRecord:
    topic: str
    partition: int
    offset: int
    at_ms: int
    key: Key
    attempt: int
    target: str
    mark: str


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    partition: int
    offset: int
    at_ms: int
    key: Key
    attempt: int
    target: str
    mark: str
    cost: int
    fault: str
    instance: str
    body: str
    """Hash of the outcome: the same record twice is one outcome."""
    deadline_ms: int
    """Of its attempt."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    tier: str
    at_ms: int
    key: Key
    attempt: int
    execution: int
    state: str
    target: str
    instance: str
    cost: int
    fault: str
    door: str
    begun_ms: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """One attempt of a terminal."""

    number: int
    target: str
    cost: int
    fault: str


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    at_ms: int
    key: Key
    role: str
    cost: int
    attempts: Sequence[Spent] = ()
    body: str = ""


@dataclass(frozen=True, slots=True)
class ReplyRecord:
    topic: str
    at_ms: int
    key: Key
    kind: str
    text: str
    cost: int
    trace: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    at_ms: int
    key: Key
    reason: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class CacheRecord:
    tenant: str
    mark: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed offset as it was seen at a moment."""

    at_ms: int
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a vendor was asked. `ended_ms` 0: it never answered."""

    vendor: str
    mark: str
    at_ms: int
    ended_ms: int
    fault: str


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to the mesh."""

    at_ms: int
    what: str
    victim: str
    point: str = ""


@dataclass(frozen=True, slots=True)
class Calm:
    """After the last fault: when every group's lag was 0 and nothing was under way any more; 0: never seen."""

    last_fault_ms: int
    no_lag_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    id: str
    parent: str
    service: str


@dataclass(slots=True)
class Evidence:
    """A run."""

    seed: int
    session_timeout_ms: int
    asked: Mapping[Key, Asked] = field(default_factory=dict)
    seen: Sequence[Seen] = ()
    requests: Sequence[RequestRecord] = ()
    works: Sequence[WorkRecord] = ()
    outcomes: Sequence[OutcomeRecord] = ()
    attempts: Sequence[AttemptRecord] = ()
    ledger: Sequence[LedgerRecord] = ()
    replies: Sequence[ReplyRecord] = ()
    dead: Sequence[DeadLetter] = ()
    cache: Sequence[CacheRecord] = ()
    commits: Sequence[Commit] = ()
    calls: Sequence[Call] = ()
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    """Trace -> its spans."""
    events: Sequence[Event] = ()
    calm: Calm = Calm(0, 0)
    kept_back: int = 0
    """Terminals that the client library kept from its callers."""
