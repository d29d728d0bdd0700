"""infra.kafka without a Kafka: what it says when something is missing, its nodes' settings, and the reference ACLs."""

import socket
from pathlib import Path

import pytest

from infra.kafka import fetch
from infra.kafka.__main__ import main
from infra.kafka.acls import Acl, Operation, Pattern, Resource, read_acls
from infra.kafka.nodes import plan, properties, refuse_taken
from infra.kafka.security import PRINCIPALS
from trivium.core.policy import Tier
from trivium.kafka.topics import BATCHES, BUDGET, CACHE, DOCUMENTS, PULSE, Lane, all_topics, attempts, lanes, work

HARMLESS = {*lanes(Tier.CLOUD), attempts(Tier.CLOUD), CACHE, DOCUMENTS, PULSE, BUDGET, BATCHES, work(Tier.CLOUD, Lane.BATCH)}
"""What no restricted work is written to: it is never cached, and never sent to the cloud; budgets are sums and names."""
TOPICS = [topic.name for topic in all_topics(["trivium.replies.desk"])]


def covers(acl: Acl, topic: str) -> bool:
    same = topic.startswith(acl.name) if acl.pattern is Pattern.PREFIXED else topic == acl.name
    return acl.resource is Resource.TOPIC and same


def may(principal: str, operation: Operation, topic: str) -> bool:
    """As Kafka decides: a denial wins, nothing is allowed by default."""
    rules = [a for a in read_acls() if a.principal == principal and a.operation in (operation, Operation.ALL) and covers(a, topic)]
    return bool(rules) and all(rule.allow for rule in rules)


def test_the_cloud_may_read_nothing_that_carries_restricted_work() -> None:
    assert {topic for topic in TOPICS if may("cloud", Operation.READ, topic)} == {*lanes(Tier.CLOUD), attempts(Tier.CLOUD), PULSE, BUDGET}
    denied = [a for a in read_acls() if a.principal == "cloud" and not a.allow]
    assert [topic for topic in TOPICS if topic not in HARMLESS and not any(covers(a, topic) for a in denied)] == []


def test_only_the_tier_that_may_reads_a_restricted_lane_and_only_router_and_tiers_write_what_is_believed() -> None:
    services = [name for name in PRINCIPALS if name != "operator"]
    readers = {t: {p for p in services if may(p, Operation.READ, t)} for t in TOPICS if t.endswith(".restricted")}
    assert readers == {f"trivium.work.{tier}.restricted": {tier} for tier in ("finetuned", "retrieval")}
    assert {p for p in services if may(p, Operation.WRITE, "trivium.work.cloud")} == {"router"}
    assert "producers" not in {p for p in services if may(p, Operation.WRITE, "trivium.outcomes")}


def test_restricted_work_that_waits_is_kept_from_whoever_has_a_vendors_key() -> None:
    services = [name for name in PRINCIPALS if name != "operator"]
    waiting = work(Tier.FINETUNED, Lane.BATCH)
    assert {p for p in services if may(p, Operation.READ, waiting)} == {"router", "batch-finetuned"}
    kept = {topic for topic in TOPICS if may("batch-cloud", Operation.READ, topic)}
    assert kept == {work(Tier.CLOUD, Lane.BATCH), BATCHES, attempts(Tier.CLOUD), BUDGET}


def test_every_principal_of_the_set_is_a_user_of_a_secure_cluster_and_the_other_way_round() -> None:
    assert {acl.principal for acl in read_acls()} == set(PRINCIPALS)
    assert {acl.principal for acl in read_acls(principals="trivium-{}")} == {f"trivium-{name}" for name in PRINCIPALS}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("router: {raed: [x]}", "router.raed must be a list of names, and one of read"),
        ("router: {read: x}", "router.read must be a list"),
        ("router: {cluster: [reign]}", "reign is none of all"),
        ("[router]", "one entry for each principal"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_bad_file_of_rules_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    path = tmp_path / "acls.yaml"
    path.write_text(text)
    assert main(["acls", "--file", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_what_is_missing_on_the_machine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert main(["start", "--port", "0", "--data", str(tmp_path / "data")]) == 2
    assert "needs Java 17 or newer, and there is no program `java` on the path" in capsys.readouterr().err
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert main(["start", "--port", "0", "--data", str(tmp_path / "data")]) == 2
    assert "JAVA_HOME is /nowhere, which has no bin/java" in capsys.readouterr().err
    with pytest.raises(fetch.KafkaFailed, match="no program `mvn` on the path: install Maven"):
        fetch.class_path(lambda _sentence: None, tmp_path)


def test_an_old_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(fetch.KafkaFailed, match="is Java 11: set JAVA_HOME"):
        fetch.java()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(fetch.KafkaFailed, match=f"port {port} on 127.0.0.1 is in use by another program, and node 1 needs it"):
            refuse_taken(plan(tmp_path, 1, port), secure=False)


@pytest.mark.parametrize(("nodes", "port", "said"), [("2", "0", "1, 3 or 5 nodes"), ("1", "80", "from 1024 to"), ("3", "65535", "from 1024 to")])
def test_a_cluster_that_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], nodes: str, port: str, said: str) -> None:
    assert main(["start", "--nodes", nodes, "--port", port, "--data", str(tmp_path / "data")]) == 2
    assert said in capsys.readouterr().err


def test_nobody_runs_where_nothing_was_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--data", str(tmp_path)]) == 1
    assert main(["stop", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "there is no cluster in" in out
    assert "was running" in out


def test_three_nodes_know_one_another_and_keep_two_of_three(tmp_path: Path) -> None:
    nodes = plan(tmp_path, 3, 19092)
    assert [node.address for node in nodes] == ["127.0.0.1:19092", "127.0.0.1:19093", "127.0.0.1:19094"]
    lines = properties(nodes[1], nodes).splitlines()
    assert "controller.quorum.voters=1@127.0.0.1:29092,2@127.0.0.1:29093,3@127.0.0.1:29094" in lines
    assert "min.insync.replicas=2" in lines
    assert "auto.create.topics.enable=false" in lines
