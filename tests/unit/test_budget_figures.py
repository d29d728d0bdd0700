"""Budgets as metrics: one series for each rule, whoever pays."""

import calendar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from trivium.alerts.figures import BudgetFigures
from trivium.core.budget import AccountRecord, Rules
from trivium.core.budget_fold import State
from trivium.core.policy import EACH, Budget, Period

NOW = calendar.timegm((2026, 11, 11, 0, 0, 0)) * 1000
RULES = (
    Budget("each-user", Period.DAY, 100, tenant="acme", end_user=EACH),
    Budget("frozen", Period.MONTH, 0, tenant="globex"),
    Budget("unused", Period.MONTH, 50, hard=False),
)


def figures(state: State, now_ms: int = NOW) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(BudgetFigures(state, lambda: now_ms, lambda: 7, lambda: 2))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, s.labels.get("budget") or s.labels["result"]): s.value for family in families for s in family.samples}


def paid(state: State, budget: str, period: str, spent: int, has: int) -> None:
    state.take_account(AccountRecord("cloud-1", budget, period, have=has, upto=has, spent=spent, number=1), NOW)


def test_a_rule_is_one_series_however_many_pay_from_it() -> None:
    state = State()
    state.take_rules(Rules(1, RULES), NOW)
    for user in range(500):
        paid(state, f"each-user/u{user}", "2026-11-11", spent=user % 91, has=user % 91 + 1)
    paid(state, "each-user/u1", "2026-11-10", spent=100, has=100)
    paid(state, "gone", "2026-11", spent=5, has=5)
    found = figures(state)
    assert len(found) == 4 * len(RULES) + 2
    assert found["trivium_budget_spent_micro_dollars", "each-user"] == sum(user % 91 for user in range(500))
    assert found["trivium_budget_reserved_micro_dollars", "each-user"] == 500
    assert found["trivium_budget_used_ratio", "each-user"] == 0.9
    assert found["trivium_budget_limit_micro_dollars", "each-user"] == 100
    assert (found["trivium_budget_used_ratio", "frozen"], found["trivium_budget_used_ratio", "unused"]) == (0, 0)
    assert (found["trivium_budget_alerts_total", "told"], found["trivium_budget_alerts_total", "not_posted"]) == (7, 2)


def test_a_budget_of_nothing_and_a_limit_that_was_lowered_are_used_up() -> None:
    state = State()
    state.take_rules(Rules(1, RULES), NOW)
    paid(state, "frozen", "2026-11", spent=3, has=3)
    paid(state, "unused", "2026-11", spent=75, has=75)
    found = figures(state)
    assert (found["trivium_budget_used_ratio", "frozen"], found["trivium_budget_used_ratio", "unused"]) == (1, 1.5)
    assert figures(state, NOW + 60 * 86_400_000)["trivium_budget_spent_micro_dollars", "unused"] == 0
