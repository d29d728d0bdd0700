"""The client of Anthropic's message batches against the stand-in's."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from infra.standins.claude import ClaudeStandin
from infra.standins.mind import Mind
from tests.contract.test_cloud_claude import work
from trivium.claude.api import ClaudeBatches
from trivium.core.errors import BatchGone, BatchRefused, BatchUnsure, VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome
from trivium.core.price import cost
from trivium.core.request import Output, OutputKind, Sensitivity
from trivium.core.slip import Work
from trivium.settings import CloudSettings


@pytest.fixture(scope="module")
def mind() -> Mind:
    return Mind.train()


@pytest.fixture
async def standin(mind: Mind) -> AsyncIterator[ClaudeStandin]:
    async with ClaudeStandin(mind=mind) as standin:
        yield standin


@pytest.fixture
async def batches(standin: ClaudeStandin) -> AsyncIterator[ClaudeBatches]:
    async with ClaudeBatches(CloudSettings(key="key", url=standin.url)) as batches:
        yield batches


async def results(batches: ClaudeBatches, works: dict[str, Work]) -> dict[str, Outcome | None]:
    made = await batches.submit([(name, batches.parameters(one)) for name, one in works.items()])
    assert (await batches.find(made.id)).ended
    return {name: outcome async for name, outcome in batches.results(made.id, works.get, 7)}


async def test_each_request_of_a_batch_has_its_own_outcome_at_the_prices_of_its_work(batches: ClaudeBatches, standin: ClaudeStandin) -> None:
    as_json = replace(work("Order 4711 of Ada is late.").task, output=Output(OutputKind.JSON, '{"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}'))
    works = {"a": work(), "b": replace(work(), task=as_json), "c": work()}
    standin.faults.control({"batch": {"expire": 1}})
    found = await results(batches, works)
    first, second, third = found["a"], found["b"], found["c"]
    assert first is not None
    assert isinstance(first.result, Fault)
    assert (first.result.kind, first.cost_micro_dollars) == (FaultKind.OVERDUE, 0)
    assert second is not None
    assert isinstance(second.result, Answer)
    assert second.result.text.startswith("{")
    assert third is not None
    assert isinstance(third.result, Answer)
    assert third.cost_micro_dollars == cost(works["c"].target.prices, third.usage) > 0
    assert third.started_ms == 7
    assert [entry.half_price for entry in standin.calls.entries] == [True, True]


async def test_a_request_that_fails_fails_alone(batches: ClaudeBatches, standin: ClaudeStandin) -> None:
    standin.faults.order("bad_request")
    standin.faults.order("overloaded")
    found = await results(batches, {"a": work(), "b": work(), "c": work()})
    kinds = [one.result.kind if one is not None and isinstance(one.result, Fault) else None for one in found.values()]
    assert kinds == [FaultKind.REJECTED, FaultKind.UNAVAILABLE, None]


async def test_whether_a_batch_was_taken_is_said_or_said_to_be_unknown(batches: ClaudeBatches, standin: ClaudeStandin) -> None:
    one = [("a", batches.parameters(work()))]
    standin.faults.control({"batch": {"refuse": 1}})
    with pytest.raises(BatchRefused) as refused:
        await batches.submit(one)
    assert refused.value.again
    with pytest.raises(BatchRefused) as refused:
        await batches.submit([("not a name", batches.parameters(work()))])
    assert not refused.value.again
    standin.faults.control({"batch": {"lose": 1}})
    with pytest.raises(BatchUnsure):
        await batches.submit(one)
    (found,) = await batches.recent(0)
    assert found.requests == 1
    assert [name async for name, _ in batches.results(found.id, lambda _name: None, 0)] == ["a"]


async def test_all_recent_batches_are_listed_over_pages_and_old_ones_are_not(batches: ClaudeBatches) -> None:
    made = [await batches.submit([("a", batches.parameters(work()))]) for _ in range(103)]
    assert len(await batches.recent(0)) == 103
    assert await batches.recent(made[-1].created_ms + 60_000) == []


async def test_a_batch_that_is_not_there_is_gone_and_one_that_cannot_be_asked_for_is_not(standin: ClaudeStandin, batches: ClaudeBatches) -> None:
    with pytest.raises(BatchGone):
        await batches.find("msgbatch_nobody")
    await standin.stop()
    with pytest.raises(VendorFault):
        await batches.find("msgbatch_nobody")
    with pytest.raises(BatchRefused) as refused:
        await batches.submit([("a", batches.parameters(work()))])
    assert refused.value.again


def test_a_restricted_request_is_never_a_part_of_a_batch() -> None:
    batches = ClaudeBatches(CloudSettings(key="key", url="http://127.0.0.1:9"))
    asked = work()
    with pytest.raises(VendorFault, match="may not reach the cloud"):
        batches.parameters(replace(asked, request=replace(asked.request, sensitivity=Sensitivity.RESTRICTED)))
