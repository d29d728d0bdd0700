"""What goes wrong around a router: silence, repetition, rubbish, restarts."""

import asyncio
from typing import Any

from trivium.core.outcome import Answer, FaultKind, ReasonCode, TerminalKind
from trivium.core.request import Identity
from trivium.kafka.record import Record
from trivium.kafka.topics import DEADLETTER, OUTCOMES, REQUESTS
from trivium.v1 import journey_pb2


async def test_a_silent_tier_is_overdue_and_the_next_one_answers(world: Any) -> None:
    world.behaviour = lambda work: Answer("saved") if work.target.tier == "cloud" else None
    async with world.router():
        terminal = await world.terminal(await world.ask("hello", endpoint="/quick"))
    assert terminal.kind is TerminalKind.ANSWERED
    assert terminal.tier == "cloud"
    assert terminal.attempts[0].fault.kind is FaultKind.OVERDUE


async def test_when_nobody_answers_the_request_expires(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        identity = await world.ask("hello", endpoint="/quick")
        terminal = await world.terminal(identity)
    assert (terminal.kind, terminal.reason.code) == (TerminalKind.EXPIRED, ReasonCode.DEADLINE)
    assert len(world.terminals(identity)) == 1


async def test_a_repeated_request_is_ignored_and_a_repeated_outcome_is_a_stray(world: Any) -> None:
    async with world.router():
        identity = await world.ask("hello", id="twice")
        await world.terminal(identity)
        await world.ask("hello", id="twice")
        world.answer(journey_pb2.Work.FromString(world.work()[0].value), Answer("again", confidence=0.9))
        await world.until(lambda: world.ledger("stray") != [], "the stray")
        last = await world.ask("last", id="last")
        await world.terminal(last)
    assert len(world.terminals(identity)) == 1
    assert len([r for r in world.work() if r.key == b"acme/twice"]) == 1


async def test_the_same_id_with_another_body_is_put_aside(world: Any) -> None:
    async with world.router():
        identity = await world.ask("hello", id="used")
        await world.terminal(identity)
        await world.ask("something else", id="used")
        letter = await world.letter()
    assert letter.reason.code == "id_reused"
    assert letter.identity.id == "used"
    assert len(world.terminals(identity)) == 1


async def test_rubbish_is_put_aside_and_its_neighbours_go_on(world: Any) -> None:
    rubbish = (b"\xff\xff\xff", b"{not json", b"[]", b"{}", b"")
    async with world.router():
        for number, value in enumerate(rubbish):
            await world.send(Record(REQUESTS, b"k", value, (), number % 4))
            await world.send(Record(OUTCOMES, b"k", value, (), number % 4))
        wrong = Identity("acme", "shape")
        await world.send(Record(REQUESTS, b"acme/shape", b'{"tenant": "acme", "id": "shape", "promt": "hi"}', ()))
        neighbours = [await world.ask(f"hello {number}") for number in range(12)]
        for identity in neighbours:
            assert (await world.terminal(identity)).kind is TerminalKind.ANSWERED
        refused = await world.terminal(wrong)
        await world.letter(2 * len(rubbish) + 1)
    assert {letter.reason.code for letter in world.letters()} == {"undecodable", "missing_field", "wrong_shape"}
    assert (refused.kind, refused.reason.code, refused.reason.hint) == (
        TerminalKind.REFUSED, ReasonCode.WRONG_SHAPE, "did you mean prompt?",
    )  # fmt: skip
    assert len(world.seen[DEADLETTER]) == 2 * len(rubbish) + 1


async def test_an_outcome_that_breaks_the_router_ends_in_a_failure(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        identity = await world.ask("hello")
        await world.until(lambda: len(world.work()) == 1, "the work record")
        sent = journey_pb2.Work.FromString(world.work()[0].value)
    sent.slip.attempts[0].verdict = "nonsense"
    # Another router than the one that sent it: it reads the slip.
    async with world.router():
        world.answer(sent, Answer("fine"))
        terminal = await world.terminal(identity)
        letter = await world.letter()
        assert (await world.terminal(await world.ask("next", endpoint="/none"))).kind is TerminalKind.REFUSED
    assert (terminal.kind, terminal.reason.code) == (TerminalKind.FAILED, ReasonCode.INTERNAL)
    assert letter.topic == OUTCOMES
    assert "Traceback" not in terminal.reason.message


async def test_a_router_goes_on_from_what_it_sent_whatever_comes_back_beside_the_outcome(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        identity = await world.ask("hello")
        await world.until(lambda: len(world.work()) == 1, "the work record")
        sent = journey_pb2.Work.FromString(world.work()[0].value)
        sent.slip.attempts[0].verdict = "nonsense"
        world.answer(sent, Answer("fine", confidence=0.9))
        assert (await world.terminal(identity)).kind is TerminalKind.ANSWERED


async def test_a_restart_in_the_middle_loses_nothing(world: Any) -> None:
    held: list[journey_pb2.Work] = []
    world.behaviour = lambda work: held.append(work)
    async with world.router():
        first = [await world.ask(f"before {number}", endpoint="/ours") for number in range(20)]
        await world.until(lambda: len(held) == 20, "20 work records")
    for work in held[:10]:
        world.answer(work, Answer("while it was away"))
    between = [await world.ask(f"between {number}", endpoint="/ours") for number in range(5)]
    again = await world.ask("before 0", endpoint="/ours", id=first[0].id)
    async with world.router() as crew:
        for work in held[10:]:
            world.answer(work, Answer("after it came back"))
        world.behaviour = lambda _work: Answer("new")
        await world.until(lambda: len(held) == 20 or len(held) >= 25, "the rest")
        everybody = [*first, *between]
        for work in held[20:]:
            world.answer(work, Answer("late"))
        for identity in everybody:
            assert (await world.terminal(identity)).kind is TerminalKind.ANSWERED
        assert crew.broken is not None
        assert not crew.broken.done()
    assert again == first[0]
    # A machine that stands still has its router rebalance, and an end may be written twice; it never says anything else.
    assert {len({one.answer.text for one in world.terminals(identity)}) for identity in everybody} == {1}
    assert len(world.work()) == 25


async def test_what_was_pending_when_the_router_died_is_timed_out_by_the_next(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        identity = await world.ask("hello", endpoint="/quick")
        await world.until(lambda: len(world.work()) == 1, "the work record")
        await asyncio.sleep(0)
    world.behaviour = lambda _work: Answer("at last")
    async with world.router():
        terminal = await world.terminal(identity)
    assert terminal.attempts[0].fault.kind is FaultKind.OVERDUE
    assert len(world.terminals(identity)) == 1
