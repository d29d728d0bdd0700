"""Prompts in the two forms that model servers take."""

import json
from typing import Any

from services.finetuned.backend import Prompt
from trivium.core.errors import VendorFault
from trivium.core.outcome import Fault, FaultKind
from trivium.core.request import Message, Role, ToolCall, ToolSpec

Json = dict[str, Any]


def flat(prompt: Prompt) -> str:
    """One string for TGI's native route: every turn after a line with its role, the answer's role last.

        <|system|>
        ...
        <|user|>
        ...
        <|assistant|>

    The turn marks in what a caller wrote are broken up, so that nobody can open a turn that is not theirs."""
    turns = [("system", prompt.system), *((turn.role.value, turn.text) for turn in prompt.turns)]
    return "".join(f"<|{role}|>\n{text.replace('<|', '< |')}\n" for role, text in turns if text) + "<|assistant|>\n"


def chat(prompt: Prompt) -> list[Json]:
    """OpenAI's messages."""
    head: list[Json] = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return head + [_message(turn) for turn in prompt.turns]


def tools(prompt: Prompt) -> list[Json]:
    """OpenAI's tools. VendorFault (rejected) when a tool's parameters are not JSON."""
    return [_tool(tool) for tool in prompt.tools]


def _message(turn: Message) -> Json:
    if turn.role is Role.TOOL:
        return {"role": "tool", "tool_call_id": turn.tool_call_id, "content": turn.text}
    message: Json = {"role": turn.role.value, "content": turn.text}
    if turn.tool_calls:
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    return message


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}


def _tool(tool: ToolSpec) -> Json:
    try:
        parameters = json.loads(tool.parameters_json) if tool.parameters_json else {"type": "object", "properties": {}}
    except ValueError as error:
        said = f"the parameters of tool {tool.name} are not JSON: {error}"
        raise VendorFault(Fault(FaultKind.REJECTED, said)) from None
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}
