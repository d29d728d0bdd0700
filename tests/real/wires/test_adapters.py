"""Both vendor adapters against a server that nobody here wrote: streaming, tool calls, forms, errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from services.finetuned.compatible import Compatible
from services.finetuned.engine import Engine
from trivium.claude.api import Claude
from trivium.core.outcome import Answer, Fault, FaultKind, Finish, Outcome
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Output, OutputKind, Request, Role, ToolSpec
from trivium.core.slip import Work
from trivium.ports import Generator
from trivium.settings import CloudSettings
from trivium.tier.meter import now_ms

DRAFT = TaskSpec("draft_reply", system="You draft replies to customers.")
SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}, "urgency": {"enum": ["low", "high"]}},
    "required": ["order_id", "urgency"],
}
EXTRACT = TaskSpec("extract_fields", system="Extract.", output=Output(OutputKind.JSON, json.dumps(SCHEMA)))
ORDER = ToolSpec("get_order", "Looks up an order.", '{"type": "object", "properties": {"order_id": {"type": "string"}}}')
PRICES = Prices(1_000_000, 5_000_000, 100_000, 1_250_000)


@dataclass(frozen=True, slots=True)
class Wire:
    """An adapter and its target."""

    generator: Generator
    target: Target

    async def ask(
        self, text: str, task: TaskSpec = DRAFT, pieces: list[str] | None = None, timeout_ms: int = 20_000, **more: object
    ) -> Outcome:
        request = replace(Request(Identity("acme", "1"), (Message(Role.USER, text),)), **more)  # type: ignore[arg-type]
        work = Work(request, 1, self.target, task, now_ms() + timeout_ms)
        return await self.generator.answer(work, ([] if pieces is None else pieces).append)

    async def answer(self, text: str, task: TaskSpec = DRAFT, pieces: list[str] | None = None, **more: object) -> Answer:
        result = (await self.ask(text, task, pieces, **more)).result  # type: ignore[arg-type]
        assert isinstance(result, Answer), result
        return result

    async def fault(self, text: str, task: TaskSpec = DRAFT, **more: object) -> Fault:
        result = (await self.ask(text, task, **more)).result  # type: ignore[arg-type]
        assert isinstance(result, Fault), result
        return result


@pytest.fixture(params=["openai", "anthropic"])
async def wire(request: pytest.FixtureRequest, other_server: str) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        if request.param == "anthropic":
            claude = await stack.enter_async_context(Claude(CloudSettings(key="key", url=other_server)))
            yield Wire(claude, Target("cloud/small", Tier.CLOUD, "claude-haiku-5-5", prices=PRICES, tools=True))
            return
        backend = Compatible(other_server, "key")
        stack.push_async_callback(backend.close)
        yield Wire(Engine(backend), Target("finetuned/support", Tier.FINETUNED, "support-7b", prices=PRICES, tools=True))


async def test_an_answer_is_streamed_whole_and_billed(wire: Wire) -> None:
    pieces: list[str] = []
    outcome = await wire.ask("Where is my parcel?", pieces=pieces)
    assert isinstance(outcome.result, Answer), outcome.result
    assert len(pieces) > 5
    assert "".join(pieces) == outcome.result.text
    assert outcome.result.text.endswith("by Friday.")
    assert outcome.result.finish is Finish.STOP
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (40, 30)
    assert outcome.cost_micro_dollars == 40 + 5 * 30
    assert outcome.ttft_ms is not None


async def test_a_server_without_log_probabilities_gives_no_confidence(wire: Wire) -> None:
    assert (await wire.answer("Where is my parcel?")).confidence is None


async def test_an_answer_at_its_longest_says_so(wire: Wire) -> None:
    assert (await wire.answer("Tell me at length.")).finish is Finish.LENGTH


async def test_calls_of_the_callers_tools_come_back_and_their_results_are_taken(wire: Wire) -> None:
    question = "What is the status of order 4711?"
    answer = await wire.answer(question, tools=(ORDER,))
    [call] = answer.tool_calls
    assert answer.finish is Finish.TOOL_CALLS
    assert (call.id, call.name, json.loads(call.arguments_json)) == ("call_order", "get_order", {"order_id": "4711"})
    turns = (
        Message(Role.USER, question),
        Message(Role.ASSISTANT, answer.text, (call,)),
        Message(Role.TOOL, "shipped on Monday", tool_call_id=call.id),
    )
    again = await wire.answer(question, tools=(ORDER,), messages=turns)
    assert (again.tool_calls, again.text) == ((), "Order 4711 was shipped on Monday.")


async def test_a_form_is_checked_here_whatever_the_server_promises(wire: Wire) -> None:
    assert json.loads((await wire.answer("Give it to me as JSON.", EXTRACT)).text) == {"order_id": "4711", "urgency": "high"}
    assert (await wire.fault("Give it to me not in form.", EXTRACT)).kind is FaultKind.INVALID


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Please be limited.", {FaultKind.RATE_LIMITED}),
        # 529 is Anthropic's own word; an OpenAI-compatible server that says it is a server that cannot now.
        ("Please be overloaded.", {FaultKind.OVERLOADED, FaultKind.UNAVAILABLE}),
        ("Please break inside.", {FaultKind.UNAVAILABLE}),
        ("Please be wrong.", {FaultKind.REJECTED}),
        ("So who are you?", {FaultKind.REJECTED}),
        ("Please stop half way.", {FaultKind.CUT}),
    ],
)
async def test_an_error_is_a_fault_of_its_kind(wire: Wire, text: str, kind: set[FaultKind]) -> None:
    assert (await wire.fault(text)).kind in kind


async def test_the_wait_that_the_server_asks_for_is_told(wire: Wire) -> None:
    assert (await wire.fault("Please be limited.")).retry_after_ms == 7_000


async def test_no_answer_in_time_is_overdue(wire: Wire) -> None:
    assert (await wire.fault("Please speak slowly.", timeout_ms=500)).kind is FaultKind.OVERDUE


async def test_a_call_that_is_left_is_closed(wire: Wire) -> None:
    pieces: list[str] = []
    call = asyncio.create_task(wire.ask("Please speak slowly.", pieces=pieces))
    async with asyncio.timeout(90):
        while not pieces:  # noqa: ASYNC110 (pieces are handed to a plain list)
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await wire.answer("Where is my parcel?")).text
