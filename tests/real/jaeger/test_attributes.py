"""What a span says: GenAI and messaging conventions, errors, and what an attempt follows; asked of a real Jaeger."""

import asyncio
import signal

import pytest

from tests.integration.mesh.running import new_id
from tests.real.jaeger.traced import Trace, TracedMesh
from trivium.cli.trace import Span
from trivium.core.outcome import Terminal
from trivium.telemetry import names

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROKEN = {"endpoint": "/sentiment", "prompt": "jaeger-faulty-model: I am happy.", "cache": "bypass"}


@pytest.fixture(scope="module", autouse=True)
def _broken(traced: TracedMesh) -> None:
    traced.order("model", fault="unavailable", count=-1, match="jaeger-faulty-model")
    traced.order("cloud", fault="bad_request", count=-1, match="jaeger-bad-vendor")


async def settled(traced: TracedMesh, terminal: Terminal, *spans: tuple[str, int]) -> Trace:
    """The trace once it has so many spans of these names."""
    trace = await traced.trace(terminal, lambda seen: all(len(seen.named(name)) == count for name, count in spans))
    assert {name: len(trace.named(name)) for name, _ in spans} == dict(spans)
    assert trace.orphans == []
    return trace


def error(span: Span) -> str:
    """The error that a span is marked with; empty when it is not marked as one."""
    marked = span.tags.get("error") is True and span.tags.get("otel.status_code") == "ERROR"
    return str(span.tags.get(names.ERROR_TYPE, "unnamed")) if marked else ""


async def test_vendor_calls_follow_the_genai_conventions(traced: TracedMesh) -> None:
    for request, provider, model in (
        ({"endpoint": "/translate", "prompt": "Translate into French: good morning."}, "anthropic", "claude-haiku-4-5"),
        ({"endpoint": "/classify", "prompt": "The app crashes at the start."}, "huggingface", "tickets"),
    ):
        for ask in (traced.by_kafka, traced.by_grpc):
            trace = await settled(traced, await ask(cache="bypass", **request), (names.SPAN_CHAT, 1))
            (chat,) = trace.named(names.SPAN_CHAT)
            assert chat.name == f"chat {model}"
            assert chat.tags["span.kind"] == "client"
            assert (chat.tags[names.GEN_AI_OPERATION], chat.tags[names.GEN_AI_PROVIDER]) == ("chat", provider)
            assert (chat.tags[names.GEN_AI_MODEL], chat.tags[names.GEN_AI_RESPONSE_MODEL]) == (model, model)
            assert chat.tags[names.GEN_AI_INPUT_TOKENS] > 0
            assert chat.tags[names.GEN_AI_OUTPUT_TOKENS] > 0
            assert chat.tags[names.GEN_AI_FINISH] == '["stop"]'


async def test_the_tool_follows_them_too(traced: TracedMesh) -> None:
    request = {"endpoint": "/troubleshoot", "prompt": "Are restricted requests ever written to the cache?", "cache": "bypass"}
    for ask in (traced.by_kafka, traced.by_grpc):
        trace = await settled(traced, await ask(**request), (names.SPAN_CHAT, 2), (names.SPAN_TOOL, 1), (names.SPAN_RETRIEVE, 1))
        (tool,), (search,) = trace.named(names.SPAN_TOOL), trace.named(names.SPAN_RETRIEVE)
        assert (tool.tags[names.GEN_AI_OPERATION], tool.tags[names.GEN_AI_TOOL]) == ("execute_tool", "search_documents")
        assert (search.tags[names.CORPUS], search.tags["span.kind"]) == ("docs", "server")
        assert search.tags[names.PASSAGES] > 0
        first, second = sorted(trace.named(names.SPAN_CHAT), key=lambda span: span.start_us)
        assert first.start_us + first.duration_us <= tool.start_us < second.start_us


async def test_records_follow_the_messaging_conventions(traced: TracedMesh) -> None:
    terminal = await traced.by_kafka(endpoint="/classify", prompt="I forgot my password.", cache="bypass")
    trace = await settled(traced, terminal, (names.SPAN_TERMINAL, 1), (names.SPAN_WORK, 1), (names.SPAN_OUTCOME, 1))
    expected = {
        names.SPAN_PUBLISH: ("producer", "send", "trivium.requests", None),
        names.SPAN_ROUTE: ("consumer", "process", "trivium.requests", "trivium.router"),
        names.SPAN_WORK: ("consumer", "process", "trivium.work.finetuned", "trivium-finetuned"),
        names.SPAN_OUTCOME: ("consumer", "process", "trivium.outcomes", "trivium.router"),
        names.SPAN_TERMINAL: ("producer", "send", "trivium.responses", None),
    }
    for name, (kind, operation, topic, group) in expected.items():
        (span,) = trace.named(name)
        tags = span.tags
        assert (tags["span.kind"], tags[names.MESSAGING_SYSTEM], tags[names.MESSAGING_OPERATION]) == (kind, "kafka", operation)
        assert (tags[names.MESSAGING_DESTINATION], tags.get(names.MESSAGING_GROUP)) == (topic, group)
        if kind == "consumer":
            assert tags[names.MESSAGING_PARTITION].isdecimal()
            assert tags[names.MESSAGING_OFFSET] >= 0


async def test_through_the_log_what_follows_a_fault_links_to_it_and_the_fault_is_marked(traced: TracedMesh) -> None:
    trace = await settled(traced, await traced.by_kafka(**BROKEN), (names.SPAN_WORK, 2), (names.SPAN_CHAT, 2), (names.SPAN_TERMINAL, 1))
    first, second = sorted(trace.named(names.SPAN_WORK), key=lambda span: span.tags[names.ATTEMPT])
    (called,) = trace.named(names.SPAN_OUTCOME, **{names.ATTEMPT: 2})
    assert (error(first), error(second)) == ("unavailable", "")
    assert second.links == ((trace.id, first.id),)
    assert trace.parent(second) == called
    assert (called.tags[names.VERDICT], called.tags[names.TARGET]) == ("fell_back", "cloud/small")
    assert len(trace.named(names.SPAN_OUTCOME, **{names.VERDICT: "accepted"})) == 1
    vendor, other = sorted(trace.named(names.SPAN_CHAT), key=lambda span: span.start_us)
    assert (error(vendor), error(other)) == ("unavailable", "")


async def test_through_the_gateway_too(traced: TracedMesh) -> None:
    for ask in (traced.by_grpc, traced.by_stream):
        trace = await settled(traced, await ask(**BROKEN), (names.SPAN_ATTEMPT, 2), (names.SPAN_GENERATE, 2), (names.SPAN_COMPLETE, 1))
        first, second = sorted(trace.named(names.SPAN_ATTEMPT), key=lambda span: span.start_us)
        assert second.links == ((trace.id, first.id),)
        assert (error(first), first.tags[names.VERDICT], first.tags[names.FAULT]) == ("unavailable", "fell_back", "unavailable")
        assert (error(second), second.tags[names.VERDICT]) == ("", "accepted")
        served = {span.parent: error(span) for span in trace.named(names.SPAN_GENERATE)}
        assert served == {first.id: "unavailable", second.id: ""}


@pytest.mark.parametrize(
    ("request_", "reason", "attempts"),
    [
        ({"endpoint": "/clasify", "prompt": "x"}, "unknown_endpoint", 0),
        ({"endpoint": "/translate", "prompt": "jaeger-bad-vendor: Translate", "cache": "bypass"}, "attempts_failed", 2),
    ],
)
async def test_what_is_not_answered_is_marked_at_its_end(traced: TracedMesh, request_: dict[str, str], reason: str, attempts: int) -> None:
    through_log = await settled(traced, await traced.by_kafka(**request_), (names.SPAN_TERMINAL, 1), (names.SPAN_CHAT, attempts))
    through_gateway = await settled(traced, await traced.by_grpc(**request_), (names.SPAN_COMPLETE, 1), (names.SPAN_CHAT, attempts))
    for (span,) in (through_log.named(names.SPAN_TERMINAL), through_gateway.named(names.SPAN_COMPLETE)):
        assert (error(span), span.tags[names.REASON]) == (reason, reason)
    for trace in (through_log, through_gateway):
        assert [error(span) for span in trace.named(names.SPAN_CHAT)] == ["rejected"] * attempts


async def test_a_tier_that_is_silent_leaves_one_whole_trace(traced: TracedMesh) -> None:
    """Its process is stopped in the midst of the work: the router writes an overdue outcome and falls back. Then it is back."""
    part = traced.mesh.local.parts["finetuned"].process
    part.send_signal(signal.SIGSTOP)
    try:
        terminal = await asyncio.wait_for(
            traced.by_kafka(endpoint="/sentiment", prompt="I am glad.", cache="bypass", timeout_ms=20_000), 25
        )
    finally:
        part.send_signal(signal.SIGCONT)
    assert [attempt.verdict.value for attempt in terminal.attempts] == ["fell_back", "accepted"]
    trace = await traced.trace(terminal, lambda seen: bool(seen.named(names.SPAN_WORK, **{names.ATTEMPT: 2})))
    assert trace.orphans == []
    (called,) = trace.named(names.SPAN_OUTCOME, **{names.ATTEMPT: 2})
    assert called.tags[names.VERDICT] == "fell_back"
    (work,) = trace.named(names.SPAN_WORK, **{names.ATTEMPT: 2})
    assert (work.tags[names.TIER], trace.parent(work)) == ("cloud", called)
    for ask in (traced.by_kafka, traced.by_grpc):
        await traced.until_finetuned(ask)


async def test_no_text_of_a_request_is_in_a_span(traced: TracedMesh) -> None:
    word = new_id()
    for ask in (traced.by_kafka, traced.by_grpc):
        terminal = await ask(endpoint="/sentiment", prompt=f"The word is canary{word}.", sensitivity="restricted")
        trace = await settled(traced, terminal, (names.SPAN_CHAT, 1))
        assert f"canary{word}" not in repr(trace)


async def test_the_command_line_shows_it(traced: TracedMesh) -> None:
    terminal = await traced.by_kafka(**BROKEN)
    await settled(traced, terminal, (names.SPAN_TERMINAL, 1), (names.SPAN_WORK, 2), (names.SPAN_CHAT, 2), (names.SPAN_PUBLISH, 1))
    said = await traced.mesh.trivium("trace", terminal.identity.id)
    assert said.status == 0, said.err
    assert said.out.startswith(f"trace {terminal.trace_id}: 9 spans")
    assert said.out.count("error=unavailable") == 2
    assert said.out.count("verdict=fell_back") == 1
    assert "its parent is missing" not in said.out
    as_json = await traced.mesh.trivium("trace", terminal.identity.id, "--json")
    assert len(as_json.lines) == 9
    assert [len(line["links"]) for line in as_json.lines if line["tags"].get(names.ATTEMPT) == 2 and line["name"] == names.SPAN_WORK] == [1]
    assert {line["service"] for line in as_json.lines} == {"product", "trivium-router", "trivium-finetuned", "trivium-cloud"}
    unknown = await traced.mesh.trivium("trace", terminal.identity.id, "--traces", "http://127.0.0.1:9")
    assert (unknown.status, unknown.err.count("\n")) == (2, 1)
    assert "no Jaeger query API at http://127.0.0.1:9" in unknown.err
