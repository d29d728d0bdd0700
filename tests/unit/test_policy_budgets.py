"""The policy file's budgets: what they become, and what is said about a wrong one."""

from pathlib import Path

import pytest

from tests.unit.test_policy import GOOD, parsed, problems
from trivium.core.policy import EACH, Budget, Over, Period
from trivium.policy import parse
from trivium.policy.notes import notes

BUDGETS = """\
budgets:
  acme-month:
    limit: 1_250.50
    period: month
    tenant: acme
    over: cheaper
  each-team:
    limit: "0.000001"
    period: day
    tenant: "*"
    team: "*"
    over: batch
    alerts: [100, 90]
  heads-up: {limit: 20, period: day, hard: false, use_case: onboarding, tenant: globex, alerts: [50, 120]}
  stop: {limit: 0, period: month, tenant: acme, end_user: u-7}
"""


def test_budgets_are_read_exactly_and_in_order() -> None:
    policy = parsed(GOOD + BUDGETS)
    assert list(policy.budgets.values()) == [
        Budget("acme-month", Period.MONTH, 1_250_500_000, True, Over.CHEAPER, tenant="acme"),
        Budget("each-team", Period.DAY, 1, True, Over.BATCH, tenant=EACH, team=EACH, alerts=(90, 100)),
        Budget("heads-up", Period.DAY, 20_000_000, False, tenant="globex", use_case="onboarding", alerts=(50, 120)),
        Budget("stop", Period.MONTH, 0, tenant="acme", end_user="u-7"),
    ]
    assert list(policy.budgets) == ["acme-month", "each-team", "heads-up", "stop"]
    assert not parsed(GOOD).budgets


def test_a_fragment_leaves_budgets_as_they_are() -> None:
    fragment = [("slim.yaml", b"tasks:\n  ask: {passages: 1}\n")]
    assert parse((GOOD + BUDGETS).encode(), Path("p.yaml"), fragment).budgets == parsed(GOOD + BUDGETS).budgets


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("{period: day}", "b.limit: is missing: the dollars that may be spent, such as 250 or 0.50"),
        ("{limit: 5}", "b.period: is missing"),
        ("{limit: -5, period: day}", "b.limit: is -5, a budget cannot be negative; 0 lets nothing be spent"),
        ("{limit: $250, period: day}", "b.limit: must be dollars as a plain number, without currency and separators: 250, not a text ('$250')"),
        ("{limit: '1,000.50 USD', period: day}", "without currency and separators: 1000.50, not a text"),
        ("{limit: 1e3, period: day}", "b.limit: must be dollars as a plain number such as 250 or 0.50, not a text ('1e3')"),
        ("{limit: '1,50', period: day}", "b.limit: must be dollars as a plain number such as 250 or 0.50, not a text"),
        ("{limit: .inf, period: day}", "b.limit: must be dollars"),
        ("{limit: [1], period: day}", "b.limit: must be dollars as a plain number such as 250 or 0.50, not a list"),
        ("{limit: 0.0000001, period: day}", "b.limit: is 0.0000001, finer than a millionth of a dollar"),
        ("{limit: 1000000001, period: day}", "b.limit: is 1000000001, at most 1000000000 dollars can be counted"),
        ("{limit: 0, period: day, hard: false}", "b.limit: is 0: a soft budget of nothing says nothing"),
        ("{limit: 5, period: week}", "b.period: 'week' is not one of the words"),
        ("{limit: 5, period: day, hard: maybe}", "b.hard: must be true or false, not a text ('maybe')"),
        ("{limit: 5, period: day, over: wait}", "b.over: 'wait' is not one of the words"),
        ("{limit: 5, period: day, hard: false, over: refuse}", "b.over: a soft budget alerts and never refuses"),
        ("{limit: 5, period: day, tenant: acmee}", "b.tenant: no tenant 'acmee'; did you mean acme?, or \"*\" for a budget of each"),
        ("{limit: 5, period: day, team: 42}", "b.team: must be a text, not a whole number ('42'); put it into quotes"),
        ("{limit: 5, period: day, team: ''}", "b.team: is empty"),
        ("{limit: 5, period: day, team: }", "b.team: is empty"),
        ("{limit: 5, period: day, team: 'sup*'}", "b.team: 'sup*' is no pattern"),
        ("{limit: 5, period: day, team: *}", 'a star is written in quotes: "*"'),
        ("{limit: 5, period: day, user: u}", "b.user: is not a key here"),
        ("{limit: 5, period: day, alerts: [80, 120]}", "b.alerts[1]: is 120, must be from 1 to 100 percent (a hard budget never"),
        ("{limit: 5, period: day, alerts: [0]}", "b.alerts[0]: is 0, must be from 1 to 100 percent"),
        ("{limit: 5, period: day, alerts: [80%]}", "b.alerts[0]: must be a whole number of percent such as 80, not a text ('80%')"),
        ("{limit: 5, period: day, alerts: [80, 80]}", "b.alerts[1]: 80 stands here a second time"),
        ("{limit: 5, period: day, alerts: 80}", "b.alerts: must be a list, not a whole number ('80')"),
        ("5", "b: must have keys and values, not a whole number ('5')"),
        ("{limit: 5, period: day}\n  c: {limit: 9, period: day}", "budgets.c: counts the same calls by the day as b, and both are hard; keep one"),
        ("{limit: 5, period: day}\n  b: {limit: 9, period: month}", "budgets.b: stands here a second time, first in line"),
        ("{limit: 5, period: day}\n  x/y: {limit: 9, period: month}", "budgets.x/y: a budget's name has no `/`"),
    ],
)
def test_a_wrong_budget_is_told_with_its_place(budget: str, told: str) -> None:
    found = problems(f"{GOOD}budgets:\n  b: {budget}\n")
    assert any(told in line for line in found), found
    first = len(GOOD.splitlines()) + 2
    assert any(line.startswith((f"policy.yaml:{first}:", f"policy.yaml:{first + 1}:")) for line in found), found


def test_too_many_budgets_are_told() -> None:
    many = "".join(f"  b{i}: {{limit: 1, period: day, team: t{i}}}\n" for i in range(101))
    assert any("has 101 budgets" in line for line in problems(f"{GOOD}budgets:\n{many}"))


def test_budgets_that_several_tenants_share_are_noted() -> None:
    told = [note for note in notes(parsed(GOOD + "budgets:\n  ours: {limit: 1, period: day, team: web}\n")) if "ours" in note]
    assert told == ['ours counts calls of every tenant that uses the same word; name a tenant, or tenant: "*"']
    assert not [note for note in notes(parsed(GOOD + BUDGETS)) if "every tenant" in note]
