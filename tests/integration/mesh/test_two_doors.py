"""Two doors, one journey: what Kafka answers, Complete and CompleteStream answer too."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.mesh.running import TIMEOUT_S, RunningMesh, asking, new_id
from trivium.core.outcome import Finish, Terminal
from trivium.v1 import request_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORDER = request_pb2.ToolSpec(
    name="get_order",
    description="Looks up an order by its number.",
    parameters_json='{"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}',
)
PRODUCT = request_pb2.Output(
    kind="json",
    schema_json='{"type": "object", "properties": {"product": {"type": ["string", "null"]}}, "required": ["product"]}',
)
TICKET = "My invoice shows the wrong VAT number, please correct it."


@dataclass(frozen=True, slots=True)
class Case:
    """A request, what is broken while it is asked, and how it ends through every door."""

    name: str
    request: dict[str, Any]
    kind: str = "answered"
    target: str = ""
    task: str = ""
    code: str = ""
    where: str = ""
    verdicts: tuple[str, ...] = ("accepted",)
    faults: dict[str, Any] = field(default_factory=dict)
    """Stand-in: order."""


def refused(name: str, request: dict[str, Any], code: str, where: str, task: str = "") -> Case:
    """A case of bad input."""
    return Case(name, request, "refused", "", task, code, where, ())


CASES = [
    Case("a short label", {"endpoint": "/classify", "prompt": TICKET}, target="finetuned/tickets", task="classify_ticket"),
    Case("a mood", {"endpoint": "/sentiment", "prompt": "This is a scandal, I am furious!"}, target="finetuned/support", task="sentiment"),
    Case("a task type by name", {"task_type": "urgency", "prompt": "Our whole shop is down!"}, target="finetuned/support", task="urgency"),
    Case("structure by the task's schema", {"endpoint": "/extract-order", "prompt": "Order 4711, a mug for 12 EUR, from ann@example.com"}, target="finetuned/support", task="extract_order"),
    Case("structure by the caller's schema", {"endpoint": "/extract-order", "prompt": "Order 4712: a blue mug.", "output": PRODUCT}, target="finetuned/support", task="extract_order"),
    Case("a question about the documents", {"endpoint": "/policy-question", "prompt": "Are restricted requests ever written to the cache?"}, target="retrieval/docs", task="policy_question"),
    Case("a cascade that goes up", {"endpoint": "/how-to", "prompt": "How do I bake a sourdough bread with rye?"}, target="cloud/small", task="how_to", verdicts=("escalated", "accepted")),
    Case("customers' own data", {"endpoint": "/account", "prompt": "Plan: Pro. Renewal: 3 May. When does my contract renew?", "subject": "c1"}, target="finetuned/support", task="account_question"),
    Case("the cloud's own work", {"endpoint": "/translate", "prompt": "Translate into French: good morning."}, target="cloud/small", task="translate"),
    Case("an endpoint that pins", {"endpoint": "/frontier", "prompt": "What is 17 times 23?"}, target="cloud/frontier", task="reasoning"),
    Case("a pinned target", {"endpoint": "/sentiment", "prompt": "I am very happy.", "target": "cloud/small"}, target="cloud/small", task="sentiment"),
    Case("the classifier's choice", {"endpoint": "/auto", "prompt": "The mug arrived in pieces, I want my money back"}, target="finetuned/tickets", task="classify_ticket"),
    Case("novel work", {"endpoint": "/auto", "prompt": "How many moons has Jupiter?"}, target="cloud/small", task="novel"),
    Case("a rule", {"endpoint": "/draft-reply", "prompt": "Where is my order?", "user_tier": "enterprise", "stakes": "high"}, target="cloud/frontier", task="draft_reply"),
    Case("restricted, by the local half of its route", {"endpoint": "/sentiment", "prompt": "My diagnosis was sent to my boss!", "sensitivity": "restricted"}, target="finetuned/support", task="sentiment"),
    Case("restricted, and only the cloud could", {"endpoint": "/translate", "prompt": "Translate into French: my diagnosis.", "sensitivity": "restricted"}, "refused", "", "translate", "no_route", verdicts=()),
    Case("a fall back", {"endpoint": "/sentiment", "prompt": "mesh-broken-model: I am happy."}, target="cloud/small", task="sentiment", verdicts=("fell_back", "accepted"), faults={"model": {"fault": "unavailable", "count": -1, "match": "mesh-broken-model"}}),
    Case("restricted does not fall back to the cloud", {"endpoint": "/urgency", "prompt": "mesh-broken-local: help", "sensitivity": "restricted"}, "failed", "", "urgency", "attempts_failed", verdicts=("failed",), faults={"model": {"fault": "bad_request", "count": -1, "match": "mesh-broken-local"}}),
    Case("the vendor's refusal of a request", {"endpoint": "/translate", "prompt": "mesh-bad-vendor: Translate"}, "failed", "", "translate", "attempts_failed", verdicts=("fell_back", "failed"), faults={"cloud": {"fault": "bad_request", "count": -1, "match": "mesh-bad-vendor"}}),
    refused("an unknown endpoint", {"endpoint": "/clasify", "prompt": "x"}, "unknown_endpoint", "endpoint"),
    refused("an unknown task type", {"task_type": "clasify", "prompt": "x"}, "unknown_task_type", "task_type"),
    refused("an unknown target", {"endpoint": "/classify", "prompt": "x", "target": "cloud/huge"}, "unknown_target", "target"),
    refused("an empty prompt", {"endpoint": "/classify", "prompt": " \n"}, "empty_prompt", "messages"),
    refused("an oversize prompt", {"endpoint": "/summarise", "prompt": "word " * 40_001}, "prompt_too_large", "messages"),
    refused("no time at all", {"endpoint": "/classify", "prompt": "x", "timeout_ms": 0}, "bad_timeout", "timeout_ms"),
    refused("too much time", {"endpoint": "/classify", "prompt": "x", "timeout_ms": 600_001}, "bad_timeout", "timeout_ms"),
    refused("another tenant's reply topic", {"endpoint": "/classify", "prompt": "x", "reply_to": "trivium.replies.globex"}, "bad_reply_topic", "reply_to"),
    refused("an unknown corpus", {"endpoint": "/policy-question", "prompt": "x", "corpus": "docs' or 1=1"}, "unknown_corpus", "corpus"),
    refused("an unknown word", {"endpoint": "/classify", "prompt": "x", "stakes": "huge"}, "unknown_word", "stakes"),
    refused("a schema that is none", {"endpoint": "/extract-order", "prompt": "x", "output": request_pb2.Output(kind="json", schema_json="{")}, "bad_schema", "output.schema_json"),
]  # fmt: skip


def seen(terminal: Terminal) -> dict[str, Any]:
    """What must be the same through every door."""
    answer, reason, cache = terminal.answer, terminal.reason, terminal.cache
    return {
        "kind": terminal.kind.value,
        "tier": terminal.tier,
        "target": terminal.target,
        "task": terminal.task_type,
        "code": reason.code.value if reason else "",
        "where": reason.field if reason else "",
        "hint": reason.hint if reason else "",
        "text": answer.text if answer else "",
        "citations": answer.citations if answer else (),
        "tools": [(call.name, call.arguments_json) for call in answer.tool_calls] if answer else [],
        "verdicts": tuple(attempt.verdict.value for attempt in terminal.attempts),
        "cost": terminal.cost_micro_dollars if answer else 0,
        "cache": (cache.kind, cache.question) if cache else None,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_door_gives_the_same_terminal(mesh: RunningMesh, case: Case) -> None:
    for standin, order in case.faults.items():
        await mesh.control(standin, **order)
    by_kafka, by_grpc, (streamed, by_stream) = await through_all(mesh, case.request)
    told = seen(by_kafka)
    assert (told["kind"], told["target"], told["task"], told["code"], told["where"], told["verdicts"]) == (
        case.kind, case.target, case.task, case.code, case.where, case.verdicts,
    ), (told, by_kafka.reason, [a.fault for a in by_kafka.attempts])  # fmt: skip
    assert seen(by_grpc) == told
    assert seen(by_stream) == told
    assert streamed == told["text"]
    assert bool(told["text"]) == (case.kind == "answered")
    if case.kind == "refused":
        assert told["hint"]


# --- tools -----------------------------------------------------------------------------------------------------------


async def test_the_callers_tools_are_passed_through_and_their_calls_handed_back(mesh: RunningMesh) -> None:
    request: dict[str, Any] = {"endpoint": "/reason", "prompt": "What is the status of order 4711?", "tools": [ORDER]}
    by_kafka, by_grpc, (_, by_stream) = await through_all(mesh, request)
    told = seen(by_kafka)
    assert [name for name, _ in told["tools"]] == ["get_order"]
    assert seen(by_grpc) == seen(by_stream) == told
    assert by_kafka.answer is not None
    assert by_kafka.answer.finish is Finish.TOOL_CALLS
    call = by_kafka.answer.tool_calls[0]
    turns = [
        request_pb2.Message(role="user", text=request["prompt"]),
        request_pb2.Message(role="assistant", text=by_kafka.answer.text,
                            tool_calls=[request_pb2.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json)]),
        request_pb2.Message(role="tool", text="Order 4711 left the warehouse on 3 May.", tool_call_id=call.id),
    ]  # fmt: skip
    further = {"endpoint": "/reason", "tools": [ORDER], "messages": turns}
    after_kafka, after_grpc, (_, after_stream) = await through_all(mesh, further)
    assert "Order 4711 left the warehouse on 3 May." in str(seen(after_kafka)["text"])
    assert seen(after_grpc) == seen(after_stream) == seen(after_kafka)


async def test_tools_of_a_task_whose_targets_have_none_go_to_one_that_has(mesh: RunningMesh) -> None:
    request = {"endpoint": "/sentiment", "prompt": "What is the status of order 4711?", "tools": [ORDER]}
    by_kafka, by_grpc, (_, by_stream) = await through_all(mesh, request)
    assert by_kafka.tier == "cloud"
    assert seen(by_grpc) == seen(by_stream) == seen(by_kafka)


# --- the cache -------------------------------------------------------------------------------------------------------


async def until_cached(mesh: RunningMesh, request: dict[str, Any]) -> None:
    """Both doors' views have the entry (they read it from the log a moment after the terminal)."""
    async with asyncio.timeout(TIMEOUT_S):
        while (await mesh.by_grpc(**request)).cache is None or (await mesh.by_kafka(**request)).cache is None:
            continue


async def test_one_answer_serves_both_doors_and_bypass_and_refresh_do_as_they_say(mesh: RunningMesh) -> None:
    words = f"Which team is for a parcel with the code {new_id()}?"
    request = {"endpoint": "/classify", "prompt": words}
    first = await mesh.by_kafka(id=new_id(), **request)
    assert first.cache is None
    await until_cached(mesh, request)
    by_kafka, by_grpc, (streamed, by_stream) = await through_all(mesh, request | {"prompt": f"Hello! {words.upper()} Thanks!"}, "")
    assert (by_kafka.tier, by_kafka.cost_micro_dollars) == ("cache", 0)
    assert by_kafka.cache is not None
    assert by_kafka.cache.kind == "exact"
    assert seen(by_grpc) == seen(by_stream) == seen(by_kafka)
    assert streamed == seen(first)["text"]
    for use in ("bypass", "refresh"):
        for terminal in flat(await through_all(mesh, request, use)):
            assert (terminal.cache, terminal.target) == (None, "finetuned/tickets")


async def test_an_answer_about_somebody_serves_nobody_else_through_either_door(mesh: RunningMesh) -> None:
    person, other = new_id(), new_id()
    request = {"endpoint": "/account", "prompt": "Plan: Pro. Renewal: 3 May. When does my contract renew?", "subject": person}
    await mesh.by_grpc(**request)
    await until_cached(mesh, request)
    by_kafka, by_grpc, (_, by_stream) = await through_all(mesh, request | {"subject": other}, "bypass")
    for asked in (request | {"subject": ""}, request | {"sensitivity": "restricted"}):
        for terminal in flat(await through_all(mesh, asked, "")):
            assert terminal.cache is None
    stranger = await mesh.by_grpc(**(request | {"subject": other}))
    assert (by_kafka.cache, by_grpc.cache, by_stream.cache, stranger.cache) == (None, None, None, None)
    assert (await mesh.by_kafka(**(request | {"subject": new_id()}))).cache is None


# --- identities ------------------------------------------------------------------------------------------------------


async def test_an_id_with_another_body_keeps_its_first_answer_through_the_log(mesh: RunningMesh) -> None:
    name = new_id()
    first = await mesh.by_kafka(id=name, endpoint="/sentiment", prompt="I am happy.")
    await mesh.kafka.send_raw(
        asking("I am sad.", id=name, endpoint="/sentiment").SerializeToString(), key=f"acme/{name}".encode()
    )
    letter = await mesh.letters.until(lambda m: m.identity.id == name)
    assert letter.reason.code == "id_reused"
    assert letter.reason.hint
    known = await mesh.grpc.complete(asking("I am happy.", id=name, endpoint="/sentiment"), idempotent=True)
    assert seen(known) == seen(first)


async def through_all(mesh: RunningMesh, request: dict[str, Any], use: str = "bypass") -> tuple[Terminal, Terminal, tuple[str, Terminal]]:
    """The same request through Kafka, Complete and CompleteStream."""
    asked = {"cache": use} | request
    return await asyncio.gather(mesh.by_kafka(**asked), mesh.by_grpc(**asked), mesh.by_stream(**asked))


def flat(terminals: tuple[Terminal, Terminal, tuple[str, Terminal]]) -> tuple[Terminal, Terminal, Terminal]:
    """Without the streamed text."""
    by_kafka, by_grpc, (_, by_stream) = terminals
    return by_kafka, by_grpc, by_stream
