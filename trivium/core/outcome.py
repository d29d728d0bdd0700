"""What attempts and requests end in."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from trivium.core.quick import quick
from trivium.core.request import Identity, ToolCall


class FaultKind(Enum):
    """Why no answer came. A closed set."""

    LATE = "late"
    """The worker got it past its attempt deadline and made no call."""
    OVERDUE = "overdue"
    """Nothing came back in time; written by the owner of the home partition, or the deadline of a call passed."""
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    """Refused connection, 5xx, reset."""
    REJECTED = "rejected"
    """The backend says that the request itself is wrong."""
    TOO_LARGE = "too_large"
    FORBIDDEN = "forbidden"
    """A restricted request at a door that may not have it."""
    CUT = "cut"
    """The answer ended before its end."""
    INVALID = "invalid"
    """A whole answer that does not have the form asked for."""
    AMBIGUOUS = "ambiguous"
    """Started before a crash, never settled: may have been paid."""
    STARTED_TOO_OFTEN = "started_too_often"
    """Three starts and never settled: the work itself may kill its worker. Ends the journey, nothing follows."""
    OVER_BUDGET = "over_budget"
    """The most that the call can cost is more than a hard budget has left; no call was made."""
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class TerminalKind(Enum):
    """How a request ends. Exactly one each."""

    ANSWERED = "answered"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"


class Finish(Enum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"


class Verdict(Enum):
    """What became of an attempt."""

    OPEN = "open"
    ACCEPTED = "accepted"
    ESCALATED = "escalated"
    """An answer below the bar."""
    FELL_BACK = "fell_back"
    """No answer; the route went on."""
    FAILED = "failed"
    """No answer, and nothing left."""


class ReasonCode(Enum):
    """Why a request was not answered, or a record was put aside. A closed set."""

    UNDECODABLE = "undecodable"
    WRONG_SHAPE = "wrong_shape"
    MISSING_FIELD = "missing_field"
    UNKNOWN_TENANT = "unknown_tenant"
    UNKNOWN_ENDPOINT = "unknown_endpoint"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    UNKNOWN_TARGET = "unknown_target"
    UNKNOWN_CORPUS = "unknown_corpus"
    UNKNOWN_WORD = "unknown_word"
    EMPTY_PROMPT = "empty_prompt"
    PROMPT_TOO_LARGE = "prompt_too_large"
    BAD_TIMEOUT = "bad_timeout"
    BAD_REPLY_TOPIC = "bad_reply_topic"
    BAD_SCHEMA = "bad_schema"
    ID_REUSED = "id_reused"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    NO_ROUTE = "no_route"
    """Every candidate is forbidden for good."""
    NO_TARGET_NOW = "no_target_now"
    """Every candidate is forbidden for now."""
    OVERLOADED = "overloaded"
    """Turned away: what could carry it has a longer queue than its priority may wait."""
    OVER_BUDGET = "over_budget"
    """A hard budget has too little left for any target that could carry it."""
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    ATTEMPTS_FAILED = "attempts_failed"
    STARTED_TOO_OFTEN = "started_too_often"
    TOO_LARGE = "too_large"
    INTERNAL = "internal"


@quick
@dataclass(frozen=True, slots=True)
class Reason:
    """What was wrong, where, and what would be right."""

    code: ReasonCode
    message: str
    field: str = ""
    hint: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. Context, tool and cache tokens are parts of the input."""

    input_tokens: int = 0
    output_tokens: int = 0
    context_tokens: int = 0
    tool_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    embedding_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.context_tokens + other.context_tokens,
            self.tool_tokens + other.tool_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.embedding_tokens + other.embedding_tokens,
        )


NO_USAGE: Final = Usage()


@quick
@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer stands on."""

    document: str
    section: str
    version: str
    number: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None
    """0..1; None when the backend gives no ground for one."""
    finish: Finish = Finish.STOP
    model: str = ""
    not_found: bool = False
    """The documents say nothing about it."""
    sources: tuple[Citation, ...] = ()
    """Every passage that was in the prompt, cited or not."""


@quick
@dataclass(frozen=True, slots=True)
class Fault:
    """Why no answer came."""

    kind: FaultKind
    message: str
    retry_after_ms: int = 0
    budget: str = ""
    """Name of the budget that had too little left."""
    unbilled: bool = False
    """The backend never got the call, or said itself that it failed: what is not in the usage was not paid."""


@quick
@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the tier itself called for the model."""

    name: str
    calls: int
    tokens: int
    cost_micro_dollars: int
    duration_ms: int


@quick
@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came back with. Instants are epoch ms."""

    identity: Identity
    attempt: int
    target: str
    result: Answer | Fault
    usage: Usage = NO_USAGE
    cost_micro_dollars: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    ttft_ms: int | None = None
    tpot_us: int | None = None
    queue_ms: int = 0
    tool_uses: tuple[ToolUse, ...] = ()
    instance: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one target, as the slip and the terminal remember it."""

    number: int
    target: str
    started_ms: int
    deadline_ms: int
    verdict: Verdict = Verdict.OPEN
    fault: Fault | None = None
    confidence: float | None = None
    usage: Usage = NO_USAGE
    cost_micro_dollars: int = 0
    ttft_ms: int | None = None
    tpot_us: int | None = None
    duration_ms: int = 0
    tool_uses: tuple[ToolUse, ...] = ()
    why: str = ""
    batch: bool = False
    """It was batch work."""


@quick
@dataclass(frozen=True, slots=True)
class CacheNote:
    """Where a cached answer came from."""

    kind: str
    """exact | semantic"""
    similarity: float
    score: float
    made_for: Identity
    question: str
    made_ms: int


@quick
@dataclass(frozen=True, slots=True)
class RefusedCandidate:
    """A cached answer that was near and did not serve."""

    question: str
    similarity: float
    score: float
    why: str


@quick
@dataclass(frozen=True, slots=True)
class Terminal:
    """The one final response of a request. `tier` is finetuned, retrieval, cloud, cache, or empty without an answer."""

    identity: Identity
    kind: TerminalKind
    answer: Answer | None = None
    reason: Reason | None = None
    tier: str = ""
    target: str = ""
    task_type: str = ""
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = NO_USAGE
    cost_micro_dollars: int = 0
    all_cloud_micro_dollars: int = 0
    ttft_ms: int | None = None
    tpot_us: int | None = None
    arrived_ms: int = 0
    ended_ms: int = 0
    cache: CacheNote | None = None
    refused_candidates: tuple[RefusedCandidate, ...] = ()
    policy_revision: int = 0
    trace_id: str = ""
