"""TGI's own wire: the only module that imports huggingface_hub (and httpx below it).

Plain work goes to `/generate_stream`, which knows adapters, grammars and details; work with tools, and conversations in
which tools were used, go to the chat route. Always streamed: a cut stream, an error after HTTP 200 and the first token show only there. The library's client
keeps every stream open until it is closed, so each call has a client of its own, over one pool of connections."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import httpx
from huggingface_hub import AsyncInferenceClient, TextGenerationInputGrammarType
from huggingface_hub.errors import (
    GenerationError,
    HfHubHTTPError,
    IncompleteGenerationError,
    InferenceTimeoutError,
    OverloadedError,
    TextGenerationError,
    ValidationError,
)
from huggingface_hub.inference._common import _UNSUPPORTED_TEXT_GENERATION_KWARGS

from services.finetuned import template
from services.finetuned.backend import Prompt, Reply, Round
from services.finetuned.toolcalls import Calls
from trivium.core.errors import VendorFault
from trivium.core.outcome import Fault, FaultKind, Finish
from trivium.core.request import Output, OutputKind, Role
from trivium.tier.form import parse_schema
from trivium.tier.meter import Meter

_LOG = logging.getLogger(__name__)
_CONNECT_S: Final = 5.0
_BASE: Final = "tgi"
"""What the chat route calls the base model; any other name is an adapter."""

_FINISH: Final[Mapping[str, Finish]] = {
    "eos_token": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
}


class _Client(AsyncInferenceClient):
    """A client whose streams end with it, over connections that do not."""

    def __init__(self, http: httpx.AsyncClient, url: str, key: str) -> None:
        # A token is always given: without one the library looks for the machine's own and sends that.
        headers: Any = {} if key else {"authorization": None}
        super().__init__(base_url=url, token=key or "none", headers=headers)
        self._async_client = http


class Tgi:
    """A Backend over one TGI server."""

    provider = "huggingface"

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._connections = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        timeout = httpx.Timeout(None, connect=_CONNECT_S)
        self._http = httpx.AsyncClient(timeout=timeout, transport=self._connections, trust_env=False)
        self._calls = 0
        self._given_up = False

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def generate(self, prompt: Prompt, meter: Meter, held_back: bool) -> Reply:
        """See Backend. The caller bounds the time."""
        if self._given_up:
            await self._close_forgotten()
        self._calls += 1
        try:
            return await self._generate(prompt, meter, held_back)
        except asyncio.CancelledError:
            self._given_up = True
            raise
        finally:
            self._calls -= 1

    async def _generate(self, prompt: Prompt, meter: Meter, held_back: bool) -> Reply:
        with Round(prompt, meter, held_back) as got:
            try:
                async with _Client(self._http, self._url, self._key) as client:
                    return await (self._chat(client, got) if _has_tools(prompt) else self._native(client, got))
            except (
                HfHubHTTPError,
                TextGenerationError,
                InferenceTimeoutError,
                httpx.HTTPError,
                httpx.StreamError,
            ) as error:
                raise VendorFault(_fault(error, got.begun)) from error
            except (json.JSONDecodeError, RecursionError, ValueError, UserWarning) as error:
                raise VendorFault(self._unreadable(error, got.begun)) from error

    async def _close_forgotten(self) -> None:
        """httpcore 1.0 forgets the connection of a call that is cancelled (it shields itself from anyio alone): between connecting
        and sending it stays NEW, without a request; while the answer is being closed it stays ACTIVE, with one. Neither is ever used
        again or closed."""
        pool: Any = self._connections._pool
        self._given_up = False
        if not self._calls:
            pool._requests.clear()
        used = {asked.connection for asked in pool._requests}
        for one in [one for one in pool.connections if one not in used and not one.is_idle()]:
            pool._connections.remove(one)
            await one.aclose()

    async def _native(self, client: AsyncInferenceClient, got: Round) -> Reply:
        prompt = got.prompt
        model = f"{self._url}/generate_stream"
        stream: Any = await client.text_generation(
            template.flat(prompt),
            details=True,
            stream=True,
            model=model,
            adapter_id=prompt.adapter or None,
            grammar=_grammar(prompt.output),
            max_new_tokens=prompt.most_tokens,
            temperature=prompt.temperature or None,
            do_sample=True if prompt.temperature else None,
        )
        last: Any = None
        async with aclosing(cast(Any, stream)) as pieces:
            async for piece in pieces:
                token = piece.token
                got.piece("" if token.special else token.text, token.logprob)
                last = piece
        if last is None or last.details is None:
            raise VendorFault(Fault(FaultKind.CUT, "the answer ended without its final event"))
        details = last.details
        got.report(getattr(details, "input_length", None), details.generated_tokens)
        finish = _FINISH.get(details.finish_reason, Finish.STOP)
        return Reply(got.text, finish, prompt.adapter or prompt.model, tuple(got.tokens))

    async def _chat(self, client: AsyncInferenceClient, got: Round) -> Reply:
        prompt = got.prompt
        stream: Any = await client.chat_completion(
            cast(Any, template.chat(prompt)),
            model=prompt.adapter or _BASE,
            stream=True,
            logprobs=True,
            max_tokens=prompt.most_tokens,
            temperature=prompt.temperature,
            tools=cast(Any, template.tools(prompt) or None),
            tool_choice=cast(Any, "auto" if prompt.tools else None),
            response_format=None if prompt.tools else _response_format(prompt.output),
            stream_options=cast(Any, {"include_usage": True}),
        )
        calls, finish = Calls(), None
        async with aclosing(cast(AsyncIterator[Any], stream)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                if chunk.usage is not None:
                    got.report(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices:
                    _take(choice, got, calls)
                    finish = choice.finish_reason or finish
        if finish is None:
            raise VendorFault(Fault(FaultKind.CUT, "the answer ended without a finish reason"))
        made = calls.made()
        ended = Finish.TOOL_CALLS if made else _FINISH.get(finish, Finish.STOP)
        return Reply(got.text, ended, prompt.adapter or prompt.model, tuple(got.tokens), made)

    def _unreadable(self, error: Exception, begun: bool) -> Fault:
        """The library gives up on a server whose 400 speaks of model_kwargs, for the life of the process: undo that."""
        if _UNSUPPORTED_TEXT_GENERATION_KWARGS.pop(f"{self._url}/generate_stream", None) is not None:
            return Fault(
                FaultKind.REJECTED, "the model server refuses TGI's parameters: is it TGI? (TRIVIUM_FINETUNED_WIRE)"
            )
        if isinstance(error, json.JSONDecodeError):
            kind = FaultKind.CUT if begun else FaultKind.INVALID
            return Fault(kind, f"the model server sent what is not JSON: {error.msg}")
        _LOG.error("the model client failed", exc_info=error)
        return Fault(FaultKind.INTERNAL, f"the model client failed: {type(error).__name__}")


def _take(choice: Any, got: Round, calls: Calls) -> None:
    delta = choice.delta
    asked = getattr(delta, "tool_calls", None)
    if asked:
        # Older servers send one object instead of a list.
        for call in asked if isinstance(asked, list) else [asked]:
            calls.take(
                _of(call, "index") or 0,
                _of(call, "id"),
                _of(_of(call, "function"), "name"),
                _of(_of(call, "function"), "arguments"),
            )
        got.piece("")
        return
    text = getattr(delta, "content", None)
    if text:
        logprobs = choice.logprobs.content if choice.logprobs is not None else None
        got.piece(text, logprobs[0].logprob if logprobs else None)


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _has_tools(prompt: Prompt) -> bool:
    """Tools are offered, or were used before: only the chat route has a form for them."""
    return bool(prompt.tools) or any(turn.tool_calls or turn.role is Role.TOOL for turn in prompt.turns)


def _response_format(output: Output) -> Any:
    """The library rewrites OpenAI's form into TGI's."""
    schema = parse_schema(output.schema_json) if output.kind is OutputKind.JSON else {}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}} if schema else None


def _grammar(output: Output) -> TextGenerationInputGrammarType | None:
    schema = parse_schema(output.schema_json) if output.kind is OutputKind.JSON else {}
    return TextGenerationInputGrammarType(type="json", value=schema) if schema else None


def _fault(error: Exception, begun: bool) -> Fault:
    if isinstance(error, OverloadedError):
        return Fault(FaultKind.OVERLOADED, f"the model server is overloaded: {error}", _retry_after_ms(error))
    if isinstance(error, ValidationError):
        return Fault(FaultKind.REJECTED, f"the model server refuses the request: {error}")
    if isinstance(error, GenerationError | IncompleteGenerationError):
        return Fault(FaultKind.UNAVAILABLE, f"the model server failed: {error}")
    if isinstance(error, TextGenerationError) and _response(error) is None:
        if "rate limit" in str(error).lower():
            return Fault(FaultKind.RATE_LIMITED, f"the model server says in mid-answer: {error}")
        return Fault(FaultKind.UNAVAILABLE, f"the model server says in mid-answer: {error}")
    if isinstance(error, InferenceTimeoutError | httpx.TimeoutException):
        return Fault(FaultKind.OVERDUE, "the model server did not answer in time")
    response = _response(error)
    if response is not None:
        return _status_fault(response, str(error))
    if begun:
        return Fault(FaultKind.CUT, f"the connection to the model server broke in mid-answer ({type(error).__name__})")
    said = f"the model server cannot be reached: {error or type(error).__name__}"
    return Fault(FaultKind.UNAVAILABLE, said, unbilled=isinstance(error, httpx.ConnectError))


def _status_fault(response: httpx.Response, said: str) -> Fault:
    status, said = response.status_code, f"the model server says {response.status_code}: {said.strip().splitlines()[0]}"
    wait_ms = _seconds(response.headers.get("retry-after"))
    if status == 429:
        return Fault(FaultKind.RATE_LIMITED, said, wait_ms)
    if status in (401, 403):
        return Fault(FaultKind.REJECTED, f"{said}; is TRIVIUM_FINETUNED_KEY right?")
    if status in (408, 504):
        return Fault(FaultKind.OVERDUE, said)
    if status == 413:
        return Fault(FaultKind.TOO_LARGE, said)
    if 400 <= status < 500:
        return Fault(FaultKind.REJECTED, said)
    return Fault(FaultKind.UNAVAILABLE, said, wait_ms, unbilled=True)


def _response(error: BaseException | None) -> httpx.Response | None:
    """Of the HTTP error behind what the library made of it."""
    while error is not None:
        if isinstance(error, HfHubHTTPError | httpx.HTTPStatusError) and error.response is not None:
            return error.response
        error = error.__cause__
    return None


def _retry_after_ms(error: BaseException) -> int:
    response = _response(error)
    return 0 if response is None else _seconds(response.headers.get("retry-after"))


def _seconds(text: str | None) -> int:
    """A retry-after header as ms; 0 when it is none or no number."""
    try:
        return max(0, int(float(text or 0) * 1000))
    except ValueError:
        return 0
