"""A request in the form of Anthropic's Messages API (https://docs.anthropic.com/en/api/messages), as plain JSON."""

import json
from typing import Any

from trivium.core.errors import VendorFault
from trivium.core.outcome import Fault, FaultKind
from trivium.core.request import Message, Role, ToolCall, ToolSpec
from trivium.core.slip import Work
from trivium.tier import prompting

Json = dict[str, Any]


def body(work: Work) -> Json:
    """All parameters of a Messages call except `stream`. VendorFault (rejected) when a tool's JSON is wrong.

    Never a temperature: since its version 2026-10-21 the API refuses sampling parameters, and the SDK does not know them."""
    parameters: Json = {
        "model": work.target.model,
        "max_tokens": prompting.most_output_tokens(work),
        "system": _system(work),
        "messages": _messages(prompting.turns(work)),
    }
    if work.request.tools:
        parameters["tools"] = [_tool(tool) for tool in work.request.tools]
    return parameters


def _system(work: Work) -> list[Json]:
    # Only what all requests of the task type share may stand before the cache mark.
    static = {"type": "text", "text": prompting.static_system(work, True), "cache_control": {"type": "ephemeral"}}
    own = prompting.callers_system(work)
    return [static, {"type": "text", "text": own}] if own else [static]


def _messages(turns: tuple[Message, ...]) -> list[Json]:
    messages: list[Json] = []
    for turn in turns:
        role = "assistant" if turn.role is Role.ASSISTANT else "user"
        if messages and messages[-1]["role"] == role:
            # Results of several tools must stand in one turn.
            messages[-1]["content"].extend(_blocks(turn))
        else:
            messages.append({"role": role, "content": _blocks(turn)})
    return messages


def _blocks(turn: Message) -> list[Json]:
    if turn.role is Role.TOOL:
        return [{"type": "tool_result", "tool_use_id": turn.tool_call_id, "content": turn.text}]
    text: list[Json] = [{"type": "text", "text": turn.text}] if turn.text else []
    return text + [_tool_use(call) for call in turn.tool_calls]


def _tool_use(call: ToolCall) -> Json:
    given = _object(call.arguments_json, f"the arguments of tool call {call.id}")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _tool(tool: ToolSpec) -> Json:
    schema = _object(tool.parameters_json, f"the parameters of tool {tool.name}") or {
        "type": "object",
        "properties": {},
    }
    return {"name": tool.name, "description": tool.description, "input_schema": schema}


def _object(text: str, what: str) -> Json:
    try:
        value = json.loads(text) if text else {}
    except ValueError as error:
        raise VendorFault(Fault(FaultKind.REJECTED, f"{what} are not JSON: {error}")) from None
    if not isinstance(value, dict):
        raise VendorFault(Fault(FaultKind.REJECTED, f"{what} are not a JSON object"))
    return value
