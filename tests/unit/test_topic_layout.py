"""What a broker's topic must be, what counts as drift, and what is never repaired in place."""

from dataclasses import replace

from trivium.core.policy import Tier
from trivium.kafka.layout import Found, Layout, compare, configuration
from trivium.kafka.topics import CACHE_KEPT_MS, DOCUMENTS, LEDGER, PULSE, Topic, all_topics

THREE = Layout(replication=3)
TOPICS = {topic.name: topic for topic in all_topics(["trivium.replies.desk"])}


def as_made(topic: Topic, layout: Layout = THREE, **changed: str) -> Found:
    """The topic as the broker tells it after it was created."""
    names = {name.replace("_", "."): value for name, value in changed.items()}
    return Found(topic.partitions, layout.replication, configuration(topic, layout) | names)


def test_a_created_topic_is_right() -> None:
    for topic in TOPICS.values():
        assert compare(topic, as_made(topic), THREE) == ()


def test_three_replicas_survive_the_loss_of_one() -> None:
    assert [Layout(replication=n).in_sync for n in (1, 2, 3, 5)] == [1, 1, 2, 3]


def test_a_topic_takes_the_largest_record_and_the_largest_batch() -> None:
    assert int(configuration(TOPICS[LEDGER], Layout())["max.message.bytes"]) > 4_000_000
    assert int(configuration(TOPICS[LEDGER], Layout(max_message_bytes=1_000))["max.message.bytes"]) > 131_072


def test_documents_are_not_compacted_while_a_cached_answer_may_be_older() -> None:
    assert configuration(TOPICS[DOCUMENTS], THREE)["min.compaction.lag.ms"] == str(CACHE_KEPT_MS)


def test_the_pulse_is_cut_often_enough_to_be_short() -> None:
    settings = configuration(TOPICS[PULSE], THREE)
    assert int(settings["segment.ms"]) < int(settings["retention.ms"])


def test_the_cloud_has_no_restricted_topic() -> None:
    assert f"trivium.work.{Tier.CLOUD.value}.restricted" not in TOPICS


def test_a_setting_that_differs_is_repaired() -> None:
    topic = TOPICS[LEDGER]
    (drift,) = compare(topic, as_made(topic, message_timestamp_type="CreateTime"), THREE)
    assert (drift.what, drift.has, drift.wants, drift.unrepaired) == ("message.timestamp.type", "CreateTime", "LogAppendTime", "")
    assert str(drift) == "message.timestamp.type is CreateTime instead of LogAppendTime"


def test_what_somebody_chose_to_keep_longer_is_told_and_left() -> None:
    topic = TOPICS[LEDGER]
    for kept in ("-1", str(topic.retention_ms + 1)):
        (drift,) = compare(topic, as_made(topic, retention_ms=kept), THREE)
        assert "deletes records" in drift.unrepaired
    (short,) = compare(topic, as_made(topic, retention_ms="60000"), THREE)
    assert not short.unrepaired
    (compacted,) = compare(TOPICS[DOCUMENTS], as_made(TOPICS[DOCUMENTS], cleanup_policy="delete"), THREE)
    assert "deletes records" in compacted.unrepaired


def test_partitions_and_replicas_are_told_and_left() -> None:
    topic = TOPICS[LEDGER]
    found = replace(as_made(topic, min_insync_replicas="1"), partitions=6, replication=1)
    partitions, replication = compare(topic, found, THREE)
    assert partitions.unrepaired
    assert replication.unrepaired
    assert (partitions.has, replication.has) == ("6", "1")


def test_nothing_is_taken_away_by_settings_that_ask_for_less() -> None:
    topic = TOPICS[LEDGER]
    assert compare(topic, as_made(topic), Layout(replication=1, max_message_bytes=100_000)) == ()


def test_a_broker_that_tells_no_settings_is_compared_by_partitions_alone() -> None:
    topic = TOPICS[LEDGER]
    assert compare(topic, Found(topic.partitions, 1, None), THREE) == ()
    assert [d.what for d in compare(topic, Found(1, 1, None), THREE)] == ["partitions"]
