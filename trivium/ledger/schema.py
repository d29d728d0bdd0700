"""The tables. Facts (executions, requests, strays, feedback), sums by series, who was erased, and how far each partition was
read."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

VERSION: Final = 3
"""Of these tables. Another one is refused: the topics fill new tables."""

EXECUTION_SUMS: Final = (
    "attempts", "open_attempts", "faults", "cost", "cost_input", "cost_context", "cost_output", "cost_embedding",
    "cost_vector_store", "cost_request", "cost_unsplit", "input_tokens", "output_tokens", "context_tokens", "tool_tokens",
    "cache_read_tokens", "cache_write_tokens", "embedding_tokens", "unpriced", "open_cost", "open_unbounded",
    "batched", "batch_saved",
)  # fmt: skip
"""What executions add up to: costs are micro-dollars; `unpriced` counts those with tokens and no cost. Of those that were begun
and never settled `open_cost` is the most that they can cost, as far as it was reserved; `open_unbounded` counts the others. `batch_saved`: what normal calls of
the same tokens cost more than those of `batched`."""
REQUEST_SUMS: Final = (
    "requests", "answered", "cached", "told", "all_cloud", "judged", "resolved", "unresolved", "scored", "score", "corrected",
    "correction", "judged_cost", "patient", "missed",
)  # fmt: skip
"""What requests add up to: `told` is what their terminals say that they cost, `score` is thousandths; `patient` ones were
batch work, and those of them that expired are `missed`."""
STRAY_SUMS: Final = ("strays", "stray_cost")
SUMS: Final = (*EXECUTION_SUMS, *REQUEST_SUMS, *STRAY_SUMS)
TIMES: Final = ("duration_ms", "ttft_ms", "tpot_us")
"""What there are histograms of."""
COSTS: Final = EXECUTION_SUMS[4:11]
TOKENS: Final = EXECUTION_SUMS[11:18]
WORDS: Final = ("tenant", "team", "application", "use_case", "user_tier", "task_type", "tier", "target")
"""Of a series, beside its day."""

metadata: Final = MetaData()


def _hash(name: str, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(16), primary_key=key, nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=0)


offsets: Final = Table(
    "ledger_offsets",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # Of the record before it: how a topic that was made anew is told from the one that was read.
    Column("last_ms", BigInteger, nullable=False),
)
meta: Final = Table("ledger_meta", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
series: Final = Table(
    "ledger_series",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("day", Integer, nullable=False),
    *(Column(name, String, nullable=False) for name in WORDS),
    Index("ledger_series_by_day", "day"),
)
sums: Final = Table(
    "ledger_sums",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    *(_number(name) for name in SUMS),
    *(Column(name, LargeBinary, nullable=False, default=b"") for name in TIMES),
)
executions: Final = Table(
    "ledger_executions",
    metadata,
    _hash("key", key=True),
    _hash("identity"),
    _number("series"),
    Column("end_user", String, nullable=False),
    Column("paid", String, nullable=False),
    Column("model", String, nullable=False),
    _number("at_ms"),
    Column("part", Boolean, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("fault", String, nullable=False),
    _number("cost"),
    _number("reserved"),
    Column("batch", Boolean, nullable=False),
    _number("saved"),
    *(_number(name) for name in (*COSTS, *TOKENS)),
    Index("ledger_executions_by_time", "at_ms"),
    # All that it takes to find the dearest end users.
    Index("ledger_executions_by_end_user", "end_user", "series", "at_ms", "cost"),
)
requests: Final = Table(
    "ledger_requests",
    metadata,
    _hash("key", key=True),
    _hash("identity"),
    _number("series"),
    Column("end_user", String, nullable=False),
    _number("arrived_ms"),
    _number("at_ms"),
    Column("kind", String, nullable=False),
    Column("cached", Boolean, nullable=False),
    # Buckets (histogram.py), not times; null: no such time.
    *(Column(name, SmallInteger) for name in TIMES),
    _number("told"),
    _number("all_cloud"),
    Column("judged", Boolean, nullable=False),
    Column("outcome", String, nullable=False),
    Column("score", Integer),
    Column("corrected", Boolean, nullable=False),
    _number("correction"),
    Column("patient", Boolean, nullable=False),
    Index("ledger_requests_by_identity", "identity"),
    Index("ledger_requests_by_time", "at_ms"),
    Index("ledger_requests_by_end_user", "end_user", "series", "at_ms"),
)
strays: Final = Table(
    "ledger_strays", metadata, _hash("key", key=True), _number("series"), _number("at_ms"), _number("cost")
)
feedback: Final = Table(
    "ledger_feedback",
    metadata,
    _hash("key", key=True),
    _hash("identity"),
    Column("tenant", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("replay", Integer, nullable=False),
    _number("at_ms"),
    Column("outcome", String, nullable=False),
    Column("score", Integer),
    Column("corrected_text", Text, nullable=False),
    _number("correction"),
    Column("source", String, nullable=False),
    Index("ledger_feedback_by_identity", "identity"),
)
erasures: Final = Table(
    "ledger_erasures",
    metadata,
    Column("tenant", String, primary_key=True),
    # Of an end user (trivium/core/subject.py).
    Column("mark", String, primary_key=True),
    _number("before_ms"),
)
erased: Final = Table("ledger_erased", metadata, _hash("identity", key=True))
"""Identities whose person was erased: whatever comes of them later is blanked too."""
fixed: Final = Table(
    "ledger_fixed",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("target", String, primary_key=True),
    Column("tier", String, nullable=False),
    # The day's share of the price of a month.
    _number("cost"),
)
refused: Final = Table(
    "ledger_refused",
    metadata,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("reason", String, nullable=False),
)
