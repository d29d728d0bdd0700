"""What a batch may cost is reserved before its starts; what a budget cannot pay is in no batch."""

from dataclasses import dataclass, field, replace

from services.batch.keeper import Keeper
from tests.unit.batch_world import SETTINGS, World
from trivium.budget.lease import Reservation
from trivium.core.outcome import Fault, FaultKind, Outcome
from trivium.core.slip import Work


@dataclass
class Poor:
    """Has money for some executions."""

    calls: int
    lapsed: bool = False
    settled: list[tuple[int, str]] = field(default_factory=list)

    async def pay(self, work: Work) -> Reservation | Fault:
        self.calls -= 1
        if self.calls < 0:
            return Fault(FaultKind.OVER_BUDGET, "too little left", budget="acme-month")
        return Reservation("me", 700, (), True)

    def may_go(self, reservation: Reservation) -> bool:
        return not self.lapsed

    def settle(self, reservation: Reservation, work: Work, outcome: Outcome) -> None:
        self.settled.append((reservation.worst, work.request.identity.id))


def world_of(purse: Poor) -> World:
    world = World()
    world.keeper = Keeper(replace(world.keeper.ports, purse=purse), SETTINGS, "batch-1")
    for number in range(3):
        world.asked(number, 100_000)
    return world


def faults(world: World) -> list[str]:
    return sorted(one.outcome.fault.kind for told in world.outcomes().values() for one in told if one.outcome.HasField("fault"))


def test_what_a_budget_cannot_pay_is_told_so_and_the_others_are_in_the_batch() -> None:
    purse = Poor(calls=2)
    world = world_of(purse)
    world.turn()
    world.turn()
    assert faults(world) == ["over_budget"]
    assert [len(made.names) for made in world.made] == [2]
    started = world.executions("started").values()
    assert [(one.reserved_micro_dollars, one.holder) for one in started] == [(700, "me")] * 2
    world.now += 10_000
    world.turn()
    assert sorted(worst for worst, _ in purse.settled) == [0, 700, 700]


def test_what_is_reserved_no_longer_is_not_submitted() -> None:
    world = world_of(Poor(calls=3, lapsed=True))
    world.turn()
    world.turn()
    assert world.made == []
    assert faults(world) == ["unavailable"] * 3
    assert world.executions("settled").keys() == world.executions("started").keys()
