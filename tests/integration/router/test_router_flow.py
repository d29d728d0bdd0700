"""A request's way through the real Faust worker: decided, dispatched, answered."""

from typing import Any

from trivium.core.outcome import Answer, Fault, FaultKind, ReasonCode, TerminalKind, Verdict
from trivium.core.partition import home
from trivium.kafka.record import Record
from trivium.kafka.topics import HEADER_CAUSE, HEADER_KIND, HEADER_REPLAY, OUTCOMES, REQUESTS
from trivium.v1 import journey_pb2, request_pb2

PARTITIONS = 4
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def fails(kind: FaultKind) -> Any:
    """A fine-tuned tier that answers with a fault; the others are well."""
    return lambda work: Fault(kind, "on command") if work.target.tier == "finetuned" else Answer("saved", confidence=0.9)


async def test_a_request_is_answered_and_written_down(world: Any) -> None:
    async with world.router():
        identity = await world.ask("hello")
        terminal = await world.terminal(identity)
        await world.until(lambda: world.ledger() != [], "the ledger")
    assert terminal.kind is TerminalKind.ANSWERED
    assert terminal.answer is not None
    assert terminal.answer.text == "fine"
    assert (terminal.tier, terminal.target, terminal.task_type) == ("finetuned", "finetuned/small", "draft")
    assert terminal.cost_micro_dollars == 5
    [written] = world.ledger()
    assert written.terminal.identity.id == identity.id
    assert written.terminal.answer.text == ""
    assert written.decision.lines[0].stage == "admit"
    reply = world.reply(identity)
    assert reply.partition == home(identity.key, PARTITIONS)
    assert reply.key == identity.key.encode()
    assert (reply.header(HEADER_KIND), reply.header(HEADER_REPLAY), reply.header(HEADER_CAUSE)) == (b"answered", b"0", b"1")


async def test_json_in_json_out(world: Any) -> None:
    async with world.router():
        identity = await world.ask("hello", as_json=True)
        terminal = await world.terminal(identity)
    assert terminal.kind is TerminalKind.ANSWERED
    reply = world.reply(identity)
    assert reply.header("content-type") == b"application/json"
    assert (reply.value or b"").startswith(b"{")


async def test_an_unsure_answer_goes_up_and_a_fault_falls_back(world: Any) -> None:
    def unsure(work: journey_pb2.Work) -> Answer:
        return Answer(work.target.tier, confidence=0.2 if work.target.tier == "finetuned" else 0.9)

    world.behaviour = unsure
    async with world.router():
        up = await world.terminal(await world.ask("hello"))
        world.behaviour = fails(FaultKind.UNAVAILABLE)
        back = await world.terminal(await world.ask("hello again"))
    assert (up.tier, [a.verdict for a in up.attempts]) == ("cloud", [Verdict.ESCALATED, Verdict.ACCEPTED])
    assert (back.tier, [a.verdict for a in back.attempts]) == ("cloud", [Verdict.FELL_BACK, Verdict.ACCEPTED])
    assert back.cost_micro_dollars == 10


async def test_a_wrong_request_is_refused_with_what_would_be_right(world: Any) -> None:
    async with world.router():
        unknown = await world.terminal(await world.ask("hello", endpoint="/drafts"))
        word = await world.terminal(await world.ask("hello", stakes="enormous"))
        nobody = await world.terminal(await world.ask("hello", tenant='no"body'))
    assert (unknown.kind, unknown.reason.code) == (TerminalKind.REFUSED, ReasonCode.UNKNOWN_ENDPOINT)
    assert "/draft" in unknown.reason.hint
    assert (word.kind, word.reason.code, word.reason.field) == (TerminalKind.REFUSED, ReasonCode.UNKNOWN_WORD, "stakes")
    assert (nobody.kind, nobody.reason.code) == (TerminalKind.REFUSED, ReasonCode.UNKNOWN_TENANT)
    assert not world.work()


async def test_restricted_work_goes_to_its_own_lane_and_never_to_the_cloud(world: Any) -> None:
    world.behaviour = fails(FaultKind.UNAVAILABLE)
    async with world.router():
        terminal = await world.terminal(await world.ask("my account", sensitivity="restricted"))
    assert terminal.kind is TerminalKind.FAILED
    assert {r.topic for r in world.work()} == {"trivium.work.finetuned.restricted"}


async def test_above_the_quota_and_in_batches_work_is_spare(world: Any) -> None:
    async with world.router():
        for number in range(3):
            await world.terminal(await world.ask("hello", tenant="globex", id=f"g{number}"))
        await world.terminal(await world.ask("hello", priority="batch"))
    assert len(world.work("trivium.work.finetuned")) == 2
    assert len(world.work("trivium.work.finetuned.spare")) == 2
    assert len(world.seen["trivium.replies.globex"]) == 3


async def test_a_request_away_from_home_is_sent_home_once(world: Any) -> None:
    key = "acme/lost"
    away = (home(key, PARTITIONS) + 1) % PARTITIONS
    async with world.router():
        identity = await world.ask("hello", id="lost", partition=away)
        terminal = await world.terminal(identity)
        stubborn = request_pb2.Request(tenant="acme", id="stays", endpoint="/draft", prompt="hello")
        there = (home("acme/stays", PARTITIONS) + 1) % PARTITIONS
        await world.send(Record(REQUESTS, b"acme/stays", stubborn.SerializeToString(), (("forwarded", b"0"),), there))
        await world.until(lambda: b"acme/stays" in {r.key for r in world.seen.get("trivium.responses", [])}, "its terminal")
    assert terminal.kind is TerminalKind.ANSWERED
    assert world.reply(identity).partition == home(key, PARTITIONS)
    assert len(world.terminals(identity)) == 1


async def test_a_cancel_ends_what_is_pending_and_its_outcome_is_a_stray(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        identity = await world.ask("hello", endpoint="/ours")
        await world.until(lambda: len(world.work()) == 1, "the work record")
        await world.cancel(identity)
        terminal = await world.terminal(identity)
        world.answer(journey_pb2.Work.FromString(world.work()[0].value), Answer("too late"))
        await world.until(lambda: world.ledger("stray") != [], "the stray")
    assert (terminal.kind, terminal.reason.code) == (TerminalKind.FAILED, ReasonCode.CANCELLED)
    assert world.ledger("stray")[0].stray.cost_micro_dollars == 5
    assert len(world.terminals(identity)) == 1


async def test_a_cancel_that_overtakes_its_request_holds(world: Any) -> None:
    world.behaviour = lambda _work: None
    async with world.router():
        early = await world.ask("first", endpoint="/ours", id="sign")
        cancelled = early.__class__("acme", "later")
        await world.cancel(cancelled)
        await world.until(lambda: len(world.seen.get(OUTCOMES, [])) == 1, "the cancel")
        await world.ask("hello", endpoint="/ours", id="later")
        terminal = await world.terminal(cancelled)
    assert (terminal.kind, terminal.reason.code) == (TerminalKind.FAILED, ReasonCode.CANCELLED)


async def test_the_trace_of_the_caller_goes_on(world: Any) -> None:
    body = request_pb2.Request(tenant="acme", id="traced", endpoint="/draft", prompt="hello").SerializeToString()
    async with world.router():
        await world.send(Record(REQUESTS, b"acme/traced", body, (("traceparent", PARENT),)))
        await world.until(lambda: "trivium.responses" in world.seen, "the terminal")
    [work] = world.work()
    assert work.header("traceparent") == PARENT
    assert journey_pb2.Work.FromString(work.value).slip.traceparent == PARENT.decode()
    assert world._terminal(world.seen["trivium.responses"][0]).trace_id == PARENT[3:35].decode()


async def test_an_equal_question_is_answered_from_the_cache(world: Any) -> None:
    async with world.router():
        first = await world.terminal(await world.ask("How do I reset my password?", endpoint="/faq"))
        for number in range(50):
            again = await world.terminal(await world.ask("how do I reset my password", endpoint="/faq", id=f"again{number}"))
            if again.tier == "cache":
                break
    assert first.tier == "finetuned"
    assert (again.tier, again.cost_micro_dollars, again.attempts) == ("cache", 0, ())
    assert again.cache.kind == "exact"
    assert world.reply(again.identity).header(HEADER_CAUSE) == b"0"


async def test_retries_come_out_of_a_budget_that_all_share(world: Any) -> None:
    async with world.router():
        for number in range(5):
            await world.terminal(await world.ask(f"fine {number}", endpoint="/ours"))
        world.behaviour = fails(FaultKind.UNAVAILABLE)
        twice = await world.terminal(await world.ask("trouble", endpoint="/ours"))
        once = await world.terminal(await world.ask("more trouble", endpoint="/ours"))
    assert [len(t.attempts) for t in (twice, once)] == [2, 1]
