"""One trace through the gateway: from the caller's traceparent to the tiers, a fallback linked to what it follows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.integration.gateway_mesh import TIMEOUT, GatewayMesh, asking, gateway_mesh
from trivium.telemetry import names
from trivium.telemetry.tracing import start

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def mesh(tmp_path: Path, spans: InMemorySpanExporter) -> AsyncIterator[GatewayMesh]:
    tracing = start("trivium-gateway", "1", "", spans)
    async with gateway_mesh(tmp_path, tracing) as running:
        yield running
    tracing.close()


async def test_a_fallback_is_one_trace_with_linked_attempts(mesh: GatewayMesh, spans: InMemorySpanExporter) -> None:
    mesh.finetuned.script = "fault"
    terminal = await mesh.stub.Complete(asking(id="t"), timeout=TIMEOUT, metadata=(("traceparent", PARENT),))
    first, second, whole = spans.get_finished_spans()
    assert [span.name for span in (first, second, whole)] == [names.SPAN_ATTEMPT, names.SPAN_ATTEMPT, names.SPAN_COMPLETE]
    assert terminal.trace_id == PARENT[3:35]
    assert whole.parent is not None
    assert f"{whole.parent.span_id:016x}" == PARENT[36:52]
    for attempt, tier in ((first, mesh.finetuned), (second, mesh.cloud)):
        assert attempt.parent is not None
        assert attempt.parent.span_id == whole.context.span_id
        assert tier.metadata[0]["traceparent"].split("-")[1:3] == [PARENT[3:35], f"{attempt.context.span_id:016x}"]
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert dict(first.attributes or {})[names.FAULT] == "overloaded"
    assert first.status.status_code is StatusCode.ERROR
    said = dict(whole.attributes or {})
    assert (said[names.TARGET], said[names.TERMINAL_KIND], said[names.PROMPT]) == ("cloud/small", "answered", "hello")


async def test_the_text_of_a_restricted_request_is_in_no_span(mesh: GatewayMesh, spans: InMemorySpanExporter) -> None:
    message = asking("the secret word is xyzzy", sensitivity="restricted")
    async for _ in mesh.stub.CompleteStream(message, timeout=TIMEOUT):
        pass
    assert spans.get_finished_spans()
    assert "xyzzy" not in "".join(span.to_json() for span in spans.get_finished_spans())
