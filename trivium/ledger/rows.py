"""Facts as rows, what of two rows of one key counts, and what a row adds to the sums of its series."""

from collections.abc import Mapping
from typing import Any, Final

from trivium.ledger.facts import Asked, Execution, Feedback, Stray
from trivium.ledger.histogram import bucket_of
from trivium.ledger.schema import COSTS, EXECUTION_SUMS, TIMES, TOKENS

Row = dict[str, Any]
UNJUDGED: Final[Row] = {"judged": False, "outcome": "", "score": None, "corrected": False, "correction": 0}
_COUNTED: Final = (*COSTS, *TOKENS)


def execution_row(e: Execution) -> Row:
    """Of the table of executions."""
    row = {
        "key": e.key, "identity": e.identity, "series": e.series.id, "end_user": e.end_user, "paid": e.paid, "model": e.model,
        "at_ms": e.at_ms, "part": e.part, "settled": e.settled, "fault": e.fault, "cost": e.cost,
        "reserved": e.reserved, "batch": e.batch, "saved": e.saved,
    }  # fmt: skip
    row.update(zip(_COUNTED, (*e.costs, *e.tokens), strict=True))
    return row


def request_row(a: Asked) -> Row:
    """Of the table of requests, without a judgement."""
    return {
        "key": a.key, "identity": a.identity, "series": a.series.id, "end_user": a.end_user, "arrived_ms": a.arrived_ms,
        "at_ms": a.at_ms, "kind": a.kind, "cached": a.cached, "duration_ms": bucket_of(a.duration_ms),
        "ttft_ms": None if a.ttft_ms is None else bucket_of(a.ttft_ms),
        "tpot_us": None if a.tpot_us is None else bucket_of(a.tpot_us),
        "told": a.told, "all_cloud": a.all_cloud, "patient": a.patient, **UNJUDGED,
    }  # fmt: skip


def stray_row(s: Stray) -> Row:
    """Of the table of strays."""
    return {"key": s.key, "series": s.series.id, "at_ms": s.at_ms, "cost": s.cost}


def feedback_row(f: Feedback) -> Row:
    """Of the table of feedback."""
    return {
        "key": f.key, "identity": f.identity, "tenant": f.tenant, "request_id": f.request_id, "replay": f.replay,
        "at_ms": f.at_ms, "outcome": f.outcome, "score": f.score, "corrected_text": f.corrected_text,
        "correction": f.correction, "source": f.source,
    }  # fmt: skip


def merged(one: Row, other: Row) -> Row:
    """Of two rows of one key, in either order: settled before begun; of equals the earlier one, and the earlier time."""
    first, second = sorted((one, other), key=_rank)
    if first["at_ms"] <= second["at_ms"]:
        return first
    return {**first, "at_ms": second["at_ms"], "series": second["series"]}


def _rank(row: Row) -> tuple[Any, ...]:
    return (not row.get("settled", True), row["at_ms"], row["series"], row.get("cost", 0), row.get("told", 0))


def judged(row: Row, feedback: Mapping[str, Any] | None) -> Row:
    """A request's row with the feedback that counts for it."""
    if feedback is None:
        return {**row, **UNJUDGED}
    return {
        **row,
        "judged": True,
        "outcome": feedback["outcome"],
        "score": feedback["score"],
        "corrected": bool(feedback["corrected_text"]),
        "correction": feedback["correction"],
    }


def execution_sums(row: Mapping[str, Any]) -> tuple[int, ...]:
    """In the order of EXECUTION_SUMS. A generator's call adds its cost and tokens to the attempt that it is a part of."""
    own = not row["part"]
    if not row["settled"]:
        return (0, int(own), *_NOTHING, row["reserved"], int(not row["reserved"]), 0, 0)
    counted = tuple(row[name] for name in _COUNTED)
    unpriced = own and not row["cost"] and (row["input_tokens"] > 0 or row["output_tokens"] > 0)
    return (int(own), 0, int(own and bool(row["fault"])), row["cost"], *counted, int(unpriced), 0, 0, int(own and row["batch"]), row["saved"])


_NOTHING: Final = (0,) * (len(EXECUTION_SUMS) - 6)


def request_sums(row: Mapping[str, Any]) -> tuple[int, ...]:
    """In the order of REQUEST_SUMS."""
    said, score = row["judged"], row["score"]
    return (
        1, int(row["kind"] == "answered"), int(row["cached"]), row["told"], row["all_cloud"], int(said),
        int(row["outcome"] == "resolved"), int(row["outcome"] == "unresolved"), int(score is not None), score or 0,
        int(row["corrected"]), row["correction"], row["told"] if said else 0,
        int(row["patient"]), int(row["patient"] and row["kind"] == "expired"),
    )  # fmt: skip


def stray_sums(row: Mapping[str, Any]) -> tuple[int, ...]:
    """In the order of STRAY_SUMS."""
    return (1, row["cost"])


def times(row: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """The histogram and bucket of each time of an answered request."""
    if row["kind"] != "answered":
        return ()
    return tuple((name, row[name]) for name in TIMES if row[name] is not None)

