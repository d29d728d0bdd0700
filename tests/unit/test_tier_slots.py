"""Slots: nobody takes them all, idle ones are lent, spare work gets what is left."""

from hypothesis import given
from hypothesis import strategies as st

from trivium.tier.slots import Slots, Ticket


def ask(slots: Slots, granted: list[str], task: str, cap: int = 2, spare: bool = False) -> Ticket:
    ticket = Ticket(task, cap, spare, lambda: granted.append(task))
    slots.ask(ticket)
    return ticket


def test_idle_slots_are_lent_but_some_stay_for_others() -> None:
    slots, granted = Slots(16), list[str]()
    for _ in range(30):
        ask(slots, granted, "slow")
    assert granted == ["slow"] * 14
    ask(slots, granted, "quick")
    ask(slots, granted, "quick")
    assert granted[14:] == ["quick", "quick"]


def test_a_task_type_below_its_cap_goes_before_one_above_it() -> None:
    slots, granted = Slots(4), list[str]()
    first = [ask(slots, granted, "a") for _ in range(5)]
    ask(slots, granted, "b")
    slots.release(first[0])
    assert granted == ["a", "a", "a", "a", "b"]


def test_task_types_take_turns() -> None:
    slots, granted = Slots(1), list[str]()
    held = ask(slots, granted, "a", cap=9)
    for task in ("a", "a", "b", "b"):
        ask(slots, granted, task, cap=9)
    for _ in range(4):
        slots.release(held)
        held = Ticket(granted[-1], 9, False, lambda: None)
    assert granted == ["a", "a", "b", "a", "b"]


def test_spare_work_runs_only_on_idle_slots() -> None:
    slots, granted = Slots(8), list[str]()
    held = [ask(slots, granted, "a", cap=8) for _ in range(8)]
    ask(slots, granted, "batch", spare=True)
    ask(slots, granted, "a", cap=8)
    slots.release(held[0])
    assert granted == ["a"] * 9
    slots.release(held[1])
    assert granted == ["a"] * 9
    slots.release(held[2])
    assert granted[-1] == "batch"


def test_a_withdrawn_ticket_is_never_granted_and_a_granted_one_frees_its_slot() -> None:
    slots, granted = Slots(1), list[str]()
    first = ask(slots, granted, "a")
    second = ask(slots, granted, "b")
    ask(slots, granted, "c")
    slots.withdraw(second)
    slots.withdraw(first)
    assert granted == ["a", "c"]


def test_many_grants_that_end_at_once_do_not_pile_up() -> None:
    slots, ended = Slots(1), list[int]()
    held = Ticket("a", 1, False, lambda: None)
    slots.ask(held)
    tickets: list[Ticket] = []
    for number in range(5_000):

        def end(number: int = number) -> None:
            ended.append(number)
            slots.release(tickets[number])

        tickets.append(Ticket("a", 1, False, end))
        slots.ask(tickets[-1])
    slots.release(held)
    assert ended == list(range(5_000))
    assert slots.running == 0


@given(st.integers(1, 20), st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=80))
def test_never_more_than_all_and_nothing_is_forgotten(total: int, steps: list[tuple[str, bool, bool]]) -> None:
    slots, running = Slots(total), list[Ticket]()
    for task, spare, release in steps:
        if release and running:
            slots.release(running.pop(0))
        ticket = Ticket(task, 3, spare, lambda: None)
        ticket.grant = lambda ticket=ticket: running.append(ticket)  # type: ignore[misc]
        slots.ask(ticket)
        assert len(running) == slots.running <= total
    while running:
        slots.release(running.pop(0))
    assert slots.waiting == 0


def test_interactive_work_goes_before_other_work_of_its_task_type() -> None:
    slots, granted = Slots(1), list[str]()

    def wish(name: str, urgent: bool) -> Ticket:
        ticket = Ticket("a", 9, False, lambda: granted.append(name), urgent)
        slots.ask(ticket)
        return ticket

    tickets = {name: wish(name, name.startswith("i")) for name in ("n1", "n2", "i1", "n3", "i2")}
    assert (slots.ahead("a", False, True), slots.ahead("a", False, False), slots.ahead("b", False, False)) == (2, 4, 0)
    assert slots.ahead("a", True, False) == 4
    slots.withdraw(tickets["n2"])
    for _ in range(3):
        slots.release(tickets[granted[-1]])
    assert granted == ["n1", "i1", "i2", "n3"]


def test_tenants_take_turns_so_that_a_flood_of_one_delays_another_by_little() -> None:
    slots, granted = Slots(1), list[str]()

    def wish(name: str) -> Ticket:
        ticket = Ticket("a", 9, False, lambda: granted.append(name), tenant=name[0])
        slots.ask(ticket)
        return ticket

    tickets = {name: wish(name) for name in ("n0", "n1", "n2", "n3", "n4", "o1", "o2")}
    assert slots.ahead("a", False, False, "n") == 6
    assert slots.ahead("a", False, False, "x") == 2
    for _ in range(6):
        slots.release(tickets[granted[-1]])
    assert granted == ["n0", "n1", "o1", "n2", "o2", "n3", "n4"]
