"""What a dashboard is made of: panels in a grid of 24 columns, each with PromQL queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS: Final = 24
WINDOW: Final = "$__rate_interval"
"""Grafana's own: at least four scrapes, and no less than a pixel of the picture."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how a series of it is called in the legend (`{{label}}` is its label)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `unit` is Grafana's word: short, s, currencyUSD, percentunit, bytes, reqps."""

    title: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    about: str = ""
    width: int = 12
    height: int = 8
    stacked: bool = False
    words: tuple[tuple[int, str, str], ...] = ()
    """Value, text and colour, for states."""


def rate(metric: str, by: str, where: str = "", window: str = WINDOW) -> str:
    """Events a second by labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{where}[{window}]))"


def dollars(metric: str, by: str) -> str:
    """Dollars an hour by labels, of a counter of micro-dollars."""
    return f"{rate(metric, by)} * 3600 / 1e6"


def quantile(share: float, metric: str, by: str) -> str:
    """A quantile of a histogram by labels."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[{WINDOW}])))"


def share(part: str, whole: str) -> str:
    """One rate as a part of another; nothing where there is no whole."""
    return f"{part} / ({whole} > 0)"


def latency(title: str, metric: str, by: str, about: str) -> Panel:
    """Median and 95th percentile of a histogram of seconds."""
    queries = tuple(Query(quantile(q, metric, by), f"{{{{{by}}}}} p{int(q * 100)}") for q in (0.5, 0.95))
    return Panel(title, queries, unit="s", about=about)


def board(uid: str, title: str, about: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    return {
        "uid": uid, "title": title, "description": about, "tags": ["trivium"], "schemaVersion": 39, "version": 1,
        "editable": False, "refresh": "10s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
        "annotations": {"list": []}, "templating": {"list": []},
        "links": [{"type": "dashboards", "title": "Trivium", "tags": ["trivium"], "asDropdown": True}],
        "panels": list(_placed(panels)),
    }  # fmt: skip


def _placed(panels: Iterable[Panel]) -> Iterable[dict[str, Any]]:
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": panel.height})
        x, tallest = x + panel.width, max(tallest, panel.height)


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number, "title": panel.title, "description": panel.about, "type": panel.kind, "datasource": SOURCE,
        "gridPos": place, "options": _options(panel),
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **_drawing(panel)}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend or "__auto"}
            for i, query in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
    if panel.kind == "state-timeline":
        return {"showValue": "auto", "mergeValues": True, "legend": {"showLegend": True}}
    return {"legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip


def _drawing(panel: Panel) -> dict[str, Any]:
    if panel.words:
        states = {str(value): {"text": text, "color": color} for value, text, color in panel.words}
        return {"mappings": [{"type": "value", "options": states}]}
    if panel.kind != "timeseries":
        return {}
    stacking = {"mode": "normal" if panel.stacked else "none"}
    return {"custom": {"fillOpacity": 30 if panel.stacked else 5, "showPoints": "never", "stacking": stacking}}
