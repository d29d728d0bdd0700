"""`trivium topics`: the log as it must be."""

from pathlib import Path

import click

from trivium.cli.screen import json_option, kafka_option, print_records, print_table, run, settings
from trivium.kafka.admin import State, TopicState, ensure
from trivium.kafka.layout import Layout
from trivium.kafka.topics import all_topics
from trivium.policy import load
from trivium.settings import KafkaSettings, ProcessSettings

_GOOD = (State.RIGHT, State.CREATED, State.REPAIRED)


@click.command(epilog="Example: trivium topics --kafka broker:9092 --create --repair")
@click.option("--create", is_flag=True, help="Create what is missing; nothing that exists is changed.")
@click.option("--repair", is_flag=True, help="Put settings of existing topics right; never partitions or replicas.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Whose tenants' reply topics belong to it.")
@kafka_option
@json_option
def topics(create: bool, repair: bool, policy_path: Path | None, kafka: str | None, as_json: bool) -> int:
    """Create or verify the topics: partitions, replication, retention, compaction, timestamps, largest record.

    Replication is TRIVIUM_REPLICATION, the number of partitions TRIVIUM_PARTITIONS, the largest record
    TRIVIUM_MAX_MESSAGE_BYTES. Exit status 1 when something is not right."""
    at = settings(KafkaSettings, kafka=kafka)
    tenants = load(policy_path or Path(settings(ProcessSettings).policy)).tenants.values()
    wanted = all_topics((name for tenant in tenants for name in tenant.reply_topics), at.partitions)
    states = run(ensure(at.bootstrap, wanted, Layout(at.replication, at.max_message_bytes), create, repair))
    if as_json:
        print_records(_plain(s) for s in states)
    else:
        print_table(f"Topics at {at.bootstrap}", ["topic", "partitions", "kept", "state", "unlike the design"], map(_row, states))
    return 0 if all(s.state in _GOOD for s in states) else 1


def _row(s: TopicState) -> tuple[object, ...]:
    unlike = "; ".join([*map(str, s.drift), *([s.note] if s.note else [])])
    return s.topic.name, s.topic.partitions, s.topic.keep.value, s.state.value, unlike


def _plain(s: TopicState) -> dict[str, object]:
    drift = [{"what": d.what, "is": d.has, "should_be": d.wants, "repairable": not d.unrepaired, "why_not": d.unrepaired} for d in s.drift]
    note = {"note": s.note} if s.note else {}
    return {"topic": s.topic.name, "partitions": s.topic.partitions, "state": s.state.value, "drift": drift, **note}
