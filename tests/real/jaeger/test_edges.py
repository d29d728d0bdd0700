"""One request, one trace, without orphans, with every expected edge, through both doors; asked of a real Jaeger."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.mesh.running import asking, new_id
from tests.real.jaeger.traced import Trace, TracedMesh
from trivium.core.outcome import Terminal
from trivium.telemetry import names

pytestmark = pytest.mark.asyncio(loop_scope="session")

Edges = frozenset[tuple[str, str]]

PUBLISH, ROUTE, WORK = "product:trivium.requests publish", "router:trivium.requests process", "trivium.work process"
OUTCOME, TERMINAL = "router:trivium.outcomes process", "router:trivium.replies publish"
CALL, GATEWAY, ATTEMPT, GENERATE = "product:gateway call", "gateway:gateway complete", "gateway:attempt", "tier generate"


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the tiers that it passes; `inside`: edges below a tier that both doors share, without its span's name."""

    name: str
    request: dict[str, Any]
    tiers: tuple[str, ...]
    inside: tuple[tuple[str, str, str], ...]
    """(tier, span of the tier, child); "" for the span of the work itself."""

    def by_kafka(self) -> Edges:
        """producer -> router -> tier -> router -> (the next tier -> router ...) -> terminal."""
        edges, above = {(PUBLISH, ROUTE)}, ROUTE
        for tier in self.tiers:
            edges |= {(above, f"{tier}:{WORK}"), (f"{tier}:{WORK}", OUTCOME)}
            above = OUTCOME
        return frozenset({*edges, (above, TERMINAL), *self._inside(WORK)})

    def by_grpc(self) -> Edges:
        """caller -> gateway -> attempts -> tiers."""
        tiers = {(ATTEMPT, f"{tier}:{GENERATE}") for tier in self.tiers}
        return frozenset({(CALL, GATEWAY), (GATEWAY, ATTEMPT), *tiers, *self._inside(GENERATE)})

    def _inside(self, work: str) -> set[tuple[str, str]]:
        return {(f"{tier}:{span or work}", child) for tier, span, child in self.inside}


VENDOR = {tier: (tier, "", f"{tier}:chat") for tier in ("finetuned", "cloud")}
SEARCHED = (
    ("retrieval", "", "retrieval:retrieve"),
    ("retrieval", "", "retrieval:write from passages"),
    ("retrieval", "write from passages", "finetuned:tier generate"),
    ("finetuned", "tier generate", "finetuned:chat"),
)
TOOL = (VENDOR["finetuned"], ("finetuned", "", f"finetuned:{names.SPAN_TOOL}"), ("finetuned", names.SPAN_TOOL, "retrieval:retrieve"))

CASES = [
    Case("fine-tuned", {"endpoint": "/classify", "prompt": "My invoice shows the wrong VAT number."}, ("finetuned",), (VENDOR["finetuned"],)),
    Case("retrieval", {"endpoint": "/policy-question", "prompt": "Are restricted requests ever written to the cache?"}, ("retrieval",), SEARCHED),
    Case("cloud", {"endpoint": "/translate", "prompt": "Translate into French: good morning."}, ("cloud",), (VENDOR["cloud"],)),
    Case("the tool", {"endpoint": "/troubleshoot", "prompt": "Are restricted requests ever written to the cache?"}, ("finetuned",), TOOL),
    Case("a cascade", {"endpoint": "/how-to", "prompt": "How do I bake a sourdough bread with rye?"}, ("retrieval", "cloud"), (SEARCHED[0], VENDOR["cloud"])),
    Case("a fallback", {"endpoint": "/sentiment", "prompt": "jaeger-broken-model: I am happy."}, ("finetuned", "cloud"), (VENDOR["finetuned"], VENDOR["cloud"])),
    Case("a refusal", {"endpoint": "/clasify", "prompt": "x"}, (), ()),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _broken(traced: TracedMesh) -> None:
    """The model's server answers what contains this word with an error."""
    traced.order("model", fault="unavailable", count=-1, match="jaeger-broken-model")


async def of(traced: TracedMesh, terminal: Terminal, expected: Edges) -> Trace:
    """The trace of a terminal; what must be true of every one is asserted here."""
    trace = await traced.trace(terminal, lambda seen: expected <= seen.edges.keys())
    assert trace.orphans == []
    assert len(trace.roots) == 1
    assert trace.edges.keys() == expected
    assert all(span.start_us >= trace.roots[0].start_us for span in trace.spans)
    return trace


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_through_kafka(traced: TracedMesh, case: Case) -> None:
    terminal = await traced.by_kafka(cache="bypass", **case.request)
    trace = await of(traced, terminal, case.by_kafka())
    (written,) = trace.named(names.SPAN_TERMINAL)
    assert written.tags[names.TERMINAL_KIND] == terminal.kind.value
    assert written.tags[names.REQUEST_ID] == terminal.identity.id
    assert written.tags[names.COST] == terminal.cost_micro_dollars


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_through_grpc(traced: TracedMesh, case: Case) -> None:
    expected = case.by_grpc() if case.tiers else frozenset({(CALL, GATEWAY)})
    for ask in (traced.by_grpc, traced.by_stream):
        terminal = await ask(cache="bypass", **case.request)
        trace = await of(traced, terminal, expected)
        (whole,) = trace.named(names.SPAN_COMPLETE)
        assert (whole.tags[names.TERMINAL_KIND], whole.tags[names.COST]) == (terminal.kind.value, terminal.cost_micro_dollars)
        assert len(trace.named(names.SPAN_ATTEMPT)) == len(terminal.attempts)


async def test_through_grpc_and_the_log(traced: TracedMesh) -> None:
    """With an idempotency key: caller -> gateway -> producer -> router -> tier -> router -> terminal."""
    case = CASES[0]
    terminal = await traced.mesh.grpc.complete(asking(cache="bypass", **case.request), idempotent=True)
    published = "gateway:trivium.requests publish"
    expected = {(CALL, GATEWAY), (GATEWAY, published), (published, ROUTE)} | (case.by_kafka() - {(PUBLISH, ROUTE)})
    await of(traced, terminal, frozenset(expected))


async def test_a_hit_of_the_cache_ends_in_the_router(traced: TracedMesh) -> None:
    request = {"endpoint": "/sentiment", "prompt": f"The parcel {new_id()} came in time, thank you!"}
    first = await traced.by_kafka(**request)
    assert first.cache is None
    terminal = await traced.until_cached(request)
    trace = await of(traced, terminal, frozenset({(PUBLISH, ROUTE), (ROUTE, TERMINAL)}))
    assert trace.named(names.SPAN_TERMINAL)[0].tags[names.CACHE] == "exact"


async def test_a_request_without_a_trace_gets_one(traced: TracedMesh) -> None:
    terminal = await traced.untraced(endpoint="/classify", prompt="Where is my invoice?", cache="bypass")
    trace = await of(traced, terminal, CASES[0].by_kafka() - {(PUBLISH, ROUTE)})
    assert trace.roots[0].name == names.SPAN_ROUTE


async def test_many_at_once_keep_their_traces_apart(traced: TracedMesh) -> None:
    prompts = [f"Which team is for the invoice {number}?" for number in range(40)]
    terminals = await traced.together([{"endpoint": "/classify", "prompt": prompt, "cache": "bypass"} for prompt in prompts])
    assert len({terminal.trace_id for terminal in terminals}) == len(prompts)
    for terminal in terminals:
        trace = await of(traced, terminal, CASES[0].by_kafka())
        assert {span.tags[names.REQUEST_ID] for span in trace.spans if names.REQUEST_ID in span.tags} == {terminal.identity.id}
        assert len(trace.spans) == 6
