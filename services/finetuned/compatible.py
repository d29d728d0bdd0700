"""OpenAI-compatible servers (vLLM, SGLang, llama.cpp, TGI's chat route): the only module that imports openai."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx2
import openai
from openai.types.chat.chat_completion_chunk import Choice

from services.finetuned import template
from services.finetuned.backend import Prompt, Reply, Round
from services.finetuned.toolcalls import Calls
from trivium.core.errors import VendorFault
from trivium.core.outcome import Fault, FaultKind, Finish
from trivium.core.request import Output, OutputKind
from trivium.tier.form import parse_schema
from trivium.tier.meter import Meter

_LOG = logging.getLogger(__name__)
_CONNECT_S: Final = 5.0

_FINISH: Final[Mapping[str, Finish]] = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.REFUSAL,
}


class Compatible:
    """A Backend over one server. The adapter, when there is one, is the model's name on the wire."""

    provider = "openai"

    def __init__(self, url: str, key: str) -> None:
        base = url.rstrip("/")
        # Nothing is repeated behind our back, and nothing is taken from the environment.
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=base if base.endswith("/v1") else f"{base}/v1",
            organization="",
            project="",
            max_retries=0,
            timeout=openai.Timeout(None, connect=_CONNECT_S),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def generate(self, prompt: Prompt, meter: Meter, held_back: bool) -> Reply:
        """See Backend. The caller bounds the time."""
        with Round(prompt, meter, held_back) as got:
            try:
                return await self._stream(prompt, got)
            except (openai.APIError, httpx2.HTTPError) as error:
                raise VendorFault(_fault(error, got.begun)) from error
            except ValueError as error:
                kind = FaultKind.CUT if got.begun else FaultKind.INVALID
                raise VendorFault(Fault(kind, f"the model server sent what is not JSON: {error}")) from error

    async def _stream(self, prompt: Prompt, got: Round) -> Reply:
        parameters: dict[str, Any] = {
            "model": prompt.adapter or prompt.model,
            "messages": template.chat(prompt),
            "max_tokens": prompt.most_tokens,
            "logprobs": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.temperature is not None:
            parameters["temperature"] = prompt.temperature
        if prompt.tools:
            parameters["tools"] = template.tools(prompt)
        elif prompt.output.kind is OutputKind.JSON:
            parameters["response_format"] = _format(prompt.output)
        calls, finish, model = Calls(), None, ""
        async with await self._client.chat.completions.create(**parameters, stream=True) as chunks:
            async for chunk in chunks:
                model = chunk.model or model
                if chunk.usage is not None:
                    got.report(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices:
                    _take(choice, got, calls)
                    finish = choice.finish_reason or finish
        if finish is None:
            raise VendorFault(Fault(FaultKind.CUT, "the answer ended without a finish reason"))
        made = calls.made()
        return Reply(
            got.text, Finish.TOOL_CALLS if made else _FINISH.get(finish, Finish.STOP), model, tuple(got.tokens), made
        )


def _take(choice: Choice, got: Round, calls: Calls) -> None:
    delta = choice.delta
    if delta.tool_calls:
        for call in delta.tool_calls:
            function = call.function
            calls.take(
                call.index, call.id, function.name if function else None, function.arguments if function else None
            )
        got.piece("")
        return
    if delta.content:
        logprobs = choice.logprobs.content if choice.logprobs is not None else None
        if logprobs and len(logprobs) > 1:
            # Some servers join tokens in one chunk: keep each with its own probability.
            for token in logprobs[:-1]:
                got.piece(token.token, token.logprob)
            joined = "".join(token.token for token in logprobs[:-1])
            got.piece(delta.content.removeprefix(joined), logprobs[-1].logprob)
        else:
            got.piece(delta.content, logprobs[0].logprob if logprobs else None)


def _format(output: Output) -> dict[str, Any]:
    schema = parse_schema(output.schema_json)
    if not schema:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _fault(error: openai.APIError | httpx2.HTTPError, begun: bool) -> Fault:
    if isinstance(error, openai.APIStatusError):
        return _status_fault(error)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return Fault(FaultKind.OVERDUE, "the model server did not answer in time")
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return _in_band(error)
    if begun:
        return Fault(FaultKind.CUT, f"the connection to the model server broke in mid-answer ({type(error).__name__})")
    refused = isinstance(error.__cause__ or error, httpx2.ConnectError)
    return Fault(FaultKind.UNAVAILABLE, f"the model server cannot be reached: {error.__cause__ or error}", unbilled=refused)


def _in_band(error: openai.APIError) -> Fault:
    """An error event after HTTP 200."""
    words = _words(error)
    said = f"the model server says in mid-answer: {words}"
    lowered = words.lower()
    if "overload" in lowered:
        return Fault(FaultKind.OVERLOADED, said)
    if "rate" in lowered and "limit" in lowered:
        return Fault(FaultKind.RATE_LIMITED, said)
    if "validation" in lowered or "invalid_request" in lowered:
        return Fault(FaultKind.REJECTED, said)
    return Fault(FaultKind.UNAVAILABLE, said)


def _status_fault(error: openai.APIStatusError) -> Fault:
    status, wait_ms = error.status_code, _retry_after_ms(error)
    said = f"the model server says {status}: {_words(error)}"
    if status == 429:
        # TGI says so when its queue is full; others when a quota is used up.
        return Fault(FaultKind.OVERLOADED if "overload" in said.lower() else FaultKind.RATE_LIMITED, said, wait_ms)
    if status in (401, 403):
        return Fault(FaultKind.REJECTED, f"{said}; is TRIVIUM_FINETUNED_KEY right?")
    if status in (408, 504):
        return Fault(FaultKind.OVERDUE, said)
    if status == 413:
        return Fault(FaultKind.TOO_LARGE, said)
    if 400 <= status < 500 and status != 424:
        return Fault(FaultKind.REJECTED, said)
    return Fault(FaultKind.UNAVAILABLE, said, wait_ms, unbilled=True)


def _words(error: openai.APIError) -> str:
    """What the server said: OpenAI's error object, or TGI's bare text, which the SDK keeps only in the body."""
    body = error.body
    if isinstance(body, str) and body:
        return body
    if isinstance(body, Mapping):
        parts = [str(body[name]) for name in ("type", "error_type", "code", "message") if body.get(name)]
        return ": ".join(parts) or error.message
    return error.message


def _retry_after_ms(error: openai.APIStatusError) -> int:
    try:
        return max(0, int(float(error.response.headers.get("retry-after", "0")) * 1000))
    except ValueError:
        return 0
