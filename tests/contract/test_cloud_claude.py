"""What only the cloud's adapter does: the prompt cache, refusals, restricted requests, its own form of a conversation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from infra.standins.claude import ClaudeStandin
from infra.standins.mind import Mind
from trivium.claude import conversation
from trivium.claude.api import Claude
from trivium.core.errors import VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Finish
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role, Sensitivity, ToolCall, ToolSpec
from trivium.core.slip import Work
from trivium.settings import CloudSettings
from trivium.tier.meter import now_ms

SMALL = Target("cloud/small", Tier.CLOUD, "claude-haiku-5-5", prices=Prices(1_000_000, 5_000_000, 100_000, 1_250_000))


@dataclass
class Rig:
    standin: ClaudeStandin
    claude: Claude


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture
async def rig(mind: Mind) -> AsyncIterator[Rig]:
    async with ClaudeStandin(mind=mind) as standin, Claude(CloudSettings(key="key", url=standin.url)) as claude:
        yield Rig(standin, claude)


def work(
    text: str = "Where is my order 4711?", system: str = "You draft replies.", messages: tuple[Message, ...] = ()
) -> Work:
    request = Request(Identity("acme", "1"), messages or (Message(Role.USER, text),))
    return Work(request, 1, SMALL, TaskSpec("draft_reply", system=system), now_ms() + 20_000)


async def test_the_static_prefix_is_written_once_and_read_cheaply_afterwards(rig: Rig) -> None:
    long = "You draft replies to customers of a web shop. " * 300
    first = await rig.claude.answer(work(system=long))
    second = await rig.claude.answer(work("Another question about order 4712.", system=long))
    assert first.usage.cache_write_tokens > 1_000
    assert (first.usage.cache_read_tokens, second.usage.cache_write_tokens) == (0, 0)
    assert second.usage.cache_read_tokens == first.usage.cache_write_tokens
    assert second.usage.input_tokens > second.usage.cache_read_tokens
    fresh = second.usage.input_tokens - second.usage.cache_read_tokens
    tenths = 10 * fresh + second.usage.cache_read_tokens + 50 * second.usage.output_tokens
    assert second.cost_micro_dollars == (tenths + 5) // 10
    assert second.cost_micro_dollars < first.cost_micro_dollars / 2


async def test_a_refusal_is_an_answer_without_confidence(rig: Rig) -> None:
    rig.standin.faults.control({"fault": "refuse"})
    outcome = await rig.claude.answer(work())
    assert isinstance(outcome.result, Answer)
    assert (outcome.result.finish, outcome.result.confidence) == (Finish.REFUSAL, 0.0)


async def test_a_temperature_is_left_out_because_the_vendor_takes_none(rig: Rig) -> None:
    asked = work()
    cold = replace(asked, task=replace(asked.task, temperature=0.0), request=replace(asked.request, temperature=0.2))
    outcome = await rig.claude.answer(cold)
    assert isinstance(outcome.result, Answer)


async def test_a_restricted_request_never_leaves(rig: Rig) -> None:
    asked = work()
    outcome = await rig.claude.answer(
        replace(asked, request=replace(asked.request, sensitivity=Sensitivity.RESTRICTED))
    )
    assert isinstance(outcome.result, Fault)
    assert outcome.result.kind is FaultKind.FORBIDDEN
    assert rig.standin.calls.count == 0


async def test_a_wrong_key_is_told_with_the_setting_to_look_at(rig: Rig) -> None:
    rig.standin.faults.control({"fault": "unauthorized"})
    outcome = await rig.claude.answer(work())
    assert isinstance(outcome.result, Fault)
    assert "TRIVIUM_CLOUD_KEY" in outcome.result.message


async def test_the_environment_does_not_decide_where_a_key_goes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "somebody-elses")
    async with Claude(CloudSettings(key="ours", url=rig.standin.url)) as claude:
        assert isinstance((await claude.answer(work())).result, Answer)


def test_results_of_several_tools_stand_in_one_turn() -> None:
    turns = (
        Message(Role.USER, "Compare orders 1 and 2."),
        Message(Role.ASSISTANT, "", (ToolCall("a", "get", '{"id": 1}'), ToolCall("b", "get", '{"id": 2}'))),
        Message(Role.TOOL, "one", tool_call_id="a"),
        Message(Role.TOOL, "two", tool_call_id="b"),
        Message(Role.USER, "Quickly."),
    )
    messages = conversation.body(work(messages=turns))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [block["type"] for block in messages[1]["content"]] == ["tool_use", "tool_use"]
    assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert messages[1]["content"][1]["input"] == {"id": 2}


def test_only_what_all_requests_share_stands_before_the_cache_mark() -> None:
    own = (Message(Role.SYSTEM, "The customer is called Ada."), Message(Role.USER, "Hello"))
    static, callers = conversation.body(work(messages=own))["system"]
    assert static["text"].splitlines() == ["Task: draft_reply", "You draft replies."]
    assert static["cache_control"] == {"type": "ephemeral"}
    assert callers == {"type": "text", "text": "The customer is called Ada."}


@pytest.mark.parametrize("arguments", ["{", "[1]"])
def test_a_tool_call_that_is_no_json_object_is_rejected(arguments: str) -> None:
    turns = (Message(Role.USER, "?"), Message(Role.ASSISTANT, "", (ToolCall("a", "get", arguments),)))
    with pytest.raises(VendorFault, match="the arguments of tool call a are not"):
        conversation.body(work(messages=turns))


async def test_a_tool_whose_parameters_are_wrong_is_rejected_without_a_call(rig: Rig) -> None:
    asked = work()
    tools = (ToolSpec("get", "", "not json"),)
    outcome = await rig.claude.answer(replace(asked, request=replace(asked.request, tools=tools)))
    assert isinstance(outcome.result, Fault)
    assert outcome.result.kind is FaultKind.REJECTED
    assert rig.standin.calls.count == 0
