"""The tool search_documents: asked only when the model wants it, over gRPC, with what it took in the outcome."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest

from infra.standins.mind import Mind
from infra.standins.tgi import TgiStandin
from services.finetuned.backend import Prompt, Reply
from services.finetuned.compatible import Compatible
from services.finetuned.engine import Engine
from services.finetuned.search import Search
from services.finetuned.tgi import Tgi
from trivium.core.budget_worst import SEARCH_ROUNDS, SEARCHES_A_ROUND, worst_case
from trivium.core.outcome import Answer, Citation, Finish, Usage
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Output, OutputKind, Request, Role, ToolCall, ToolSpec
from trivium.core.slip import Work
from trivium.rpc.channels import channel
from trivium.rpc.server import RpcServer, adding
from trivium.telemetry.tracing import start
from trivium.tier.meter import Meter, now_ms
from trivium.v1 import services_pb2
from trivium.v1.services_pb2_grpc import RetrievalServicer, add_RetrievalServicer_to_server

SUPPORT = Target(
    "finetuned/support", Tier.FINETUNED, "support-7b", adapter="support", tools=True,
    prices=Prices(1_000_000, 2_000_000, embedding_per_million=10_000_000),
)  # fmt: skip
TASK = TaskSpec(
    "answer_product", system="You answer.", corpus="docs", search_documents=True, passages=2, context_budget_tokens=500
)
QUESTION = "How many days do I have to return a product under your refund policy?"
PASSAGES = [
    services_pb2.Passage(
        document="returns.md", section="Refunds", version="v3", tokens=20,
        text="A product can be returned within 30 days of delivery under the refund policy.\nThe refund takes five days.",
    ),
    services_pb2.Passage(document="shipping.md", section="Costs", version="v1", tokens=9, text="Shipping is free above 50 euros."),
]  # fmt: skip


class Shelf(RetrievalServicer):
    """A retrieval service that always finds the same, or fails."""

    def __init__(self) -> None:
        self.asked: list[services_pb2.RetrieveRequest] = []
        self.fails = False

    async def Retrieve(self, request: services_pb2.RetrieveRequest, context: Any) -> services_pb2.RetrieveReply:
        self.asked.append(request)
        if self.fails:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no index")
        return services_pb2.RetrieveReply(passages=PASSAGES, embedding_tokens=12)


@dataclass
class Rig:
    shelf: Shelf
    standin: TgiStandin
    engine: Engine


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture(params=["tgi", "openai"])
async def rig(request: pytest.FixtureRequest, mind: Mind) -> AsyncIterator[Rig]:
    shelf = Shelf()
    async with AsyncExitStack() as stack:
        server = RpcServer(adding((add_RetrievalServicer_to_server, shelf)), notice_ms=0)
        await stack.enter_async_context(server)
        standin = await stack.enter_async_context(TgiStandin(mind=mind))
        backend = Tgi(standin.url, "") if request.param == "tgi" else Compatible(standin.url, "")
        stack.push_async_callback(backend.close)
        search = Search(channel(f"127.0.0.1:{server.port}"), start("t", "i", "").tracer)
        stack.push_async_callback(search.close)
        yield Rig(shelf, standin, Engine(backend, search))


def work(text: str = QUESTION, task: TaskSpec = TASK, tools: tuple[ToolSpec, ...] = ()) -> Work:
    request = Request(Identity("acme", "1"), (Message(Role.USER, text),), tools=tools)
    return Work(request, 1, SUPPORT, task, now_ms() + 20_000)


async def test_the_model_searches_and_its_answer_cites_what_it_found(rig: Rig) -> None:
    outcome = await rig.engine.answer(work())
    assert isinstance(outcome.result, Answer)
    assert "30 days" in outcome.result.text
    assert outcome.result.citations == (Citation("returns.md", "Refunds", "v3", 1),)
    assert [source.document for source in outcome.result.sources] == ["returns.md", "shipping.md"]
    assert outcome.result.tool_calls == ()
    [request] = rig.shelf.asked
    assert (request.tenant, request.corpus, request.limit, request.budget_tokens) == ("acme", "docs", 2, 500)
    assert "return" in request.query


async def test_its_use_and_cost_are_in_the_outcome(rig: Rig) -> None:
    outcome = await rig.engine.answer(work())
    [use] = outcome.tool_uses
    assert (use.name, use.calls, use.tokens, use.cost_micro_dollars) == ("search_documents", 1, 29, 120)
    assert (outcome.usage.tool_tokens, outcome.usage.embedding_tokens) == (29, 12)
    assert rig.standin.calls.count == 2
    first, second = rig.standin.calls.entries
    assert outcome.usage.input_tokens == first.prompt_tokens + second.prompt_tokens
    assert outcome.usage.output_tokens == first.output_tokens + second.output_tokens
    assert outcome.cost_micro_dollars == outcome.usage.input_tokens + 2 * outcome.usage.output_tokens + 120


async def test_it_is_not_asked_when_the_model_does_not_want_it(rig: Rig) -> None:
    outcome = await rig.engine.answer(work("Please hurry, it is very urgent"))
    assert isinstance(outcome.result, Answer)
    assert outcome.result.text
    assert outcome.result.sources == ()
    assert (rig.shelf.asked, outcome.tool_uses) == ([], ())


async def test_it_is_not_offered_to_a_task_without_it(rig: Rig) -> None:
    await rig.engine.answer(work(task=replace(TASK, search_documents=False)))
    assert rig.shelf.asked == []


async def test_a_search_that_fails_is_told_to_the_model_and_counted(rig: Rig) -> None:
    rig.shelf.fails = True
    outcome = await rig.engine.answer(work())
    assert isinstance(outcome.result, Answer)
    assert (outcome.result.citations, outcome.result.sources) == ((), ())
    [use] = outcome.tool_uses
    assert (use.calls, use.cost_micro_dollars) == (1, 0)


async def test_streamed_text_is_the_answer_also_after_a_search(rig: Rig) -> None:
    pieces: list[str] = []
    outcome = await rig.engine.answer(work(), pieces.append)
    assert isinstance(outcome.result, Answer)
    assert "".join(pieces) == outcome.result.text


async def test_a_form_is_kept_although_tools_were_offered(rig: Rig) -> None:
    schema = '{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}'
    outcome = await rig.engine.answer(work(task=replace(TASK, output=Output(OutputKind.JSON, schema))))
    assert isinstance(outcome.result, Answer)
    assert outcome.result.text.startswith('{"answer":')
    assert len(rig.shelf.asked) == 1


class Greedy:
    """A model that asks for nine searches at once, whenever it may, and otherwise talks for as long as it may."""

    provider = "none"

    def __init__(self) -> None:
        self.told: list[str] = []

    async def generate(self, prompt: Prompt, meter: Meter, held_back: bool) -> Reply:
        self.told = [turn.text for turn in prompt.turns if turn.role is Role.TOOL]
        read = len(prompt.system) + sum(len(turn.text) for turn in prompt.turns)
        meter.usage = meter.usage + Usage(read, prompt.most_tokens)
        calls = tuple(ToolCall(str(n), "search_documents", '{"query": "returns"}') for n in range(9))
        return Reply("well", Finish.STOP, "m", tool_calls=calls if prompt.tools else ())

    async def close(self) -> None:
        return


async def test_no_more_searches_are_done_than_were_reserved_for(rig: Rig) -> None:
    greedy, asked = Greedy(), work()
    outcome = await Engine(greedy, rig.engine._search).answer(asked)
    assert isinstance(outcome.result, Answer)
    assert len(rig.shelf.asked) == SEARCH_ROUNDS * SEARCHES_A_ROUND
    assert sum("at most 4 searches" in text for text in greedy.told) == SEARCH_ROUNDS * (9 - SEARCHES_A_ROUND)
    assert 0 < outcome.cost_micro_dollars <= worst_case(asked)
