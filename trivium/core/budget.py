"""Which budgets a request comes under, and the records that say who has what of one (docs/decisions/0019)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from trivium.core.policy import EACH, Budget, Period
from trivium.core.request import Request

Key = tuple[str, str]
"""A budget (the name of its rule, then the values of its "*" labels: "acme-month/support") and a period ("2026-11", "2026-11-21")."""

DAY_MS: Final = 86_400_000
_LAST_MS: Final = 253_402_300_799_000
"""The year 9999 ends."""
_MARCH_0: Final = 719_468
"""Days from 1 March of the year 0 to 1 January 1970."""
_PERIOD: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])(-[0-9]{2})?")


@dataclass(frozen=True, slots=True)
class Labels:
    """What budgets look at in a request."""

    tenant: str = ""
    team: str = ""
    application: str = ""
    use_case: str = ""
    end_user: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The budgets of a policy. Those of a revision that is not higher are passed over."""

    revision: int
    budgets: tuple[Budget, ...]
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """What one holder has of one budget, and wants to have (protos/trivium/v1/records.proto, BudgetAccount). Micro-dollars, ms."""

    holder: str
    budget: str
    period: str
    have: int
    upto: int
    spent: int
    number: int
    closed: bool = False
    valid_ms: int = 0
    at_ms: int = 0
    by: str = ""

    @property
    def key(self) -> Key:
        return (self.budget, self.period)


def labels_of(request: Request) -> Labels:
    """Of a request."""
    return Labels(request.identity.tenant, request.team, request.application, request.use_case, request.end_user)


def keys_of(rules: Iterable[Budget], labels: Labels, at_ms: int) -> tuple[tuple[Key, Budget], ...]:
    """Every budget that holds for a request with these labels at this instant (epoch ms), and its rule."""
    found = ((name_of(rule, labels), rule) for rule in rules)
    return tuple(((name, period_of(rule.period, at_ms)), rule) for name, rule in found if name is not None)


def name_of(rule: Budget, labels: Labels) -> str | None:
    """The budget of this rule that the labels come under; None: none. An empty label under "*" is a value like another."""
    values: list[str] = []
    for wanted, value in (
        (rule.tenant, labels.tenant),
        (rule.team, labels.team),
        (rule.application, labels.application),
        (rule.use_case, labels.use_case),
        (rule.end_user, labels.end_user),
    ):
        if wanted == EACH:
            values.append(quote(value, safe=" @:+=,"))
        elif wanted and wanted != value:
            return None
    return "/".join((rule.name, *values))


def rule_name(budget: str) -> str:
    """The rule behind a budget: "acme-month" of "acme-month/support"."""
    return budget.partition("/")[0]


def values_of(budget: str) -> tuple[str, ...]:
    """The values of its "*" labels, in the order tenant, team, application, use case, end user."""
    return tuple(unquote(value) for value in budget.split("/")[1:])


def period_of(period: Period, at_ms: int) -> str:
    """The day or month of an instant by UTC."""
    year, month, day = _date(min(max(0, at_ms), _LAST_MS) // DAY_MS)
    return f"{year:04}-{month:02}-{day:02}" if period is Period.DAY else f"{year:04}-{month:02}"


def period_end_ms(period: str) -> int:
    """When it is over, epoch ms. ValueError when it is neither a month nor a day."""
    if _PERIOD.fullmatch(period) is None:
        raise ValueError(f"{period!r} is neither a month (2026-11) nor a day (2026-11-21)")
    year, month, *day = map(int, period.split("-"))
    if day:
        days = _days(year, month, day[0])
        if _date(days) != (year, month, day[0]):
            raise ValueError(f"there is no day {period}")
        return (days + 1) * DAY_MS
    return _days(year + month // 12, month % 12 + 1, 1) * DAY_MS


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01. A year begins in March here, so that the leap day is its last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - _MARCH_0


def _date(days: int) -> tuple[int, int, int]:
    """Year, month, day of so many days since 1970-01-01: what `_days` makes of them, backwards."""
    left = days + _MARCH_0
    year = (10_000 * left + 14_780) // 3_652_425
    while (rest := left - (365 * year + year // 4 - year // 100 + year // 400)) < 0:
        year -= 1
    month = (5 * rest + 2) // 153
    day = rest - (153 * month + 2) // 5 + 1
    return (year + month // 10, (month + 2) % 12 + 1, day)
