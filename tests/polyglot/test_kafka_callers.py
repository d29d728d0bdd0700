"""What a caller in each language sees of the log."""

import pytest

from tests.integration.mesh.running import RunningMesh, new_id
from tests.integration.mesh.watching import watching
from tests.polyglot.asking import publishing, run, started
from tests.polyglot.building import Example
from trivium.core.partition import home
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_FORWARDED, PARTITIONS, REQUESTS, RESPONSES

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTIONS = ("Where is my order?", "I want my money back", "The app crashes", "How do I log in?", "Close my account")


async def test_questions_land_at_home_and_are_answered(mesh: RunningMesh, example: Example) -> None:
    name = new_id()
    async with watching(mesh, REQUESTS) as requests:
        said = await run(example, *publishing(mesh, example, name), "--endpoint", "/classify", *QUESTIONS)
        ids = [f"{name}-{number}" for number, _ in enumerate(QUESTIONS, start=1)]
        for request_id in ids:
            await requests.until(lambda record, key=f"acme/{request_id}".encode(): record.key == key)
    assert said.status == 0, said
    assert {request_id: terminal["kind"] for request_id, terminal in said.terminals.items()} == dict.fromkeys(ids, "answered")
    assert said.terminals[ids[0]]["answer"]["text"] == "shipping"
    assert said.lines[-1] == {"published": len(ids), "terminals": len(ids), "repeated": 0}
    for request_id in ids:
        (record,) = requests.of(request_id)
        assert record.partition == home(f"acme/{request_id}", PARTITIONS)
        assert record.header(HEADER_FORWARDED) is None


async def test_a_terminal_that_is_there_twice_is_seen_once(mesh: RunningMesh, example: Example) -> None:
    """The second question is answered late, so that the caller still reads when the first terminal is repeated."""
    name = new_id()
    await mesh.control("model", fault="slow", delay_ms=3_000, match="a slow one")
    asking = (*publishing(mesh, example, name), "--endpoint", "/classify")
    async with (
        watching(mesh, RESPONSES) as responses,
        started(example, *asking, "Where is my order?", f"a slow one {name}") as running,
    ):
        first = await responses.until(lambda record: record.key == f"acme/{name}-1".encode())
        async with Producer(mesh.local.addresses.kafka) as producer:
            again = Record(RESPONSES, first.key, first.value, first.headers, first.partition)
            await producer.publish(again, 5_000)
        said = await running.end()
    assert (said.status, set(said.terminals)) == (0, {f"{name}-1", f"{name}-2"}), said
    assert said.lines[-1] == {"published": 2, "terminals": 2, "repeated": 1}


async def test_bad_questions_are_told_why(mesh: RunningMesh, example: Example) -> None:
    name = new_id()
    said = await run(example, *publishing(mesh, example, name), "--endpoint", "/clasify", "Where is my order?")
    terminal = said.terminals[f"{name}-1"]
    assert (said.status, terminal["kind"], terminal["reason"]["code"]) == (1, "refused", "unknown_endpoint")


async def test_a_broker_that_is_not_there_is_said(mesh: RunningMesh, example: Example) -> None:
    said = await run(example, *publishing(mesh, example, new_id(), 1.0), "--kafka", "127.0.0.1:1", "Where is my order?")
    assert (said.status, said.lines) == (2, []), said
    assert said.err.strip(), "it left without a word"
