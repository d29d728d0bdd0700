"""Anthropic's wire (Messages API): requests, answers, events and errors, as the SDK 2.11 writes and reads them."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from infra.standins.prompts import Turn
from infra.standins.serving import sse
from infra.standins.tools import Tool

NOTICE: Final = "trivium stand-in: not Claude, not a language model"
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
ErrorType = Literal[
    "invalid_request_error",
    "request_too_large",
    "authentication_error",
    "not_found_error",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
]


class Refused(ValueError):
    """An error of the API: (message, type, status)."""

    def __init__(self, message: str, kind: ErrorType = "invalid_request_error", status: int = 400) -> None:
        super().__init__(message)
        self.kind: ErrorType = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of the prompt, in the order in which prefixes are cached: tools, system, messages."""

    text: str
    """Its whole JSON or text; equal text is equal content."""
    breakpoint_s: int
    """Seconds that the prefix up to here is to be cached, 0: no breakpoint."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request of `/v1/messages`."""

    model: str
    max_tokens: int
    turns: tuple[Turn, ...]
    blocks: tuple[Block, ...]
    tools: tuple[Tool, ...]
    tool_choice: str
    stop: tuple[str, ...]
    stream: bool
    schema: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Content:
    """What the answer contains: texts in token-sized pieces, and calls of tools."""

    texts: tuple[str, ...]
    calls: tuple[tuple[str, Mapping[str, object]], ...]
    """(name, arguments)."""
    stop_reason: StopReason
    stop_sequence: str | None
    output_tokens: int


def read_request(body: Mapping[str, Any]) -> Asked:
    """Validates as the API does. Raises Refused."""
    model, most, messages = body.get("model"), body.get("max_tokens"), body.get("messages")
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            raise Refused(f"{name}: Field required")
    for name in ("temperature", "top_p", "top_k"):
        if name in body:
            raise Refused(f"{name}: Extra inputs are not permitted")
    if not isinstance(model, str) or not model.startswith("claude-"):
        raise Refused(f"model: {model}", "not_found_error", 404)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise Refused("max_tokens: Input should be greater than or equal to 1")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one message is required")
    tools = body.get("tools") or []
    system, system_blocks = _content(body.get("system") or "", "system")
    turns, message_blocks = _messages(messages)
    return Asked(
        model=model,
        max_tokens=most,
        turns=(Turn("system", system), *turns) if system else turns,
        blocks=(*_tool_blocks(tools), *system_blocks, *message_blocks),
        tools=tuple(_tool(tool, at) for at, tool in enumerate(tools)),
        tool_choice=_choice(body.get("tool_choice")),
        stop=tuple(str(one) for one in body.get("stop_sequences") or ()),
        stream=body.get("stream") is True,
        schema=_schema(body),
    )


def message_shape(model: str, content: Content, usage: Mapping[str, Any]) -> dict[str, Any]:
    """A whole message."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": "".join(content.texts)}] if content.texts else []
    blocks += [
        {"type": "tool_use", "id": _id("toolu"), "name": name, "input": dict(given)} for name, given in content.calls
    ]
    return {
        "id": _id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": content.stop_reason,
        "stop_sequence": content.stop_sequence,
        "usage": {**usage, "output_tokens": content.output_tokens},
        "standin": NOTICE,
    }


def events_of(message: Mapping[str, Any], content: Content) -> tuple[bytes, list[bytes], bytes]:
    """(events before the first token, one group of events a token, events after the last) of a streamed message."""
    usage = message["usage"]
    head = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    first = _event("message_start", message=head) + _event("ping")
    groups: list[bytes] = []
    for index, block in enumerate(message["content"]):
        groups += _block_events(index, block, content)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    counted = {name: value for name, value in usage.items() if isinstance(value, int)}
    return first, groups, _event("message_delta", delta=delta, usage=counted) + _event("message_stop")


def error_shape(kind: ErrorType, message: str) -> dict[str, Any]:
    """An error, as body or as event."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": _id("req")}


def error_event(kind: ErrorType, message: str) -> bytes:
    """An error in mid-stream."""
    return sse(error_shape(kind, message), "error")


def _block_events(index: int, block: Mapping[str, Any], content: Content) -> list[bytes]:
    if block["type"] == "text":
        opened: dict[str, Any] = {"type": "text", "text": ""}
        deltas: list[dict[str, str]] = [{"type": "text_delta", "text": text} for text in content.texts]
    else:
        opened = {"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}
        written = json.dumps(block["input"], ensure_ascii=False)
        parts = [written[at : at + 12] for at in range(0, len(written), 12)]
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]
    groups = [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
    groups[0] = _event("content_block_start", index=index, content_block=opened) + groups[0]
    groups[-1] += _event("content_block_stop", index=index)
    return groups


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _id(prefix: str) -> str:
    return f"{prefix}_standin{uuid.uuid4().hex[:20]}"


def _messages(messages: Sequence[Any]) -> tuple[tuple[Turn, ...], list[Block]]:
    turns: list[Turn] = []
    blocks: list[Block] = []
    for at, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ("user", "assistant"):
            raise Refused(f"messages.{at}.role: Input should be 'user' or 'assistant'")
        if message.get("content") in (None, "", []):
            raise Refused(f"messages.{at}: user messages must have non-empty content")
        results, rest = _split_results(message["content"])
        turns += [Turn("tool", _content(one.get("content") or "", f"messages.{at}")[0]) for one in results]
        text, _ = _content(rest, f"messages.{at}.content")
        if text or not results:
            turns.append(Turn("user" if role == "user" else "assistant", text))
        blocks += [
            Block(f"<|{role}|>{one.text}", one.breakpoint_s) for one in _blocks(message["content"], f"messages.{at}")
        ]
    return tuple(turns), blocks


def _split_results(content: object) -> tuple[list[Mapping[str, Any]], object]:
    if not isinstance(content, list):
        return [], content
    results = [one for one in content if isinstance(one, Mapping) and one.get("type") == "tool_result"]
    return results, [one for one in content if one not in results]


def _content(content: object, where: str) -> tuple[str, list[Block]]:
    blocks = _blocks(content, where)
    if isinstance(content, str):
        return content, blocks
    assert isinstance(content, list)
    return "\n".join(str(one.get("text", "")) for one in content if one.get("type") == "text"), blocks


def _blocks(content: object, where: str) -> list[Block]:
    if isinstance(content, str):
        return [Block(content, 0)] if content else []
    if not isinstance(content, list):
        raise Refused(f"{where}: Input should be a valid string or list")
    found: list[Block] = []
    for at, one in enumerate(content):
        if not isinstance(one, Mapping) or not isinstance(one.get("type"), str):
            raise Refused(f"{where}.{at}.type: Field required")
        found.append(_block(one, str(one["text"]) if one["type"] == "text" and "text" in one else None))
    return found


def _block(one: Mapping[str, Any], text: str | None) -> Block:
    control = one.get("cache_control")
    rest = {name: value for name, value in one.items() if name != "cache_control"}
    seconds = 0
    if isinstance(control, Mapping):
        seconds = 3_600 if control.get("ttl") == "1h" else 300
    return Block(text if text is not None else json.dumps(rest, sort_keys=True, ensure_ascii=False), seconds)


def _tool_blocks(tools: object) -> list[Block]:
    if not isinstance(tools, list):
        raise Refused("tools: Input should be a valid list")
    return [_block(tool, None) for tool in tools if isinstance(tool, Mapping)]


def _tool(tool: object, at: int) -> Tool:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise Refused(f"tools.{at}.name: Field required")
    if not isinstance(tool.get("input_schema"), Mapping):
        raise Refused(f"tools.{at}.input_schema: Field required")
    return Tool(str(tool["name"]), str(tool.get("description") or ""), tool["input_schema"])


def _choice(choice: object) -> str:
    if not isinstance(choice, Mapping):
        return "auto"
    kind = str(choice.get("type", "auto"))
    return {"any": "required", "tool": str(choice.get("name", "auto"))}.get(kind, kind)


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, Mapping) else body.get("output_format")
    if not isinstance(wanted, Mapping):
        return None
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, Mapping):
        raise Refused("output_config.format: Input should be {'type': 'json_schema', 'schema': {...}}")
    return schema
