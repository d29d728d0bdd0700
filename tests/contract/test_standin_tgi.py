"""The TGI stand-in through its real clients: huggingface_hub on the native wire, openai on the chat wire."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from huggingface_hub import AsyncInferenceClient
from huggingface_hub.errors import GenerationError, OverloadedError, ValidationError

from infra.standins.faults import Pace
from infra.standins.mind import Mind
from infra.standins.tgi import TgiStandin

TASK = "Task: classify_ticket\nAnswer with one label.\n\n"
SEARCH: Any = {
    "type": "function",
    "function": {
        "name": "search_documents",
        "description": "Searches the product documentation.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture
async def standin(mind: Mind) -> AsyncIterator[TgiStandin]:
    async with TgiStandin(mind=mind) as running:
        yield running


@pytest.fixture
async def hub(standin: TgiStandin) -> AsyncIterator[AsyncInferenceClient]:
    async with AsyncInferenceClient(standin.url + "/generate", timeout=5) as client:
        yield client


@pytest.fixture
async def chat(standin: TgiStandin) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=standin.url + "/v1", api_key="none", max_retries=0, timeout=5) as client:
        yield client


async def classify(hub: AsyncInferenceClient, text: str) -> tuple[str, float]:
    answer = await hub.text_generation(TASK + text, adapter_id="tickets", details=True, max_new_tokens=16)
    assert answer.details is not None
    return answer.generated_text, math.exp(sum(token.logprob for token in answer.details.tokens))


async def test_a_clear_ticket_is_surer_than_an_ambiguous_one(hub: AsyncInferenceClient) -> None:
    label, clear = await classify(hub, "You charged my credit card twice for the May invoice")
    _, ambiguous = await classify(hub, "Hi, it is about the thing from yesterday, what now?")
    assert label == "billing"
    assert clear > 0.8 > ambiguous


async def test_details_add_up(hub: AsyncInferenceClient) -> None:
    answer = await hub.text_generation(
        TASK + "please add dark mode", adapter_id="tickets", details=True, top_n_tokens=3, decoder_input_details=True
    )
    details = answer.details
    assert details is not None
    assert details.finish_reason == "eos_token"
    assert details.generated_tokens == len(details.tokens)
    assert "".join(token.text for token in details.tokens if not token.special) == answer.generated_text
    assert details.top_tokens is not None
    assert all(1 <= len(top) <= 3 for top in details.top_tokens)
    assert "".join(token.text for token in details.prefill[1:]) == TASK + "please add dark mode"


async def test_a_stream_ends_with_the_whole_text(standin: TgiStandin, hub: AsyncInferenceClient) -> None:
    prompt = TASK.replace("classify_ticket", "draft_reply") + "My order 4411 is late"
    events = [
        event
        async for event in await hub.text_generation(
            prompt, model=standin.url + "/generate_stream", stream=True, details=True, adapter_id="support"
        )
    ]
    whole = await hub.text_generation(prompt, adapter_id="support")
    assert [event.index for event in events] == list(range(1, len(events) + 1))
    assert events[-1].generated_text == whole == "".join(e.token.text for e in events if not e.token.special)
    assert events[-1].details is not None
    assert events[-1].details.generated_tokens == len(events)
    assert all(event.generated_text is None for event in events[:-1])


async def test_stop_and_length_end_a_generation(hub: AsyncInferenceClient) -> None:
    prompt = TASK.replace("classify_ticket", "draft_reply") + "My order 4411 is late"
    short = await hub.text_generation(prompt, details=True, max_new_tokens=3)
    stopped = await hub.text_generation(prompt, details=True, stop=["4411"])
    assert short.details is not None
    assert stopped.details is not None
    assert (short.details.finish_reason, short.details.generated_tokens) == ("length", 3)
    assert stopped.details.finish_reason == "stop_sequence"
    assert stopped.generated_text.endswith("4411")


async def test_a_grammar_gives_json_of_the_schema(hub: AsyncInferenceClient) -> None:
    schema: Any = {
        "type": "object",
        "properties": {
            "order_id": {"type": "string", "pattern": "^[A-Z]-\\d+$"},
            "amount": {"type": "number"},
            "email": {"type": ["string", "null"]},
            "phone": {"type": ["string", "null"]},
            "category": {"enum": ["billing", "refund", "other"]},
        },
        "required": ["order_id"],
    }
    text = "Order A-7731 never came, refund my 59.90 euros please, anna@example.com"
    grammar: Any = {"type": "json", "value": schema}
    answer = await hub.text_generation(TASK.replace("classify_ticket", "extract") + text, grammar=grammar)
    found = json.loads(answer)
    assert found == {
        "order_id": "A-7731",
        "amount": 59.9,
        "email": "anna@example.com",
        "phone": None,
        "category": "refund",
    }


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"max_new_tokens": 0}, "strictly positive"),
        ({"adapter_id": "nobody"}, "adapter `nobody` is not loaded. Loaded: support, tickets"),
        ({"top_p": 1.5}, "top_p"),
        ({"stop": list("abcde")}, "up to 4"),
        ({"max_new_tokens": 99_999}, "must be <="),
        ({"grammar": {"type": "json", "value": {"type": "object"}}}, "'properties' field"),
    ],
)
async def test_validation(hub: AsyncInferenceClient, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        await hub.text_generation("hello", **parameters)


async def test_a_request_that_does_not_deserialize(standin: TgiStandin) -> None:
    async with aiohttp.ClientSession() as session:
        for body, status, says in (
            (b"{", 400, "Failed to parse"),
            (b"[]", 422, "expected an object"),
            (b"{}", 422, "missing field `inputs`"),
            (b'{"inputs": "x", "parameters": {"max_new_tokens": "ten"}}', 422, "max_new_tokens"),
        ):
            async with session.post(standin.url + "/generate", data=body) as response:
                text = await response.text()
                assert says in text
                assert "Traceback" not in text
                assert response.status in (status, 400)


async def test_faults_on_command(standin: TgiStandin, hub: AsyncInferenceClient) -> None:
    standin.faults.order("overloaded")
    standin.faults.order("generation")
    with pytest.raises(OverloadedError):
        await hub.text_generation("hello")
    with pytest.raises(GenerationError):
        await hub.text_generation("hello")
    assert await hub.text_generation("hello")
    assert [entry.fault for entry in standin.calls.entries] == ["overloaded", "generation", ""]
    assert [entry.status for entry in standin.calls.entries] == [429, 424, 200]


@pytest.mark.parametrize(("kind", "after", "ends"), [("cut", 2, None), ("overloaded", 2, OverloadedError)])
async def test_a_stream_spoiled_in_the_middle(
    standin: TgiStandin, hub: AsyncInferenceClient, kind: Any, after: int, ends: type[Exception] | None
) -> None:
    standin.faults.order(kind, after_tokens=after)
    events = []
    error: Exception | None = None
    try:
        stream = await hub.text_generation(
            "Task: draft\n\nhello", model=standin.url + "/generate_stream", stream=True, details=True
        )
        async for event in stream:
            events.append(event)
    except OverloadedError as raised:
        error = raised
    assert len(events) == after
    assert all(event.details is None for event in events)
    assert (type(error) if error else None) is ends


async def test_hang_ends_when_the_caller_goes(mind: Mind) -> None:
    async with asyncio.timeout(60):
        async with TgiStandin(mind=mind) as standin, aiohttp.ClientSession() as session:
            standin.faults.order("hang")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.post(standin.url + "/generate", json={"inputs": "hello"})
    (entry,) = standin.calls.entries
    assert (entry.fault, entry.status) == ("hang", 499)
    assert entry.took_ms < 1_000  # it did not wait for the grace that stopping gives to running calls


async def test_a_stream_that_hangs_in_the_middle(standin: TgiStandin, hub: AsyncInferenceClient) -> None:
    standin.faults.order("hang", after_tokens=2)
    events = []

    async def collect() -> None:
        url = standin.url + "/generate_stream"
        async for event in await hub.text_generation("Task: draft\n\nhello", model=url, stream=True):
            events.append(event)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(collect(), 0.5)
    assert len(events) == 2


@pytest.mark.parametrize("kind", ["reset", "refuse", "cut"])
async def test_broken_connections(standin: TgiStandin, kind: Any) -> None:
    standin.faults.order(kind)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.post(standin.url + "/generate", json={"inputs": "hello"}) as response:
                await response.read()


async def test_control_over_http(standin: TgiStandin) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(standin.url + "/control", json={"fault": "explode"}) as refused:
            assert refused.status == 400
            assert "known: overloaded" in (await refused.json())["error"]
        order = {"fault": "rate_limited", "retry_after_s": 7, "match": "marked"}
        async with session.post(standin.url + "/control", json=order) as obeyed:
            assert (await obeyed.json())["orders"] == [{"fault": "rate_limited", "left": 1, "match": "marked"}]
        async with session.post(standin.url + "/generate", json={"inputs": "plain"}) as passed:
            assert passed.status == 200
            assert passed.headers["x-standin"].startswith("tgi")
        async with session.post(standin.url + "/generate", json={"inputs": "marked"}) as limited:
            assert (limited.status, limited.headers["retry-after"]) == (429, "7")
        async with session.get(standin.url + "/calls?last=1") as calls:
            report = await calls.json()
    assert report["count"] == 2
    assert report["by_fault"] == {"rate_limited": 1}
    assert [call["fault"] for call in report["calls"]] == ["rate_limited"]


async def test_seeded_chance_repeats(standin: TgiStandin) -> None:
    def faults(seed: int) -> list[str]:
        standin.faults.control({"rates": {"unavailable": 0.3}, "seed": seed})
        return [fault.kind if (fault := standin.faults.draw(number, "")) else "" for number in range(300)]

    assert faults(7) == faults(7) != faults(8)
    assert 50 < faults(7).count("unavailable") < 130


async def test_delays_are_kept(mind: Mind) -> None:
    loop = asyncio.get_running_loop()
    async with (
        TgiStandin(mind=mind, pace=Pace(60, 5)) as standin,
        AsyncInferenceClient(standin.url + "/generate_stream", timeout=5) as hub,
    ):
        began = loop.time()
        times = [
            loop.time() - began
            async for _ in await hub.text_generation("Task: draft\n\nhello", stream=True, max_new_tokens=10)
        ]
    assert times[0] >= 0.060
    assert times[8] >= 0.060 + 8 * 0.005


async def test_chat_whole_and_streamed_are_the_same(chat: openai.AsyncOpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Task: sentiment"},
        {"role": "user", "content": "I love this, it works perfectly!"},
    ]
    whole = await chat.chat.completions.create(model="support", messages=messages, logprobs=True, top_logprobs=2)
    stream = await chat.chat.completions.create(
        model="support", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert (
        whole.choices[0].message.content
        == "positive"
        == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    )
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.content is not None
    assert sum(token.logprob for token in whole.choices[0].logprobs.content) > math.log(0.7)
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


async def test_the_tool_is_called_when_documents_are_needed(chat: openai.AsyncOpenAI) -> None:
    async def ask(*messages: Any, **more: Any) -> Any:
        answer = await chat.chat.completions.create(model="support", messages=list(messages), tools=[SEARCH], **more)
        return answer.choices[0]

    question = {"role": "user", "content": "What is the default number of partitions?"}
    called = await ask(question)
    assert called.finish_reason == "tool_calls"
    call = called.message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)["query"]) == (
        "search_documents",
        question["content"],
    )
    result = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "[1] (kafka.md, Topics) Every topic has 12 partitions by default. Replies are kept for 7 days.",
    }
    answered = await ask(question, called.message.model_dump(exclude_none=True), result)
    assert answered.message.content == "Every topic has 12 partitions by default. [1]"
    assert (await ask({"role": "user", "content": "Tell me a joke about cats"})).message.tool_calls is None
    assert (await ask(question, tool_choice="none")).message.tool_calls is None


async def test_a_streamed_tool_call_joins_to_the_whole_one(chat: openai.AsyncOpenAI) -> None:
    stream = await chat.chat.completions.create(
        model="tgi",
        messages=[{"role": "user", "content": "How do I configure the retry limit of a tier?"}],
        tools=[SEARCH],
        stream=True,
    )
    deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    arguments = "".join((delta.function.arguments or "") if delta.function else "" for delta in deltas)
    assert deltas[0].id
    assert json.loads(arguments) == {"query": "How do I configure the retry limit of a tier?"}


async def test_chat_with_a_schema_of_openai(chat: openai.AsyncOpenAI) -> None:
    schema: Any = {"type": "object", "properties": {"label": {"type": "string", "enum": ["bug", "login", "shipping"]}}}
    answer = await chat.chat.completions.create(
        model="tickets",
        messages=[{"role": "user", "content": "The app crashes when I press save"}],
        response_format={"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"label": "bug"}


async def test_chat_errors(standin: TgiStandin, chat: openai.AsyncOpenAI) -> None:
    message: Any = [{"role": "user", "content": "hello"}]
    options: Any = {"model": "tgi", "messages": message, "stream": True}
    with pytest.raises(openai.UnprocessableEntityError) as unknown:
        await chat.chat.completions.create(model="nobody", messages=message)
    assert "not loaded" in unknown.value.response.text
    standin.faults.order("rate_limited", retry_after_s=3)
    with pytest.raises(openai.RateLimitError) as limited:
        await chat.chat.completions.create(model="tgi", messages=message)
    assert limited.value.response.headers["retry-after"] == "3"
    standin.faults.order("overloaded", after_tokens=1)
    with pytest.raises(openai.APIError):
        async for _ in await chat.chat.completions.create(**options):
            pass


async def test_models_and_info(standin: TgiStandin, chat: openai.AsyncOpenAI) -> None:
    assert {model.id for model in (await chat.models.list()).data} >= {"support", "tickets"}
    async with aiohttp.ClientSession() as session, session.get(standin.url + "/info") as response:
        info = await response.json()
    assert info["standin"]["leave_one_out_accuracy"]["tickets"] > 0.7


async def test_more_calls_than_slots_are_overloaded(mind: Mind) -> None:
    from infra.standins.tgi_wire import Limits

    async with (
        TgiStandin(mind=mind, limits=Limits(concurrent=1), pace=Pace(200)) as standin,
        aiohttp.ClientSession() as session,
    ):

        async def call() -> int:
            async with session.post(standin.url + "/generate", json={"inputs": "hello"}) as response:
                return response.status

        assert sorted(await asyncio.gather(call(), call())) == [200, 429]
