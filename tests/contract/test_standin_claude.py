"""The stand-in for Anthropic's API through the real SDK."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import pytest

from infra.standins.claude import ClaudeStandin
from infra.standins.faults import Pace
from infra.standins.mind import Mind

MODEL = "claude-sonnet-5-5"
QUESTION: Any = [{"role": "user", "content": "Our team has 12 people. Each seat costs 30 a month. What is 12 * 30?"}]
ORDERS: Any = {
    "name": "get_order_status",
    "description": "Look up the delivery status of an order",
    "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
}


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture
async def standin(mind: Mind) -> AsyncIterator[ClaudeStandin]:
    async with ClaudeStandin(mind=mind, cache_least_tokens=50) as running:
        yield running


def client_of(standin: ClaudeStandin, key: str = "any") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=key, base_url=standin.url, max_retries=0, timeout=5)


@pytest.fixture
async def claude(standin: ClaudeStandin) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with client_of(standin) as client:
        yield client


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def streamed(claude: anthropic.AsyncAnthropic, **more: Any) -> tuple[Any, list[str]]:
    kinds: list[str] = []
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 400, "messages": QUESTION, **more}
    async with claude.messages.stream(**asked) as stream:
        async for event in stream:
            kinds.append(event.type)
        return await stream.get_final_message(), kinds


async def test_an_answer_is_computed_and_says_what_it_is(
    standin: ClaudeStandin, claude: anthropic.AsyncAnthropic
) -> None:
    raw = await claude.messages.with_raw_response.create(model=MODEL, max_tokens=400, messages=QUESTION)
    message: Any = await raw.parse()
    assert "12 * 30 = 360" in text_of(message)
    assert "stand-in" in text_of(message)
    assert raw.headers["x-standin"].startswith("claude")
    assert (message.model, message.role, message.stop_reason) == (MODEL, "assistant", "end_turn")
    assert message.usage.output_tokens == standin.mind.language.count(text_of(message))


async def test_a_stream_is_the_same_message_in_order(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model=MODEL, max_tokens=400, messages=QUESTION)
    message, kinds = await streamed(claude)
    order = list(dict.fromkeys(kinds))
    assert text_of(message) == text_of(whole)
    assert message.usage.output_tokens == whole.usage.output_tokens
    assert [kind for kind in order if kind != "text"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_limits_on_the_answer(claude: anthropic.AsyncAnthropic) -> None:
    short = await claude.messages.create(model=MODEL, max_tokens=3, messages=QUESTION)
    stopped = await claude.messages.create(model=MODEL, max_tokens=400, messages=QUESTION, stop_sequences=["= 3"])
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "= 3")
    assert text_of(stopped).endswith("12 * 30 ")


async def test_tools_are_called_when_they_match(claude: anthropic.AsyncAnthropic) -> None:
    asked: Any = [{"role": "user", "content": "What is the status of order 7781?"}]
    whole = await claude.messages.create(model=MODEL, max_tokens=400, messages=asked, tools=[ORDERS])
    assert text_of(whole)
    message, _ = await streamed(claude, messages=asked, tools=[ORDERS])
    for one in (whole, message):
        call: Any = next(block for block in one.content if block.type == "tool_use")
        assert (one.stop_reason, call.name, call.input) == ("tool_use", "get_order_status", {"order_id": "7781"})
    called: Any = whole.content[-1]
    result = {"type": "tool_result", "tool_use_id": called.id, "content": "Order 7781 left the warehouse on Monday."}
    turns: Any = [
        *asked,
        {"role": "assistant", "content": [block.model_dump() for block in whole.content]},
        {"role": "user", "content": [result]},
    ]
    answered = await claude.messages.create(model=MODEL, max_tokens=400, messages=turns, tools=[ORDERS])
    assert answered.stop_reason == "end_turn"
    assert "left the warehouse on Monday" in text_of(answered)
    other: Any = [{"role": "user", "content": "Write me a haiku"}]
    assert (
        await claude.messages.create(model=MODEL, max_tokens=400, messages=other, tools=[ORDERS])
    ).stop_reason == "end_turn"


async def test_labels_and_json_are_bare(claude: anthropic.AsyncAnthropic) -> None:
    ticket: Any = [{"role": "user", "content": "You charged my card twice for one invoice"}]
    label = await claude.messages.create(model=MODEL, max_tokens=20, system="Task: classify_ticket", messages=ticket)
    assert text_of(label) == "billing"
    schema: Any = {"type": "object", "properties": {"label": {"type": "string", "enum": ["billing", "bug"]}}}
    structured = await claude.messages.create(
        model=MODEL,
        max_tokens=50,
        messages=ticket,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(text_of(structured)) == {"label": "billing"}


async def test_a_marked_prefix_is_written_once_and_then_read(claude: anthropic.AsyncAnthropic) -> None:
    static = "Answer support questions politely. " * 20
    system: Any = [{"type": "text", "text": static, "cache_control": {"type": "ephemeral"}}]

    async def usage(question: str, model: str = MODEL, prefix: Any = system) -> tuple[int, int, int]:
        asked: Any = [{"role": "user", "content": question}]
        used = (await claude.messages.create(model=model, max_tokens=9, system=prefix, messages=asked)).usage
        assert used.cache_creation_input_tokens is not None
        assert used.cache_read_input_tokens is not None
        return used.input_tokens, used.cache_creation_input_tokens, used.cache_read_input_tokens

    first, again = await usage("Hello?"), await usage("Hello?")
    assert first[1] >= 50
    assert first[2] == 0
    assert again == (first[0], 0, first[1])
    assert (await usage("Hello?", model="claude-haiku-5-5"))[2] == 0
    changed = [{**system[0], "text": "New. " + static}]
    assert (await usage("Hello?", prefix=changed))[2] == 0
    assert (await usage("Hello?", prefix=[{"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}]))[
        1:
    ] == (0, 0)
    message, _ = await streamed(claude, system=system)
    assert message.usage.cache_read_input_tokens == first[1]


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("overloaded", anthropic.InternalServerError, 529),
        ("rate_limited", anthropic.RateLimitError, 429),
        ("unavailable", anthropic.InternalServerError, 503),
        ("bad_request", anthropic.BadRequestError, 400),
        ("unauthorized", anthropic.AuthenticationError, 401),
    ],
)
async def test_errors_on_command(
    standin: ClaudeStandin,
    claude: anthropic.AsyncAnthropic,
    kind: Any,
    error: type[anthropic.APIStatusError],
    status: int,
) -> None:
    standin.faults.order(kind, count=2, retry_after_s=9)
    with pytest.raises(error) as raised:
        await claude.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    assert raised.value.status_code == status
    if status in (429, 529):
        assert raised.value.response.headers["retry-after"] == "9"
    with pytest.raises(error):
        await streamed(claude)
    assert (await claude.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)).stop_reason == "max_tokens"
    assert standin.calls.count == 3


async def test_overloaded_in_mid_stream(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    standin.faults.order("overloaded", after_tokens=2)
    with pytest.raises(anthropic.APIStatusError) as raised:
        await streamed(claude)
    assert raised.value.status_code == 200
    assert raised.value.type == "overloaded_error"


async def test_a_cut_stream_has_no_stop_reason(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    standin.faults.order("cut")
    message, kinds = await streamed(claude)
    assert message.stop_reason is None
    assert "message_stop" not in kinds


async def test_refusal(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    standin.faults.order("refuse", count=2)
    whole = await claude.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    message, _ = await streamed(claude)
    assert whole.stop_reason == message.stop_reason == "refusal"
    assert whole.content == []


async def test_a_hanging_call_times_out(standin: ClaudeStandin) -> None:
    standin.faults.order("hang")
    async with anthropic.AsyncAnthropic(api_key="k", base_url=standin.url, max_retries=0, timeout=0.1) as client:
        with pytest.raises(anthropic.APITimeoutError):
            await client.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)
    assert standin.calls.entries[-1].fault == "hang"


async def test_what_hangs_is_broken_off_when_faults_are_cleared(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    standin.faults.order("hang", count=-1)
    asked = asyncio.create_task(claude.messages.create(model=MODEL, max_tokens=9, messages=QUESTION))
    async with asyncio.timeout(90):
        while not standin.calls.entries:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        standin.faults.clear()
        with pytest.raises(anthropic.APIConnectionError):
            await asked
    assert (await claude.messages.create(model=MODEL, max_tokens=9, messages=QUESTION)).content


async def test_either_kind_of_key_will_do(standin: ClaudeStandin) -> None:
    body = {"model": MODEL, "max_tokens": 5, "messages": QUESTION}
    statuses = []
    async with aiohttp.ClientSession(headers={"anthropic-version": "2023-06-01"}) as session:
        for headers in ({"x-api-key": "any"}, {"authorization": "Bearer any"}, {"authorization": "Bearer "}, {}):
            async with session.post(standin.url + "/v1/messages", json=body, headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 401, 401]


async def test_bad_requests_are_told_what_is_wrong(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    robot: Any = [{"role": "robot", "content": "x"}]
    with pytest.raises(anthropic.NotFoundError, match="gpt-9"):
        await claude.messages.create(model="gpt-9", max_tokens=9, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        await claude.messages.create(model=MODEL, max_tokens=9, messages=[])
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.role"):
        await claude.messages.create(model=MODEL, max_tokens=9, messages=robot)
    async with aiohttp.ClientSession() as session, session.post(standin.url + "/v1/messages", json={}) as response:
        assert response.status == 401
        assert (await response.json())["error"]["message"] == "x-api-key header is required"


async def test_batches(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    good = {"model": MODEL, "max_tokens": 100, "messages": QUESTION}
    requests: Any = [{"custom_id": "a", "params": good}, {"custom_id": "b", "params": {**good, "max_tokens": 0}}]
    created = await claude.messages.batches.create(requests=requests)
    assert created.processing_status == "in_progress"
    ended = await claude.messages.batches.retrieve(created.id)
    assert ended.processing_status == "ended"
    assert (ended.request_counts.succeeded, ended.request_counts.errored) == (1, 1)
    assert ended.results_url is not None
    assert ended.results_url.startswith(standin.url)
    results = {one.custom_id: one.result async for one in await claude.messages.batches.results(created.id)}
    assert results["a"].type == "succeeded"
    assert "360" in text_of(results["a"].message)
    assert results["a"].message.usage.service_tier == "batch"
    assert results["b"].type == "errored"
    assert results["b"].error.error.type == "invalid_request_error"


async def test_a_batch_can_be_canceled_and_is_not_ready_before_its_time(mind: Mind) -> None:
    requests: Any = [{"custom_id": "a", "params": {"model": MODEL, "max_tokens": 9, "messages": QUESTION}}]
    async with ClaudeStandin(mind=mind, batch_delay_ms=60_000) as standin, client_of(standin) as claude:
        created = await claude.messages.batches.create(requests=requests)
        assert (await claude.messages.batches.retrieve(created.id)).processing_status == "in_progress"
        assert (await claude.messages.batches.cancel(created.id)).processing_status == "canceling"
        assert (await claude.messages.batches.retrieve(created.id)).request_counts.canceled == 1
        results = [one async for one in await claude.messages.batches.results(created.id)]
        with pytest.raises(anthropic.NotFoundError):
            await claude.messages.batches.retrieve("msgbatch_nobody")
    assert [one.result.type for one in results] == ["canceled"]


async def test_tokens_can_be_counted(standin: ClaudeStandin, claude: anthropic.AsyncAnthropic) -> None:
    counted = await claude.messages.count_tokens(model=MODEL, messages=QUESTION)
    used = (await claude.messages.create(model=MODEL, max_tokens=1, messages=QUESTION)).usage
    assert counted.input_tokens == used.input_tokens > 10


async def test_many_at_once_keep_their_pace(mind: Mind) -> None:
    loop = asyncio.get_running_loop()
    async with ClaudeStandin(mind=mind, pace=Pace(300)) as standin, client_of(standin) as claude:
        began = loop.time()
        asked: Any = {"model": MODEL, "max_tokens": 9, "messages": QUESTION}
        await asyncio.gather(*(claude.messages.create(**asked) for _ in range(20)))
        took = loop.time() - began
    assert 0.3 <= took < 3.0
    assert standin.calls.count == 20
