"""Two versions at once: a router takes over what another version began, and another version can read what this one writes."""

from typing import Any

from tests.integration.router.conftest import PARTITIONS, World
from tests.wire_versions import TOMORROW, mark, newer, older
from trivium.codec import outcome_record
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, TerminalKind, Usage
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.kafka.record import Record
from trivium.kafka.topics import LEDGER, OUTCOMES, REQUESTS
from trivium.v1 import journey_pb2, request_pb2

NEWER, OLDER = Identity("acme", "newer"), Identity("acme", "older")
AWAY = Fault(FaultKind.UNAVAILABLE, "away")


def body(identity: Identity) -> request_pb2.Request:
    return request_pb2.Request(tenant=identity.tenant, id=identity.id, endpoint="/quick", prompt="hello", timeout_ms=18_000)


def outcome(work: journey_pb2.Work, result: Answer | Fault) -> journey_pb2.OutcomeRecord:
    identity = Identity(work.request.tenant, work.request.id)
    return outcome_record(work, Outcome(identity, work.attempt, work.target.name, result, Usage(10, 5), 5))


async def send(world: World, topic: str, identity: Identity, message: Any) -> None:
    await world.send(Record(topic, identity.key.encode(), message.SerializeToString(), (), home(identity.key, PARTITIONS)))


async def works(world: World, attempt: int) -> dict[Identity, journey_pb2.Work]:
    """The work of this attempt, of both requests."""

    def found() -> dict[Identity, journey_pb2.Work]:
        read = (journey_pb2.Work.FromString(record.value or b"") for record in world.work())
        return {Identity(work.request.tenant, work.request.id): work for work in read if work.attempt == attempt}

    await world.until(lambda: len(found()) == 2, f"both works of attempt {attempt}")
    return found()


def silent(_work: journey_pb2.Work) -> None:
    return None


async def test_a_router_takes_over_what_a_newer_and_an_older_version_began(world: Any) -> None:
    world.behaviour, to_come, first = silent, newer(), older()
    async with world.router():
        await send(world, REQUESTS, NEWER, mark(to_come.read(body(NEWER))))
        await send(world, REQUESTS, OLDER, first.without_the_rest(body(OLDER)))
        begun = await works(world, 1)
    assert getattr(to_come.read(begun[NEWER]).request, TOMORROW) == "Request"
    # As if another version's router had written these slips, and its tier these outcomes.
    await send(world, OUTCOMES, NEWER, mark(to_come.read(outcome(begun[NEWER], AWAY))))
    await send(world, OUTCOMES, OLDER, first.without_the_rest(outcome(first.without_the_rest(begun[OLDER]), AWAY)))
    async with world.router():
        gone_on = await works(world, 2)
        carried = to_come.read(gone_on[NEWER])
        assert [getattr(part, TOMORROW) for part in (carried.request, carried.slip)] == ["Request", "Slip"]
        await send(world, OUTCOMES, NEWER, mark(to_come.read(outcome(gone_on[NEWER], Answer("fine")))))
        last = first.without_the_rest(outcome(first.without_the_rest(gone_on[OLDER]), Answer("fine")))
        await send(world, OUTCOMES, OLDER, last)
        terminals = [await world.terminal(identity) for identity in (NEWER, OLDER)]
        await world.until(lambda: len(world.ledger()) >= 2, "the ledger's records")
    for terminal in terminals:
        assert terminal.kind is TerminalKind.ANSWERED
        assert [attempt.target for attempt in terminal.attempts] == ["finetuned/small", "cloud/frontier"]
    assert not world.letters()
    # And back: an older process reads what this one wrote.
    seen = first.read(gone_on[OLDER])
    assert (seen.request.id, seen.target.name, seen.attempt, len(seen.slip.attempts)) == ("older", "cloud/frontier", 2, 2)
    assert first.read(world.reply(OLDER).value or b"", "Terminal").answer.text == "fine"
    assert first.read(world.seen[LEDGER][-1].value or b"", "LedgerRecord").role == "terminal"
