"""Requests: the caller's bytes -> protobuf -> core, and back."""

import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from trivium.codec.wire import unknown_of, word
from trivium.core.errors import BadRequest, Undecodable
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.request import (
    CacheUse,
    Identity,
    Knowledge,
    Message,
    Output,
    OutputKind,
    Priority,
    Request,
    Role,
    Sensitivity,
    Stakes,
    ToolCall,
    ToolSpec,
)
from trivium.core.slip import ContentType
from trivium.v1 import request_pb2 as pb

MAX_NAME = 256
"""Characters of a tenant or request id: they are part of Kafka keys and log lines."""


# What an empty word means: a member costs six times a name of the module, and every request asks for five.
_INTERNAL: Final = Sensitivity.INTERNAL
_NORMAL_STAKES: Final = Stakes.NORMAL
_NORMAL_PRIORITY: Final = Priority.NORMAL
_USE: Final = CacheUse.USE
_UNKNOWN: Final = Knowledge.UNKNOWN


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A record's value as a message. `body_hash` is equal for the same body in JSON and in protobuf."""

    message: pb.Request
    content_type: ContentType
    body_hash: str

    @property
    def identity(self) -> Identity:
        return Identity(self.message.tenant, self.message.id, self.message.replay)


def decode_request(value: bytes, content_type: str | None, default_id: str = "") -> DecodedRequest:
    """Undecodable when there is no identity to answer; BadRequest (with identity) when there is one.

    `default_id`: what stands around the value gives it, when the value has none."""
    kind = _content_type(value, content_type)
    message = _parse_json(value) if kind is ContentType.JSON else _parse_protobuf(value)
    if default_id and not message.id:
        message.id = default_id
    _check_identity(message)
    return DecodedRequest(message, kind, body_hash(message))


def body_hash(message: pb.Request) -> str:
    """Hash of the canonical protobuf: what decides whether an identity was used for another body."""
    return hashlib.blake2b(message.SerializeToString(deterministic=True), digest_size=12).hexdigest()


def _content_type(value: bytes, stated: str | None) -> ContentType:
    # Without a header: "{" as the first byte of protobuf would be a group of field 15, which no writer makes.
    if not stated:
        return ContentType.JSON if value[:1] == b"{" else ContentType.PROTOBUF
    bare = stated.split(";")[0].strip().lower()
    known = {"application/json": ContentType.JSON, "application/protobuf": ContentType.PROTOBUF,
             "application/x-protobuf": ContentType.PROTOBUF}  # fmt: skip
    if bare not in known:
        raise Undecodable(Reason(ReasonCode.UNDECODABLE, f"content-type {bare[:80]!r} is not read here", "content-type",
                                 "application/protobuf or application/json"))  # fmt: skip
    return known[bare]


def _parse_protobuf(value: bytes) -> pb.Request:
    try:
        return pb.Request.FromString(value)
    except DecodeError:
        hint = "a trivium.v1.Request; JSON needs the header content-type: application/json"
        message = f"{len(value)} bytes that are not a protobuf trivium.v1.Request"
        raise Undecodable(Reason(ReasonCode.UNDECODABLE, message, "value", hint)) from None


def _parse_json(value: bytes) -> pb.Request:
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Undecodable(Reason(ReasonCode.UNDECODABLE, f"not JSON: {str(error)[:200]}", "value", "a JSON object")) from None
    if not isinstance(fields, dict):
        what = f"a JSON {type(fields).__name__} instead of an object"
        raise Undecodable(Reason(ReasonCode.WRONG_SHAPE, what, "value", "an object with tenant, id and prompt"))
    try:
        return json_format.ParseDict(fields, pb.Request())
    except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
        raise _wrong_shape(fields, str(error)) from None
    except SystemError:
        # How protobuf says that a field's name cannot be written in UTF-8.
        raise _wrong_shape(fields, "a field's name has half a character") from None


def _wrong_shape(fields: dict[str, object], error: str) -> BadRequest:
    names = {name for f in pb.Request.DESCRIPTOR.fields for name in (f.name, f.json_name)}
    stranger = next((name for name in fields if name not in names), "")
    near = difflib.get_close_matches(stranger[:MAX_NAME], names, 1)
    hint = f"did you mean {near[0]}?" if near else "the JSON mapping of trivium.v1.Request, see docs/wire.md"
    reason = Reason(ReasonCode.WRONG_SHAPE, _written((error.splitlines() or ["wrong"])[0][:300]), _written(stranger[:80]), hint)
    tenant, name = fields.get("tenant"), fields.get("id")
    if isinstance(tenant, str) and isinstance(name, str) and 0 < len(tenant) <= MAX_NAME and 0 < len(name) <= MAX_NAME:
        replay = fields.get("replay")
        if _written(tenant + name) == tenant + name:
            return BadRequest(reason, Identity(tenant, name, replay if isinstance(replay, int) and 0 <= replay < 2**31 else 0))
    return Undecodable(reason)


def _written(text: str) -> str:
    """JSON can name half a character, as in "\\ud800"; nothing that is written on can."""
    return text.encode("utf-8", "backslashreplace").decode()


def _check_identity(message: pb.Request) -> None:
    for field, text in (("tenant", message.tenant), ("id", message.id)):
        if not text:
            what = f"{field} is missing: nobody could be answered"
            raise Undecodable(Reason(ReasonCode.MISSING_FIELD, what, field, "both tenant and id, chosen by the caller"))
        if len(text) > MAX_NAME:
            what = f"{field} has {len(text)} characters"
            raise Undecodable(Reason(ReasonCode.WRONG_SHAPE, what, field, f"at most {MAX_NAME}"))


def request_from(message: pb.Request) -> Request:
    """Core request. BadRequest, with the identity, when a word is unknown or prompt and messages disagree."""
    identity = identity_from(message)
    try:
        return _request_from(message, identity)
    except BadRequest as error:
        raise BadRequest(error.reason, identity) from None


def _request_from(message: pb.Request, identity: Identity) -> Request:
    tools, tags = message.tools, message.tags
    return Request(
        identity=identity,
        messages=_messages(message),
        endpoint=message.endpoint,
        task_type=message.task_type,
        target=message.target,
        team=message.team,
        application=message.application,
        use_case=message.use_case,
        end_user=message.end_user,
        user_tier=message.user_tier,
        subject=message.subject,
        sensitivity=word(Sensitivity, message.sensitivity, "sensitivity", _INTERNAL),
        stakes=word(Stakes, message.stakes, "stakes", _NORMAL_STAKES),
        priority=word(Priority, message.priority, "priority", _NORMAL_PRIORITY),
        timeout_ms=message.timeout_ms if message.HasField("timeout_ms") else None,
        max_output_tokens=message.max_output_tokens,
        temperature=message.temperature if message.HasField("temperature") else None,
        output=output_from(message.output) if message.HasField("output") else None,
        tools=tuple([ToolSpec(t.name, t.description, t.parameters_json) for t in tools]) if tools else (),
        cache=word(CacheUse, message.cache, "cache", _USE),
        corpus=message.corpus,
        knowledge=word(Knowledge, message.knowledge, "knowledge", _UNKNOWN),
        reply_to=message.reply_to,
        tags=tuple(tags) if tags else (),
        replays=message.replays,
        unknown=unknown_of(message),
    )


def _messages(message: pb.Request) -> tuple[Message, ...]:
    if message.prompt and message.messages:
        what = "both prompt and messages are set"
        raise BadRequest(Reason(ReasonCode.WRONG_SHAPE, what, "prompt", "one of the two; prompt is short for one user message"))
    if message.prompt:
        return (Message(Role.USER, message.prompt),)
    return tuple(_message(m, i) for i, m in enumerate(message.messages))


def _message(m: pb.Message, index: int) -> Message:
    calls = tuple(tool_call_from(c) for c in m.tool_calls)
    return Message(word(Role, m.role, f"messages[{index}].role", Role.USER), m.text, calls, m.tool_call_id)


def request_to(request: Request) -> pb.Request:
    """The message of a core request. A prompt becomes one user message."""
    message = pb.Request(
        tenant=request.identity.tenant,
        id=request.identity.id,
        replay=request.identity.replay,
        endpoint=request.endpoint,
        task_type=request.task_type,
        target=request.target,
        messages=[
            pb.Message(role=m.role.value, text=m.text, tool_calls=[tool_call_to(c) for c in m.tool_calls],
                       tool_call_id=m.tool_call_id)
            for m in request.messages
        ],
        team=request.team,
        application=request.application,
        use_case=request.use_case,
        end_user=request.end_user,
        user_tier=request.user_tier,
        subject=request.subject,
        sensitivity=request.sensitivity.value,
        stakes=request.stakes.value,
        priority=request.priority.value,
        timeout_ms=request.timeout_ms,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        output=None if request.output is None else output_to(request.output),
        tools=[pb.ToolSpec(name=t.name, description=t.description, parameters_json=t.parameters_json) for t in request.tools],
        cache=request.cache.value,
        corpus=request.corpus,
        knowledge=request.knowledge.value,
        reply_to=request.reply_to,
        tags=request.tags,
        replays=request.replays,
    )  # fmt: skip
    if request.unknown:
        message.MergeFromString(request.unknown)
    return message


def identity_from(message: pb.Request | pb.Identity) -> Identity:
    return Identity(message.tenant, message.id, message.replay)


def identity_to(identity: Identity) -> pb.Identity:
    return pb.Identity(tenant=identity.tenant, id=identity.id, replay=identity.replay)


def output_from(message: pb.Output) -> Output:
    return Output(word(OutputKind, message.kind, "output.kind", OutputKind.TEXT), message.schema_json)


def output_to(output: Output) -> pb.Output:
    return pb.Output(kind=output.kind.value, schema_json=output.schema_json)


def tool_call_from(call: pb.ToolCall) -> ToolCall:
    return ToolCall(call.id, call.name, call.arguments_json)


def tool_call_to(call: ToolCall) -> pb.ToolCall:
    return pb.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json)
