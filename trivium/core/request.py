"""What a caller asks, as the kernel sees it."""

from dataclasses import dataclass
from enum import Enum

from trivium.core.quick import quick


class Role(Enum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Sensitivity(Enum):
    """How far a request's text may travel."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"
    """Never reaches the cloud, by any path."""


class Stakes(Enum):
    """What a wrong answer costs the caller."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Priority(Enum):
    """Who waits when there is not room for all."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


class CacheUse(Enum):
    """What the caller allows the semantic cache."""

    USE = "use"
    BYPASS = "bypass"
    """Neither read nor written."""
    REFRESH = "refresh"
    """Not read, but the new answer is written."""


class Knowledge(Enum):
    """What an answer needs to know beyond the request."""

    UNKNOWN = ""
    NONE = "none"
    DOCUMENTS = "documents"
    WORLD = "world"


class OutputKind(Enum):
    """Form of the answer."""

    TEXT = "text"
    JSON = "json"


@quick
@dataclass(frozen=True, slots=True)
class Identity:
    """The key of everything. Two tenants may use the same id."""

    tenant: str
    id: str
    replay: int = 0

    @property
    def key(self) -> str:
        """What partitions are hashed by; a replay stays at the same home."""
        return f"{self.tenant}/{self.id}"

    def __str__(self) -> str:
        return self.key if not self.replay else f"{self.key}#{self.replay}"


@quick
@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool; arguments are JSON text."""

    id: str
    name: str
    arguments_json: str


@quick
@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool of the caller's own; parameters are a JSON Schema as text."""

    name: str
    description: str
    parameters_json: str


@quick
@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Output:
    """The form that the answer must have; the schema is JSON Schema as text, empty for any JSON."""

    kind: OutputKind = OutputKind.TEXT
    schema_json: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """One thing to answer."""

    identity: Identity
    messages: tuple[Message, ...]
    endpoint: str = ""
    task_type: str = ""
    target: str = ""
    team: str = ""
    application: str = ""
    use_case: str = ""
    end_user: str = ""
    user_tier: str = ""
    subject: str = ""
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    stakes: Stakes = Stakes.NORMAL
    priority: Priority = Priority.NORMAL
    timeout_ms: int | None = None
    """None: the task type's own."""
    max_output_tokens: int = 0
    """0: the task type's own."""
    temperature: float | None = None
    output: Output | None = None
    """None: the task type's own."""
    tools: tuple[ToolSpec, ...] = ()
    cache: CacheUse = CacheUse.USE
    corpus: str = ""
    knowledge: Knowledge = Knowledge.UNKNOWN
    reply_to: str = ""
    tags: tuple[str, ...] = ()
    replays: str = ""
    """Of a request that was asked again out of the dead letters: the identity and the letter."""
    unknown: bytes = b""
    """Fields of a newer writer, carried along untouched."""

    @property
    def question(self) -> str:
        """The last thing the user said; what cache, classifier and retriever look at."""
        for message in reversed(self.messages):
            if message.role is Role.USER:
                return message.text
        return ""

    @property
    def restricted(self) -> bool:
        return self.sensitivity is Sensitivity.RESTRICTED
