"""What a budget is charged when a backend did not say what it billed."""

import pytest

from services.budget.book import Book
from trivium.budget.lease import Lease, Reservation
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Usage
from trivium.core.policy import Budget, Period, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.tier.paying import charged
from trivium.tier.records import GRPC, Writer

WORST = 900
WORK = Work(
    Request(Identity("acme", "1"), (Message(Role.USER, "Hello"),)),
    1,
    Target("cloud/small", Tier.CLOUD, "claude-haiku"),
    TaskSpec("chat"),
    1_000,
)


def outcome(result: Answer | Fault, cost: int = 0, usage: Usage | None = None) -> Outcome:
    return Outcome(WORK.request.identity, 1, WORK.target.name, result, usage or Usage(), cost, 10, 20)


@pytest.mark.parametrize("kind", [FaultKind.OVERDUE, FaultKind.CANCELLED, FaultKind.CUT, FaultKind.INTERNAL, FaultKind.UNAVAILABLE])
def test_a_call_that_was_cut_off_is_charged_at_its_worst_case(kind: FaultKind) -> None:
    assert charged(WORK, outcome(Fault(kind, "gone"), 5, Usage(input_tokens=3)), WORST) == WORST


@pytest.mark.parametrize("kind", [FaultKind.LATE, FaultKind.OVERLOADED, FaultKind.RATE_LIMITED, FaultKind.REJECTED, FaultKind.OVER_BUDGET])
def test_a_call_that_was_turned_away_costs_nothing_unless_it_had_begun_to_answer(kind: FaultKind) -> None:
    assert charged(WORK, outcome(Fault(kind, "no")), WORST) == 0
    assert charged(WORK, outcome(Fault(kind, "in mid-answer"), 5, Usage(input_tokens=3)), WORST) == WORST


def test_an_answer_is_charged_at_its_cost_and_a_backend_that_says_it_failed_at_nothing() -> None:
    assert charged(WORK, outcome(Answer("yes"), 17, Usage(3, 4)), WORST) == 17
    assert charged(WORK, outcome(Fault(FaultKind.INVALID, "no JSON"), 17, Usage(3, 4)), WORST) == 17
    assert charged(WORK, outcome(Fault(FaultKind.UNAVAILABLE, "503", unbilled=True)), WORST) == 0


def test_the_auditor_counts_what_the_holder_was_charged() -> None:
    """The record says it, so that both come to the same sum."""
    lease = Lease("h/1", ("acme", "2026-11"), Budget("acme", Period.MONTH, 1_000_000))
    writer, money = Writer(Tier.CLOUD, "cloud-1", 12, 1_000_000), Reservation("h/1", WORST, (lease,), True)
    for result, spent, total in ((Fault(FaultKind.OVERDUE, "late"), 0, WORST), (Answer("yes"), 17, 17)):
        book, ended = Book(), outcome(result, spent, Usage(3, 4) if spent else None)
        book.take(writer.started(WORK, 1, 0, GRPC, 10, (), money).value)
        assert book.amount(("h/1", lease.name)) == WORST
        book.take(writer.settled(WORK, ended, 1, 0, GRPC, 10, (), money).value)
        assert book.amount(("h/1", lease.name)) == total


@pytest.mark.parametrize(("result", "spent", "total"), [(Answer("yes"), 17, 17), (Fault(FaultKind.OVERDUE, "late"), 0, WORST)])
def test_what_another_process_settles_counts_for_the_one_that_reserved(result: Answer | Fault, spent: int, total: int) -> None:
    """Batch work lives longer than its process. What may have been billed beyond what is known stays at its worst case."""
    lease = Lease("h/1", ("acme", "2026-11"), Budget("acme", Period.MONTH, 1_000_000))
    writer, book = Writer(Tier.CLOUD, "cloud-1", 12, 1_000_000), Book()
    book.take(writer.started(WORK, 1, 0, GRPC, 10, (), Reservation("h/1", WORST, (lease,), True)).value)
    settled = writer.settled(WORK, outcome(result, spent, Usage(3, 4) if spent else None), 1, 0, GRPC, 10, ()).value
    assert [list(book.take(settled)), list(book.take(settled))] == [[("h/1", lease.name)] if spent else [], []]
    assert book.amount(("h/1", lease.name)) == total
