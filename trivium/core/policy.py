"""The policy as a value: what the file says, resolved and validated (trivium/policy/ reads the file)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from trivium.core.request import Output


class Kind(Enum):
    """What personal data can be looked for (trivium/detect). A closed set: the words of `detect`."""

    # Members are single: by identity, not by Enum's own hash of the name, which is a function in Python.
    __hash__ = object.__hash__

    CARD = "card"
    """Number of a payment card."""
    EMAIL = "email"
    PHONE = "phone"
    NATIONAL = "national"
    """Number by which a state knows a person, or a bank an account (IBAN)."""


class Tier(Enum):
    """The three roads."""

    FINETUNED = "finetuned"
    RETRIEVAL = "retrieval"
    CLOUD = "cloud"


class OnAmbiguous(Enum):
    """What to do with an attempt that was started before a crash and never settled."""

    RETRY = "retry"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars: for a million tokens of a kind, for a request, and fixed for a month of the endpoint."""

    input_per_million: int = 0
    output_per_million: int = 0
    cache_read_per_million: int = 0
    cache_write_per_million: int = 0
    embedding_per_million: int = 0
    per_request: int = 0
    fixed_per_month: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A tier with a model and adapter in it."""

    name: str
    tier: Tier
    model: str
    adapter: str = ""
    prices: Prices = field(default_factory=Prices)
    context_window: int = 8192
    """Tokens, prompt and answer together."""
    max_output_tokens: int = 1024
    formats: tuple[str, ...] = ("text", "json")
    tools: bool = False
    """Takes the caller's own tools."""
    generator: "Target | None" = None
    """Tier retrieval: who writes the answer. Never a cloud target for a restricted request."""
    on_ambiguous: OnAmbiguous = OnAmbiguous.RETRY
    streams: bool = True


@dataclass(frozen=True, slots=True)
class Leg:
    """One target of a route. An answer whose confidence is below the bar goes up; None: every answer passes."""

    target: Target
    bar: float | None = None


Route = tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A message and the answer that it is to have, shown to the model (few-shot)."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """How a task type shapes the answers: what a tier needs of the policy."""

    name: str
    system: str = ""
    output: Output = field(default_factory=Output)
    max_output_tokens: int = 512
    temperature: float | None = None
    corpus: str = ""
    search_documents: bool = False
    """The fine-tuned model may call the tool search_documents."""
    passages: int = 3
    context_budget_tokens: int = 600
    relevance_cut: float = 0.0
    slots: int = 8
    """Calls at once in one instance of a tier; idle ones are lent."""
    examples: tuple[Example, ...] = ()
    sentence_cut: float = 0.0
    """Of each passage only sentences at least so relevant, the best one being 1; 0: whole passages."""


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How answers of a task type may be reused."""

    ttl_s: int = 86_400
    semantic: bool = True
    by_subject: bool = False
    """The answers are about someone: the subject is part of the scope."""
    corpus: str = ""
    """Answers depend on these documents: they fall with the corpus epoch."""


@dataclass(frozen=True, slots=True)
class TaskType:
    """A kind of work."""

    spec: TaskSpec
    route: Route
    weight: int = 1
    """Share of the work partitions, relative to the other task types."""
    can_wait: bool = False
    """The route may be a cascade: an answer below the bar costs latency."""
    max_prompt_bytes: int = 524_288
    timeout_ms: int = 30_000
    cache: CacheRule | None = None
    ceiling_micro_dollars: int = 0
    """A target whose worst case costs more is forbidden by money; 0: no ceiling."""
    detect: frozenset[Kind] = frozenset()
    """As of the tenant; both count."""
    shape: str = ""
    """Hash of what shapes the answers (`scope.shape_of` of spec and route), when the loader has taken it already."""


class Op(Enum):
    """How a condition compares. Nothing is evaluated."""

    EQ = "eq"
    IN = "in"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"


class Attribute(Enum):
    """What a rule may look at. Numbers: tokens, complexity; the rest are words."""

    # Members are single: by identity, not by Enum's own hash of the name, which is a function in Python.
    __hash__ = object.__hash__

    TOKENS = "tokens"
    COMPLEXITY = "complexity"
    TASK_TYPE = "task_type"
    TENANT = "tenant"
    TEAM = "team"
    APPLICATION = "application"
    USE_CASE = "use_case"
    USER_TIER = "user_tier"
    KNOWLEDGE = "knowledge"
    STAKES = "stakes"
    PRIORITY = "priority"
    SENSITIVITY = "sensitivity"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Condition:
    """`attribute op value`; IN takes a tuple of words."""

    attribute: Attribute
    op: Op
    value: str | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """An attribute rule: all conditions hold -> this route instead of the task's own."""

    name: str
    when: tuple[Condition, ...]
    route: Route


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of an experiment; no route: the route that stands."""

    name: str
    weight: int
    route: Route = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """A weighted choice among arms, sticky by end user (by identity when there is none)."""

    name: str
    task_types: frozenset[str]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the caller asks for; task_type "auto" lets the classifier say."""

    name: str
    task_type: str
    target: str = ""
    """Pins one target."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who may ask, and where the answers go."""

    name: str
    reply_topics: tuple[str, ...]
    corpora: frozenset[str] = frozenset()
    requests_per_minute: int = 0
    """Above it the work goes to the spare lane; 0: no quota."""
    detect: frozenset[Kind] = frozenset()
    """Kinds of personal data that make a request restricted when they are found in it."""
    zero_retention: bool = False
    """Nothing of it is ever batch work: a batch is kept until it is fetched."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """Where the `auto` classifier is kept, and below which confidence it says novel."""

    path: str = ""
    bar: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """The callers' own words that may be labels of metrics: few and known. Every other one counts as `other`."""

    teams: frozenset[str] = frozenset()
    user_tiers: frozenset[str] = frozenset()


NOBODY_SHOWN: Final = Shown()


class Period(Enum):
    """What a budget holds for, by UTC."""

    DAY = "day"
    MONTH = "month"


class Over(Enum):
    """What becomes of a request whose next target a hard budget cannot pay."""

    CHEAPER = "cheaper"
    """The next target of its route that costs less at most; refused when there is none."""
    BATCH = "batch"
    """The same target as batch work at its batch price, when the deadline allows; else as `cheaper`."""
    REFUSE = "refuse"


EACH: Final = "*"
"""In a budget: one budget for every value."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Money for a day or a month. A label is empty (not looked at), a value, or EACH."""

    name: str
    period: Period
    limit_micro_dollars: int
    hard: bool = True
    """A soft budget alerts and never refuses."""
    over: Over = Over.REFUSE
    tenant: str = ""
    team: str = ""
    application: str = ""
    use_case: str = ""
    end_user: str = ""
    alerts: tuple[int, ...] = (50, 80, 100)
    """Shares of the limit in percent, ascending; each is said once a period."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of every day, in minutes since midnight UTC. An end before the beginning is on the next day."""

    since_min: int
    until_min: int


@dataclass(frozen=True, slots=True)
class Patience:
    """What may wait, and for what. Times are ms."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    """Those that take batch work, with their batch prices."""
    windows: Mapping[str, Window] = field(default_factory=dict)
    """Of the targets whose batch work waits for off-peak hours."""
    min_slack_ms: int = 0
    """Requests of normal priority wait too when so much is left before their deadline; 0: only those of priority batch."""
    call_ms: int = 60_000
    """A normal call takes no longer. Work is pulled back when twice as much is left before its deadline."""
    timeout_ms: int = 0
    """Of a request of priority batch that names none; 0: the task type's own."""


class Remembered:
    """What a policy was found to say of kinds of requests (trivium/core/outline.py). Never part of its value: another policy
    begins with an empty one, `dataclasses.replace` too."""

    __slots__ = ("alike", "outlines")

    def __init__(self) -> None:
        self.alike: Callable[[Any], tuple[object, ...]] | None = None
        self.outlines: dict[tuple[object, ...], Any] = {}


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. `fingerprint` is a hash of the file; `revision` only grows."""

    revision: int
    fingerprint: str
    targets: Mapping[str, Target]
    endpoints: Mapping[str, Endpoint]
    tasks: Mapping[str, TaskType]
    tenants: Mapping[str, Tenant]
    default_route: Route
    novel_route: Route
    novel_spec: TaskSpec
    """How novel work is answered: a task type of its own, named `novel`."""
    rules: tuple[Rule, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    classifier: Classifier = field(default_factory=Classifier)
    max_timeout_ms: int = 600_000
    attempt_cap_ms: int = 120_000
    reference_target: str = ""
    """What all-cloud cost is counted at: the dearest cloud target unless the file names one."""
    detects: bool = False
    """Whether any tenant or task type asks for detection: when none does, no text is looked at."""
    shown: Shown = NOBODY_SHOWN
    """Teams and user tiers that the bill is split by on dashboards."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    patience: Patience | None = None
    """None: no work ever waits for a price."""
    remembered: Remembered = field(default_factory=Remembered, init=False, repr=False, compare=False)
