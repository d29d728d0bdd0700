"""One behaviour for every vendor adapter, each against a server that speaks its vendor's wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from infra.standins.claude import ClaudeStandin
from infra.standins.mind import Mind
from infra.standins.serving import Standin
from infra.standins.tgi import TgiStandin
from services.finetuned.compatible import Compatible
from services.finetuned.engine import Engine
from services.finetuned.tgi import Tgi
from trivium.claude.api import Claude
from trivium.core.outcome import Answer, Fault, FaultKind, Finish, Outcome
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Output, OutputKind, Request, Role, ToolSpec
from trivium.core.slip import Work
from trivium.ports import Generator
from trivium.settings import CloudSettings
from trivium.tier.meter import now_ms

PRICES = Prices(1_000_000, 5_000_000, 100_000, 1_250_000)
DRAFT = TaskSpec("draft_reply", system="You draft replies to customers.")
SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}, "urgency": {"enum": ["low", "high"]}},
    "required": ["order_id", "urgency"],
}
EXTRACT = TaskSpec("extract_fields", system="Extract.", output=Output(OutputKind.JSON, json.dumps(SCHEMA)))
ORDER = ToolSpec(
    "get_order",
    "Looks up an order by its number.",
    '{"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}',
)


@dataclass
class Rig:
    """An adapter, the stand-in behind it, and a target there."""

    standin: Standin
    generator: Generator
    target: Target

    def work(
        self, text: str = "My order 4711 is late.", task: TaskSpec = DRAFT, timeout_ms: int = 20_000, **more: object
    ) -> Work:
        request = replace(Request(Identity("acme", "1"), (Message(Role.USER, text),)), **more)  # type: ignore[arg-type]
        return Work(request, 1, self.target, task, now_ms() + timeout_ms)

    async def idle(self) -> None:
        """Wait until the server has noticed the end of every call."""
        async with asyncio.timeout(90):
            while any(not entry.status for entry in self.standin.calls.entries):  # noqa: ASYNC110 (a server tells nobody)
                await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture(params=["tgi", "openai", "claude"])
async def rig(request: pytest.FixtureRequest, mind: Mind) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        if request.param == "claude":
            cloud = await stack.enter_async_context(ClaudeStandin(mind=mind))
            claude = await stack.enter_async_context(Claude(CloudSettings(key="key", url=cloud.url)))
            target = Target("cloud/small", Tier.CLOUD, "claude-haiku-5-5", prices=PRICES, tools=True)
            yield Rig(cloud, claude, target)
            return
        server = await stack.enter_async_context(TgiStandin(mind=mind))
        backend = Tgi(server.url, "") if request.param == "tgi" else Compatible(server.url, "")
        stack.push_async_callback(backend.close)
        target = Target("finetuned/support", Tier.FINETUNED, "support-7b", adapter="support", prices=PRICES, tools=True)
        yield Rig(server, Engine(backend), target)


def fault_of(outcome: Outcome) -> Fault:
    assert isinstance(outcome.result, Fault), outcome.result
    return outcome.result


def answer_of(outcome: Outcome) -> Answer:
    assert isinstance(outcome.result, Answer), outcome.result
    return outcome.result


async def test_an_answer_has_usage_cost_and_times(rig: Rig) -> None:
    outcome = await rig.generator.answer(rig.work())
    answer = answer_of(outcome)
    entry = rig.standin.calls.entries[-1]
    assert "4711" in answer.text
    assert (answer.finish, answer.tool_calls) == (Finish.STOP, ())
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (entry.prompt_tokens, entry.output_tokens)
    assert outcome.cost_micro_dollars == entry.prompt_tokens + 5 * entry.output_tokens
    assert outcome.ttft_ms is not None
    assert outcome.tpot_us is not None
    assert outcome.started_ms <= outcome.ended_ms


async def test_the_text_that_is_streamed_is_the_answer(rig: Rig) -> None:
    pieces: list[str] = []
    answer = answer_of(await rig.generator.answer(rig.work(), pieces.append))
    assert "".join(pieces) == answer.text
    assert len(pieces) > 5


async def test_the_first_token_is_timed(rig: Rig) -> None:
    rig.standin.faults.control({"ttft_ms": 120, "tpot_ms": 4})
    outcome = await rig.generator.answer(rig.work())
    assert outcome.ttft_ms is not None
    assert outcome.tpot_us is not None
    assert 100 <= outcome.ttft_ms < 1_000
    assert outcome.tpot_us > 1_500


async def test_json_has_the_form_asked_for_and_is_shown_when_it_was_checked(rig: Rig) -> None:
    pieces: list[str] = []
    answer = answer_of(
        await rig.generator.answer(rig.work("It is urgent: order 4711 is broken!", EXTRACT), pieces.append)
    )
    value = json.loads(answer.text)
    assert value["order_id"] == "4711"
    assert value["urgency"] in ("low", "high")
    assert pieces == [answer.text]


async def test_json_that_was_cut_short_is_invalid(rig: Rig) -> None:
    fault = fault_of(await rig.generator.answer(rig.work(task=EXTRACT, max_output_tokens=4)))
    assert fault.kind is FaultKind.INVALID


async def test_an_answer_at_its_longest_says_so(rig: Rig) -> None:
    outcome = await rig.generator.answer(rig.work(max_output_tokens=6))
    assert answer_of(outcome).finish is Finish.LENGTH
    assert outcome.usage.output_tokens <= 6


async def test_calls_of_the_callers_own_tools_are_handed_back_and_results_taken(rig: Rig) -> None:
    asked = rig.work("What is the status of order 4711?", tools=(ORDER,))
    answer = answer_of(await rig.generator.answer(asked))
    [call] = answer.tool_calls
    assert answer.finish is Finish.TOOL_CALLS
    assert (call.name, json.loads(call.arguments_json)) == ("get_order", {"order_id": "4711"})
    turns = (
        *asked.request.messages,
        Message(Role.ASSISTANT, answer.text, (call,)),
        Message(Role.TOOL, "Order 4711 was shipped on Monday.", tool_call_id=call.id),
    )
    again = answer_of(await rig.generator.answer(replace(asked, request=replace(asked.request, messages=turns))))
    assert again.tool_calls == ()
    assert "shipped on Monday" in again.text


async def test_a_conversation_keeps_its_turns_and_the_callers_system_message(rig: Rig) -> None:
    turns = (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Hello"),
        Message(Role.ASSISTANT, "How can I help?"),
        Message(Role.USER, "My order 4711 is late."),
    )
    assert "4711" in answer_of(await rig.generator.answer(rig.work(messages=turns))).text


FAULTS = [
    ("overloaded", FaultKind.OVERLOADED),
    ("rate_limited", FaultKind.RATE_LIMITED),
    ("unavailable", FaultKind.UNAVAILABLE),
    ("generation", FaultKind.UNAVAILABLE),
    ("bad_request", FaultKind.REJECTED),
]


@pytest.mark.parametrize(("order", "kind"), [*FAULTS, ("unauthorized", FaultKind.REJECTED)])
async def test_an_error_before_the_first_token(rig: Rig, order: str, kind: FaultKind) -> None:
    rig.standin.faults.control({"fault": order})
    outcome = await rig.generator.answer(rig.work())
    assert fault_of(outcome).kind is kind
    assert outcome.cost_micro_dollars == 0
    assert rig.standin.calls.count == 1
    answer_of(await rig.generator.answer(rig.work()))


@pytest.mark.parametrize(("order", "kind"), FAULTS)
async def test_an_error_in_mid_answer(rig: Rig, order: str, kind: FaultKind) -> None:
    rig.standin.faults.control({"fault": order, "after_tokens": 3})
    pieces: list[str] = []
    outcome = await rig.generator.answer(rig.work(), pieces.append)
    assert fault_of(outcome).kind is kind
    assert 1 <= len(pieces) <= 3
    assert outcome.cost_micro_dollars > 0
    assert outcome.usage.input_tokens > 0


@pytest.mark.parametrize("order", ["cut", "reset", "bad_json"])
async def test_half_an_answer_is_a_fault_that_costs(rig: Rig, order: str) -> None:
    rig.standin.faults.control({"fault": order})
    outcome = await rig.generator.answer(rig.work())
    assert fault_of(outcome).kind is FaultKind.CUT
    assert outcome.usage.output_tokens > 5
    answer_of(await rig.generator.answer(rig.work()))


async def test_the_wait_that_a_vendor_asks_for_is_told(rig: Rig) -> None:
    rig.standin.faults.control({"fault": "rate_limited", "retry_after_s": 7})
    assert fault_of(await rig.generator.answer(rig.work())).retry_after_ms == 7_000


async def test_no_answer_in_time_is_overdue_and_the_call_is_closed(rig: Rig) -> None:
    rig.standin.faults.control({"fault": "hang"})
    outcome = await rig.generator.answer(rig.work(timeout_ms=300))
    assert fault_of(outcome).kind is FaultKind.OVERDUE
    await rig.idle()
    assert rig.standin.calls.entries[-1].status == 499


async def test_a_cancelled_call_is_closed_at_the_vendor(rig: Rig) -> None:
    rig.standin.faults.control({"tpot_ms": 200})
    spoke = asyncio.Event()
    call = asyncio.create_task(rig.generator.answer(rig.work(), lambda _: spoke.set()))
    await spoke.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await rig.idle()
    rig.standin.faults.control({"tpot_ms": 0})
    assert rig.standin.calls.entries[-1].took_ms < 2_000
    answer_of(await rig.generator.answer(rig.work()))


async def test_a_server_that_is_not_there_is_unavailable(rig: Rig) -> None:
    await rig.standin.stop()
    assert fault_of(await rig.generator.answer(rig.work())).kind is FaultKind.UNAVAILABLE


async def test_many_calls_at_once(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.generator.answer(rig.work(f"Order {n} is late.")) for n in range(1000, 1030)))
    for number, outcome in enumerate(outcomes, 1000):
        assert str(number) in answer_of(outcome).text
