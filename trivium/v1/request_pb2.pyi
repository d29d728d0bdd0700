from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Request(_message.Message):
    __slots__ = ("tenant", "id", "replay", "endpoint", "task_type", "target", "messages", "prompt", "team", "application", "use_case", "end_user", "user_tier", "subject", "sensitivity", "stakes", "priority", "timeout_ms", "max_output_tokens", "temperature", "output", "tools", "cache", "corpus", "knowledge", "reply_to", "tags", "replays")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    USER_TIER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SENSITIVITY_FIELD_NUMBER: _ClassVar[int]
    STAKES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REPLAYS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    replay: int
    endpoint: str
    task_type: str
    target: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    prompt: str
    team: str
    application: str
    use_case: str
    end_user: str
    user_tier: str
    subject: str
    sensitivity: str
    stakes: str
    priority: str
    timeout_ms: int
    max_output_tokens: int
    temperature: float
    output: Output
    tools: _containers.RepeatedCompositeFieldContainer[ToolSpec]
    cache: str
    corpus: str
    knowledge: str
    reply_to: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    replays: str
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ..., replay: _Optional[int] = ..., endpoint: _Optional[str] = ..., task_type: _Optional[str] = ..., target: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., prompt: _Optional[str] = ..., team: _Optional[str] = ..., application: _Optional[str] = ..., use_case: _Optional[str] = ..., end_user: _Optional[str] = ..., user_tier: _Optional[str] = ..., subject: _Optional[str] = ..., sensitivity: _Optional[str] = ..., stakes: _Optional[str] = ..., priority: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[ToolSpec, _Mapping]]] = ..., cache: _Optional[str] = ..., corpus: _Optional[str] = ..., knowledge: _Optional[str] = ..., reply_to: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., replays: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "text", "tool_calls", "tool_call_id")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    role: str
    text: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    tool_call_id: str
    def __init__(self, role: _Optional[str] = ..., text: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., tool_call_id: _Optional[str] = ...) -> None: ...

class ToolSpec(_message.Message):
    __slots__ = ("name", "description", "parameters_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters_json: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters_json: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments_json: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("kind", "schema_json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    schema_json: str
    def __init__(self, kind: _Optional[str] = ..., schema_json: _Optional[str] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("tenant", "id", "replay")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    id: str
    replay: int
    def __init__(self, tenant: _Optional[str] = ..., id: _Optional[str] = ..., replay: _Optional[int] = ...) -> None: ...
