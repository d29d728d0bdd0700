"""Budgets as metrics, computed when they are asked for: one series for each rule, however many values its "*" labels have."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trivium.core.budget import rule_name
from trivium.core.budget_fold import State
from trivium.core.forecast import is_current
from trivium.telemetry import names

_LABELS: Final = ("budget", "hard")


class BudgetFigures(Collector):
    """Of the present day or month of each rule: spent and reserved by all its parts together, the limit of one part, and how far
    the part is that is nearest to its end."""

    def __init__(self, state: State, now_ms: Callable[[], int], told: Callable[[], int], given_up: Callable[[], int]) -> None:
        """`told`, `given_up`: alerts that this process has told, and that no webhook took."""
        self._state, self._now_ms, self._told, self._given_up = state, now_ms, told, given_up

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering it asks for no figures."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Of the moment."""
        sums = self._sums()
        limit = GaugeMetricFamily(names.METRIC_BUDGET_LIMIT, "Micro-dollars of one part.", labels=_LABELS)
        spent = GaugeMetricFamily(names.METRIC_BUDGET_SPENT, "Micro-dollars spent.", labels=_LABELS)
        reserved = GaugeMetricFamily(names.METRIC_BUDGET_RESERVED, "Micro-dollars held and not spent.", labels=_LABELS)
        used = GaugeMetricFamily(names.METRIC_BUDGET_USED, "Share spent, of the part nearest to its end.", labels=_LABELS)
        for rule in self._state.rules.values():
            labels = (rule.name, str(rule.hard).lower())
            total, held, most = sums.get(rule.name, (0, 0, 0))
            limit.add_metric(labels, rule.limit_micro_dollars)
            spent.add_metric(labels, total)
            reserved.add_metric(labels, held)
            used.add_metric(labels, most / rule.limit_micro_dollars if rule.limit_micro_dollars else float(most > 0))
        yield from (limit, spent, reserved, used)
        alerts = CounterMetricFamily(names.METRIC_BUDGET_ALERTS, "Alerts of budgets.", labels=("result",))
        alerts.add_metric(("told",), self._told())
        alerts.add_metric(("not_posted",), self._given_up())
        yield alerts

    def _sums(self) -> dict[str, tuple[int, int, int]]:
        now_ms, sums = self._now_ms(), dict[str, tuple[int, int, int]]()
        for key in self._state.pots:
            if is_current(key[1], now_ms):
                share, name = self._state.share(key), rule_name(key[0])
                total, held, most = sums.get(name, (0, 0, 0))
                sums[name] = (total + share.spent, held + share.reserved, max(most, share.spent))
        return sums
