from trivium.v1 import journey_pb2 as _journey_pb2
from trivium.v1 import outcome_pb2 as _outcome_pb2
from trivium.v1 import records_pb2 as _records_pb2
from trivium.v1 import request_pb2 as _request_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CompletionEvent(_message.Message):
    __slots__ = ("delta", "terminal")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    delta: str
    terminal: _outcome_pb2.Terminal
    def __init__(self, delta: _Optional[str] = ..., terminal: _Optional[_Union[_outcome_pb2.Terminal, _Mapping]] = ...) -> None: ...

class TierEvent(_message.Message):
    __slots__ = ("delta", "outcome")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    delta: str
    outcome: _outcome_pb2.Outcome
    def __init__(self, delta: _Optional[str] = ..., outcome: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("identity", "partition", "offset")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    partition: int
    offset: int
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class AwaitRequest(_message.Message):
    __slots__ = ("identity", "reply_to")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    reply_to: str
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., reply_to: _Optional[str] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ...) -> None: ...

class CancelReply(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: str
    def __init__(self, state: _Optional[str] = ...) -> None: ...

class Passage(_message.Message):
    __slots__ = ("document", "section", "version", "text", "score", "tokens")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SECTION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    document: str
    section: str
    version: str
    text: str
    score: float
    tokens: int
    def __init__(self, document: _Optional[str] = ..., section: _Optional[str] = ..., version: _Optional[str] = ..., text: _Optional[str] = ..., score: _Optional[float] = ..., tokens: _Optional[int] = ...) -> None: ...

class RetrieveRequest(_message.Message):
    __slots__ = ("tenant", "corpus", "query", "limit", "budget_tokens", "relevance_cut")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_CUT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    corpus: str
    query: str
    limit: int
    budget_tokens: int
    relevance_cut: float
    def __init__(self, tenant: _Optional[str] = ..., corpus: _Optional[str] = ..., query: _Optional[str] = ..., limit: _Optional[int] = ..., budget_tokens: _Optional[int] = ..., relevance_cut: _Optional[float] = ...) -> None: ...

class RetrieveReply(_message.Message):
    __slots__ = ("passages", "left_out", "mode", "embedding_tokens", "corpus_epoch")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CORPUS_EPOCH_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[Passage]
    left_out: int
    mode: str
    embedding_tokens: int
    corpus_epoch: int
    def __init__(self, passages: _Optional[_Iterable[_Union[Passage, _Mapping]]] = ..., left_out: _Optional[int] = ..., mode: _Optional[str] = ..., embedding_tokens: _Optional[int] = ..., corpus_epoch: _Optional[int] = ...) -> None: ...

class IngestRequest(_message.Message):
    __slots__ = ("tenant", "corpus", "document", "kind", "content")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    corpus: str
    document: str
    kind: str
    content: bytes
    def __init__(self, tenant: _Optional[str] = ..., corpus: _Optional[str] = ..., document: _Optional[str] = ..., kind: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class IngestReply(_message.Message):
    __slots__ = ("document", "version", "state", "passages", "message")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    document: str
    version: str
    state: str
    passages: int
    message: str
    def __init__(self, document: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., passages: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("tenant", "corpus", "documents", "all_but", "prefix")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    ALL_BUT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    corpus: str
    documents: _containers.RepeatedScalarFieldContainer[str]
    all_but: bool
    prefix: str
    def __init__(self, tenant: _Optional[str] = ..., corpus: _Optional[str] = ..., documents: _Optional[_Iterable[str]] = ..., all_but: _Optional[bool] = ..., prefix: _Optional[str] = ...) -> None: ...

class ForgetReply(_message.Message):
    __slots__ = ("forgotten",)
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    forgotten: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, forgotten: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("tenant", "by", "filters", "from_ms", "to_ms", "limit")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    TO_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    by: _containers.RepeatedScalarFieldContainer[str]
    filters: _containers.RepeatedCompositeFieldContainer[ReportFilter]
    from_ms: int
    to_ms: int
    limit: int
    def __init__(self, tenant: _Optional[str] = ..., by: _Optional[_Iterable[str]] = ..., filters: _Optional[_Iterable[_Union[ReportFilter, _Mapping]]] = ..., from_ms: _Optional[int] = ..., to_ms: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ReportFilter(_message.Message):
    __slots__ = ("dimension", "values")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    dimension: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dimension: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class ReportLine(_message.Message):
    __slots__ = ("group", "total", "requests", "answered", "cached", "attempts", "open_attempts", "faults", "cost", "cost_input", "cost_context", "cost_output", "cost_embedding", "cost_vector_store", "cost_request", "cost_unsplit", "fixed", "all_cloud", "told", "strays", "stray_cost", "unpriced", "duration_p50_ms", "duration_p95_ms", "ttft_p50_ms", "ttft_p95_ms", "tpot_p50_us", "tpot_p95_us", "judged", "resolved", "unresolved", "corrected", "correction_cost", "mean_score", "cost_of_success", "waiting_feedback", "input_tokens", "output_tokens", "context_tokens", "tool_tokens", "cache_read_tokens", "cache_write_tokens", "embedding_tokens", "open_cost", "open_unbounded", "batched", "batch_saved", "patient", "missed")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    OPEN_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    COST_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    COST_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    COST_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    COST_VECTOR_STORE_FIELD_NUMBER: _ClassVar[int]
    COST_REQUEST_FIELD_NUMBER: _ClassVar[int]
    COST_UNSPLIT_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    ALL_CLOUD_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    STRAYS_FIELD_NUMBER: _ClassVar[int]
    STRAY_COST_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_FIELD_NUMBER: _ClassVar[int]
    DURATION_P50_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_P95_MS_FIELD_NUMBER: _ClassVar[int]
    TTFT_P50_MS_FIELD_NUMBER: _ClassVar[int]
    TTFT_P95_MS_FIELD_NUMBER: _ClassVar[int]
    TPOT_P50_US_FIELD_NUMBER: _ClassVar[int]
    TPOT_P95_US_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FIELD_NUMBER: _ClassVar[int]
    UNRESOLVED_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_COST_FIELD_NUMBER: _ClassVar[int]
    MEAN_SCORE_FIELD_NUMBER: _ClassVar[int]
    COST_OF_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOOL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OPEN_COST_FIELD_NUMBER: _ClassVar[int]
    OPEN_UNBOUNDED_FIELD_NUMBER: _ClassVar[int]
    BATCHED_FIELD_NUMBER: _ClassVar[int]
    BATCH_SAVED_FIELD_NUMBER: _ClassVar[int]
    PATIENT_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    group: _containers.RepeatedScalarFieldContainer[str]
    total: bool
    requests: int
    answered: int
    cached: int
    attempts: int
    open_attempts: int
    faults: int
    cost: int
    cost_input: int
    cost_context: int
    cost_output: int
    cost_embedding: int
    cost_vector_store: int
    cost_request: int
    cost_unsplit: int
    fixed: int
    all_cloud: int
    told: int
    strays: int
    stray_cost: int
    unpriced: int
    duration_p50_ms: float
    duration_p95_ms: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    tpot_p50_us: float
    tpot_p95_us: float
    judged: int
    resolved: int
    unresolved: int
    corrected: int
    correction_cost: int
    mean_score: float
    cost_of_success: int
    waiting_feedback: int
    input_tokens: int
    output_tokens: int
    context_tokens: int
    tool_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    embedding_tokens: int
    open_cost: int
    open_unbounded: int
    batched: int
    batch_saved: int
    patient: int
    missed: int
    def __init__(self, group: _Optional[_Iterable[str]] = ..., total: _Optional[bool] = ..., requests: _Optional[int] = ..., answered: _Optional[int] = ..., cached: _Optional[int] = ..., attempts: _Optional[int] = ..., open_attempts: _Optional[int] = ..., faults: _Optional[int] = ..., cost: _Optional[int] = ..., cost_input: _Optional[int] = ..., cost_context: _Optional[int] = ..., cost_output: _Optional[int] = ..., cost_embedding: _Optional[int] = ..., cost_vector_store: _Optional[int] = ..., cost_request: _Optional[int] = ..., cost_unsplit: _Optional[int] = ..., fixed: _Optional[int] = ..., all_cloud: _Optional[int] = ..., told: _Optional[int] = ..., strays: _Optional[int] = ..., stray_cost: _Optional[int] = ..., unpriced: _Optional[int] = ..., duration_p50_ms: _Optional[float] = ..., duration_p95_ms: _Optional[float] = ..., ttft_p50_ms: _Optional[float] = ..., ttft_p95_ms: _Optional[float] = ..., tpot_p50_us: _Optional[float] = ..., tpot_p95_us: _Optional[float] = ..., judged: _Optional[int] = ..., resolved: _Optional[int] = ..., unresolved: _Optional[int] = ..., corrected: _Optional[int] = ..., correction_cost: _Optional[int] = ..., mean_score: _Optional[float] = ..., cost_of_success: _Optional[int] = ..., waiting_feedback: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., context_tokens: _Optional[int] = ..., tool_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., embedding_tokens: _Optional[int] = ..., open_cost: _Optional[int] = ..., open_unbounded: _Optional[int] = ..., batched: _Optional[int] = ..., batch_saved: _Optional[int] = ..., patient: _Optional[int] = ..., missed: _Optional[int] = ...) -> None: ...
