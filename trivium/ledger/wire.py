"""Questions and lines of a report as messages, and back."""

from typing import Any, Final

from trivium.ledger.report import BadQuestion, Line, Question, Report
from trivium.ledger.schema import COSTS, TOKENS
from trivium.v1 import services_pb2 as pb

SAME: Final = (
    "requests", "answered", "cached", "attempts", "open_attempts", "faults", "cost", *COSTS, "all_cloud", "told", "strays",
    "stray_cost", "unpriced", "judged", "resolved", "unresolved", "corrected", *TOKENS,
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
    asked = Question(tuple(m.by), only, m.from_ms)
    return (asked if not m.to_ms else Question(asked.by, only, m.from_ms, m.to_ms)).checked()


def question_to(question: Question, limit: int = 0) -> pb.ReportRequest:
    """A question of every tenant that its filters let through."""
    return pb.ReportRequest(
        by=question.by,
        filters=[pb.ReportFilter(dimension=name, values=sorted(values)) for name, values in question.only.items()],
        from_ms=question.from_ms,
        to_ms=0 if question.to_ms == Question().to_ms else question.to_ms,
        limit=limit,
    )


def lines_of(report: Report, limit: int = 0) -> list[pb.ReportLine]:
    """The lines (at most `limit`; 0: all), then the total."""
    shown = report.lines[:limit] if limit else report.lines
    total = line_to(report.total)
    total.total, total.fixed, total.waiting_feedback = True, report.fixed, report.waiting
    return [*map(line_to, shown), total]


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
