"""`python -m infra.budget_demo`: a dollar, five hundred requests at once, and a kill -9 in the middle.

A whole mesh on this machine with three instances of the cloud tier. First the naive way, which looks what was spent before
a call and writes it down after it. Then the budget of examples/budget.yaml. What was spent is what the stand-in's own log
of calls comes to: every call that arrived there counts in full, whatever became of it."""

import argparse
import asyncio
import json
import shutil
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.budget_demo.doors import Asked, Came, Doors
from infra.local import LocalMesh, MeshOptions, free_ports
from infra.part import Part
from trivium.budget.lease import dollars
from trivium.cli.log import everything
from trivium.codec.budgets import budget_record_from
from trivium.core.budget import AccountRecord, Rules
from trivium.core.budget_fold import Share, State
from trivium.core.errors import TriviumError
from trivium.core.outcome import Usage
from trivium.core.policy import Tier
from trivium.core.price import cost
from trivium.kafka.topics import BUDGET, attempts
from trivium.policy import load
from trivium.settings import KafkaSettings
from trivium.v1 import records_pb2

POLICY: Final = Path("examples/budget.yaml")
NAME: Final = "one-dollar"
VALID_MS: Final = 4_000
"""Short, so that the demo need not wait for the auditor for a minute."""
KILL_AT: Final = 15
"""Calls that have arrived at the stand-in when the process is killed."""
BOUND_S: Final = 240.0
_WAVES: Final = 3
"""How often those that were turned away ask again."""


@dataclass(slots=True)
class Figures:
    """Micro-dollars."""

    limit: int
    naive_spent: int = 0
    spent: int = 0
    calls: int = 0
    in_flight_at_kill: int = 0
    came: Counter[Came] = field(default_factory=Counter)
    share: Share = field(default_factory=lambda: Share(0, 0, 0))

    def line(self, requests: int) -> Mapping[str, Any]:
        """As printed with --json: money in dollars."""
        return {
            "limit": self.limit / 1e6,
            "spent": self.spent / 1e6,
            "overshoot": max(0, self.spent - self.limit) / 1e6,
            "naive_overshoot": max(0, self.naive_spent - self.limit) / 1e6,
            "naive_spent": self.naive_spent / 1e6,
            "requests": requests,
            "calls": self.calls,
            "in_flight_at_kill": self.in_flight_at_kill,
            "told_spent": self.share.spent / 1e6,
            **{came.value: self.came[came] for came in Came},
        }


class Demo:
    """One run over a mesh that is up."""

    def __init__(self, mesh: LocalMesh, doors: Doors, say: Callable[[str], None], requests: int) -> None:
        self._mesh, self._doors, self._say, self._requests = mesh, doors, say, requests
        policy = load(POLICY)
        self._prices = policy.targets["cloud/frontier"].prices
        self.figures = Figures(policy.budgets[NAME].limit_micro_dollars)

    async def run(self) -> None:
        await self._until_budgets_hold()
        await self._naive()
        await self._budgeted()

    async def _until_budgets_hold(self) -> None:
        """A tier that has read no rules yet asks nobody: every door is tried until its calls are paid from a budget."""
        for door in sorted({asked.door for asked in self._doors.requests(10, "probe")}):
            async with asyncio.timeout(BOUND_S):
                while True:
                    asked = Asked(f"{self._doors.requests(1, 'probe')[0].id}-{door}", door, "probe")
                    await self._doors.ask(asked)
                    if await self._is_paid(asked.id):
                        break
        self._say("every door pays from the budgets")

    async def _is_paid(self, id_: str) -> bool:
        async for record in everything(self._kafka(), attempts(Tier.CLOUD)):
            told = records_pb2.AttemptRecord.FromString(record.value or b"")
            if told.identity.id == id_ and told.holder:
                return True
        return False

    async def _naive(self) -> None:
        """Check, call, record: each of them looks at what was written down when its turn comes."""
        written = 0

        async def one(asked: Asked) -> None:
            nonlocal written
            if written >= self.figures.limit:
                return
            before = await self._doors.ask(asked)
            if before is Came.ANSWERED:
                written += self._mean

        self._forget_calls()
        first = self._doors.requests(1, "naive")[0]
        await self._doors.ask(first)
        self._mean = self._paid()
        await asyncio.gather(*(one(asked) for asked in self._doors.requests(self._requests, "naive")))
        self.figures.naive_spent = self._paid()
        self._say(f"check-then-record: {dollars(self.figures.naive_spent)} of {dollars(self.figures.limit)} spent")

    async def _budgeted(self) -> None:
        self._forget_calls()
        asked = self._doors.requests(self._requests, "careful")
        killing = asyncio.create_task(self._kill_in_the_middle())
        turned_away = await self._ask(asked)
        await killing
        self._say(f"one instance killed with {self.figures.in_flight_at_kill} starts not settled, and back; "
                  f"{len(turned_away)} requests were turned away; {dollars(self._paid())} spent")  # fmt: skip
        for _ in range(_WAVES):
            await self._until_audited()
            if not turned_away:
                break
            again = [Asked(f"{one.id}+", one.door, one.team) for one in turned_away]
            turned_away = await self._ask(again)
            self._say(f"{len(again)} asked again, {len(turned_away)} were turned away; {dollars(self._paid())} spent")
        self.figures.came[Came.OVER_BUDGET] = len(turned_away)
        self.figures.spent, self.figures.calls = self._paid(), int(self._calls(0)["count"])
        self.figures.share = await self._share()

    async def _ask(self, asked: Sequence[Asked]) -> list[Asked]:
        """All at once. Returns those that no answer came for."""
        came = await asyncio.gather(*map(self._doors.ask, asked))
        self.figures.came[Came.ANSWERED] += sum(one is Came.ANSWERED for one in came)
        self.figures.came[Came.OTHER] += sum(one is Came.OTHER for one in came)
        return [one for one, how in zip(asked, came, strict=True) if how is not Came.ANSWERED]

    async def _kill_in_the_middle(self) -> None:
        cloud = self._mesh.parts["cloud"]
        await _until(lambda: int(self._calls(0)["count"]) >= KILL_AT)
        cloud.process.kill()
        await cloud.process.wait()
        self.figures.in_flight_at_kill = await self._unsettled()
        await self._mesh.add(cloud.part)

    async def _unsettled(self) -> int:
        """Starts under the budget that nothing has settled yet."""
        open_: set[tuple[str, int, int]] = set()
        async for record in everything(self._kafka(), attempts(Tier.CLOUD)):
            told = records_pb2.AttemptRecord.FromString(record.value or b"")
            key = (told.identity.id, told.attempt, told.execution)
            if told.team == "careful" and told.state == "started":
                open_.add(key)
            elif told.state == "settled":
                open_.discard(key)
        return len(open_)

    async def _until_audited(self) -> None:
        """What the killed process had is closed, and nobody has anything in hand."""
        async def quiet() -> bool:
            return (await self._share()).reserved == 0

        await _until_true(quiet)

    async def _share(self) -> Share:
        state = State()
        async for record in everything(self._kafka(), BUDGET):
            told = budget_record_from(record.value)
            if isinstance(told, Rules):
                state.take_rules(told, record.timestamp_ms)
            elif isinstance(told, AccountRecord):
                state.take_account(told, record.timestamp_ms)
        keys = [key for key in state.pots if key[0] == NAME]
        shares = [state.share(key) for key in keys]
        return Share(self.figures.limit, sum(one.spent for one in shares), sum(one.reserved for one in shares))

    def _kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap=self._mesh.addresses.kafka)

    def _paid(self) -> int:
        """What the stand-in's log of calls comes to."""
        entries = self._calls(10_000)["calls"]
        return sum(cost(self._prices, Usage(one["prompt_tokens"], one["output_tokens"])) for one in entries)

    def _calls(self, last: int) -> Mapping[str, Any]:
        return _http(f"{self._mesh.addresses.cloud_url}/calls?last={last}", "GET")

    def _forget_calls(self) -> None:
        _http(f"{self._mesh.addresses.cloud_url}/calls", "DELETE")


async def _until(holds: Callable[[], bool]) -> None:
    async def told() -> bool:
        return holds()

    await _until_true(told)


async def _until_true(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BOUND_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


def _http(url: str, method: str) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as response:
        found: dict[str, Any] = json.load(response)
        return found


@asynccontextmanager
async def _mesh(data: Path) -> AsyncIterator[tuple[LocalMesh, list[str]]]:
    """Three cloud instances: the first reads Kafka too, the second is the gateway's, the third is called directly."""
    second, third = (f"127.0.0.1:{port}" for port in free_ports(2))
    environ = {"TRIVIUM_BUDGET_VALID_MS": str(VALID_MS), "TRIVIUM_SESSION_TIMEOUT_MS": "6000", "TRIVIUM_HEARTBEAT_MS": "1000"}
    options = MeshOptions(
        data=data, policy=POLICY, budget=True, traces=False, environ=environ, standin_arguments=("--ttft-ms", "100"),
        part_environ={"gateway": {"TRIVIUM_CLOUD": second}},
    )  # fmt: skip
    async with LocalMesh(options) as mesh:
        for name, address in (("cloud+2", second), ("cloud+3", third)):
            own = {**mesh.environ(), "TRIVIUM_CLOUD_PORT": address.rsplit(":", 1)[1], "TRIVIUM_KAFKA_WORKER": "false"}
            await mesh.add(Part(name, "services.cloud", (), own))
        yield mesh, [mesh.addresses.cloud, third]


async def _run(arguments: argparse.Namespace) -> int:
    shutil.rmtree(arguments.data, ignore_errors=True)

    def say(text: str) -> None:
        print(text, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    say(f"a mesh with three cloud instances starts below {arguments.data}")
    async with (
        _mesh(arguments.data) as (mesh, tiers),
        Doors(mesh.addresses.kafka, mesh.addresses.gateway, tiers, load(POLICY)) as doors,
    ):
        demo = Demo(mesh, doors, say, arguments.requests)
        await demo.run()
    line = demo.figures.line(arguments.requests)
    if arguments.json:
        print(json.dumps(line))
    else:
        for name, value in line.items():
            print(f"  {name:<18} {value}")
    kept = line["overshoot"] == 0 and line["spent"] > 0
    say("the budget was kept" if kept else "THE BUDGET WAS NOT KEPT")
    return 0 if kept else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.budget_demo", description=__doc__, epilog="example: python -m infra.budget_demo --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="end with one line of JSON; the rest goes to stderr")
    parser.add_argument("--requests", type=int, default=500, help="at once (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path(".trivium/budget-demo"), help="emptied first (default: %(default)s)")
    try:
        return asyncio.run(_run(parser.parse_args()))
    except (TriviumError, TimeoutError) as error:
        print(f"budget-demo: {error or 'nothing happened for too long'}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
