"""What a tier's span says of the text of a request."""

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trivium.core.outcome import Answer, Outcome
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Work
from trivium.telemetry.names import COMPLETION, PROMPT
from trivium.telemetry.tracing import start
from trivium.tier.spans import describe, note_outcome


@pytest.mark.parametrize(
    ("sensitivity", "capture", "shown"),
    [
        (Sensitivity.INTERNAL, True, {PROMPT: "the question", COMPLETION: "the answer"}),
        (Sensitivity.INTERNAL, False, {}),
        (Sensitivity.RESTRICTED, True, {}),
    ],
)
def test_texts_are_shown_when_asked_for_and_never_those_of_restricted_requests(
    sensitivity: Sensitivity, capture: bool, shown: dict[str, str]
) -> None:
    spans = InMemorySpanExporter()
    tracing = start("tier", "1", "", spans)
    identity = Identity("acme", "one")
    request = Request(identity, (Message(Role.USER, "the question"),), team="desk", sensitivity=sensitivity)
    work = Work(request, 1, Target("finetuned/small", Tier.FINETUNED, "small"), TaskSpec("draft"), 0)
    span = tracing.tracer.start_span("work")
    describe(span, work, "grpc", capture)
    note_outcome(span, work, Outcome(identity, 1, "finetuned/small", Answer("the answer")), capture)
    span.end()
    (said,) = (dict(one.attributes or {}) for one in spans.get_finished_spans())
    assert {name: said[name] for name in (PROMPT, COMPLETION) if name in said} == shown
    tracing.close()
