from trivium.v1 import outcome_pb2 as _outcome_pb2
from trivium.v1 import request_pb2 as _request_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Prices(_message.Message):
    __slots__ = ("input_per_million", "output_per_million", "cache_read_per_million", "cache_write_per_million", "embedding_per_million", "per_request", "fixed_per_month")
    INPUT_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_PER_MILLION_FIELD_NUMBER: _ClassVar[int]
    PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIXED_PER_MONTH_FIELD_NUMBER: _ClassVar[int]
    input_per_million: int
    output_per_million: int
    cache_read_per_million: int
    cache_write_per_million: int
    embedding_per_million: int
    per_request: int
    fixed_per_month: int
    def __init__(self, input_per_million: _Optional[int] = ..., output_per_million: _Optional[int] = ..., cache_read_per_million: _Optional[int] = ..., cache_write_per_million: _Optional[int] = ..., embedding_per_million: _Optional[int] = ..., per_request: _Optional[int] = ..., fixed_per_month: _Optional[int] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("name", "tier", "model", "adapter", "prices", "context_window", "max_output_tokens", "formats", "tools", "generator", "on_ambiguous", "streams")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    ON_AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    name: str
    tier: str
    model: str
    adapter: str
    prices: Prices
    context_window: int
    max_output_tokens: int
    formats: _containers.RepeatedScalarFieldContainer[str]
    tools: bool
    generator: Target
    on_ambiguous: str
    streams: bool
    def __init__(self, name: _Optional[str] = ..., tier: _Optional[str] = ..., model: _Optional[str] = ..., adapter: _Optional[str] = ..., prices: _Optional[_Union[Prices, _Mapping]] = ..., context_window: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., formats: _Optional[_Iterable[str]] = ..., tools: _Optional[bool] = ..., generator: _Optional[_Union[Target, _Mapping]] = ..., on_ambiguous: _Optional[str] = ..., streams: _Optional[bool] = ...) -> None: ...

class TaskSpec(_message.Message):
    __slots__ = ("name", "system", "output", "max_output_tokens", "temperature", "corpus", "search_documents", "passages", "context_budget_tokens", "relevance_cut", "slots", "examples", "sentence_cut")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_CUT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_CUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    system: str
    output: _request_pb2.Output
    max_output_tokens: int
    temperature: float
    corpus: str
    search_documents: bool
    passages: int
    context_budget_tokens: int
    relevance_cut: float
    slots: int
    examples: _containers.RepeatedCompositeFieldContainer[Example]
    sentence_cut: float
    def __init__(self, name: _Optional[str] = ..., system: _Optional[str] = ..., output: _Optional[_Union[_request_pb2.Output, _Mapping]] = ..., max_output_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., corpus: _Optional[str] = ..., search_documents: _Optional[bool] = ..., passages: _Optional[int] = ..., context_budget_tokens: _Optional[int] = ..., relevance_cut: _Optional[float] = ..., slots: _Optional[int] = ..., examples: _Optional[_Iterable[_Union[Example, _Mapping]]] = ..., sentence_cut: _Optional[float] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("input", "output")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    input: str
    output: str
    def __init__(self, input: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...

class Leg(_message.Message):
    __slots__ = ("target", "bar")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BAR_FIELD_NUMBER: _ClassVar[int]
    target: Target
    bar: float
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., bar: _Optional[float] = ...) -> None: ...

class Forbidden(_message.Message):
    __slots__ = ("target", "by", "why")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    target: str
    by: str
    why: str
    def __init__(self, target: _Optional[str] = ..., by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("task_type", "confidence", "complexity", "novel")
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    COMPLEXITY_FIELD_NUMBER: _ClassVar[int]
    NOVEL_FIELD_NUMBER: _ClassVar[int]
    task_type: str
    confidence: float
    complexity: float
    novel: bool
    def __init__(self, task_type: _Optional[str] = ..., confidence: _Optional[float] = ..., complexity: _Optional[float] = ..., novel: _Optional[bool] = ...) -> None: ...

class DecisionLine(_message.Message):
    __slots__ = ("stage", "text")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    text: str
    def __init__(self, stage: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("policy_revision", "policy_fingerprint", "source", "rule", "task_type", "classification", "prompt_tokens", "candidates", "forbidden", "experiment", "arm", "probability", "lines")
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    POLICY_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    FORBIDDEN_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    policy_revision: int
    policy_fingerprint: str
    source: str
    rule: str
    task_type: str
    classification: Classification
    prompt_tokens: int
    candidates: _containers.RepeatedScalarFieldContainer[str]
    forbidden: _containers.RepeatedCompositeFieldContainer[Forbidden]
    experiment: str
    arm: str
    probability: float
    lines: _containers.RepeatedCompositeFieldContainer[DecisionLine]
    def __init__(self, policy_revision: _Optional[int] = ..., policy_fingerprint: _Optional[str] = ..., source: _Optional[str] = ..., rule: _Optional[str] = ..., task_type: _Optional[str] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ..., prompt_tokens: _Optional[int] = ..., candidates: _Optional[_Iterable[str]] = ..., forbidden: _Optional[_Iterable[_Union[Forbidden, _Mapping]]] = ..., experiment: _Optional[str] = ..., arm: _Optional[str] = ..., probability: _Optional[float] = ..., lines: _Optional[_Iterable[_Union[DecisionLine, _Mapping]]] = ...) -> None: ...

class CacheScope(_message.Message):
    __slots__ = ("hash", "question", "semantic", "write", "read", "ttl_s", "corpus")
    HASH_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    hash: str
    question: str
    semantic: bool
    write: bool
    read: bool
    ttl_s: int
    corpus: str
    def __init__(self, hash: _Optional[str] = ..., question: _Optional[str] = ..., semantic: _Optional[bool] = ..., write: _Optional[bool] = ..., read: _Optional[bool] = ..., ttl_s: _Optional[int] = ..., corpus: _Optional[str] = ...) -> None: ...

class Slip(_message.Message):
    __slots__ = ("task_type", "route", "position", "attempts", "earlier", "decision", "arrived_ms", "deadline_ms", "reply_topic", "content_type", "body_hash", "cache", "spare", "retry_tokens", "refused_candidates", "traceparent", "task", "patient")
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    EARLIER_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_MS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    REPLY_TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    BODY_HASH_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    SPARE_FIELD_NUMBER: _ClassVar[int]
    RETRY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PATIENT_FIELD_NUMBER: _ClassVar[int]
    task_type: str
    route: _containers.RepeatedCompositeFieldContainer[Leg]
    position: int
    attempts: _containers.RepeatedCompositeFieldContainer[_outcome_pb2.Attempt]
    earlier: _outcome_pb2.Outcome
    decision: Decision
    arrived_ms: int
    deadline_ms: int
    reply_topic: str
    content_type: str
    body_hash: str
    cache: CacheScope
    spare: bool
    retry_tokens: float
    refused_candidates: _containers.RepeatedCompositeFieldContainer[_outcome_pb2.RefusedCandidate]
    traceparent: str
    task: TaskSpec
    patient: bool
    def __init__(self, task_type: _Optional[str] = ..., route: _Optional[_Iterable[_Union[Leg, _Mapping]]] = ..., position: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[_outcome_pb2.Attempt, _Mapping]]] = ..., earlier: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., arrived_ms: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., reply_topic: _Optional[str] = ..., content_type: _Optional[str] = ..., body_hash: _Optional[str] = ..., cache: _Optional[_Union[CacheScope, _Mapping]] = ..., spare: _Optional[bool] = ..., retry_tokens: _Optional[float] = ..., refused_candidates: _Optional[_Iterable[_Union[_outcome_pb2.RefusedCandidate, _Mapping]]] = ..., traceparent: _Optional[str] = ..., task: _Optional[_Union[TaskSpec, _Mapping]] = ..., patient: _Optional[bool] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("request", "attempt", "target", "task", "deadline_ms", "slip", "part_of", "wait")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    SLIP_FIELD_NUMBER: _ClassVar[int]
    PART_OF_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    request: _request_pb2.Request
    attempt: int
    target: Target
    task: TaskSpec
    deadline_ms: int
    slip: Slip
    part_of: str
    wait: Wait
    def __init__(self, request: _Optional[_Union[_request_pb2.Request, _Mapping]] = ..., attempt: _Optional[int] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., task: _Optional[_Union[TaskSpec, _Mapping]] = ..., deadline_ms: _Optional[int] = ..., slip: _Optional[_Union[Slip, _Mapping]] = ..., part_of: _Optional[str] = ..., wait: _Optional[_Union[Wait, _Mapping]] = ...) -> None: ...

class Wait(_message.Message):
    __slots__ = ("from_ms", "until_ms", "full_prices")
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    FULL_PRICES_FIELD_NUMBER: _ClassVar[int]
    from_ms: int
    until_ms: int
    full_prices: Prices
    def __init__(self, from_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., full_prices: _Optional[_Union[Prices, _Mapping]] = ...) -> None: ...

class OutcomeRecord(_message.Message):
    __slots__ = ("outcome", "request", "slip", "cancel")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SLIP_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    request: _request_pb2.Request
    slip: Slip
    cancel: bool
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ..., request: _Optional[_Union[_request_pb2.Request, _Mapping]] = ..., slip: _Optional[_Union[Slip, _Mapping]] = ..., cancel: _Optional[bool] = ...) -> None: ...
