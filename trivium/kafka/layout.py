"""What the broker must say of each topic, and how what it says differs. Pure: tests/unit/test_topic_layout.py."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from trivium.kafka.topics import Topic

BATCH_BYTES: Final = 131_072
"""What producers gather before they send; a topic must take a whole batch."""
OVERHEAD_BYTES: Final = 1_024
"""Of a batch around its records."""
UNCHANGED: Final[Mapping[str, str]] = {
    "min.compaction.lag.ms": "0", "max.compaction.lag.ms": str(2**63 - 1), "segment.ms": "604800000",
}
"""Kafka's own values of what only some topics change."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What all topics of a mesh have in common."""

    replication: int = 1
    max_message_bytes: int = 4_000_000
    """The largest record that anybody here produces (TRIVIUM_MAX_MESSAGE_BYTES)."""

    @property
    def in_sync(self) -> int:
        """min.insync.replicas: with it, one broker may be lost and writing goes on; 1 below three replicas."""
        return self.replication // 2 + 1 if self.replication > 2 else 1

    @property
    def max_batch_bytes(self) -> int:
        """max.message.bytes, which Kafka means of a batch; its default of 1,048,588 refuses what we may produce."""
        return max(self.max_message_bytes, BATCH_BYTES) + OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the broker tells it. `settings` is None on a broker that does not tell them (the embedded one)."""

    partitions: int
    replication: int
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is unlike the design."""

    what: str
    has: str
    wants: str
    unrepaired: str = ""
    """Why it cannot be put right in place without a loss; empty: it can."""

    def __str__(self) -> str:
        return f"{self.what} is {self.has} instead of {self.wants}" + (f" ({self.unrepaired})" if self.unrepaired else "")


def configuration(topic: Topic, layout: Layout) -> dict[str, str]:
    """The topic's own settings on the broker. LogAppendTime, because the broker's clock is the journey's."""
    chosen = {
        "cleanup.policy": topic.keep.value,
        "retention.ms": str(topic.retention_ms),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(layout.in_sync),
        "max.message.bytes": str(layout.max_batch_bytes),
    }
    if topic.segment_ms:
        chosen["segment.ms"] = str(topic.segment_ms)
    if topic.compaction_lag_ms:
        chosen["min.compaction.lag.ms"] = str(topic.compaction_lag_ms)
    if topic.compact_within_ms:
        chosen["max.compaction.lag.ms"] = str(topic.compact_within_ms)
    return chosen


def compare(topic: Topic, found: Found, layout: Layout) -> tuple[Drift, ...]:
    """Everything in which a topic differs. A topic with more replicas, or one that takes larger records, is right."""
    drift = []
    if found.partitions != topic.partitions:
        why = "never changed in place: home partitions are a hash modulo it"
        drift.append(Drift("partitions", str(found.partitions), str(topic.partitions), why))
    if found.settings is None:
        return tuple(drift)
    if found.replication < layout.replication:
        why = "replicas are moved by kafka-reassign-partitions"
        drift.append(Drift("replication", str(found.replication), str(layout.replication), why))
    for name, wants in wanted(topic, found, layout).items():
        has = found.settings.get(name, wants)
        if has != wants and set(has.split(",")) != set(wants.split(",")):
            drift.append(Drift(name, has, wants, _loss(name, has, wants)))
    return tuple(drift)


def wanted(topic: Topic, found: Found, layout: Layout) -> dict[str, str]:
    """The settings that a topic which exists must have: in sync of the replicas that it has, no record size taken away."""
    settings = found.settings or {}
    chosen = {**UNCHANGED, **configuration(topic, replace(layout, replication=found.replication))}
    largest = max(layout.max_batch_bytes, int(settings.get("max.message.bytes", "0")))
    return chosen | {"max.message.bytes": str(largest)}


def _loss(name: str, has: str, wants: str) -> str:
    """Why a setting is not written: because the broker then deletes records that somebody chose to keep."""
    if name == "retention.ms" and _forever(has) > _forever(wants):
        return "shortening it deletes records: do it by hand when that is meant"
    if name == "cleanup.policy" and not set(wants.split(",")) <= set(has.split(",")):
        return "it deletes records in another way: do it by hand when that is meant"
    return ""


def _forever(retention_ms: str) -> float:
    return float("inf") if retention_ms == "-1" else float(retention_ms)
