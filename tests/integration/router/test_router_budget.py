"""Over Kafka: what becomes of a request that a hard budget cannot pay, and that the router tells its budgets."""

import asyncio
from pathlib import Path
from typing import Any

from trivium.codec.budgets import budget_record_from
from trivium.core.budget import Rules
from trivium.core.outcome import Answer, Fault, FaultKind, ReasonCode, TerminalKind
from trivium.kafka.reader import end_offsets, read_tail
from trivium.kafka.topics import BUDGET
from trivium.v1 import journey_pb2

BUDGETS = """
budgets:
  each-team: {limit: 5, period: day, tenant: "*", team: "*", over: cheaper}
"""
DOWN = "tasks:\n  down: {route: [cloud/frontier, finetuned/small], system: Down., timeout_ms: 20_000}\n"


def poor(work: journey_pb2.Work) -> Answer | Fault | None:
    if work.target.tier == "cloud":
        return Fault(FaultKind.OVER_BUDGET, "too little left", budget="each-team/acme/desk")
    return Answer("cheap", confidence=0.9)


async def rules(bootstrap: str) -> list[Rules]:
    until = await end_offsets(bootstrap, BUDGET)
    found = [budget_record_from(record.value) async for record in read_tail(bootstrap, BUDGET, 0, until)]
    return [one for one in found if isinstance(one, Rules)]


def add_budgets(path: Path) -> None:
    path.write_text(path.read_text().replace("tasks:\n", DOWN) + BUDGETS)


async def test_a_budget_of_the_policy_is_told_and_obeyed(world: Any) -> None:
    add_budgets(Path(world.environ["TRIVIUM_POLICY"]))
    world.behaviour, world.cost = poor, 0
    async with world.router():
        cheap = await world.terminal(await world.ask(endpoint="", task_type="down", team="desk"))
        refused = await world.terminal(await world.ask(endpoint="", target="cloud/frontier", team="desk"))
        async with asyncio.timeout(60):
            while not (told := await rules(world.broker.bootstrap)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert (cheap.kind, cheap.target, cheap.attempts[0].fault) == (
        TerminalKind.ANSWERED, "finetuned/small", Fault(FaultKind.OVER_BUDGET, "too little left", budget="each-team/acme/desk"),
    )  # fmt: skip
    assert refused.kind is TerminalKind.REFUSED
    assert refused.reason is not None
    assert refused.reason.code is ReasonCode.OVER_BUDGET
    assert "the budget each-team/acme/desk is $5.00 a day and begins anew at" in refused.reason.hint
    assert [(one.revision, [b.name for b in one.budgets]) for one in told] == [(7, ["each-team"])]
    assert world.letters() == [], "nothing is wrong with the request"
