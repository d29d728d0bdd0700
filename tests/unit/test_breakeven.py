"""Break-even: the arithmetic, the published case, and what is said about figures that make no sense."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.cli import breakeven_ledger
from trivium.cli.app import trivium
from trivium.core.errors import TriviumError
from trivium.core.policy import Tier
from trivium.economy.breakeven import Range, by_price, by_volume_and_price, judge, saved, wins
from trivium.economy.case import PUBLISHED, work
from trivium.economy.money import USD, Amount, MixedCurrencies, nothing, read_amount, total
from trivium.economy.observed import MONTH_MS, Observed, Tried
from trivium.economy.plot import picture, svg, terminal
from trivium.economy.roads import Road, road
from trivium.economy.scenario import parse_scenario
from trivium.v1 import outcome_pb2, request_pb2, services_pb2
from trivium.v1.records_pb2 import LedgerRecord

POLICY = Path(__file__).parents[2] / "examples/support/policy.yaml"
CASE = ("breakeven", "--example", "support-saas")
SCENARIO = """\
currency: AUD
tasks:
  classify:
    volume: 180_000
    endpoint: {per_month: 800, training: 6_000, months: 12}
    api: {per_request: 0.03}
    retrieval: {per_month: 200, per_request: 7350/300000}
  draft:
    volume: 1_000
    endpoint: {per_month: AU$800, capacity: 30_000}
    api: {per_request: 0.03 AUD}
"""


def amount(text: str, currency: str = USD) -> Amount:
    return read_amount(text, currency, "here")


def a_road(fee: str, each: str, training: str = "0", months: int = 12, capacity: int = 0) -> Road:
    return road("r", amount(fee), amount(each), amount(training), months, capacity)


def run(*words: str) -> Result:
    return CliRunner().invoke(trivium, list(words), standalone_mode=False)


def refused(*words: str) -> str:
    error = run(*words).exception
    assert isinstance(error, (TriviumError, click.ClickException)), error
    return str(error)


def test_the_published_case_as_the_command_says_it() -> None:
    done = run(*CASE, "--json")
    figures = json.loads(done.output.splitlines()[-1])
    assert {key: figures[key] for key in ("all_cloud", "all_retrieval", "routed", "all_cloud_600k", "routed_600k")} == {
        "all_cloud": 9_000, "all_retrieval": 7_550, "routed": 4_250, "all_cloud_600k": 18_000, "routed_600k": 7_500,
    }  # fmt: skip
    assert figures["saved_share"] == 0.5278
    assert figures["break_even"] == 26_667
    assert done.return_value == 0


def test_the_published_case_shows_its_steps_and_what_does_not_follow() -> None:
    said = run(*CASE).output
    for step in ("300,000 x AU$0.03", "AU$800.00 + AU$2,100.00 + AU$1,350.00", "AU$4,250.00", "53%", "AU$18,000.00", "AU$7,500.00"):
        assert step in said
    assert "AU$5,800.00. That does not follow from its own table" in said


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (("--volume", "100000"), "all_cloud", 3_000),
        (("--api-price", "0.02"), "all_cloud", 6_000),
        (("--endpoint-fee", "1000"), "routed", 4_450),
        (("--embedding-price", "0.001"), "all_retrieval", 7_700),
        (("--inference-price", "0.02"), "all_retrieval", 6_350),
        (("--vector-store", "300"), "routed", 4_350),
        (("--routed-retrieval-price", "0.0245"), "routed", 4_187.5),
        (("--shares", "0/0/100"), "routed", 9_000),
        (("--training", "1200", "--months", "6"), "routed", 4_450),
        (("--scaled-volume", "900000"), "all_cloud_900k", 27_000),
        (("--currency", "EUR"), "currency", "EUR"),
    ],
)
def test_every_input_of_the_case_can_be_changed(flags: tuple[str, ...], key: str, value: object) -> None:
    changed = json.loads(run(*CASE, *flags, "--json").output)
    assert changed[key] == value
    assert key not in (usual := json.loads(run(*CASE, "--json").output)) or usual[key] != value
    assert "5,800" not in run(*CASE, *flags).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*CASE, "--api-price", "-0.03"), "--api-price: is -0.03, a price cannot be negative"),
        ((*CASE, "--volume", "0"), "the volume must be at least one request a month, not 0"),
        ((*CASE, "--currency", "QQQ"), "--currency: 'QQQ' is no currency in use"),
        ((*CASE, "--api-price", "0.03 EUR"), "is in EUR, the other figures are in AUD; there is no rate of exchange"),
        ((*CASE, "--shares", "60/25/10"), "must be three whole percentages that sum to 100"),
        ((*CASE, "--shares", "60-40"), "must be three whole percentages that sum to 100"),
        ((*CASE, "--months", "0"), "training must be spread over at least one month"),
        ((*CASE, "--capacity", "5"), "--capacity is none of the inputs of --example support-saas"),
        (("breakeven", "--shares", "60/25/15"), "--shares is an input of --example"),
        (("breakeven", "--volume", "5", "--api-price", "0.03"), "--endpoint-fee is missing"),
        (("breakeven", "--volume", "5", "--endpoint-fee", "8"), "--api-price is missing"),
        (("breakeven", "--endpoint-fee", "8", "--api-price", "0.03"), "--volume is missing"),
        (("breakeven", "--volume", "0", "--endpoint-fee", "8", "--api-price", "0.03"), "--volume: is 0"),
        (("breakeven", "--volume", "9", "--endpoint-fee", "8", "--api-price", "1", "--retrieval-fee", "2"), "--retrieval-price is missing"),
        (("breakeven", "--volume", "9", "--endpoint-fee", "8", "--api-price", "three"), "'three' is no amount of money"),
        (("breakeven", "--volume", "9", "--endpoint-fee", "8", "--api-price", "1/0"), "divides by nothing"),
        (("breakeven", "--volume", "9", "--endpoint-fee", "8", "--api-price", "1", "--plot", "a.png"), "must end in .svg"),
        (("breakeven", "--since", "1d", "--currency", "AUD"), "the ledger and the policy count in USD"),
        (("breakeven", "--volume", "9", "--endpoint-fee", "8", "--api-price", "1", "--task", "x"), "there are no figures for 'x'"),
        (("breakeven", "--file", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("breakeven", "--file", "x.yaml", "--volume", "3"), "--volume and --file: the file has the figures"),
    ],
)  # fmt: skip
def test_bad_figures_are_told_in_one_sentence(words: tuple[str, ...], told: str) -> None:
    assert told in refused(*words)


def test_figures_by_flags_and_a_plot(tmp_path: Path) -> None:
    drawn = tmp_path / "costs.svg"
    words = ("breakeven", "--volume", "180000", "--endpoint-fee", "800", "--api-price", "0.03", "--retrieval-fee", "200",
             "--retrieval-price", "7350/300000", "--training", "6000", "--plot", str(drawn))  # fmt: skip
    said = run(*words).output
    assert "beats all of them from 44,898 requests a month" in said
    figures = json.loads(run(*words, "--json").stdout.splitlines()[-1])
    assert (figures["break_even"], figures["saved"], figures["endpoint"]) == (44_898, 3_310, 1_300)
    root = ElementTree.fromstring(drawn.read_text())
    assert len(root.findall(".//{*}polyline")) == 3
    assert "break-even 44,898" in [text.text for text in root.findall(".//{*}text")]


def test_an_endpoint_that_never_pays_is_exit_status_one() -> None:
    done = run("breakeven", "--volume", "10", "--endpoint-fee", "5", "--endpoint-price", "0.04", "--api-price", "0.03")
    assert (done.return_value, "at no volume" in done.output) == (1, True)


def test_a_scenario_file_with_several_task_types(tmp_path: Path) -> None:
    path = tmp_path / "month.yaml"
    path.write_text(SCENARIO)
    done = run("breakeven", "--file", str(path), "--json")
    first, second = (json.loads(line) for line in done.output.splitlines())
    assert (first["task"], first["currency"], first["break_even"]) == ("classify", "AUD", 44_898)
    said = run("breakeven", "--file", str(path)).output
    assert "A month at this volume" in said
    assert "Break-even when prices change" in run("breakeven", "--file", str(path), "--task", "draft").output
    assert (second["wins"][0], second["wins"][-1]) == ([26_667, 30_000], [213_334, None])


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ("per_request: 0.03}", "per_request: -1}", "s.yaml:6: tasks.classify.api.per_request: is -1, a price cannot be negative"),
        ("volume: 180_000", "volume: 0", "s.yaml:4: tasks.classify.volume: is 0, must be from 1"),
        ("currency: AUD", "currency: DOUBLOON", "s.yaml:1: currency: 'DOUBLOON' is no currency in use"),
        ("per_month: 800, training", "training", "s.yaml:5: tasks.classify.endpoint.per_month: is missing"),
        ("per_month: 200", "per_month: 200 USD", "is in USD, the other figures are in AUD"),
        ("    api: {per_request: 0.03 AUD}\n", "", "tasks.draft.api: is missing: the endpoint is compared with api, retrieval or both"),
        ("per_month: 200", "per_mnth: 200", "did you mean per_month?"),
        ("per_month: 200", "per_month: [200]", "must be an amount of money"),
    ],
)
def test_a_wrong_scenario_is_told_with_line_and_field(wrong: str, right: str, told: str) -> None:
    assert wrong in SCENARIO
    with pytest.raises(Exception, match=".") as caught:
        parse_scenario(SCENARIO.replace(wrong, right, 1).encode(), "s.yaml")
    assert told in str(caught.value)


def test_amounts_are_exact_and_currencies_never_mix() -> None:
    assert amount("7200/300000") * 300_000 == amount("7,200")
    assert str(amount("0.025333")) == "$0.025333"
    assert str(amount("6340.625")) == "$6,340.63"
    assert total([amount("0.1")] * 10, USD) == amount("1")
    assert (amount("1") / 3).rounded == 333_333
    with pytest.raises(MixedCurrencies):
        amount("1") + amount("1", "AUD")
    with pytest.raises(MixedCurrencies):
        road("r", amount("1"), amount("1", "AUD"))
    with pytest.raises(MixedCurrencies):
        assert amount("1") < amount("1", "EUR")


cents = st.integers(0, 5_000).map(lambda c: Amount(Fraction(c * 10_000), USD))
roads = st.builds(road, st.just("r"), cents, cents, cents, st.integers(1, 36))


@settings(deadline=None, database=None, max_examples=30)
@given(roads, st.sampled_from((0, 7, 60, 400)), st.lists(roads, min_size=1, max_size=2), st.integers(1, 3_000))
def test_ranges_say_what_the_costs_say(endpoint: Road, capacity: int, others: list[Road], volume: int) -> None:
    endpoint = road("e", endpoint.per_month, endpoint.per_request, endpoint.training, endpoint.months, capacity)
    inside = any(r.first <= volume and (r.last is None or volume <= r.last) for r in wins(endpoint, others))
    assert inside == all(endpoint.cost(volume) <= other.cost(volume) for other in others)
    assert inside == (saved(endpoint, others, volume).micro >= 0)


def test_more_endpoints_for_more_requests() -> None:
    stepped = wins(a_road("800", "0", capacity=30_000), (a_road("0", "0.03"),))
    assert (stepped[0], stepped[1], stepped[-1]) == (Range(26_667, 30_000), Range(53_334, 60_000), Range(213_334, None))
    assert wins(a_road("800", "0", capacity=20_000), (a_road("0", "0.03"),)) == ()
    assert wins(a_road("0", "0.04"), (a_road("100", "0.03"),)) == (Range(1, 10_000),)


def test_sensitivity_moves_both_ways() -> None:
    verdict = judge("x", 180_000, a_road("800", "0"), [a_road("0", "0.03")])
    assert by_price(verdict, (-50, 0, 100)) == [(-50, 53_334, 13_334), (0, 26_667, 26_667), (100, 13_334, 53_334)]
    (row,) = by_volume_and_price(verdict, (-50,))
    assert (row[1], row[2][0]) == (90_000, amount("550"))
    drawn = terminal(picture(verdict))
    assert all(mark in drawn for mark in ("R r, R r", "RRR", "|", "360,000"))
    assert svg([picture(verdict), picture(verdict)]).count("<polyline") == 4


def test_what_the_ledger_observed() -> None:
    seen = Observed()
    assert (seen.api, seen.retrieval) == (None, None)
    seen.add(1_000, 600, ())
    assert seen.api == (amount("0.0006"), "what the reference target takes for the same tokens")
    seen.add(2_000, 600, [Tried(Tier.CLOUD, 300, False), Tried(Tier.CLOUD, 500, True), Tried(Tier.RETRIEVAL, 70, True)])
    assert seen.api == (Amount(Fraction(800), USD), "measured on 1 answers")
    assert seen.retrieval == (Amount(Fraction(70), USD), "measured on 1 answers")
    assert seen.monthly(MONTH_MS // 10) == 20


def record(task: str, target: str, cost: int, at_ms: int, tenant: str = "acme") -> LedgerRecord:
    attempt = outcome_pb2.Attempt(target=target, cost_micro_dollars=cost, verdict="accepted")
    identity = request_pb2.Identity(tenant=tenant, id=str(at_ms))
    terminal = outcome_pb2.Terminal(identity=identity, task_type=task, attempts=[attempt], all_cloud_micro_dollars=4_000)
    return LedgerRecord(role="terminal", terminal=terminal, at_ms=at_ms)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[LedgerRecord]:
    """A ledger of six days: 20 answers of the fine-tuned model, 10 each of two other roads; one hit, one stray, one of another."""
    day = 86_400_000
    found = [record("draft_reply", "finetuned/support", 40, i) for i in range(1, 21)]
    found += [record("product_question", "retrieval/docs", 60, day), record("product_question", "cloud/small", 900, 6 * day + 1)] * 10
    found += [LedgerRecord(role="terminal", terminal=outcome_pb2.Terminal(task_type="draft_reply", tier="cache"))]
    found += [LedgerRecord(role="stray"), record("draft_reply", "cloud/small", 10**6, 5, tenant="globex")]

    async def records(_kafka: object, _since: int = 0) -> AsyncIterator[LedgerRecord]:
        for one in found:
            yield one

    monkeypatch.setattr(breakeven_ledger, "ledger_records", records)
    return found


def test_from_the_ledger(kept: list[LedgerRecord]) -> None:
    words = ("breakeven", "--tenant", "acme", "--policy", str(POLICY), "--json")
    draft, product = (json.loads(line) for line in run(*words).output.splitlines())
    assert (draft["task"], draft["volume"], draft["endpoint"], draft["break_even"]) == ("draft_reply", 100, 350, 87_500)
    assert (product["volume"], product["api"], product["retrieval"], product["break_even"]) == (100, 0.09, 0.006, 5_833_334)
    said = run(*words[:-1], "--volume", "90000").output
    assert "one like finetuned/tickets; none is in its route" in said
    assert "The ledger covers 6 d 0 h" in said
    assert "what the reference target takes for the same tokens" in run(*words[:-1], "--task", "draft_reply").output
    kept.clear()
    assert "the ledger has no request that a target was asked for" in refused(*words)


def test_from_the_ledgers_store() -> None:
    def line(task: str, tier: str, day: str, use_case: str = "support", **figures: int) -> services_pb2.ReportLine:
        return services_pb2.ReportLine(group=[task, tier, day, use_case], **figures)

    found = breakeven_ledger.observed_in([
        line("ask", "retrieval", "2026-11-01", answered=30, all_cloud=9_000, attempts=42, open_attempts=1, faults=1, cost=2_000),
        line("ask", "cloud", "2026-11-03", answered=10, all_cloud=3_000, attempts=12, faults=2, cost=8_000),
        line("ask", "cloud", "2026-11-03", "prompts-slim", attempts=500, cost=10**6),
        line("ask", "cache", "2026-11-04", answered=70, cached=70, all_cloud=10**6),
        line("other", "cloud", "2026-11-03", attempts=1, faults=1),
        services_pb2.ReportLine(total=True, requests=10**6),
    ])  # fmt: skip
    assert list(found) == ["ask"]
    ask = found["ask"]
    assert (ask.requests, ask.last_ms - ask.first_ms) == (40, 3 * 86_400_000)
    assert ask.api == (Amount(Fraction(800), USD), "measured on 10 answers")
    assert ask.retrieval == (Amount(Fraction(50), USD), "measured on 40 answers")


def test_the_case_is_the_sources_table() -> None:
    worked = work(PUBLISHED)
    assert worked.all_retrieval == read_amount("7550", "AUD", "")
    assert worked.routed.requests == (180_000, 75_000, 45_000)
    assert nothing("AUD") < worked.routed.total


