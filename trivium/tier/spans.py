"""The spans of a tier: one for the work, one inside it for each vendor call.

Inside one task the current span is the ambient one; across records and calls the context is explicit. Without a
tracer nothing is made and the caller's headers are passed on as they came."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer, use_span

from trivium.core.errors import VendorFault
from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.slip import Work
from trivium.kafka.record import Delivered
from trivium.telemetry import names


@contextmanager
def chat(tracer: Tracer | None, work: Work, provider: str) -> Iterator[Span]:
    """The vendor call as a CLIENT span under the current one. End it with `note_outcome`."""
    if tracer is None:
        yield INVALID_SPAN
        return
    model = work.target.adapter or work.target.model
    span = tracer.start_span(f"{names.SPAN_CHAT} {model}", kind=SpanKind.CLIENT)
    if not span.is_recording():
        yield span
        return
    span.set_attributes({names.GEN_AI_OPERATION: "chat", names.GEN_AI_PROVIDER: provider, names.GEN_AI_MODEL: model})
    # Not by the library: its event of an exception would carry a stack trace and what a vendor said into the trace.
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except VendorFault as error:
            _fault(span, error.fault.kind.value, error.fault.message)
            raise
        except BaseException as error:
            _fault(span, type(error).__name__, "")
            raise


def describe(span: Span, work: Work, door: str, capture: bool) -> None:
    """What the work is."""
    identity = work.request.identity
    span.set_attributes(
        {
            names.TENANT: identity.tenant,
            names.REQUEST_ID: identity.id,
            names.REPLAY: identity.replay,
            names.TASK_TYPE: work.task.name,
            names.TIER: work.target.tier.value,
            names.TARGET: work.target.name,
            names.ATTEMPT: work.attempt,
            names.DOOR: door,
        }
    )
    if capture and not work.request.restricted:
        span.set_attribute(names.PROMPT, work.request.question)


def note_usage(span: Span, outcome: Outcome) -> None:
    """Tokens, model and finish of a vendor call."""
    if not span.is_recording():
        return
    span.set_attribute(names.GEN_AI_INPUT_TOKENS, outcome.usage.input_tokens)
    span.set_attribute(names.GEN_AI_OUTPUT_TOKENS, outcome.usage.output_tokens)
    if isinstance(outcome.result, Answer):
        span.set_attribute(names.GEN_AI_RESPONSE_MODEL, outcome.result.model)
        span.set_attribute(names.GEN_AI_FINISH, [outcome.result.finish.value])
    else:
        _fault(span, outcome.result.kind.value, outcome.result.message)


def note_reply(span: Span, before: Usage, after: Usage, model: str, finish: str) -> None:
    """The same for one of several vendor calls of an attempt: `before` and `after` are the usage around it."""
    if not span.is_recording():
        return
    span.set_attribute(names.GEN_AI_INPUT_TOKENS, after.input_tokens - before.input_tokens)
    span.set_attribute(names.GEN_AI_OUTPUT_TOKENS, after.output_tokens - before.output_tokens)
    span.set_attribute(names.GEN_AI_RESPONSE_MODEL, model)
    span.set_attribute(names.GEN_AI_FINISH, [finish])


def note_outcome(span: Span, work: Work, outcome: Outcome, capture: bool) -> None:
    """What the work came to. The text only when asked for, and never that of a restricted request."""
    if not span.is_recording():
        return
    span.set_attribute(names.COST, outcome.cost_micro_dollars)
    span.set_attribute(names.QUEUE_MS, outcome.queue_ms)
    if outcome.ttft_ms is not None:
        span.set_attribute(names.TTFT_MS, outcome.ttft_ms)
    if isinstance(outcome.result, Answer):
        if outcome.result.confidence is not None:
            span.set_attribute(names.CONFIDENCE, outcome.result.confidence)
        if capture and not work.request.restricted:
            span.set_attribute(names.COMPLETION, outcome.result.text)
    else:
        span.set_attribute(names.FAULT, outcome.result.kind.value)
        _fault(span, outcome.result.kind.value, outcome.result.message)


def _fault(span: Span, kind: str, message: str) -> None:
    span.set_attribute(names.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, message))


def describe_record(span: Span, record: Delivered, group: str) -> None:
    """Where the work came from."""
    span.set_attributes(
        {
            names.MESSAGING_SYSTEM: "kafka",
            names.MESSAGING_OPERATION: "process",
            names.MESSAGING_DESTINATION: record.topic,
            names.MESSAGING_PARTITION: str(record.partition),
            names.MESSAGING_OFFSET: record.offset,
            names.MESSAGING_GROUP: group,
        }
    )
