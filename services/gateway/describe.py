"""What the gateway's span says about a request."""

from opentelemetry.trace import Span

from trivium.core.outcome import Terminal
from trivium.core.request import Request
from trivium.telemetry import names
from trivium.telemetry.tracing import failed


def describe(span: Span, request: Request, terminal: Terminal, capture_prompts: bool) -> None:
    """Put the whole request and how it ended into a recording span. The text only when asked for, and never that of a
    restricted request."""
    identity = terminal.identity
    attributes: dict[str, str | int] = {
        names.DOOR: "grpc",
        names.TENANT: identity.tenant,
        names.REQUEST_ID: identity.id,
        names.REPLAY: identity.replay,
        names.TASK_TYPE: terminal.task_type,
        names.TERMINAL_KIND: terminal.kind.value,
        names.TIER: terminal.tier,
        names.TARGET: terminal.target,
        names.COST: terminal.cost_micro_dollars,
        names.POLICY_REVISION: terminal.policy_revision,
        names.CACHE: terminal.cache.kind if terminal.cache else "miss",
    }
    if terminal.ttft_ms is not None:
        attributes[names.TTFT_MS] = terminal.ttft_ms
    if capture_prompts and not request.restricted:
        attributes[names.PROMPT] = request.question
        attributes[names.COMPLETION] = terminal.answer.text if terminal.answer else ""
    span.set_attributes(attributes)
    if terminal.reason is not None:
        span.set_attribute(names.REASON, terminal.reason.code.value)
        failed(span, terminal.reason.code.value, terminal.reason.message)
