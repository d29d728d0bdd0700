"""An alert in a sentence, and as JSON."""

from typing import Any

from trivium.core.explain import plain_dollars
from trivium.core.forecast import FORECAST
from trivium.v1.records_pb2 import BudgetAlert


def sentence(alert: BudgetAlert) -> str:
    """For the log and for people: what was passed, of how much, and when it runs out."""
    spent, limit = plain_dollars(alert.spent_micro_dollars), plain_dollars(alert.limit_micro_dollars)
    kind = "hard" if alert.hard else "soft"
    head = f"budget {alert.budget} ({kind}, {alert.period}): {spent} of {limit} are spent"
    if alert.percent == FORECAST:
        return f"{head}, at this pace it runs out on {alert.runs_out}"
    passed = f"{head}, {alert.percent} % is passed"
    if alert.spent_micro_dollars >= alert.limit_micro_dollars:
        return passed + ("; what costs money is not called any more" if alert.hard else "; it is soft, so calls go on")
    return passed + (f"; at this pace it runs out on {alert.runs_out}" if alert.runs_out else "")


def as_json(alert: BudgetAlert) -> dict[str, Any]:
    """What a webhook is sent: the fields of BudgetAlert, and `text`, the sentence."""
    return {
        "text": sentence(alert),
        "budget": alert.budget,
        "period": alert.period,
        "percent": alert.percent,
        "limit_micro_dollars": alert.limit_micro_dollars,
        "spent_micro_dollars": alert.spent_micro_dollars,
        "runs_out": alert.runs_out,
        "hard": alert.hard,
        "at_ms": alert.at_ms,
    }
