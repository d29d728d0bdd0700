"""Reads `budgets`: how much may be spent in a day or a month, by whom, and what becomes of what is above."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

from yaml import Node, ScalarNode

from trivium.core.near import hint, quoted
from trivium.core.policy import EACH, Budget, Over, Period
from trivium.policy.section import DECIMAL, MICRO, WHOLE, Section, as_section, kind_of

LABELS: Final = ("tenant", "team", "application", "use_case", "end_user")
MOST: Final = 100
"""Every one is looked at before every call."""
MOST_DOLLARS: Final = 1_000_000_000
MOST_PERCENT: Final = 1_000
LONGEST_LABEL: Final = 256
ALERTS: Final = (50, 80, 100)
_AMOUNT: Final = re.compile(r"[^0-9.,-]*((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)[^0-9.,]*")
"""Signs or letters, one amount, signs or letters."""


def read_budgets(root: Section, tenants: Collection[str]) -> dict[str, Budget]:
    """All budgets by name, in the order of the file."""
    section = root.section("budgets")
    if section is None:
        return {}
    budgets: dict[str, Budget] = {}
    for name, node in section.names():
        part = as_section(node, section.at(name), section.report)
        if part is None:
            continue
        if "/" in name:
            section.problem(name, "a budget's name has no `/`: what follows one is the value that it is for")
        budget = _budget(name, part, tenants)
        part.close()
        _twice(section, budget, budgets)
        budgets[name] = budget
    if len(budgets) > MOST:
        root.problem("budgets", f"has {len(budgets)} budgets, and every call is looked at by all of them; at most {MOST}")
    return budgets


def _budget(name: str, part: Section, tenants: Collection[str]) -> Budget:
    part.required("period")
    period = part.word("period", Period, Period.MONTH)
    hard = part.flag("hard", True)
    if part.has("over") and not hard:
        part.problem("over", "a soft budget alerts and never refuses; leave it out, or set hard: true")
    return Budget(
        name=name,
        period=period,
        limit_micro_dollars=_limit(part, hard),
        hard=hard,
        over=part.word("over", Over, Over.REFUSE),
        tenant=_tenant(part, tenants),
        team=_label(part, "team"),
        application=_label(part, "application"),
        use_case=_label(part, "use_case"),
        end_user=_label(part, "end_user"),
        alerts=_alerts(part, hard),
    )


def _limit(part: Section, hard: bool) -> int:
    """Dollars in the file; micro-dollars. 0, and a problem, when it is none."""
    node = part.take("limit")
    if node is None:
        part.report.problem(part.node, part.at("limit"), "is missing: the dollars that may be spent, such as 250 or 0.50")
        return 0
    dollars = _dollars(node)
    if dollars is None:
        part.problem("limit", f"must be dollars as a plain number{_meant(node)}, not {kind_of(node)}")
        return 0
    if dollars < 0:
        part.problem("limit", f"is {dollars}, a budget cannot be negative; 0 lets nothing be spent")
    elif dollars == 0 and not hard:
        part.problem("limit", "is 0: a soft budget of nothing says nothing; give it an amount, or set hard: true")
    elif dollars > MOST_DOLLARS:
        part.problem("limit", f"is {dollars}, at most {MOST_DOLLARS} dollars can be counted")
    elif dollars * MICRO != int(dollars * MICRO):
        part.problem("limit", f"is {dollars:f}, finer than a millionth of a dollar")
    else:
        return int(dollars * MICRO)
    return 0


def _dollars(node: Node) -> Decimal | None:
    """Exactly what the file says, never through a float."""
    if not isinstance(node, ScalarNode) or DECIMAL.match(node.value) is None:
        return None
    digits = node.value.replace("_", "")
    return Decimal(digits) if any(c.isdigit() for c in digits) else None


def _meant(node: Node) -> str:
    """`$1,000.00` and `100 EUR` have an amount in them: what to write instead."""
    amount = _AMOUNT.fullmatch(node.value) if isinstance(node, ScalarNode) else None
    if amount is None:
        return " such as 250 or 0.50"
    return f", without currency and separators: {amount.group(1).replace(',', '')}"


def _tenant(part: Section, tenants: Collection[str]) -> str:
    name = _label(part, "tenant")
    if name and name != EACH and name not in tenants:
        part.problem("tenant", f'no tenant {quoted(name)}; {hint(name, tenants)}, or "*" for a budget of each')
    return name


def _label(part: Section, key: str) -> str:
    """A value, `"*"`, or nothing."""
    if not part.has(key):
        return ""
    node = part.take(key)
    if isinstance(node, ScalarNode) and not node.value:
        part.problem(key, f'is empty: name a value, "*" for a budget of each, or leave {key} out')
        return ""
    value = part.text(key)
    if value != EACH and EACH in value:
        part.problem(key, f'{quoted(value)} is no pattern: a whole value, or "*" alone for a budget of each')
    elif len(value) > LONGEST_LABEL:
        part.problem(key, f"has {len(value)} characters, at most {LONGEST_LABEL}")
    return value


def _alerts(part: Section, hard: bool) -> tuple[int, ...]:
    """Percent of the limit, ascending. Nothing said: 50, 80 and 100."""
    if not part.has("alerts"):
        return ALERTS
    found: list[int] = []
    most = 100 if hard else MOST_PERCENT
    for node, path in part.items("alerts"):
        if not isinstance(node, ScalarNode) or WHOLE.match(node.value) is None:
            part.report.problem(node, path, f"must be a whole number of percent such as 80, not {kind_of(node)}")
            continue
        percent = int(node.value.replace("_", ""))
        if not 1 <= percent <= most:
            reached = " (a hard budget never passes its limit)" if hard and percent > most else ""
            part.report.problem(node, path, f"is {percent}, must be from 1 to {most} percent{reached}")
        elif percent in found:
            part.report.problem(node, path, f"{percent} stands here a second time")
        else:
            found.append(percent)
    return tuple(sorted(found))


def _twice(section: Section, budget: Budget, others: dict[str, Budget]) -> None:
    """Two budgets over the same calls and the same time: the larger one has no effect."""
    same = next((other for other in others.values() if _over(other) == _over(budget)), None)
    if same is not None:
        kind = "hard" if budget.hard else "soft"
        section.problem(budget.name, f"counts the same calls by the {budget.period.value} as {same.name}, and both are {kind}; keep one")


def _over(budget: Budget) -> tuple[object, ...]:
    return budget.period, budget.hard, *(getattr(budget, label) for label in LABELS)
