from trivium.v1 import request_pb2 as _request_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Usage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "context_tokens", "tool_tokens", "cache_read_tokens", "cache_write_tokens", "embedding_tokens")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOOL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    context_tokens: int
    tool_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    embedding_tokens: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., context_tokens: _Optional[int] = ..., tool_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., embedding_tokens: _Optional[int] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("document", "section", "version", "number")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SECTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    document: str
    section: str
    version: str
    number: int
    def __init__(self, document: _Optional[str] = ..., section: _Optional[str] = ..., version: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("text", "tool_calls", "citations", "confidence", "finish", "model", "not_found", "sources")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    text: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[_request_pb2.ToolCall]
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    confidence: float
    finish: str
    model: str
    not_found: bool
    sources: _containers.RepeatedCompositeFieldContainer[Citation]
    def __init__(self, text: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[_request_pb2.ToolCall, _Mapping]]] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., confidence: _Optional[float] = ..., finish: _Optional[str] = ..., model: _Optional[str] = ..., not_found: _Optional[bool] = ..., sources: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("kind", "message", "retry_after_ms", "budget")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    retry_after_ms: int
    budget: str
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., budget: _Optional[str] = ...) -> None: ...

class ToolUse(_message.Message):
    __slots__ = ("name", "calls", "tokens", "cost_micro_dollars", "duration_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    calls: int
    tokens: int
    cost_micro_dollars: int
    duration_ms: int
    def __init__(self, name: _Optional[str] = ..., calls: _Optional[int] = ..., tokens: _Optional[int] = ..., cost_micro_dollars: _Optional[int] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("identity", "attempt", "target", "answer", "fault", "usage", "cost_micro_dollars", "started_ms", "ended_ms", "ttft_ms", "tpot_us", "queue_ms", "tool_uses", "instance")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    TPOT_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    TOOL_USES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    attempt: int
    target: str
    answer: Answer
    fault: Fault
    usage: Usage
    cost_micro_dollars: int
    started_ms: int
    ended_ms: int
    ttft_ms: int
    tpot_us: int
    queue_ms: int
    tool_uses: _containers.RepeatedCompositeFieldContainer[ToolUse]
    instance: str
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., attempt: _Optional[int] = ..., target: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_micro_dollars: _Optional[int] = ..., started_ms: _Optional[int] = ..., ended_ms: _Optional[int] = ..., ttft_ms: _Optional[int] = ..., tpot_us: _Optional[int] = ..., queue_ms: _Optional[int] = ..., tool_uses: _Optional[_Iterable[_Union[ToolUse, _Mapping]]] = ..., instance: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "target", "started_ms", "deadline_ms", "verdict", "fault", "confidence", "usage", "cost_micro_dollars", "ttft_ms", "tpot_us", "duration_ms", "tool_uses", "why", "batch")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    TPOT_US_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    TOOL_USES_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    number: int
    target: str
    started_ms: int
    deadline_ms: int
    verdict: str
    fault: Fault
    confidence: float
    usage: Usage
    cost_micro_dollars: int
    ttft_ms: int
    tpot_us: int
    duration_ms: int
    tool_uses: _containers.RepeatedCompositeFieldContainer[ToolUse]
    why: str
    batch: bool
    def __init__(self, number: _Optional[int] = ..., target: _Optional[str] = ..., started_ms: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., verdict: _Optional[str] = ..., fault: _Optional[_Union[Fault, _Mapping]] = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_micro_dollars: _Optional[int] = ..., ttft_ms: _Optional[int] = ..., tpot_us: _Optional[int] = ..., duration_ms: _Optional[int] = ..., tool_uses: _Optional[_Iterable[_Union[ToolUse, _Mapping]]] = ..., why: _Optional[str] = ..., batch: _Optional[bool] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "message", "field", "hint")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    field: str
    hint: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class CacheNote(_message.Message):
    __slots__ = ("kind", "similarity", "score", "made_for", "question", "made_ms")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MADE_FOR_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    MADE_MS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    similarity: float
    score: float
    made_for: _request_pb2.Identity
    question: str
    made_ms: int
    def __init__(self, kind: _Optional[str] = ..., similarity: _Optional[float] = ..., score: _Optional[float] = ..., made_for: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., question: _Optional[str] = ..., made_ms: _Optional[int] = ...) -> None: ...

class RefusedCandidate(_message.Message):
    __slots__ = ("question", "similarity", "score", "why")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    question: str
    similarity: float
    score: float
    why: str
    def __init__(self, question: _Optional[str] = ..., similarity: _Optional[float] = ..., score: _Optional[float] = ..., why: _Optional[str] = ...) -> None: ...

class Terminal(_message.Message):
    __slots__ = ("identity", "kind", "answer", "reason", "tier", "target", "task_type", "attempts", "usage", "cost_micro_dollars", "all_cloud_micro_dollars", "ttft_ms", "tpot_us", "arrived_ms", "ended_ms", "cache", "refused_candidates", "policy_revision", "trace_id")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    ALL_CLOUD_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    TPOT_US_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    kind: str
    answer: Answer
    reason: Reason
    tier: str
    target: str
    task_type: str
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    usage: Usage
    cost_micro_dollars: int
    all_cloud_micro_dollars: int
    ttft_ms: int
    tpot_us: int
    arrived_ms: int
    ended_ms: int
    cache: CacheNote
    refused_candidates: _containers.RepeatedCompositeFieldContainer[RefusedCandidate]
    policy_revision: int
    trace_id: str
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., kind: _Optional[str] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., tier: _Optional[str] = ..., target: _Optional[str] = ..., task_type: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_micro_dollars: _Optional[int] = ..., all_cloud_micro_dollars: _Optional[int] = ..., ttft_ms: _Optional[int] = ..., tpot_us: _Optional[int] = ..., arrived_ms: _Optional[int] = ..., ended_ms: _Optional[int] = ..., cache: _Optional[_Union[CacheNote, _Mapping]] = ..., refused_candidates: _Optional[_Iterable[_Union[RefusedCandidate, _Mapping]]] = ..., policy_revision: _Optional[int] = ..., trace_id: _Optional[str] = ...) -> None: ...
