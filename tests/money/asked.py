"""What is asked: work for every tier and every turn that a request can take, each with a mark that its calls are known by."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from tests.faults.marks import marked
from tests.integration.mesh.running import RunningMesh
from trivium.core.outcome import Terminal
from trivium.v1 import request_pb2

BOUND_S: Final = 240.0
AGAIN: Final = "/again"
"""Ends the id of a question that was asked before."""
BROKEN: Final = "mesh-broken-model"
"""Prompts that our own model fails."""
_ORDER: Final = request_pb2.ToolSpec(
    name="get_order",
    description="Looks up an order by its number.",
    parameters_json='{"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}',
)
_EVERY_TURN: Final[Sequence[tuple[str, str]]] = (
    ("/classify", "My invoice shows the wrong VAT number, please correct it."),
    ("/extract-order", "Order 4711, a mug for 12 EUR, from ann@example.com"),
    ("/draft-reply", "The mug arrived in pieces, what now?"),
    ("/summarise", "The parcel was sent twice. The customer keeps one and wants the other collected."),
    ("/policy-question", "Are restricted requests ever written to the cache?"),
    ("/ask-docs", "What is never written to the cache?"),
    ("/how-to", "How do I bake a sourdough bread with rye?"),
    ("/troubleshoot", "The export fails. How does privacy work here?"),
    ("/translate", "Translate into French: good morning, your parcel is on its way."),
    ("/reason", "What is 17 times 23?"),
    ("/frontier", "Is 391 a prime number?"),
    ("/auto", "How many moons has Jupiter?"),
    ("/sentiment", f"{BROKEN}: I am happy."),
    ("/reason", "What is the status of order 4711?"),
)
_OWN_MODEL: Final[Sequence[tuple[str, str]]] = (
    ("/summarise", "The customer asks for the third time where the parcel is."),
    ("/policy-question", "Who may read restricted requests?"),
    ("/troubleshoot", "The import stops in the middle. Where are the limits?"),
)
"""What our own model answers, alone or for retrieval."""


def every_turn(times: int) -> list[request_pb2.Request]:
    """All of it, so many times, each with another mark."""
    return [_asking(f"turn-{round_}-{n}", *one) for round_ in range(times) for n, one in enumerate(_EVERY_TURN)]


def of_own_model(times: int) -> list[request_pb2.Request]:
    """What is under way at our own model when its tier is killed."""
    return [_asking(f"killed-{round_}-{n}", *one) for round_ in range(times) for n, one in enumerate(_OWN_MODEL)]


def again(requests: Iterable[request_pb2.Request]) -> list[request_pb2.Request]:
    """The same questions under other ids: what may be cached is."""
    made = []
    for request in requests:
        copy = request_pb2.Request()
        copy.CopyFrom(request)
        copy.id = f"{request.id}{AGAIN}"
        made.append(copy)
    return made


def _asking(mark: str, endpoint: str, text: str) -> request_pb2.Request:
    tools = [_ORDER] if "status of order" in text else []
    return request_pb2.Request(
        tenant="acme", id=mark, endpoint=endpoint, prompt=f"{text} {marked(mark)}", tools=tools, timeout_ms=120_000,
        team=("care", "growth")[len(mark) % 2], application="desk", end_user=f"user-{len(text) % 5}",
    )  # fmt: skip


async def answered(mesh: RunningMesh, asked: Iterable[request_pb2.Request]) -> list[Terminal]:
    """Every second one by each door."""

    async def one(number: int, request: request_pb2.Request) -> Terminal:
        if number % 2:
            return await mesh.grpc.complete(request, timeout_s=BOUND_S)
        return await mesh.kafka.ask(request, timeout_ms=int(BOUND_S * 1000))

    return list(await asyncio.gather(*(one(number, request) for number, request in enumerate(asked))))
