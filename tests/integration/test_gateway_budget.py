"""Over gRPC: what a caller sees when a hard budget cannot pay, and that the gateway tells its budgets."""

import asyncio
from pathlib import Path
from typing import Any

from tests.integration.gateway_mesh import TIMEOUT, GatewayMesh, Ledger, gateway_mesh
from trivium.codec.budgets import budget_record_from
from trivium.core.budget import Rules
from trivium.core.policy import Over
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import BUDGET
from trivium.v1 import request_pb2

BUDGETS = "budgets: {acme-month: {limit: 250, period: month, tenant: acme, over: cheaper}}\n"
DOWN = "  down: {route: [cloud/small, finetuned/a], system: s, timeout_ms: 8000}\nnovel:"


def asking(name: str, task_type: str) -> request_pb2.Request:
    return request_pb2.Request(tenant="acme", id=name, task_type=task_type, prompt="hello")


async def streamed(mesh: GatewayMesh, request: request_pb2.Request) -> tuple[str, Any]:
    text, terminal = "", None
    async for event in mesh.stub.CompleteStream(request, timeout=TIMEOUT):
        if event.WhichOneof("event") == "delta":
            text += event.delta
        else:
            terminal = event.terminal
    return text, terminal


async def told(rules: list[Rules], revision: int) -> Rules:
    async with asyncio.timeout(60):
        while not rules or rules[-1].revision < revision:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return rules[-1]


async def test_a_budget_of_the_policy_is_told_and_obeyed(tmp_path: Path) -> None:
    rules: list[Rules] = []

    def take(record: Delivered) -> None:
        found = budget_record_from(record.value)
        if isinstance(found, Rules):
            rules.append(found)

    async with gateway_mesh(tmp_path) as mesh, Tail(mesh.bootstrap, BUDGET, take), Ledger(mesh) as ledger:
        text = mesh.policy.read_text().replace("revision: 1", "revision: 2").replace("\nnovel:", "\n" + DOWN)
        mesh.policy.write_text(text + BUDGETS)
        in_force = await told(rules, 2)
        assert [(b.name, b.limit_micro_dollars, b.over) for b in in_force.budgets] == [("acme-month", 250_000_000, Over.CHEAPER)]

        mesh.cloud.script = "poor"
        cheap = await mesh.stub.Complete(asking("b1", "down"), timeout=TIMEOUT)
        assert (cheap.kind, cheap.target, cheap.cost_micro_dollars) == ("answered", "finetuned/a", 7)
        assert [(a.fault.kind, a.fault.budget) for a in cheap.attempts[:1]] == [("over_budget", "acme-month")]

        refused = await mesh.stub.Complete(asking("b2", "only"), timeout=TIMEOUT)
        assert (refused.kind, refused.reason.code, refused.cost_micro_dollars) == ("refused", "over_budget", 0)
        assert refused.reason.message == "cloud/small was not called: too little left"
        assert refused.reason.hint.startswith("the budget acme-month is $250.00 a month and begins anew at ")
        assert (await streamed(mesh, asking("b3", "only")))[0] == ""
        shown, terminal = await streamed(mesh, asking("b4", "down"))
        assert (shown, terminal.kind) == ("finetuned: an answer", "answered")

        assert (await ledger.of("b2")).terminal.reason.code == "over_budget"
        assert 'trivium_over_budget_total{tenant="acme"} 2.0' in mesh.metrics()
        assert len(mesh.cloud.works) == 4, "nobody was asked twice"
