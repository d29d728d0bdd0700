"""What a process counts, as Prometheus reads it."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trivium.core.outcome import Answer, Attempt, Fault, FaultKind, Outcome, ReasonCode, Terminal, TerminalKind, Usage
from trivium.core.policy import Shown
from trivium.core.request import Identity, Request
from trivium.telemetry import names
from trivium.telemetry.metrics import Metrics, merged

WHO = Identity("acme", "1")
TERMINAL = Terminal(
    WHO,
    TerminalKind.ANSWERED,
    answer=Answer("x"),
    tier="cloud",
    target="cloud/small",
    task_type="draft",
    attempts=(
        Attempt(1, "finetuned/a", 0, 100, cost_micro_dollars=3),
        Attempt(2, "cloud/small", 100, 200, cost_micro_dollars=40),
    ),
    arrived_ms=1_000,
    ended_ms=1_250,
)


def read(metrics: Metrics | bytes) -> dict[str, float]:
    text = metrics if isinstance(metrics, bytes) else metrics.render()
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_a_terminal_is_counted_with_its_cost_by_target_and_its_time() -> None:
    metrics = Metrics()
    metrics.terminal(TERMINAL, "grpc")
    metrics.terminal(TERMINAL, "grpc")
    metrics.terminal(replace(TERMINAL, kind=TerminalKind.FAILED, tier="", target="", attempts=()), "kafka")
    found = read(metrics)
    answered = f"{names.METRIC_TERMINALS} door=grpc kind=answered target=cloud/small task_type=draft tier=cloud"
    assert found[answered] == 2
    assert found[f"{names.METRIC_TERMINALS} door=kafka kind=failed target= task_type=draft tier="] == 1
    assert found[f"{names.METRIC_COST} target=finetuned/a task_type=draft tier=finetuned"] == 6
    assert found[f"{names.METRIC_COST} target=cloud/small task_type=draft tier=cloud"] == 80
    assert found[f"{names.METRIC_DURATION}_sum task_type=draft tier=cloud"] == pytest.approx(0.5)


def test_the_bill_goes_to_who_asked_and_words_that_nobody_listed_are_one() -> None:
    metrics, shown = Metrics(), Shown(frozenset({"care"}), frozenset({"pro"}))
    asked = Request(WHO, (), team="care", user_tier="pro")
    for team in ("care", "care", "made-up-1", "made-up-2", ""):
        metrics.terminal(replace(TERMINAL, cost_micro_dollars=43), "kafka", replace(asked, team=team), shown)
    metrics.terminal(replace(TERMINAL, cost_micro_dollars=0), "kafka", replace(asked, user_tier="made-up"), shown)
    spent = {name: value for name, value in read(metrics).items() if name.startswith(names.METRIC_SPEND)}
    assert spent == {
        f"{names.METRIC_SPEND} team=care tenant=acme user_tier=pro": 86,
        f"{names.METRIC_SPEND} team=other tenant=acme user_tier=pro": 86,
        f"{names.METRIC_SPEND} team= tenant=acme user_tier=pro": 43,
    }


def test_an_attempt_is_counted_with_tokens_and_latencies() -> None:
    metrics = Metrics()
    usage = Usage(input_tokens=100, output_tokens=10, context_tokens=60)
    metrics.attempt(Outcome(WHO, 1, "cloud/small", Answer("x"), usage=usage, ttft_ms=40, tpot_us=2_000))
    metrics.attempt(Outcome(WHO, 2, "cloud/small", Fault(FaultKind.OVERLOADED, "full")))
    metrics.attempt(Outcome(WHO, 2, "", Fault(FaultKind.LATE, "")), "cloud/small")
    found = read(metrics)
    assert found[f"{names.METRIC_ATTEMPTS} outcome=answer target=cloud/small"] == 1
    assert found[f"{names.METRIC_ATTEMPTS} outcome=overloaded target=cloud/small"] == 1
    assert found[f"{names.METRIC_ATTEMPTS} outcome=late target=cloud/small"] == 1
    assert found[f"{names.METRIC_TOKENS} kind=context target=cloud/small"] == 60
    assert found[f"{names.METRIC_TTFT}_sum target=cloud/small"] == pytest.approx(0.04)
    assert found[f"{names.METRIC_TPOT}_sum target=cloud/small"] == pytest.approx(0.002)


def test_the_rest_is_counted_under_its_declared_name() -> None:
    metrics = Metrics()
    metrics.cache("semantic")
    metrics.cache_entries(7)
    metrics.queue_wait("cloud/small", 250)
    metrics.breaker("cloud/small", "half_open")
    metrics.deadletter(ReasonCode.UNDECODABLE)
    metrics.stray()
    metrics.duplicate()
    metrics.pending(3)
    metrics.ready(True)
    found = read(metrics)
    assert found[f"{names.METRIC_CACHE} result=semantic"] == 1
    assert found[names.METRIC_CACHE_ENTRIES] == 7
    assert found[f"{names.METRIC_QUEUE_WAIT}_sum target=cloud/small"] == pytest.approx(0.25)
    assert found[f"{names.METRIC_BREAKER} target=cloud/small"] == 1
    assert found[f"{names.METRIC_DEADLETTERS} reason=undecodable"] == 1
    assert found[f"{names.METRIC_DEADLETTERS} reason=id_reused"] == 0
    assert (found[names.METRIC_STRAYS], found[names.METRIC_DUPLICATES]) == (1, 1)
    assert (found[names.METRIC_PENDING], found[names.METRIC_READY]) == (3, 1)


def test_two_metrics_of_one_interpreter_are_strangers() -> None:
    one, other = Metrics(), Metrics()
    one.stray()
    assert read(other)[names.METRIC_STRAYS] == 0


def test_the_workers_of_a_port_are_told_apart() -> None:
    one, other = Metrics(), Metrics()
    one.terminal(TERMINAL, "grpc")
    other.pending(4)
    found = read(merged({"0": one.render().decode(), "1": other.render().decode(), "2": ""}))
    assert found[f"{names.METRIC_PENDING} worker=0"] == 0
    assert found[f"{names.METRIC_PENDING} worker=1"] == 4
    assert sum(value for name, value in found.items() if name.startswith(names.METRIC_TERMINALS)) == 1
