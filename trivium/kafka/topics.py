"""The topics of the mesh: names, who partitions them by what, and how long they keep."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from trivium.core.policy import Tier
from trivium.core.request import Identity

PARTITIONS = 12
"""For all topics; never changed in place, because home partitions are a hash modulo this number."""

REQUESTS = "trivium.requests"
OUTCOMES = "trivium.outcomes"
RESPONSES = "trivium.responses"
REPLIES_PREFIX = "trivium.replies."
LEDGER = "trivium.ledger"
CACHE = "trivium.cache"
DOCUMENTS = "trivium.documents"
PULSE = "trivium.pulse"
IDEMPOTENCY = "trivium.idempotency"
DEADLETTER = "trivium.deadletter"
FEEDBACK = "trivium.feedback"
BUDGET = "trivium.budget"
ALERTS = "trivium.alerts"
BATCHES = "trivium.batches"

HEADER_TRACEPARENT = "traceparent"
HEADER_TRACESTATE = "tracestate"
HEADER_FOLLOWS = "follows"
"""Of work: the traceparent of the attempt before it, which its span links to."""
HEADER_CONTENT_TYPE = "content-type"
HEADER_SCHEMA = "schema"
"""Full name of the protobuf message in the value: trivium.v1.Terminal."""
HEADER_FORWARDED = "forwarded"
"""A request that was found away from home and sent there, once."""
HEADER_REPLAY = "replay"
"""On replies: the replay number of the identity, so that the router's memory needs no parsing."""
HEADER_KIND = "kind"
"""On replies: the terminal's kind."""
HEADER_CAUSE = "cause"
"""On replies: number of the attempt whose outcome ended the request, 0 when the request itself did, -1 for a cancel."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


HEADER_WAITS = "waits"
"""On requests: a caller waits for the answer on the line, so that no work of it is left for later."""


class Lane(Enum):
    """The topics of work that a tier has."""

    MAIN = ""
    RESTRICTED = ".restricted"
    SPARE = ".spare"
    BATCH = ".batch"
    """Work that may wait. Not the tier's: services/batch reads it, and an entry is emptied when it is done."""


PATIENT: Final = (Tier.CLOUD, Tier.FINETUNED)
"""The tiers that have batch work."""


class Keep(Enum):
    """Kafka's cleanup.policy."""

    DELETE = "delete"
    COMPACT = "compact"
    COMPACT_DELETE = "compact,delete"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be on the broker."""

    name: str
    partitions: int
    keep: Keep
    retention_ms: int
    """-1: for ever."""
    segment_ms: int = 0
    """A part of the log that still grows is never cleaned; 0: the broker's own (a week)."""
    compaction_lag_ms: int = 0
    """Records younger than this are never compacted away."""
    compact_within_ms: int = 0
    """What another record of its key has replaced is compacted away this soon after its segment is closed, however little
    is written; 0: when the broker finds it worth its while."""


CACHE_KEPT_MS = 30 * DAY_MS
"""No cached answer lives longer (the policy's ttl_s neither)."""


def work(tier: Tier, lane: Lane = Lane.MAIN) -> str:
    """trivium.work.<tier>[.restricted|.spare]"""
    return f"trivium.work.{tier.value}{lane.value}"


def attempts(tier: Tier) -> str:
    """trivium.attempts.<tier>"""
    return f"trivium.attempts.{tier.value}"


PULLED: Final = b"pulled:"
"""In a lane of batch work, before the key of an entry whose attempt has ended without its batch: only its bill is still to come."""


def batch_key(identity: Identity, attempt: int) -> bytes:
    """Key of batch work in its lane: one attempt."""
    return f"{identity.key}#{identity.replay}#{attempt}".encode("utf-8", "surrogatepass")


def lanes(tier: Tier) -> tuple[str, ...]:
    """The work topics that a tier reads. The cloud has no restricted lane: it does not exist for it."""
    readable = (Lane.MAIN, Lane.SPARE) if tier is Tier.CLOUD else (Lane.MAIN, Lane.RESTRICTED, Lane.SPARE)
    return tuple(work(tier, lane) for lane in readable)


def all_topics(reply_topics: Iterable[str], partitions: int = PARTITIONS) -> tuple[Topic, ...]:
    """Every topic of a mesh whose tenants answer to `reply_topics`."""

    def kept(name: str, days: int) -> Topic:
        # A segment is removed as a whole, when its last record is old enough: one a day keeps what the days say.
        return Topic(name, partitions, Keep.DELETE, days * DAY_MS, segment_ms=DAY_MS)

    replies = sorted({RESPONSES, *reply_topics})
    return (
        kept(REQUESTS, 7),
        *(kept(name, 2) for tier in Tier for name in lanes(tier)),
        kept(OUTCOMES, 2),
        # As long as the ledger, whose store is filled again from both.
        *(kept(attempts(tier), 30) for tier in Tier),
        *(kept(name, 7) for name in replies),
        # Keys hold for a day; a gateway reads all of it before it takes the first one.
        Topic(IDEMPOTENCY, partitions, Keep.DELETE, DAY_MS + HOUR_MS, segment_ms=HOUR_MS),
        kept(LEDGER, 30),
        Topic(CACHE, partitions, Keep.COMPACT_DELETE, CACHE_KEPT_MS, segment_ms=DAY_MS, compact_within_ms=DAY_MS),
        # A view that starts late must see every change that a cached answer may be older than, not the last one alone.
        Topic(DOCUMENTS, partitions, Keep.COMPACT, -1, DAY_MS, CACHE_KEPT_MS, CACHE_KEPT_MS + DAY_MS),
        # Every process reads it from its beginning.
        Topic(PULSE, 1, Keep.COMPACT_DELETE, HOUR_MS, segment_ms=HOUR_MS // 6),
        kept(DEADLETTER, 30),
        kept(FEEDBACK, 30),
        # What is done is emptied; what is not ends by its deadline, a day after it came at the latest. One owner at a time.
        *(Topic(work(tier, Lane.BATCH), 1, Keep.COMPACT_DELETE, 2 * DAY_MS, HOUR_MS, 0, HOUR_MS) for tier in PATIENT),
        Topic(BATCHES, 1, Keep.COMPACT_DELETE, 2 * DAY_MS, HOUR_MS, 0, HOUR_MS),
        # One partition: its order decides who is granted what (docs/decisions/0019). A month and its last accounts; what is
        # younger than an hour is never compacted, so that every grant that may still be in use is folded exactly.
        Topic(BUDGET, 1, Keep.COMPACT_DELETE, 33 * DAY_MS, DAY_MS, HOUR_MS, 2 * DAY_MS),
        # They are the memory of what was told, for the whole of a month.
        kept(ALERTS, 35),
    )
