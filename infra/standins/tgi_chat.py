"""The OpenAI-compatible chat route, as TGI, vLLM and their like serve it: requests, answers and chunks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.standins.mind import Grammar
from infra.standins.prompts import Role, Turn
from infra.standins.speech import Call, Token
from infra.standins.tgi_wire import EOS, Generated, Invalid, read_grammar, read_most, read_stop
from infra.standins.tools import Tool

NOTICE: Final = "trivium stand-in: not a language model"
_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """A valid request of `/v1/chat/completions`."""

    model: str
    adapter: str | None
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    tool_choice: str
    grammar: Grammar | None
    most_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    usage_in_stream: bool
    logprobs: bool
    top: int


def read_chat(body: Mapping[str, Any], bases: Sequence[str]) -> ChatAsked:
    """Validates. bases: names of the base model; any other is an adapter. Raises Invalid or TypeError."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise TypeError(
            "missing field `messages`" if messages is None else "messages: expected a list that is not empty"
        )
    model = str(body.get("model") or "tgi")
    stop = body.get("stop") or []
    top = body.get("top_logprobs") or 0
    if not isinstance(top, int) or not 0 <= top <= 20:
        raise Invalid(f"`top_logprobs` must be >= 0 and <= 20. Given: {top}")
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most is not None and not isinstance(most, int):
        raise TypeError("max_tokens: invalid type, expected u32")
    return ChatAsked(
        model=model,
        adapter=None if model in bases else model,
        turns=tuple(_turn(message, at) for at, message in enumerate(messages)),
        tools=tuple(_tool(one, at) for at, one in enumerate(body.get("tools") or [])),
        tool_choice=_choice(body.get("tool_choice")),
        grammar=read_grammar(body.get("response_format")),
        most_tokens=read_most(most),
        stop=read_stop([stop] if isinstance(stop, str) else stop),
        stream=body.get("stream") is True,
        usage_in_stream=bool((body.get("stream_options") or {}).get("include_usage")),
        logprobs=body.get("logprobs") is True,
        top=top,
    )


def text_prompt(asked: ChatAsked) -> str:
    """The conversation as the model sees it, for counting tokens: every turn, every tool."""
    tools = (
        json.dumps([[tool.name, tool.description, dict(tool.schema)] for tool in asked.tools]) if asked.tools else ""
    )
    return tools + "".join(f"<|{turn.role}|>\n{turn.text}\n" for turn in asked.turns)


def whole_chat(
    asked: ChatAsked, said: Generated | Call, head: Mapping[str, Any], usage: Mapping[str, int]
) -> dict[str, Any]:
    """The unstreamed answer. head: id and created."""
    if isinstance(said, Call):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None,
            "tool_calls": [_call_shape(said, str(head["id"]))],
        }
        logprobs, finish = None, "tool_calls"
    else:
        message = {"role": "assistant", "content": said.text}
        logprobs = {"content": [logprob_shape(token, asked.top) for token in spoken(said)]} if asked.logprobs else None
        finish = finish_of(said)
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    kind = {"object": "chat.completion", "model": asked.model, "system_fingerprint": "standin", "standin": NOTICE}
    return {**head, **kind, "choices": [choice], "usage": dict(usage)}


def chunks(
    asked: ChatAsked, said: Generated | Call, head: Mapping[str, Any], usage: Mapping[str, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(one chunk a token, closing chunks) of a streamed answer."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None, logprobs: object = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "logprobs": logprobs, "finish_reason": finish}
        return _chunk_of(asked, head, [choice], None)

    if isinstance(said, Call):
        shape = _call_shape(said, str(head["id"]))
        opening = {**shape, "index": 0, "function": {**shape["function"], "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": shape["function"]["arguments"]}}
        events = [chunk({"role": "assistant", "tool_calls": [opening]}), chunk({"tool_calls": [rest]})]
        finish = "tool_calls"
    else:
        events = [
            chunk(
                {"role": "assistant", "content": token.text},
                logprobs={"content": [logprob_shape(token, asked.top)]} if asked.logprobs else None,
            )
            for token in spoken(said)
        ]
        finish = finish_of(said)
    closing = [chunk({"content": ""} if not isinstance(said, Call) else {}, finish)]
    if asked.usage_in_stream:
        closing.append(_chunk_of(asked, head, [], usage))
    return events, closing


def spoken(said: Generated) -> Sequence[Token]:
    """The tokens without the end token."""
    return [token for token in said.tokens if token is not EOS]


def finish_of(said: Generated) -> str:
    """OpenAI's finish reason."""
    return "length" if said.finish == "length" else "stop"


def logprob_shape(token: Token, top: int) -> dict[str, Any]:
    """A token as OpenAI's wire writes it."""
    ranked = sorted([(token.text, token.logprob), *((t, p) for _, t, p in token.alternatives)], key=lambda one: -one[1])
    shown = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in ranked[:top]]
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode()), "top_logprobs": shown}


def _chunk_of(
    asked: ChatAsked, head: Mapping[str, Any], choices: Sequence[Any], usage: Mapping[str, int] | None
) -> dict[str, Any]:
    kind = {"object": "chat.completion.chunk", "model": asked.model, "system_fingerprint": "standin", "standin": NOTICE}
    return {**head, **kind, "choices": list(choices), "usage": dict(usage) if usage else None}


def _call_shape(call: Call, answer: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": f"call_{answer[-12:]}", "type": "function", "function": function}


def _turn(message: object, at: int) -> Turn:
    if not isinstance(message, Mapping) or message.get("role") not in _ROLES:
        raise TypeError(f"messages[{at}]: expected an object with a role of {', '.join(_ROLES)}")
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    if content is not None and not isinstance(content, str):
        raise TypeError(f"messages[{at}].content: expected a string or a list of parts")
    return Turn(_ROLES[str(message["role"])], content or "")


def _tool(one: object, at: int) -> Tool:
    function = one.get("function") if isinstance(one, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise TypeError(f'tools[{at}]: expected {{"type": "function", "function": {{"name": ...}}}}')
    schema = function.get("parameters") or function.get("arguments") or {}
    return Tool(str(function["name"]), str(function.get("description") or ""), schema)


def _choice(value: object) -> str:
    if isinstance(value, Mapping):
        return str((value.get("function") or {}).get("name", "auto"))
    return str(value or "auto")
