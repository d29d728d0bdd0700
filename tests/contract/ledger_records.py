"""Records of the ledger's topics, as the mesh writes them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from trivium.core.subject import mark
from trivium.kafka import topics
from trivium.kafka.record import Delivered
from trivium.ledger.facts import identity_hash
from trivium.v1 import outcome_pb2, records_pb2, request_pb2

DAY_MS = 86_400_000
NOON = 20_000 * DAY_MS + DAY_MS // 2
"""2024-10-04"""


def identity(name: str, tenant: str = "acme") -> request_pb2.Identity:
    return request_pb2.Identity(tenant=tenant, id=name)


@dataclass
class Log:
    """Gives records their places, as a broker does."""

    next: dict[tuple[str, int], int] = field(default_factory=dict)

    def put(self, topic: str, message: Any, at_ms: int = NOON, partition: int = 0, schema: str = "") -> Delivered:
        offset = self.next.get((topic, partition), 0)
        self.next[topic, partition] = offset + 1
        value = message if isinstance(message, bytes) else message.SerializeToString()
        headers = (("schema", schema.encode()),) if schema else ()
        return Delivered(topic, partition, offset, at_ms, b"k", value, headers)

    def again(self, records: Iterable[Delivered]) -> list[Delivered]:
        """The same records, written once more."""
        made = []
        for record in records:
            place = record.topic, record.partition
            offset = self.next.get(place, 0)
            self.next[place] = offset + 1
            made.append(replace(record, offset=offset))
        return made


def started(name: str, target: str = "cloud/small", begun_ms: int = NOON, **more: Any) -> records_pb2.AttemptRecord:
    values: dict[str, Any] = {
        "state": "started", "identity": identity(name), "attempt": 1, "execution": 1, "target": target, "instance": "one",
        "at_ms": begun_ms, "begun_ms": begun_ms, "team": "care", "task_type": "draft", "door": "kafka", "model": "m-1",
    }  # fmt: skip
    return records_pb2.AttemptRecord(**{**values, **more})


def settled(name: str, cost: int = 100, target: str = "cloud/small", begun_ms: int = NOON, **more: Any) -> records_pb2.AttemptRecord:
    values: dict[str, Any] = {
        "state": "settled", "at_ms": begun_ms + 50, "cost_micro_dollars": cost,
        "usage": outcome_pb2.Usage(input_tokens=80, output_tokens=4),
        "costs": records_pb2.CostSplit(input=cost * 4 // 5, output=cost - cost * 4 // 5),
    }  # fmt: skip
    return started(name, target, begun_ms, **{**values, **more})


def ended(name: str, cost: int = 100, target: str = "cloud/small", arrived_ms: int = NOON, took_ms: int = 60, **more: Any) -> records_pb2.LedgerRecord:
    terminal: dict[str, Any] = {
        "identity": identity(name), "kind": "answered", "tier": target.partition("/")[0], "target": target, "task_type": "draft",
        "cost_micro_dollars": cost, "all_cloud_micro_dollars": 5 * cost, "arrived_ms": arrived_ms, "ended_ms": arrived_ms + took_ms,
        "ttft_ms": max(0, took_ms // 2), "tpot_us": 900,
    }  # fmt: skip
    record = records_pb2.LedgerRecord(role="terminal", team="care", door="kafka", at_ms=arrived_ms + took_ms, end_user="u1")
    record.terminal.CopyFrom(outcome_pb2.Terminal(**{**terminal, **more}))
    return record


def stray(name: str, cost: int = 70, target: str = "cloud/small", ended_ms: int = NOON + 900) -> records_pb2.LedgerRecord:
    outcome = outcome_pb2.Outcome(identity=identity(name), attempt=1, target=target, cost_micro_dollars=cost, ended_ms=ended_ms)
    return records_pb2.LedgerRecord(role="stray", stray=outcome, team="care", door="kafka", at_ms=ended_ms)


def feedback(name: str, outcome: str = "resolved", at_ms: int = NOON + 5_000, **more: Any) -> records_pb2.FeedbackRecord:
    return records_pb2.FeedbackRecord(identity=identity(name), outcome=outcome, at_ms=at_ms, **more)


def erasure(end_user: str = "", identities: Iterable[str] = (), before_ms: int = NOON + 9 * DAY_MS) -> records_pb2.LedgerRecord:
    """The order to forget a person of acme."""
    order = records_pb2.Erasure(tenant="acme", end_user_mark=mark("acme", end_user), before_ms=before_ms)
    order.identities.extend(identity_hash(identity(name)) for name in identities)
    return records_pb2.LedgerRecord(role="erasure", erasure=order, at_ms=before_ms)


def answered(log: Log, name: str, cost: int = 100, target: str = "cloud/small", at_ms: int = NOON) -> list[Delivered]:
    """All that a request leaves that one attempt answered."""
    attempts = f"trivium.attempts.{target.partition('/')[0]}"
    return [
        log.put(attempts, started(name, target, at_ms), at_ms),
        log.put(attempts, settled(name, cost, target, at_ms), at_ms + 50),
        log.put(topics.LEDGER, ended(name, cost, target, at_ms), at_ms + 60),
    ]


def grounded(log: Log, name: str, at_ms: int = NOON) -> list[Delivered]:
    """Answered by retrieval, which cost 30 itself and 120 for its generator, 75 of it for passages."""
    target, generator = "retrieval/docs", "finetuned/support"
    usage = outcome_pb2.Usage(input_tokens=1_000, output_tokens=100, context_tokens=750, embedding_tokens=10)
    costs = records_pb2.CostSplit(input=-75, context=75, embedding=10, vector_store=20, parts=120)
    part: dict[str, Any] = {"door": "grpc", "part_of": target, "instance": "own"}
    written = settled(
        name, 120, generator, at_ms + 5, usage=outcome_pb2.Usage(input_tokens=1_000, output_tokens=100),
        costs=records_pb2.CostSplit(input=100, output=20), **part,
    )  # fmt: skip
    return [
        log.put("trivium.attempts.retrieval", started(name, target, at_ms), at_ms),
        log.put("trivium.attempts.finetuned", started(name, generator, at_ms + 5, **part), at_ms),
        log.put("trivium.attempts.finetuned", written, at_ms + 40),
        log.put("trivium.attempts.retrieval", settled(name, 150, target, at_ms, usage=usage, costs=costs), at_ms + 50),
        log.put(topics.LEDGER, ended(name, 150, target, at_ms), at_ms + 60),
    ]
