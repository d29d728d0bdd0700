"""Answers by Anthropic's Messages API: the only module that imports the vendor's SDK.

Always streams inside: it learns of the first token, sees errors in mid-stream and notices a cut stream, which the
SDK itself reports as a normal end."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Self

import anthropic
import httpx2
from anthropic.types import RawMessageStreamEvent
from anthropic.types.messages import MessageBatch
from opentelemetry.trace import Tracer

from trivium.claude import conversation
from trivium.core.errors import BatchGone, BatchRefused, BatchUnsure, VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Finish, Outcome, Usage
from trivium.core.price import cost
from trivium.core.prompt import estimate_tokens
from trivium.core.request import Output, OutputKind, ToolCall
from trivium.core.slip import Work
from trivium.ports import Emit, VendorBatch, emit_nothing
from trivium.settings import CloudSettings
from trivium.tier import spans
from trivium.tier.form import parse_schema, unfenced, wrong_form
from trivium.tier.meter import Meter, now_ms, uncalled
from trivium.tier.prompting import output_of

_LOG = logging.getLogger(__name__)
_CONNECT_S: Final = 5.0
_BATCH_S: Final = 300.0
"""For a batch: its body may have 256 MB."""
_PAGE: Final = 100
_SERVER_ERROR: Final = 500
_NO_KEY: Final = "unset"

_FINISH: Final[Mapping[str, Finish]] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSAL,
}
_FORMLESS: Final = (Finish.REFUSAL, Finish.TOOL_CALLS)


class Claude:
    """The Generator of the cloud tier. One HTTP pool; close it at the end."""

    def __init__(self, settings: CloudSettings, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        # A billed call is never repeated behind our back; key and URL come from our settings, not the environment.
        self._client = anthropic.AsyncAnthropic(
            api_key=settings.key or _NO_KEY,
            base_url=settings.url,
            max_retries=0,
            timeout=anthropic.Timeout(None, connect=_CONNECT_S),
            open_telemetry=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the HTTP pool."""
        await self._client.close()

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """One call. The outcome of a restricted request is the fault forbidden, and nothing is sent."""
        if work.request.restricted:
            return uncalled(work, FaultKind.FORBIDDEN, "a restricted request may not reach the cloud")
        meter = Meter(work, emit)
        with spans.chat(self._tracer, work, "anthropic") as span:
            outcome = await self._outcome(work, meter)
            spans.note_usage(span, outcome)
        return outcome

    async def _outcome(self, work: Work, meter: Meter) -> Outcome:
        fold = _Fold(meter, held_back=output_of(work).kind is OutputKind.JSON)
        try:
            async with asyncio.timeout((work.deadline_ms - now_ms()) / 1000):
                await self._stream(work, fold)
            return meter.answered(fold.finished(work))
        except VendorFault as error:
            fault = error.fault
        except TimeoutError:
            fault = Fault(FaultKind.OVERDUE, "no answer in time")
        except (anthropic.APIError, httpx2.HTTPError) as error:
            fault = _fault(error, fold.begun)
        except Exception as error:
            _LOG.exception("a call of %s failed", work.target.name)
            fault = Fault(FaultKind.INTERNAL, f"the cloud tier failed: {type(error).__name__}")
        fold.count_unreported()
        return meter.faulted(fault)

    async def _stream(self, work: Work, fold: "_Fold") -> None:
        parameters: Any = conversation.body(work) | _grammar(output_of(work))
        async with await self._client.messages.create(**parameters, stream=True) as events:
            async for event in events:
                fold.take(event)


class ClaudeBatches:
    """The BatchVendor of Anthropic (https://docs.anthropic.com/en/docs/build-with-claude/batch-processing): half the price, most
    within an hour, none after 24. One HTTP pool; close it at the end."""

    def __init__(self, settings: CloudSettings) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key=settings.key or _NO_KEY,
            base_url=settings.url,
            max_retries=0,
            timeout=anthropic.Timeout(_BATCH_S, connect=_CONNECT_S),
            open_telemetry=False,
        )
        self._batches = self._client.messages.batches

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def parameters(self, work: Work) -> Mapping[str, Any]:
        """See BatchVendor. A restricted request is refused here too."""
        if work.request.restricted:
            raise VendorFault(Fault(FaultKind.FORBIDDEN, "a restricted request may not reach the cloud"))
        return conversation.body(work) | _grammar(output_of(work))

    async def submit(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> VendorBatch:
        """See BatchVendor."""
        made: Any = [{"custom_id": name, "params": parameters} for name, parameters in requests]
        try:
            return _told(await self._batches.create(requests=made))
        except anthropic.APIStatusError as error:
            fault = _status_fault(error)
            if error.status_code >= _SERVER_ERROR and fault.kind is not FaultKind.OVERLOADED:
                raise BatchUnsure(fault.message) from error
            raise BatchRefused(fault, again=fault.kind in (FaultKind.RATE_LIMITED, FaultKind.OVERLOADED)) from error
        except (anthropic.APIError, httpx2.HTTPError) as error:
            if isinstance(error.__cause__ or error, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise BatchRefused(_fault(error, begun=False), again=True) from error
            raise BatchUnsure(f"the connection broke ({type(error).__name__})") from error

    async def find(self, name: str) -> VendorBatch:
        """See BatchVendor. Raises VendorFault when it cannot be asked now."""
        with _asking():
            return _told(await self._batches.retrieve(name))

    async def recent(self, since_ms: int) -> Sequence[VendorBatch]:
        """See BatchVendor. Raises VendorFault when it cannot be asked now."""
        found: list[VendorBatch] = []
        with _asking():
            async for batch in self._batches.list(limit=_PAGE):
                told = _told(batch)
                if told.created_ms < since_ms:
                    break
                found.append(told)
        return found

    async def results(
        self, name: str, work_of: Callable[[str], Work | None], begun_ms: int
    ) -> AsyncIterator[tuple[str, Outcome | None]]:
        """See BatchVendor. Raises VendorFault when the stream breaks; asking again begins anew."""
        with _asking():
            async for line in await self._batches.results(name):
                work = work_of(line.custom_id)
                yield line.custom_id, None if work is None else _item(work, line.result, begun_ms)

    async def cancel(self, name: str) -> None:
        """See BatchVendor. Raises VendorFault when it cannot be asked now."""
        with _asking():
            await self._batches.cancel(name)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except anthropic.NotFoundError as error:
        raise BatchGone(f"the Anthropic API says {error.api_message or error.message}") from error
    except (anthropic.APIError, httpx2.HTTPError) as error:
        raise VendorFault(_fault(error, begun=False)) from error


def _told(batch: MessageBatch) -> VendorBatch:
    counts = batch.request_counts
    total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
    created_ms = int(batch.created_at.timestamp() * 1000)
    return VendorBatch(batch.id, batch.processing_status == "ended", created_ms, total)


def _item(work: Work, result: Any, begun_ms: int) -> Outcome:
    """The outcome of one request of a batch, at the prices of its work."""
    usage = Usage()
    ended: Answer | Fault
    if result.type == "succeeded":
        message = result.message
        usage = _usage(Usage(), message.usage)
        text = "".join([block.text for block in message.content if block.type == "text"])
        calls = tuple(
            [ToolCall(b.id, b.name, json.dumps(b.input)) for b in message.content if b.type == "tool_use"]
        )
        try:
            ended = _answer(work, text, calls, message.stop_reason, message.model)
        except VendorFault as error:
            ended = error.fault
    elif result.type == "errored":
        said = result.error.error
        rejected = said.type in ("invalid_request_error", "not_found_error", "permission_error", "authentication_error")
        kind = FaultKind.REJECTED if rejected else FaultKind.UNAVAILABLE
        ended = Fault(kind, f"the Anthropic API says {said.type}: {said.message}", unbilled=True)
    else:
        ended = Fault(FaultKind.OVERDUE, f"the batch ended without it ({result.type})", unbilled=True)
    spent = cost(work.target.prices, usage) if usage.input_tokens else 0
    return Outcome(
        work.request.identity, work.attempt, work.target.name, ended, usage, spent, started_ms=begun_ms, ended_ms=now_ms()
    )


class _Fold:
    """The events of one stream, put together."""

    def __init__(self, meter: Meter, held_back: bool) -> None:
        self.begun = False
        self._meter = meter
        self._held_back = held_back
        self._text: list[str] = []
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._model = ""
        self._stop: str | None = None

    def take(self, event: RawMessageStreamEvent) -> None:
        if event.type == "content_block_delta":
            self._delta(event.index, event.delta)
        elif event.type == "message_start":
            self.begun = True
            self._model = event.message.model
            self._meter.usage = _usage(Usage(), event.message.usage)
        elif event.type == "content_block_start":
            block = event.content_block
            if block.type == "tool_use":
                self._calls[event.index] = (block.id, block.name, [])
        elif event.type == "message_delta":
            self._stop = event.delta.stop_reason
            self._meter.usage = _usage(self._meter.usage, event.usage)

    def _delta(self, index: int, delta: Any) -> None:
        if delta.type == "text_delta":
            self._text.append(delta.text)
            self._meter.token("" if self._held_back else delta.text)
        elif delta.type == "input_json_delta" and index in self._calls:
            self._calls[index][2].append(delta.partial_json)
            self._meter.token()

    def count_unreported(self) -> None:
        """The output of a broken stream is billed but was never reported: estimate it from the text that came."""
        usage = self._meter.usage
        came = estimate_tokens("".join(self._text))
        if came > usage.output_tokens:
            self._meter.usage = replace(usage, output_tokens=came)

    def finished(self, work: Work) -> Answer:
        """The whole answer. VendorFault when the stream was cut or the form is wrong."""
        calls = tuple(ToolCall(id_, name, "".join(parts) or "{}") for id_, name, parts in self._calls.values())
        answer = _answer(work, "".join(self._text), calls, self._stop, self._model)
        if self._held_back and answer.finish not in _FORMLESS:
            self._meter.show(answer.text)
        return answer


def _answer(work: Work, text: str, calls: tuple[ToolCall, ...], stop: str | None, model: str) -> Answer:
    """VendorFault when it ended before its end, or the form is wrong."""
    if stop is None or stop not in _FINISH:
        raise VendorFault(Fault(FaultKind.CUT, f"the answer ended before its end (stop reason {stop})"))
    finish, output = _FINISH[stop], output_of(work)
    if finish not in _FORMLESS and output.kind is OutputKind.JSON:
        text = unfenced(text)
        if problem := wrong_form(text, output):
            raise VendorFault(Fault(FaultKind.INVALID, problem))
    return Answer(text, calls, confidence=0.0 if finish is Finish.REFUSAL else None, finish=finish, model=model)


def _grammar(output: Output) -> dict[str, Any]:
    """Structured output where the vendor can take the schema; the system prompt asks for it in every case."""
    schema = parse_schema(output.schema_json) if output.kind is OutputKind.JSON else {}
    if not schema:
        return {}
    try:
        strict = anthropic.transform_schema(schema)
    except Exception:
        _LOG.debug("a schema is left to the prompt alone", exc_info=True)
        return {}
    return {"output_config": {"format": {"type": "json_schema", "schema": strict}}}


def _usage(before: Usage, said: Any) -> Usage:
    """Anthropic counts cached input apart; ours is all of the input. A delta's numbers are totals."""
    read = _or(said.cache_read_input_tokens, before.cache_read_tokens)
    written = _or(said.cache_creation_input_tokens, before.cache_write_tokens)
    fresh = _or(said.input_tokens, before.input_tokens - before.cache_read_tokens - before.cache_write_tokens)
    return Usage(
        input_tokens=fresh + read + written,
        output_tokens=_or(said.output_tokens, before.output_tokens),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _or(said: int | None, before: int) -> int:
    return before if said is None else said


def _fault(error: anthropic.APIError | httpx2.HTTPError, begun: bool) -> Fault:
    if isinstance(error, anthropic.APIStatusError):
        return _status_fault(error)
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return Fault(FaultKind.OVERDUE, "the Anthropic API did not answer in time")
    if begun:
        return Fault(FaultKind.CUT, f"the connection to the Anthropic API broke in mid-answer ({type(error).__name__})")
    refused = isinstance(error.__cause__ or error, httpx2.ConnectError)
    return Fault(FaultKind.UNAVAILABLE, f"the Anthropic API cannot be reached: {error.__cause__ or error}", unbilled=refused)


def _status_fault(error: anthropic.APIStatusError) -> Fault:
    """An error in mid-stream has status 200, so the type decides first."""
    status, kind = error.status_code, str(error.type or "")
    said = f"the Anthropic API says {kind or status}: {error.api_message or error.message}"
    if kind == "rate_limit_error" or status == 429:
        return Fault(FaultKind.RATE_LIMITED, said, _retry_after_ms(error))
    if kind == "overloaded_error" or status == 529:
        return Fault(FaultKind.OVERLOADED, said, _retry_after_ms(error))
    if kind in ("authentication_error", "permission_error") or status in (401, 403):
        return Fault(FaultKind.REJECTED, f"{said}; is TRIVIUM_CLOUD_KEY a key that may use this model?")
    if kind in ("timeout_error", "deadline_exceeded_error") or status in (408, 504):
        return Fault(FaultKind.OVERDUE, said)
    if kind == "request_too_large" or status == 413:
        return Fault(FaultKind.TOO_LARGE, said)
    if 400 <= status < 500 or kind in ("invalid_request_error", "not_found_error", "billing_error"):
        return Fault(FaultKind.REJECTED, said)
    # An error in mid-stream has status 200, and what came before it is billed.
    return Fault(FaultKind.UNAVAILABLE, said, _retry_after_ms(error), unbilled=status >= 500)


def _retry_after_ms(error: anthropic.APIStatusError) -> int:
    """Seconds as the header gives them; 0 when it says nothing that is a number."""
    try:
        return max(0, int(float(error.response.headers.get("retry-after", "0")) * 1000))
    except ValueError:
        return 0
