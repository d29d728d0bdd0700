"""What a hard budget costs before a call: keys, worst case and reservation out of a live lease.

    python -m benchmarks.budget [--json] [--rounds N]

No broker: the log is answered in process, so the figure is the check's own. `check_us` is a call under three hard budgets (a
company's month, a team's day, an end user's day) with a prompt of 2,000 bytes; `off` is a mesh without budgets."""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.report import finish, print_table
from trivium.budget.keeper import Keeper
from trivium.budget.lease import KeeperOptions, Reservation
from trivium.codec.budgets import RULES_KEY, rules_to
from trivium.core.budget import Rules
from trivium.core.policy import EACH, Budget, Period, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka.record import Delivered, Record

CALLS = 500
USERS = 50
DOLLAR = 1_000_000


class Answering:
    """An outbox whose records are read back when the loop comes round."""

    def __init__(self) -> None:
        self.keeper: Keeper | None = None
        self._offset = 0

    def put(self, stages: Sequence[Sequence[Record]], done: Callable[[], Any]) -> None:
        asyncio.get_running_loop().call_soon(self._land, stages[0][0], done)

    def _land(self, record: Record, done: Callable[[], Any]) -> None:
        done()
        self.give(record)

    def give(self, record: Record) -> None:
        """One more record of the log."""
        self._offset += 1
        if self.keeper is not None:
            at_ms = time.time_ns() // 1_000_000
            self.keeper.read(Delivered(record.topic, 0, self._offset, at_ms, record.key, record.value))


def a_work(number: int, bytes_: int) -> Work:
    text = ("why does the export fail when the invoice has two currencies? " * (bytes_ // 60 + 1))[:bytes_]
    request = Request(
        Identity("acme", f"r{number}"), (Message(Role.USER, text),), team="care", application="desk", end_user=f"u{number % 50}"
    )
    target = Target("cloud/small", Tier.CLOUD, "small", prices=Prices(DOLLAR, 5 * DOLLAR))
    return Work(request, 1, target, TaskSpec("draft", system="Task: draft"), 0)


def budgets(count: int) -> tuple[Budget, ...]:
    every = (
        Budget("company", Period.MONTH, 100_000 * DOLLAR, tenant="acme"),
        Budget("teams", Period.DAY, 50_000 * DOLLAR, team=EACH),
        Budget("users", Period.DAY, 1_000 * DOLLAR, end_user=EACH),
    )
    return every[:count]


async def a_keeper(count: int, works: Sequence[Work]) -> Keeper:
    """With live leases for all of these."""
    answering: Any = Answering()
    keeper = answering.keeper = Keeper("", "bench", answering, KeeperOptions(ask_ms=60_000))
    answering.give(Record("trivium.budget", RULES_KEY, rules_to(Rules(1, budgets(count))).SerializeToString()))
    for work in works:
        got = asyncio.get_running_loop().create_future()
        first = keeper.take(work, now_ms(), got.set_result)
        keeper.release(first if isinstance(first, Reservation) else await got)
    return keeper


async def measured(count: int, bytes_: int, rounds: int) -> dict[str, float]:
    """Microseconds of this process, whoever else is on the machine: medians over rounds."""
    works = [a_work(number, bytes_) for number in range(USERS)]
    keeper = await a_keeper(count, works)
    checks, settles = [], []
    for _ in range(rounds):
        reserved = []
        began = time.process_time()
        for number in range(CALLS):
            if keeper.active:
                reserved.append(keeper.take(works[number % USERS], now_ms(), refuse))
        between = time.process_time()
        for one in reserved:
            if not isinstance(one, Reservation):
                raise RuntimeError(f"a lease was not live: {one}")
            keeper.settle(one, 1)
        checks.append((between - began) / CALLS * 1e6)
        settles.append((time.process_time() - between) / CALLS * 1e6)
    return {"check": round(statistics.median(checks), 2), "settle": round(statistics.median(settles), 2)}


def refuse(_answer: object) -> None:
    raise RuntimeError("nothing is to wait here")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def run(rounds: int, as_json: bool) -> None:
    rows = []
    for count, bytes_ in ((0, 2_000), (1, 200), (1, 2_000), (3, 200), (3, 2_000), (3, 50_000)):
        rows.append({"budgets": count, "prompt bytes": bytes_, **await measured(count, bytes_, rounds)})
    print_table("microseconds a call, leases live", rows)
    finish({"check_us": rows[4]["check"], "settle_us": rows[4]["settle"], "off_us": rows[0]["check"]}, as_json)


def main() -> None:
    """Prints the table, or one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of 500 calls (default 30)")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.rounds, arguments.json))


if __name__ == "__main__":
    main()
