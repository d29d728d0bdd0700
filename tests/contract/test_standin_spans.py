"""The span store through the real OpenTelemetry exporter on one side and Jaeger's query API on the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from infra.standins.serving import CannotListen
from infra.standins.spans import SpanStore
from trivium.telemetry.tracing import start


@pytest.fixture
async def store() -> AsyncIterator[SpanStore]:
    async with SpanStore() as running:
        yield running


def provider_of(store: SpanStore, service: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": service, "host.name": "here"}))
    exporter = OTLPSpanExporter(endpoint=store.otlp, insecure=True, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


async def export(store: SpanStore, service: str, make: Any) -> Any:
    """Runs `make(tracer)` and exports; flushing blocks, so it is done beside the loop that serves it."""
    provider = provider_of(store, service)
    made = make(provider.get_tracer("tests"))
    await asyncio.to_thread(provider.force_flush)
    await asyncio.to_thread(provider.shutdown)
    return made


async def get(store: SpanStore, path: str, **query: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(store.url + path, params=query) as response:
        return response.status, await response.json()


def family(tracer: trace.Tracer) -> tuple[str, str, str]:
    """A parent with an event and a failed child that links to it; their ids in hex."""
    with tracer.start_as_current_span("receive", kind=SpanKind.CONSUMER) as parent:
        parent.set_attributes({"trivium.request_id": "r-1", "tokens": 12, "cached": False, "tags": ["a", "b"]})
        parent.add_event("queued", {"depth": 3})
        with tracer.start_as_current_span("call", links=[Link(parent.get_span_context())]) as child:
            child.set_status(Status(StatusCode.ERROR, "overloaded"))
    context = parent.get_span_context()
    return (
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        trace.format_span_id(child.get_span_context().span_id),
    )


def tags_of(thing: Any) -> dict[str, tuple[str, Any]]:
    return {tag["key"]: (tag["type"], tag["value"]) for tag in thing["tags"]}


async def test_a_trace_has_jaegers_shape(store: SpanStore) -> None:
    ids: Any = await export(store, "router", family)
    trace_id, parent_id, child_id = ids
    status, body = await get(store, f"/api/traces/{trace_id}")
    assert status == 200
    (found,) = body["data"]
    parent, child = found["spans"]
    process = found["processes"][parent["processID"]]
    assert found["traceID"] == trace_id
    assert (parent["spanID"], parent["operationName"], parent["references"]) == (parent_id, "receive", [])
    assert child["references"] == [
        {"refType": "CHILD_OF", "traceID": trace_id, "spanID": parent_id},
        {"refType": "FOLLOWS_FROM", "traceID": trace_id, "spanID": parent_id},
    ]
    assert child["spanID"] == child_id
    assert parent["startTime"] <= child["startTime"]
    assert parent["duration"] >= child["duration"] >= 0
    tags = tags_of(parent)
    assert tags["tokens"] == ("int64", 12)
    assert tags["cached"] == ("bool", False)
    assert tags["tags"] == ("string", '["a", "b"]')
    assert tags["span.kind"] == ("string", "consumer")
    assert tags_of(child)["error"] == ("bool", True)
    assert tags_of(child)["otel.status_description"] == ("string", "overloaded")
    assert parent["logs"][0]["fields"][0] == {"key": "event", "type": "string", "value": "queued"}
    assert process["serviceName"] == "router"
    assert tags_of(process)["host.name"] == ("string", "here")


async def test_our_own_spans_arrive_as_the_sdks_do(store: SpanStore) -> None:
    theirs: Any = await export(store, "router", family)
    tracing = start("trivium-test", "one", f"http://{store.otlp}")
    ours = family(tracing.tracer)
    await asyncio.to_thread(tracing.close)
    (as_theirs,), (as_ours,) = [(await get(store, f"/api/traces/{ids[0]}"))[1]["data"] for ids in (theirs, ours)]
    assert [span["spanID"] for span in as_ours["spans"]] == list(ours[1:])
    for one, other in zip(as_ours["spans"], as_theirs["spans"], strict=True):
        assert one["operationName"] == other["operationName"]
        assert tags_of(one) == tags_of(other) | {"otel.scope.name": ("string", "trivium")}
        assert [ref["refType"] for ref in one["references"]] == [ref["refType"] for ref in other["references"]]
        assert [log["fields"] for log in one["logs"]] == [log["fields"] for log in other["logs"]]


async def test_search_by_service_operation_and_tags(store: SpanStore) -> None:
    ids: Any = await export(store, "router", family)
    await export(store, "gateway", family)

    async def count(**query: str) -> int:
        status, body = await get(store, "/api/traces", **query)
        assert status == 200
        return len(body["data"])

    assert (await get(store, "/api/services"))[1]["data"] == ["gateway", "router"]
    assert (await get(store, "/api/services/router/operations"))[1]["data"] == ["call", "receive"]
    assert await count(service="router") == 1
    assert await count(service="router", tags=json.dumps({"trivium.request_id": "r-1", "tokens": "12"})) == 1
    assert await count(service="router", tags=json.dumps({"trivium.request_id": "r-2"})) == 0
    assert await count(service="router", tags=json.dumps({"tokens": "13"})) == 0
    assert await count(service="router", tags=json.dumps({"error": "true"})) == 1
    assert await count(service="router", tags=json.dumps({"host.name": "here"}), operation="call") == 1
    assert await count(service="router", operation="nothing") == 0
    assert await count(service="nobody") == 0
    _, body = await get(store, "/api/traces", service="router", limit="1")
    assert body["data"][0]["traceID"] == ids[0]


async def test_bad_questions_get_clear_answers(store: SpanStore) -> None:
    for path, query, status, says in (
        ("/api/traces", {}, 400, "'service' is required"),
        ("/api/traces", {"service": "x", "tags": "{"}, 400, "malformed 'tags'"),
        ("/api/traces", {"service": "x", "limit": "many"}, 400, "'limit'"),
        ("/api/traces/nothex", {}, 400, "hexadecimal"),
        ("/api/traces/00ff", {}, 404, "trace not found"),
    ):
        got, body = await get(store, path, **query)
        assert (got, body["errors"][0]["code"]) == (status, status)
        assert says in body["errors"][0]["msg"]


async def test_only_the_last_spans_are_kept() -> None:
    async with SpanStore(most_spans=3) as store:
        first: Any = await export(store, "router", family)
        last: Any = await export(store, "router", family)
        assert len(store.memory) == 3
        assert len((await get(store, f"/api/traces/{last[0]}"))[1]["data"][0]["spans"]) == 2
        assert len((await get(store, f"/api/traces/{first[0]}"))[1]["data"][0]["spans"]) == 1


async def test_a_taken_port_is_one_sentence(store: SpanStore) -> None:
    port = int(store.otlp.rpartition(":")[2])
    with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}"):
        await SpanStore(otlp_port=port).start()
    with pytest.raises(CannotListen, match="cannot listen on"):
        await SpanStore(http_port=int(store.url.rpartition(":")[2])).start()
