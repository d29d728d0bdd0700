"""Who comes in, and what is told to who does not."""

from typing import Any

import pytest

from tests.unit.journeys import (
    DOCS,
    FRONTIER,
    NOW,
    OWN,
    SMALL,
    a_policy,
    a_request,
    called,
    ended,
    started,
)
from trivium.core.decision import Classification, Source
from trivium.core.journey import refuse
from trivium.core.outcome import (
    Reason,
    ReasonCode,
    TerminalKind,
)
from trivium.core.policy import (
    Target,
)
from trivium.core.request import (
    Identity,
    Message,
    Output,
    OutputKind,
    Role,
    ToolSpec,
)

# --- admit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "field", "hint"),
    [
        ({"identity": Identity("", "r")}, ReasonCode.MISSING_FIELD, "tenant", "acme"),
        ({"identity": Identity("acme", "")}, ReasonCode.MISSING_FIELD, "id", "choose"),
        ({"identity": Identity("acme", "x" * 600)}, ReasonCode.WRONG_SHAPE, "id", "at most"),
        ({"identity": Identity('ac"me', "r")}, ReasonCode.UNKNOWN_TENANT, "tenant", "letter by letter"),
        ({"task_type": ""}, ReasonCode.MISSING_FIELD, "endpoint", "/auto"),
        ({"endpoint": "/clasify"}, ReasonCode.UNKNOWN_ENDPOINT, "endpoint", "did you mean /classify?"),
        ({"task_type": "clasify"}, ReasonCode.UNKNOWN_TASK_TYPE, "task_type", "did you mean classify?"),
        ({"task_type": "novel"}, ReasonCode.UNKNOWN_TASK_TYPE, "task_type", "known are"),
        ({"target": "cloud/smal"}, ReasonCode.UNKNOWN_TARGET, "target", "did you mean cloud/small?"),
        ({"endpoint": "/classify", "task_type": "ask"}, ReasonCode.WRONG_SHAPE, "task_type", "leave one"),
        (
            {"endpoint": "/frontier", "task_type": "", "target": "cloud/small"},
            ReasonCode.WRONG_SHAPE,
            "target",
            "another endpoint",
        ),
        ({"messages": ()}, ReasonCode.EMPTY_PROMPT, "messages", "role user"),
        ({"messages": (Message(Role.USER, " \n"),)}, ReasonCode.EMPTY_PROMPT, "messages", "role user"),
        (
            {"messages": (Message(Role.USER, "a"), Message(Role.TOOL, "b"))},
            ReasonCode.WRONG_SHAPE,
            "messages",
            "tool_call_id",
        ),
        (
            {"task_type": "reason", "messages": (Message(Role.USER, "ü" * 51),)},
            ReasonCode.PROMPT_TOO_LARGE,
            "messages",
            "shorten",
        ),
        ({"timeout_ms": 0}, ReasonCode.BAD_TIMEOUT, "timeout_ms", "from 1 to 600000"),
        ({"timeout_ms": 600_001}, ReasonCode.BAD_TIMEOUT, "timeout_ms", "from 1 to 600000"),
        ({"reply_to": "trivium.replies.globex"}, ReasonCode.BAD_REPLY_TOPIC, "reply_to", "did you mean"),
        ({"corpus": "doc"}, ReasonCode.UNKNOWN_CORPUS, "corpus", "did you mean docs?"),
        ({"output": Output(OutputKind.JSON, "{")}, ReasonCode.BAD_SCHEMA, "output.schema_json", "JSON Schema"),
        (
            {"output": Output(OutputKind.JSON, "[" * 100_000)},
            ReasonCode.BAD_SCHEMA,
            "output.schema_json",
            "JSON Schema",
        ),
        ({"output": Output(OutputKind.JSON, "3")}, ReasonCode.BAD_SCHEMA, "output.schema_json", "object"),
        ({"output": Output(OutputKind.TEXT, "{}")}, ReasonCode.WRONG_SHAPE, "output.kind", "json"),
        ({"tools": (ToolSpec("", "", ""),)}, ReasonCode.MISSING_FIELD, "tools[0].name", "name"),
        ({"tools": (ToolSpec("t", "", "nope"),)}, ReasonCode.BAD_SCHEMA, "tools[0].parameters_json", "JSON Schema"),
        ({"temperature": 2.5}, ReasonCode.WRONG_SHAPE, "temperature", "from 0 to 2"),
        ({"temperature": float("nan")}, ReasonCode.WRONG_SHAPE, "temperature", "from 0 to 2"),
    ],
)
def test_bad_input_is_refused_with_what_would_be_right(
    fields: dict[str, Any], code: ReasonCode, field: str, hint: str
) -> None:
    end = ended(started(a_request(**fields)))
    reason = end.terminal.reason
    assert end.terminal.kind is TerminalKind.REFUSED
    assert reason is not None
    assert (reason.code, reason.field) == (code, field)
    assert hint in reason.hint
    assert end.terminal.identity == end.request.identity
    assert len(reason.message) < 300


def test_a_refusal_goes_to_the_tenants_topic_and_to_nobodys_when_the_tenant_is_unknown() -> None:
    assert ended(started(a_request(timeout_ms=0))).reply_topic == "trivium.responses"
    assert (
        ended(started(a_request(timeout_ms=0, reply_to="trivium.replies.acme"))).reply_topic == "trivium.replies.acme"
    )
    assert ended(started(a_request(timeout_ms=0, reply_to="trivium.replies.globex"))).reply_topic == "trivium.responses"
    assert ended(started(a_request(identity=Identity("nobody", "r")))).reply_topic == ""
    door = refuse(Identity("globex", "r"), Reason(ReasonCode.ID_REUSED, "seen with another body"), a_policy(), NOW)
    assert (door.reply_topic, door.terminal.kind) == ("trivium.replies.globex", TerminalKind.REFUSED)


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": "/classify", "task_type": ""},
        {"endpoint": "/classify", "task_type": "classify"},
        {"endpoint": "/auto", "task_type": "classify"},
        {"endpoint": "/classify", "task_type": "auto"},
        {"endpoint": "/classify", "task_type": "classify", "target": "finetuned/support"},
    ],
)
def test_endpoint_task_type_and_target_may_stand_together_when_they_agree(fields: dict[str, Any]) -> None:
    call = called(started(a_request(**fields)))
    assert (call.work.task.name, call.work.target) == ("classify", OWN)


def test_a_target_alone_is_answered_as_novel_work() -> None:
    call = called(started(a_request(task_type="", target="cloud/small")))
    assert (call.work.task.name, call.journey.decision.source) == ("novel", Source.PINNED)


# --- classify --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "task", "source", "target"),
    [
        (Classification("ask", 0.9), "ask", Source.TASK, DOCS),
        (Classification("ask", 0.39), "novel", Source.NOVEL, SMALL),
        (Classification("ask", 0.9, novel=True), "novel", Source.NOVEL, SMALL),
        (Classification("gone", 0.9), "novel", Source.NOVEL, SMALL),
        (None, "novel", Source.DEFAULT, FRONTIER),
    ],
)
def test_auto_goes_where_the_classifier_says(
    said: Classification | None, task: str, source: Source, target: Target
) -> None:
    call = called(started(a_request(task_type="auto"), classify=lambda _text: said))
    assert (call.work.task.name, call.journey.decision.source, call.work.target) == (task, source, target)


def test_the_classifier_is_not_asked_when_the_caller_says_the_task_type() -> None:
    asked: list[str] = []
    started(a_request(), classify=lambda text: asked.append(text))
    assert asked == []


def test_a_prompt_that_is_too_long_for_its_classified_task_is_refused() -> None:
    step = started(a_request("x" * 101, task_type="auto"), classify=lambda _text: Classification("reason", 0.9))
    assert ended(step).terminal.reason == Reason(
        ReasonCode.PROMPT_TOO_LARGE,
        "the prompt has 101 bytes, reason takes at most 100",
        "messages",
        "shorten it, or split it into several requests",
    )
