"""One bill, told by three: the stand-ins' own logs of calls, the topics, and the SQL report. Through a killed ledger."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.demo.requests import load as load_requests
from infra.local import POLICY
from infra.part import RunningPart
from tests.integration.mesh.running import RunningMesh, program, running_mesh
from trivium.cli.log import everything
from trivium.codec import request_from
from trivium.core.outcome import TerminalKind, Usage
from trivium.core.policy import Prices, Tier
from trivium.core.price import cost
from trivium.kafka.topics import LEDGER, attempts
from trivium.policy import load
from trivium.settings import KafkaSettings
from trivium.v1 import records_pb2, request_pb2

REQUESTS = 120
BOUND_S = 180.0


@dataclass
class Bill:
    """What one of the three says. `cost` is micro-dollars."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0

    def add(self, calls: int, input_tokens: int, output_tokens: int, cost: int) -> None:
        self.calls += calls
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost += cost


async def test_calls_topics_and_report_agree(tmp_path: Path, ledger_database: str) -> None:
    calls = tmp_path / "calls"
    environ = {"TRIVIUM_LEDGER_DB": ledger_database}
    async with running_mesh(tmp_path, ledger=True, environ=environ, standin_arguments=("--call-log-dir", str(calls))) as mesh:
        asked = questions()
        ends = Counter(await answered(mesh, asked[: REQUESTS // 2]))
        await mesh.control("cloud", fault="overloaded", count=4)
        killed = mesh.local.parts["ledger"]
        killed.process.kill()
        ends += Counter(await answered(mesh, asked[REQUESTS // 2 :]))
        await mesh.grpc.feedback(request_from(asked[0]).identity, "resolved", score=1.0)
        again = await RunningPart.start(killed.part, tmp_path / "logs")
        try:
            await again.until_ready()
            said, report = await settled(mesh, len(asked))
        finally:
            await again.stop()
        told = await told_by_the_ledger(mesh.local.addresses.kafka)
        rebuilt = await mesh_rebuild(mesh, ledger_database)
    by_calls = of_calls(calls)
    assert ends[TerminalKind.ANSWERED] > REQUESTS // 2
    assert report["resolved"] == 1
    assert said.cost > 0
    # Retrieval's own searches are in no log of calls: nobody but the mesh saw them.
    searches = report["cost_embedding"] + report["cost_vector_store"]
    assert searches > 0
    assert (report["cost"], report["input_tokens"], report["output_tokens"]) == (said.cost, said.input_tokens, said.output_tokens)
    assert (by_calls.input_tokens, by_calls.output_tokens) == (report["input_tokens"], report["output_tokens"])
    # An attempt that calls its model twice (a tool's result in between) is rounded once, and its calls here once each.
    assert abs(by_calls.cost + searches - report["cost"]) <= by_calls.calls - said.calls
    assert report["told"] + report["stray_cost"] == told == report["cost"]
    assert (rebuilt["cost"], rebuilt["requests"]) == (report["cost"], report["requests"])


def questions() -> list[request_pb2.Request]:
    """Requests of acme that the shipped file has, with ids of their own."""
    found = []
    for one in load_requests():
        if one.kind != "malformed" and one.identity is not None and one.identity.tenant == "acme" and one.question:
            fields = json.loads(one.value) if one.content_type == "application/json" else None
            if fields and {"endpoint", "prompt"} <= fields.keys() and not fields.get("tools"):
                found.append(request_pb2.Request(tenant="acme", id=f"three-{len(found)}", endpoint=fields["endpoint"], prompt=fields["prompt"],
                                                 team=fields.get("team", ""), application=fields.get("application", "")))  # fmt: skip
    return found[:REQUESTS]


async def answered(mesh: RunningMesh, asked: Iterable[request_pb2.Request]) -> list[TerminalKind]:
    """Every second one by each door."""

    async def one(number: int, request: request_pb2.Request) -> TerminalKind:
        if number % 2:
            return (await mesh.grpc.complete(request, timeout_s=BOUND_S)).kind
        return (await mesh.kafka.ask(request, timeout_ms=int(BOUND_S * 1000))).kind

    return list(await asyncio.gather(*(one(number, request) for number, request in enumerate(asked))))


async def settled(mesh: RunningMesh, requests: int) -> tuple[Bill, Mapping[str, Any]]:
    """Topics and report, once the report has everything that the topics have."""
    ends = time.monotonic() + BOUND_S
    while True:
        said = await of_topics(mesh.local.addresses.kafka)
        report = (await mesh.trivium("report", "--json")).lines[-1]
        counted = report["requests"] >= requests and report["cost"] == said.cost and report["judged"] == 1
        if (counted and not report["open_attempts"]) or time.monotonic() > ends:
            return said, report
        await asyncio.sleep(0.2)


async def mesh_rebuild(mesh: RunningMesh, database: str) -> Mapping[str, Any]:
    """The same database, filled again from the topics."""
    done = await program("services.ledger", "--rebuild", environ=mesh.local.environ())
    assert done.status == 0, done.err
    (*_, total) = (await mesh.trivium("report", "--json", "--db", database)).lines
    return total


async def of_topics(bootstrap: str) -> Bill:
    """The attempts as they lie there, added up without the store; a record that lies there twice counts once."""
    bill, seen = Bill(), set[tuple[Any, ...]]()
    kafka = KafkaSettings(bootstrap=bootstrap)
    for tier in Tier:
        async for record in everything(kafka, attempts(tier)):
            m = records_pb2.AttemptRecord.FromString(record.value or b"")
            key = (tier, m.identity.id, m.attempt, m.execution, m.instance, m.begun_ms, m.target)
            if m.state != "settled" or key in seen:
                continue
            seen.add(key)
            own = tier is not Tier.RETRIEVAL
            bill.add(int(own and m.usage.input_tokens > 0), m.usage.input_tokens * own, m.usage.output_tokens * own, m.cost_micro_dollars - m.costs.parts)
    return bill


async def told_by_the_ledger(bootstrap: str) -> int:
    """What the terminals and strays of the ledger topic come to."""
    total = 0
    async for record in everything(KafkaSettings(bootstrap=bootstrap), LEDGER):
        entry = records_pb2.LedgerRecord.FromString(record.value or b"")
        total += entry.terminal.cost_micro_dollars + entry.stray.cost_micro_dollars
    return total


def of_calls(folder: Path) -> Bill:
    """What the stand-ins wrote down themselves, at the policy's prices; a call that failed cost nothing."""
    bill = Bill()
    for name in ("tgi", "claude"):
        for line in (folder / f"{name}.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["event"] != "end" or entry["status"] != 200:
                continue
            usage = Usage(entry["prompt_tokens"], entry["output_tokens"])
            bill.add(1, usage.input_tokens, usage.output_tokens, cost(prices_of(name, entry["model"]), usage))
    return bill


def prices_of(standin: str, model: str) -> Prices:
    """Of the target that this call was for; all targets of our own server have the same."""
    tier = Tier.CLOUD if standin == "claude" else Tier.FINETUNED
    found = {target.prices for target in load(POLICY).targets.values() if target.tier is tier and (standin == "tgi" or target.model == model)}
    (prices,) = found
    return prices
