"""The router's spans: one unbroken trace from the caller through route, outcome and terminal."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trivium.core.outcome import Answer, Fault, FaultKind
from trivium.kafka.record import Record
from trivium.kafka.topics import REQUESTS
from trivium.telemetry import names
from trivium.telemetry.tracing import start
from trivium.v1 import request_pb2

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Trace and parent of a span, in hex."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", "" if span.parent is None else f"{span.parent.span_id:016x}"


async def test_one_trace_from_the_caller_to_the_terminal(world: Any) -> None:
    exporter = InMemorySpanExporter()
    tracing = start("trivium-router", "r1", "", exporter)
    world.behaviour = lambda work: Answer("saved") if work.target.tier == "cloud" else Fault(FaultKind.UNAVAILABLE, "away")
    body = request_pb2.Request(tenant="acme", id="traced", endpoint="/ours", task_type="ours", prompt="x")
    body.endpoint = "/quick"
    body.task_type = ""
    async with world.router(tracing):
        header = ("traceparent", f"00-{TRACE}-{PARENT}-01".encode())
        await world.send(Record(REQUESTS, b"acme/traced", body.SerializeToString(), (header,)))
        await world.until(lambda: "trivium.responses" in world.seen, "the terminal")
    tracing.close()
    spans = exporter.get_finished_spans()
    assert [s.name for s in spans] == [names.SPAN_ROUTE, names.SPAN_OUTCOME, names.SPAN_TERMINAL, names.SPAN_OUTCOME]
    route, _, terminal, last = spans
    assert ids(route) == (TRACE, PARENT)
    assert ids(terminal) == (TRACE, f"{last.context.span_id:016x}")
    assert ids(last)[0] == TRACE
    assert (route.attributes or {})[names.TARGET] == "finetuned/small"
    assert (terminal.attributes or {})[names.TERMINAL_KIND] == "answered"
    first_work = world.work("trivium.work.finetuned")[0]
    assert first_work.header("traceparent") == f"00-{TRACE}-{route.context.span_id:016x}-01".encode()
    # The next attempt's span links to the one before: a link, for it is not its child.
    (second_work,) = world.work("trivium.work.cloud")
    assert first_work.header("follows") is None
    assert second_work.header("follows") == first_work.header("traceparent")
    reply = world.seen["trivium.responses"][0]
    assert reply.header("traceparent") == f"00-{TRACE}-{terminal.context.span_id:016x}-01".encode()


async def test_a_request_without_a_trace_begins_one(world: Any) -> None:
    exporter = InMemorySpanExporter()
    tracing = start("trivium-router", "r1", "", exporter)
    async with world.router(tracing):
        identity = await world.ask("hello")
        terminal = await world.terminal(identity)
    tracing.close()
    route = next(s for s in exporter.get_finished_spans() if s.name == names.SPAN_ROUTE)
    assert route.parent is None
    assert terminal.trace_id == ids(route)[0]
