from trivium.v1 import journey_pb2 as _journey_pb2
from trivium.v1 import outcome_pb2 as _outcome_pb2
from trivium.v1 import request_pb2 as _request_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LedgerRecord(_message.Message):
    __slots__ = ("role", "terminal", "decision", "team", "application", "use_case", "end_user", "user_tier", "sensitivity", "endpoint", "door", "stray", "at_ms", "stakes", "priority", "knowledge", "tools", "replays", "erasure")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    USER_TIER_FIELD_NUMBER: _ClassVar[int]
    SENSITIVITY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    DOOR_FIELD_NUMBER: _ClassVar[int]
    STRAY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    STAKES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    REPLAYS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    role: str
    terminal: _outcome_pb2.Terminal
    decision: _journey_pb2.Decision
    team: str
    application: str
    use_case: str
    end_user: str
    user_tier: str
    sensitivity: str
    endpoint: str
    door: str
    stray: _outcome_pb2.Outcome
    at_ms: int
    stakes: str
    priority: str
    knowledge: str
    tools: int
    replays: str
    erasure: Erasure
    def __init__(self, role: _Optional[str] = ..., terminal: _Optional[_Union[_outcome_pb2.Terminal, _Mapping]] = ..., decision: _Optional[_Union[_journey_pb2.Decision, _Mapping]] = ..., team: _Optional[str] = ..., application: _Optional[str] = ..., use_case: _Optional[str] = ..., end_user: _Optional[str] = ..., user_tier: _Optional[str] = ..., sensitivity: _Optional[str] = ..., endpoint: _Optional[str] = ..., door: _Optional[str] = ..., stray: _Optional[_Union[_outcome_pb2.Outcome, _Mapping]] = ..., at_ms: _Optional[int] = ..., stakes: _Optional[str] = ..., priority: _Optional[str] = ..., knowledge: _Optional[str] = ..., tools: _Optional[int] = ..., replays: _Optional[str] = ..., erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("tenant", "end_user_mark", "identities", "before_ms")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    END_USER_MARK_FIELD_NUMBER: _ClassVar[int]
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    end_user_mark: str
    identities: _containers.RepeatedScalarFieldContainer[bytes]
    before_ms: int
    def __init__(self, tenant: _Optional[str] = ..., end_user_mark: _Optional[str] = ..., identities: _Optional[_Iterable[bytes]] = ..., before_ms: _Optional[int] = ...) -> None: ...

class AttemptRecord(_message.Message):
    __slots__ = ("state", "identity", "attempt", "execution", "target", "instance", "at_ms", "usage", "cost_micro_dollars", "fault", "team", "application", "use_case", "end_user", "user_tier", "task_type", "door", "begun_ms", "part_of", "costs", "model", "reserved_micro_dollars", "holder", "batch", "saved_micro_dollars", "budgets", "charged_micro_dollars")
    STATE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    USER_TIER_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    DOOR_FIELD_NUMBER: _ClassVar[int]
    BEGUN_MS_FIELD_NUMBER: _ClassVar[int]
    PART_OF_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RESERVED_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SAVED_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    state: str
    identity: _request_pb2.Identity
    attempt: int
    execution: int
    target: str
    instance: str
    at_ms: int
    usage: _outcome_pb2.Usage
    cost_micro_dollars: int
    fault: str
    team: str
    application: str
    use_case: str
    end_user: str
    user_tier: str
    task_type: str
    door: str
    begun_ms: int
    part_of: str
    costs: CostSplit
    model: str
    reserved_micro_dollars: int
    holder: str
    batch: bool
    saved_micro_dollars: int
    budgets: _containers.RepeatedScalarFieldContainer[str]
    charged_micro_dollars: int
    def __init__(self, state: _Optional[str] = ..., identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., attempt: _Optional[int] = ..., execution: _Optional[int] = ..., target: _Optional[str] = ..., instance: _Optional[str] = ..., at_ms: _Optional[int] = ..., usage: _Optional[_Union[_outcome_pb2.Usage, _Mapping]] = ..., cost_micro_dollars: _Optional[int] = ..., fault: _Optional[str] = ..., team: _Optional[str] = ..., application: _Optional[str] = ..., use_case: _Optional[str] = ..., end_user: _Optional[str] = ..., user_tier: _Optional[str] = ..., task_type: _Optional[str] = ..., door: _Optional[str] = ..., begun_ms: _Optional[int] = ..., part_of: _Optional[str] = ..., costs: _Optional[_Union[CostSplit, _Mapping]] = ..., model: _Optional[str] = ..., reserved_micro_dollars: _Optional[int] = ..., holder: _Optional[str] = ..., batch: _Optional[bool] = ..., saved_micro_dollars: _Optional[int] = ..., budgets: _Optional[_Iterable[str]] = ..., charged_micro_dollars: _Optional[int] = ...) -> None: ...

class CostSplit(_message.Message):
    __slots__ = ("input", "context", "output", "embedding", "vector_store", "request", "parts")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    VECTOR_STORE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    input: int
    context: int
    output: int
    embedding: int
    vector_store: int
    request: int
    parts: int
    def __init__(self, input: _Optional[int] = ..., context: _Optional[int] = ..., output: _Optional[int] = ..., embedding: _Optional[int] = ..., vector_store: _Optional[int] = ..., request: _Optional[int] = ..., parts: _Optional[int] = ...) -> None: ...

class FeedbackRecord(_message.Message):
    __slots__ = ("identity", "outcome", "score", "corrected_text", "correction_micro_dollars", "at_ms", "source")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_TEXT_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    outcome: str
    score: float
    corrected_text: str
    correction_micro_dollars: int
    at_ms: int
    source: str
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., outcome: _Optional[str] = ..., score: _Optional[float] = ..., corrected_text: _Optional[str] = ..., correction_micro_dollars: _Optional[int] = ..., at_ms: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

class BudgetRecord(_message.Message):
    __slots__ = ("rules", "account")
    RULES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    rules: BudgetRules
    account: BudgetAccount
    def __init__(self, rules: _Optional[_Union[BudgetRules, _Mapping]] = ..., account: _Optional[_Union[BudgetAccount, _Mapping]] = ...) -> None: ...

class BudgetRules(_message.Message):
    __slots__ = ("revision", "rules", "at_ms")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    rules: _containers.RepeatedCompositeFieldContainer[BudgetRule]
    at_ms: int
    def __init__(self, revision: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[BudgetRule, _Mapping]]] = ..., at_ms: _Optional[int] = ...) -> None: ...

class BudgetRule(_message.Message):
    __slots__ = ("name", "period", "limit_micro_dollars", "hard", "over", "tenant", "team", "application", "use_case", "end_user", "alerts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    period: str
    limit_micro_dollars: int
    hard: bool
    over: str
    tenant: str
    team: str
    application: str
    use_case: str
    end_user: str
    alerts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., period: _Optional[str] = ..., limit_micro_dollars: _Optional[int] = ..., hard: _Optional[bool] = ..., over: _Optional[str] = ..., tenant: _Optional[str] = ..., team: _Optional[str] = ..., application: _Optional[str] = ..., use_case: _Optional[str] = ..., end_user: _Optional[str] = ..., alerts: _Optional[_Iterable[int]] = ...) -> None: ...

class BudgetAccount(_message.Message):
    __slots__ = ("holder", "budget", "period", "have", "upto", "spent", "closed", "valid_ms", "at_ms", "by", "number")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    UPTO_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    VALID_MS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    holder: str
    budget: str
    period: str
    have: int
    upto: int
    spent: int
    closed: bool
    valid_ms: int
    at_ms: int
    by: str
    number: int
    def __init__(self, holder: _Optional[str] = ..., budget: _Optional[str] = ..., period: _Optional[str] = ..., have: _Optional[int] = ..., upto: _Optional[int] = ..., spent: _Optional[int] = ..., closed: _Optional[bool] = ..., valid_ms: _Optional[int] = ..., at_ms: _Optional[int] = ..., by: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class BudgetAlert(_message.Message):
    __slots__ = ("budget", "period", "percent", "limit_micro_dollars", "spent_micro_dollars", "runs_out", "at_ms", "hard")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    SPENT_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    RUNS_OUT_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    budget: str
    period: str
    percent: int
    limit_micro_dollars: int
    spent_micro_dollars: int
    runs_out: str
    at_ms: int
    hard: bool
    def __init__(self, budget: _Optional[str] = ..., period: _Optional[str] = ..., percent: _Optional[int] = ..., limit_micro_dollars: _Optional[int] = ..., spent_micro_dollars: _Optional[int] = ..., runs_out: _Optional[str] = ..., at_ms: _Optional[int] = ..., hard: _Optional[bool] = ...) -> None: ...

class BatchRecord(_message.Message):
    __slots__ = ("key", "state", "vendor_id", "begun_ms", "instance", "requests", "at_ms", "items")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VENDOR_ID_FIELD_NUMBER: _ClassVar[int]
    BEGUN_MS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    key: str
    state: str
    vendor_id: str
    begun_ms: int
    instance: str
    requests: int
    at_ms: int
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., state: _Optional[str] = ..., vendor_id: _Optional[str] = ..., begun_ms: _Optional[int] = ..., instance: _Optional[str] = ..., requests: _Optional[int] = ..., at_ms: _Optional[int] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class IdempotencyRecord(_message.Message):
    __slots__ = ("identity", "body_hash")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BODY_HASH_FIELD_NUMBER: _ClassVar[int]
    identity: _request_pb2.Identity
    body_hash: str
    def __init__(self, identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., body_hash: _Optional[str] = ...) -> None: ...

class CacheEntry(_message.Message):
    __slots__ = ("id", "scope", "tenant", "task_type", "question", "embedding", "fingerprint", "answer", "tier", "target", "made_for", "made_ms", "expires_ms", "tags", "corpus", "corpus_epoch", "cost_micro_dollars", "drop", "subject_mark")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MADE_FOR_FIELD_NUMBER: _ClassVar[int]
    MADE_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    CORPUS_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COST_MICRO_DOLLARS_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_MARK_FIELD_NUMBER: _ClassVar[int]
    id: str
    scope: str
    tenant: str
    task_type: str
    question: str
    embedding: bytes
    fingerprint: str
    answer: _outcome_pb2.Answer
    tier: str
    target: str
    made_for: _request_pb2.Identity
    made_ms: int
    expires_ms: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    corpus: str
    corpus_epoch: int
    cost_micro_dollars: int
    drop: CacheDrop
    subject_mark: str
    def __init__(self, id: _Optional[str] = ..., scope: _Optional[str] = ..., tenant: _Optional[str] = ..., task_type: _Optional[str] = ..., question: _Optional[str] = ..., embedding: _Optional[bytes] = ..., fingerprint: _Optional[str] = ..., answer: _Optional[_Union[_outcome_pb2.Answer, _Mapping]] = ..., tier: _Optional[str] = ..., target: _Optional[str] = ..., made_for: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., made_ms: _Optional[int] = ..., expires_ms: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., corpus: _Optional[str] = ..., corpus_epoch: _Optional[int] = ..., cost_micro_dollars: _Optional[int] = ..., drop: _Optional[_Union[CacheDrop, _Mapping]] = ..., subject_mark: _Optional[str] = ...) -> None: ...

class CacheDrop(_message.Message):
    __slots__ = ("tenant", "tag", "task_type", "document", "corpus", "scope", "before_ms", "subject_mark")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_MARK_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    tag: str
    task_type: str
    document: str
    corpus: str
    scope: str
    before_ms: int
    subject_mark: str
    def __init__(self, tenant: _Optional[str] = ..., tag: _Optional[str] = ..., task_type: _Optional[str] = ..., document: _Optional[str] = ..., corpus: _Optional[str] = ..., scope: _Optional[str] = ..., before_ms: _Optional[int] = ..., subject_mark: _Optional[str] = ...) -> None: ...

class DocumentRecord(_message.Message):
    __slots__ = ("tenant", "corpus", "document", "version", "state", "passages", "epoch", "at_ms", "new_passages", "fingerprint")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    NEW_PASSAGES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    corpus: str
    document: str
    version: str
    state: str
    passages: int
    epoch: int
    at_ms: int
    new_passages: _containers.RepeatedScalarFieldContainer[bytes]
    fingerprint: str
    def __init__(self, tenant: _Optional[str] = ..., corpus: _Optional[str] = ..., document: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., passages: _Optional[int] = ..., epoch: _Optional[int] = ..., at_ms: _Optional[int] = ..., new_passages: _Optional[_Iterable[bytes]] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class Pulse(_message.Message):
    __slots__ = ("instance", "service", "at_ms", "policy_revision", "targets", "in_flight", "slots", "draining", "left")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    instance: str
    service: str
    at_ms: int
    policy_revision: int
    targets: _containers.RepeatedCompositeFieldContainer[TargetPulse]
    in_flight: int
    slots: int
    draining: bool
    left: bool
    def __init__(self, instance: _Optional[str] = ..., service: _Optional[str] = ..., at_ms: _Optional[int] = ..., policy_revision: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[TargetPulse, _Mapping]]] = ..., in_flight: _Optional[int] = ..., slots: _Optional[int] = ..., draining: _Optional[bool] = ..., left: _Optional[bool] = ...) -> None: ...

class TargetPulse(_message.Message):
    __slots__ = ("target", "breaker", "queue_wait_ms", "p50_ms", "p95_ms", "in_flight")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    target: str
    breaker: str
    queue_wait_ms: int
    p50_ms: int
    p95_ms: int
    in_flight: int
    def __init__(self, target: _Optional[str] = ..., breaker: _Optional[str] = ..., queue_wait_ms: _Optional[int] = ..., p50_ms: _Optional[int] = ..., p95_ms: _Optional[int] = ..., in_flight: _Optional[int] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("reason", "topic", "partition", "offset", "key", "value", "headers", "at_ms", "identity", "id")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    reason: _outcome_pb2.Reason
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: _containers.ScalarMap[str, str]
    at_ms: int
    identity: _request_pb2.Identity
    id: str
    def __init__(self, reason: _Optional[_Union[_outcome_pb2.Reason, _Mapping]] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Mapping[str, str]] = ..., at_ms: _Optional[int] = ..., identity: _Optional[_Union[_request_pb2.Identity, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...
