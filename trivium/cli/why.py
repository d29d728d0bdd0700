"""`trivium why`: a decision in words."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TypeVar

import click

from trivium.cli.log import find_terminal
from trivium.cli.screen import console, json_option, kafka_option, print_json, run, settings
from trivium.core.explain import explain
from trivium.core.request import Knowledge, Priority, Sensitivity, Stakes
from trivium.core.whatif import Known, smallest_change
from trivium.policy import load
from trivium.settings import KafkaSettings, ProcessSettings, ToolSettings
from trivium.v1.records_pb2 import LedgerRecord

E = TypeVar("E", bound=Enum)


@click.command(epilog="Example: trivium why ticket-0017 --tenant acme")
@click.argument("request_id")
@click.option("--tenant", help="Whose request; default TRIVIUM_TENANT or acme.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Policy to search the smallest change in.")
@kafka_option
@json_option
def why(request_id: str, tenant: str | None, policy_path: Path | None, kafka: str | None, as_json: bool) -> None:
    """Why a request went where it went: decision and attempts in words, and the smallest change that had sent it elsewhere."""
    at = settings(KafkaSettings, kafka=kafka)
    terminal, decision, record = run(find_terminal(at, request_id, tenant or settings(ToolSettings).tenant))
    policy = load(policy_path or Path(settings(ProcessSettings).policy))
    headline, *told = explain(decision, terminal)
    lines = (headline, *_asked(record), *told)
    change = smallest_change(_known(record), decision, terminal, policy)
    if as_json:
        print_json({"request": str(terminal.identity), "lines": list(lines), "smallest_change": change})
        return
    for line in lines:
        console().print(line, markup=False)
    console().print(f"\nSmallest change: {change}", markup=False)


def _asked(record: LedgerRecord) -> Iterator[str]:
    """What the decision says nothing of."""
    if record.replays:
        yield f"asked again out of the dead letters: {record.replays}"
    words = [f"{name} {word}" for name in ("stakes", "priority", "knowledge") if (word := getattr(record, name))]
    if record.tools:
        words.append(f"{record.tools} tools of its own")
    if words:
        yield "asked with " + ", ".join(words)


def _known(record: LedgerRecord) -> Known:
    decision = record.decision
    classified = decision.classification if decision.HasField("classification") else None
    return Known(
        tenant=record.terminal.identity.tenant,
        task_type=decision.task_type,
        team=record.team,
        application=record.application,
        use_case=record.use_case,
        user_tier=record.user_tier,
        sensitivity=_word(Sensitivity, record.sensitivity, Sensitivity.INTERNAL),
        stakes=_word(Stakes, record.stakes, Stakes.NORMAL),
        priority=_word(Priority, record.priority, Priority.NORMAL),
        knowledge=_word(Knowledge, record.knowledge, Knowledge.UNKNOWN),
        tools=record.tools,
        tokens=decision.prompt_tokens,
        complexity=classified.complexity if classified else None,
        novel=bool(classified and classified.novel),
    )


def _word(words: type[E], word: str, default: E) -> E:
    """A newer writer may know more words."""
    return next((known for known in words if known.value == word), default)
