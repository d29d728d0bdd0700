from trivium.v1 import journey_pb2 as _journey_pb2
from trivium.v1 import outcome_pb2 as _outcome_pb2
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
