"""Questions and lines of a report as messages, and back."""

from typing import Any, Final

from trivium.ledger.line import Line, Report
from trivium.ledger.question import FOREVER, BadQuestion, Question
from trivium.ledger.schema import COSTS, TOKENS
from trivium.v1 import services_pb2 as pb

SAME: Final = (
    "requests", "answered", "cached", "attempts", "open_attempts", "faults", "cost", *COSTS, "all_cloud", "told", "strays",
    "stray_cost", "unpriced", "judged", "resolved", "unresolved", "corrected", "open_cost", "open_unbounded",
    "batched", "batch_saved", "patient", "missed", *TOKENS,
)  # fmt: skip
"""Sums that have the same name in a line."""
_SHARES: Final = (("p50", 0.5), ("p95", 0.95))
_TIMES: Final = (("duration", "ms"), ("ttft", "ms"), ("tpot", "us"))


def question_from(m: pb.ReportRequest) -> Question:
    """Raises BadQuestion."""
    only: dict[str, frozenset[str]] = {}
    for one in m.filters:
        if not one.values:
            raise BadQuestion(f"the filter of {one.dimension!r} names no values", "filters")
        only[one.dimension] = only.get(one.dimension, frozenset(one.values)) & frozenset(one.values)
    if m.tenant:
        only["tenant"] = only.get("tenant", frozenset((m.tenant,))) & {m.tenant}
    return Question(tuple(m.by), only, m.from_ms, m.to_ms or FOREVER, m.limit).checked()


def lines_of(report: Report) -> list[pb.ReportLine]:
    """The lines, then the total."""
    total = line_to(report.total)
    total.total, total.fixed, total.waiting_feedback = True, report.fixed, report.waiting
    return [*map(line_to, report.lines), total]


def line_to(line: Line) -> pb.ReportLine:
    """One line as a message."""
    s = line.sums
    values: dict[str, Any] = {name: s[name] for name in SAME}
    for time, unit in _TIMES:
        for word, share in _SHARES:
            values[f"{time}_{word}_{unit}"] = line.percentile(f"{time}_{unit}", share)
    return pb.ReportLine(
        group=line.group,
        correction_cost=s["correction"],
        mean_score=s["score"] / s["scored"] / 1000 if s["scored"] else None,
        cost_of_success=line.cost_of_success,
        **values,
    )
