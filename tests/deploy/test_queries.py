"""What dashboards and alerts ask for is what the code exports: names and labels, by PromQL's own grammar."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from infra.grafana.__main__ import texts
from tests.deploy.shipped import KNOWN, PROCESSES, ROOT, alerts, compose, dashboards
from trivium.alerts.figures import BudgetFigures
from trivium.core.budget import Rules
from trivium.core.budget_fold import State
from trivium.core.outcome import Answer, Attempt, Outcome, Reason, ReasonCode, Terminal, TerminalKind, Usage
from trivium.core.policy import Budget, Period, Shown
from trivium.core.request import Identity, Request
from trivium.telemetry import names
from trivium.telemetry.metrics import Metrics, merged

RUNBOOKS = ROOT / "docs/runbooks"
OF_THE_SCRAPE = {"job", "instance", "service"}
OF_PROMETHEUS = {"up": OF_THE_SCRAPE, "ALERTS": {"alertname", "alertstate"} | OF_THE_SCRAPE}


def exported() -> dict[str, set[str]]:
    """Every sample that a process exports, with its labels: all of Metrics exercised once, then read as Prometheus does."""
    metrics, who = Metrics(), Identity("acme", "1")
    attempt = Attempt(1, "cloud/small", 0, 1, cost_micro_dollars=5)
    terminal = Terminal(who, TerminalKind.ANSWERED, tier="cloud", target="cloud/small", task_type="t", attempts=(attempt,), cost_micro_dollars=5)
    metrics.terminal(terminal, "kafka", Request(who, (), team="a", user_tier="b"), Shown())
    metrics.attempt(Outcome(who, 1, "cloud/small", Answer("x"), usage=Usage(1, 1, 1, 1, 1, 1), ttft_ms=1, tpot_us=1))
    metrics.cache("exact")
    metrics.refused("gateway", "unauthenticated")
    metrics.certificate("TRIVIUM_TLS_CERT", 1.0)
    metrics.ledger(behind=1, up=True)
    metrics.ledger_records("trivium.ledger", "counted", 1)
    metrics.shed("cloud/small", "batch")
    metrics.waiting("cloud", 1, 1)
    metrics.ambiguous("cloud/small", "called")
    metrics.queue_wait("cloud/small", 1)
    metrics.breaker("cloud/small", "closed")
    metrics.deadletter(ReasonCode.UNDECODABLE)
    refused = Terminal(who, TerminalKind.REFUSED, reason=Reason(ReasonCode.OVER_BUDGET, "no money"))
    metrics.terminal(refused, "grpc", Request(who, ()), Shown())
    state = State()
    state.take_rules(Rules(1, (Budget("b", Period.DAY, 5),)), 0)
    metrics.registry.register(BudgetFigures(state, lambda: 0, lambda: 1, lambda: 1))
    found: dict[str, set[str]] = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(merged({"0": metrics.render().decode()}).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set(OF_THE_SCRAPE)).update(sample.labels)
    return found


EXPORTED = exported()


def parsed(expr: str) -> Any:
    return promql.parse(expr.replace("$__rate_interval", "5m").replace("$__range", "1h"))


def nodes(expr: Any) -> Iterator[Any]:
    found: list[Any] = []
    promql.walk(expr, found.append)
    yield from found


def wrong(expr: str) -> Iterator[str]:
    """What an expression asks for that nobody exports."""
    tree = parsed(expr)
    for node in nodes(tree):
        if isinstance(node, promql.VectorSelector):
            labels = EXPORTED.get(node.name)
            if labels is None:
                yield f"{node.name} is no metric of ours"
                continue
            yield from (f"{node.name} has no label {m.name}" for m in node.matchers.matchers if m.name not in labels)
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            below = [EXPORTED.get(n.name, set()) for n in nodes(node.expr) if isinstance(n, promql.VectorSelector)]
            yield from (f"{label} is no label of {expr}" for label in node.modifier.labels if not all(label in has for has in below))


def panels() -> list[tuple[str, str, dict[str, Any]]]:
    return [(name, target["expr"], panel) for name, board in dashboards().items() for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("expr", [expr for _, expr, _ in panels()])
def test_dashboards_ask_for_what_is_exported(expr: str) -> None:
    assert list(wrong(expr)) == []


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_alerts_ask_for_what_is_exported(rule: dict[str, Any]) -> None:
    assert list(wrong(rule["expr"])) == []


def test_the_check_sees_what_it_looks_for() -> None:
    assert list(wrong("trivium_nothing_total")) == ["trivium_nothing_total is no metric of ours"]
    assert list(wrong('trivium_pending{team="x"}')) == ["trivium_pending has no label team"]
    assert len(list(wrong("sum by (team) (trivium_pending)"))) == 1
    with pytest.raises(ValueError):
        parsed("sum by (trivium_pending")


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    asked = {n.name for _, expr, _ in panels() for n in nodes(parsed(expr)) if isinstance(n, promql.VectorSelector)}
    declared = {value for name, value in vars(names).items() if name.startswith("METRIC_")}
    assert declared <= {name.removesuffix("_bucket") for name in asked}


def test_the_bill_is_split_by_all_that_is_asked_for() -> None:
    money = " ".join(expr for name, expr, _ in panels() if name == "money.json")
    for label in ("tier", "target", "task_type", "tenant", "team", "user_tier"):
        assert f"sum by ({label})" in money


def test_dashboards_are_what_the_program_writes() -> None:
    assert {path.name: path.read_text() for path in (ROOT / "infra/grafana/dashboards").glob("*.json")} == texts(), "run python -m infra.grafana"


def test_panels_lie_beside_one_another() -> None:
    for name, board in dashboards().items():
        taken = [(x, y) for panel in board["panels"] for x, y in cells(panel["gridPos"])]
        assert len(taken) == len(set(taken)), name
        assert all(x < 24 for x, _ in taken)


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_the_legend_speaks_of_labels_that_are_left() -> None:
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), f"{name}: {panel['title']}"


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_runbook_that_names_it(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    page = ROOT / rule["annotations"]["runbook"]
    assert page.parent == RUNBOOKS
    text = page.read_text()
    assert f"`{rule['alert']}`" in text
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert heading in text
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert re.search(rf"\b{label}\b", rule["expr"]), label


def test_every_runbook_has_an_alert_and_names_settings_that_exist() -> None:
    told = {rule["annotations"]["runbook"] for rule in alerts()}
    assert {f"docs/runbooks/{path.name}" for path in RUNBOOKS.glob("*.md")} == told
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    text = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    assert set(re.findall(r"TRIVIUM_[A-Z_]+", text)) <= KNOWN


def test_prometheus_asks_every_process_and_grafana_asks_prometheus() -> None:
    config = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())
    looked_up = config["scrape_configs"][0]["dns_sd_configs"][0]
    assert looked_up["names"] == [*PROCESSES, "ledger", "budget", "batch-cloud", "batch-finetuned"]
    assert str(looked_up["port"]) == "7390"
    assert set(looked_up["names"]) <= set(compose()["services"])
    inside = yaml.safe_load((ROOT / "infra/prometheus/kubernetes.yml").read_text())["scrape_configs"][0]
    assert inside["job_name"] == config["scrape_configs"][0]["job_name"] == "trivium"
    assert [r["target_label"] for r in inside["relabel_configs"] if "target_label" in r] == ["service", "instance"]
    sources = yaml.safe_load((ROOT / "infra/grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    known = {source["uid"]: source["url"] for source in sources}
    assert known["prometheus"] == "http://prometheus:9090"
    assert {target["datasource"]["uid"] for board in dashboards().values() for p in board["panels"] for target in p["targets"]} <= set(known)
