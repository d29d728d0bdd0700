"""The journey as a value, the steps it asks for, and the facts it is decided on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from trivium.core.decision import Classification, Decision
from trivium.core.outcome import Answer, Attempt, CacheNote, Outcome, RefusedCandidate, Terminal
from trivium.core.policy import Prices, Route, Target, TaskSpec
from trivium.core.quick import quick
from trivium.core.request import Request


class ContentType(Enum):
    """How a request came, and how it is answered."""

    PROTOBUF = "application/protobuf"
    JSON = "application/json"
    # CloudEvents (trivium/codec/cloudevents.py): the mode, and what the data are.
    BINARY_EVENT = "application/protobuf;event=binary"
    BINARY_EVENT_JSON = "application/json;event=binary"
    STRUCTURED_EVENT = "application/cloudevents+json;data=protobuf"
    STRUCTURED_EVENT_JSON = "application/cloudevents+json;data=json"


@quick
@dataclass(frozen=True, slots=True)
class CacheScope:
    """Under what the cache is asked and written.

    `hash` covers tenant, subject where the task's answers are about someone, task type, what shapes the answers,
    and the earlier turns; `question` is the text that is compared."""

    hash: str
    question: str
    semantic: bool
    read: bool
    write: bool
    ttl_s: int
    corpus: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Journey:
    """The whole life of a request. On the wire: request + slip. Instants are epoch ms of the broker's clock."""

    request: Request
    task: TaskSpec
    route: Route
    decision: Decision
    arrived_ms: int
    deadline_ms: int
    position: int = 0
    attempts: tuple[Attempt, ...] = ()
    earlier: Outcome | None = None
    """At most one answer that was below its bar, kept in case nothing better comes."""
    reply_topic: str = ""
    content_type: ContentType = ContentType.PROTOBUF
    body_hash: str = ""
    cache: CacheScope | None = None
    spare: bool = False
    retry_tokens: float = 0.0
    refused_candidates: tuple[RefusedCandidate, ...] = ()
    traceparent: str = ""
    unknown: bytes = b""
    """Slip fields of a newer writer, carried along untouched."""
    patient: bool = False
    """Attempts may be batch work: nobody waits for a call, and no batch was in vain."""


@quick
@dataclass(frozen=True, slots=True)
class Wait:
    """How long batch work may wait. Instants are epoch ms."""

    from_ms: int
    """When its off-peak window opens; 0: a batch may be made of it at once."""
    until_ms: int
    """From here on it is pulled back to a normal call."""
    full: Prices
    """What its target takes for a normal call; the work's own target has its batch prices."""


@quick
@dataclass(frozen=True, slots=True)
class Work:
    """What a tier is given: all it needs, and no policy."""

    request: Request
    attempt: int
    target: Target
    task: TaskSpec
    deadline_ms: int
    part_of: str = ""
    """Of a generator's work: the target whose attempt it is a part of. Both write their own cost into the ledger."""
    wait: Wait | None = None
    """Of batch work."""


# --- steps ---------------------------------------------------------------------------------------------------------


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """Ask this target; the attempt in the journey is open with this deadline."""

    journey: Journey
    work: Work


@quick
@dataclass(frozen=True, slots=True)
class End:
    """The journey is over. `write` is set when the answer may be put into the cache."""

    terminal: Terminal
    decision: Decision
    request: Request
    reply_topic: str
    content_type: ContentType
    write: CacheScope | None = None


Step = Call | End


# --- facts ---------------------------------------------------------------------------------------------------------


class Health(Enum):
    """What the pulse says of a target."""

    UP = "up"
    OPEN = "open"
    """Its breaker is open."""
    LEAVING = "leaving"
    """All its instances take nothing more, and finish what they have: what was given to them may still come back."""
    SILENT = "silent"
    """No pulse for a session timeout, or all have left."""


@quick
@dataclass(frozen=True, slots=True)
class TargetFacts:
    """How a target is right now. Waits and latencies in ms."""

    health: Health = Health.UP
    queue_wait_ms: int = 0
    p95_ms: int = 0


@quick
@dataclass(frozen=True, slots=True)
class CacheHit:
    """A cached answer that serves."""

    answer: Answer
    note: CacheNote
    refused: tuple[RefusedCandidate, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class CacheMiss:
    """Nothing serves; what was near and why it did not."""

    refused: tuple[RefusedCandidate, ...] = ()


def nothing_cached(_scope: CacheScope) -> CacheHit | CacheMiss:
    """The cache of a mesh without one."""
    return CacheMiss()


def unclassified(_text: str) -> Classification | None:
    """The classifier of a mesh without one."""
    return None


@quick
@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision looks at beside request and policy. Pure given its two look-ups, which are asked at most
    once each, and only when the stage is reached."""

    now_ms: int
    targets: Mapping[str, TargetFacts] = field(default_factory=dict)
    """A target that is not in it is UP: unknown is not ill (a mesh that has just started has seen no pulse)."""
    classify: Callable[[str], Classification | None] = unclassified
    lookup: Callable[[CacheScope], CacheHit | CacheMiss] = nothing_cached
    over_quota: bool = False
    retry_tokens: float = 0.0
    """What a door's shared retry budget holds; added to the journey's own 0.2 when a last target fails transiently."""


@quick
@dataclass(frozen=True, slots=True)
class Arrival:
    """How the request came in: what the door knows and the body does not say."""

    content_type: ContentType = ContentType.PROTOBUF
    body_hash: str = ""
    traceparent: str = ""
    deadline_ms: int = 0
    """When the door itself stops waiting (a gRPC deadline), epoch ms; the journey ends by then. 0: never."""
    detected: tuple[str, ...] = ()
    """Kinds of personal data that the door found; the request is restricted by them."""
    may_wait: bool = False
    """No caller waits for a call: it came by Kafka, to be answered by Kafka."""
