"""`trivium topics`: the log as it must be."""

from pathlib import Path

import click

from trivium.cli.screen import json_option, kafka_option, print_records, print_table, run, settings
from trivium.kafka.admin import TopicState, ensure
from trivium.kafka.topics import all_topics
from trivium.policy import load
from trivium.settings import KafkaSettings, ProcessSettings


@click.command(epilog="Example: trivium topics --kafka broker:9092 --create")
@click.option("--create", is_flag=True, help="Create what is missing; nothing that exists is changed.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Whose tenants' reply topics belong to it.")
@kafka_option
@json_option
def topics(create: bool, policy_path: Path | None, kafka: str | None, as_json: bool) -> int:
    """Create or verify the topics: partitions, retention, compaction, timestamps. Exit status 1 when something is not right."""
    at = settings(KafkaSettings, kafka=kafka)
    tenants = load(policy_path or Path(settings(ProcessSettings).policy)).tenants.values()
    wanted = all_topics((name for tenant in tenants for name in tenant.reply_topics), at.partitions)
    states = run(ensure(at.bootstrap, wanted, at.replication, create))
    if as_json:
        print_records(_plain(s) for s in states)
    else:
        rows = [(s.topic.name, s.topic.partitions, s.topic.keep.value, s.state, "; ".join(s.drift)) for s in states]
        print_table(f"Topics at {at.bootstrap}", ["topic", "partitions", "kept", "state", "unlike the design"], rows)
    return 0 if all(s.state in ("right", "created") for s in states) else 1


def _plain(state: TopicState) -> dict[str, object]:
    return {"topic": state.topic.name, "partitions": state.topic.partitions, "state": state.state, "drift": list(state.drift)}
