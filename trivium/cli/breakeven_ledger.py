"""Break-even from the ledger: its prices for an answer of the cloud and of retrieval, and its pace for the volume."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from trivium.cli.log import ledger_records, since
from trivium.cli.report import lines
from trivium.cli.screen import run, settings
from trivium.cli.tier_calls import USE_CASE
from trivium.core.errors import TriviumError
from trivium.core.outcome import Verdict as AttemptVerdict
from trivium.core.policy import Policy, Route, Target, Tier
from trivium.economy.breakeven import Verdict, judge
from trivium.economy.money import USD, Amount, MixedCurrencies, nothing
from trivium.economy.observed import MONTH_MS, Observed, Tried
from trivium.economy.roads import Road, road
from trivium.policy import load
from trivium.settings import KafkaSettings, ProcessSettings, ToolSettings
from trivium.v1 import services_pb2
from trivium.v1.records_pb2 import LedgerRecord

Amounts = Mapping[str, Amount | None]
ANSWERED = (AttemptVerdict.ACCEPTED.value, AttemptVerdict.ESCALATED.value)
SHORT_MS = 86_400_000
CACHED = "cache"


class NothingToCompare(TriviumError):
    """The ledger has no task type with an endpoint and another road."""


def judged_ledger(
    policy_path: Path | None, given: Mapping[str, Any], amounts: Amounts, currency: str, months: int, capacity: int
) -> tuple[list[Verdict], list[str]]:
    """A verdict for each task type that the ledger has figures for, and notes on what they stand on."""
    if currency != USD:
        raise MixedCurrencies(f"--currency: the ledger and the policy count in {USD}; {currency} figures cannot be compared with them")
    try:
        start = since(given.get("since"))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    policy = load(policy_path or settings(ProcessSettings).policy)
    if given.keys() & {"ledger", "db"}:
        observed = _stored(given, start)
    else:
        observed = run(_observe(settings(KafkaSettings, kafka=given.get("kafka")), start, given.get("tenant")))
    if task := given.get("task"):
        observed = {name: one for name, one in observed.items() if name == task}
    if not observed:
        what = f"no request of task type {task}" if task else "no request that a target was asked for"
        raise NothingToCompare(f"the ledger has {what}{' in this span' if start else ''}; give figures by flags or --file")
    now = int(time.time() * 1000)
    first = start or min(one.first_ms for one in observed.values())
    span = max(1, (now if start else max(one.last_ms for one in observed.values())) - first)
    return _judged(policy, observed, span, given.get("volume"), amounts, months, capacity)


async def _observe(kafka: KafkaSettings, start: int, tenant: str | None) -> dict[str, Observed]:
    """By task type, what some target was asked for. A cache hit is paid by no road, so it is no volume of any."""
    found: dict[str, Observed] = defaultdict(Observed)
    async for record in ledger_records(kafka, start):
        terminal = record.terminal
        if record.role == "terminal" and terminal.task_type and terminal.attempts and tenant in (None, terminal.identity.tenant):
            found[terminal.task_type].add(record.at_ms, terminal.all_cloud_micro_dollars, tried(record))
    return found


def _stored(given: Mapping[str, Any], start: int) -> dict[str, Observed]:
    """From the ledger's store, by whole days (UTC)."""
    asked = services_pb2.ReportRequest(by=["task_type", "tier", "day", "use_case"], from_ms=-(-start // SHORT_MS) * SHORT_MS)
    if given.get("tenant"):
        asked.filters.add(dimension="tenant", values=[given["tenant"]])
    return observed_in(lines(asked, settings(ToolSettings, ledger=given.get("ledger")).ledger, given.get("db")))


def observed_in(found: Iterable[services_pb2.ReportLine]) -> dict[str, Observed]:
    """Lines by task type, tier, day and use case. Answered requests count; cache hits and measurements of prompts do not."""
    observed: dict[str, Observed] = defaultdict(Observed)
    for line in found:
        task, tier, day, use_case = line.group if not line.total else ("", "", "", "")
        if not task or tier == CACHED or use_case == USE_CASE:
            continue
        one, answers = observed[task], line.attempts - line.open_attempts - line.faults
        began_ms = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) if day else 0
        one.requests += line.answered
        one.all_cloud_micro_dollars += line.all_cloud
        one.first_ms = min(one.first_ms or began_ms, began_ms)
        one.last_ms = max(one.last_ms, began_ms + SHORT_MS)
        if tier == Tier.CLOUD.value:
            one.api_cost, one.api_answers = one.api_cost + line.cost, one.api_answers + answers
        elif tier == Tier.RETRIEVAL.value:
            one.retrieval_cost, one.retrieval_answers = one.retrieval_cost + line.cost, one.retrieval_answers + answers
    return {task: one for task, one in observed.items() if one.requests}


def tried(record: LedgerRecord) -> list[Tried]:
    """The attempts of a terminal, as the arithmetic sees them."""
    return [
        Tried(Tier(attempt.target.partition("/")[0]), attempt.cost_micro_dollars, attempt.verdict in ANSWERED)
        for attempt in record.terminal.attempts
    ]


def _judged(
    policy: Policy, observed: Mapping[str, Observed], span_ms: int, volume: int | None, amounts: Amounts, months: int, capacity: int
) -> tuple[list[Verdict], list[str]]:
    verdicts, notes = [], [f"The ledger covers {_span(span_ms)}; prices are micro-dollars that were really counted."]
    if volume is None and span_ms < SHORT_MS:
        notes.append("A month at the pace of less than a day is a guess: --volume says it better.")
    for task, one in sorted(observed.items()):
        route = (policy.tasks[task].route if task in policy.tasks else ()) or policy.default_route
        fee, whose = _fee(policy, route, amounts)
        others, told = _others(route, one, amounts)
        if not fee.micro or not others:
            missing = "no fine-tuned target of the policy has a price per_month (--endpoint-fee)" if others else "no price of another road"
            notes.append(f"{task}: left out, {missing}")
            continue
        notes.append(f"{task}: endpoint {fee} a month ({whose}); {'; '.join(told)}")
        endpoint = road("endpoint", fee, amounts["endpoint_price"] or nothing(USD), amounts["training"], months, capacity)
        verdicts.append(judge(task, volume or one.monthly(span_ms), endpoint, others))
    if not verdicts:
        raise NothingToCompare("\n".join(["nothing to compare:", *notes[1:]]))
    return verdicts, notes


def _fee(policy: Policy, route: Route, amounts: Amounts) -> tuple[Amount, str]:
    """What an endpoint costs a month, whole, as if it served this task type alone: that of the route, else one like the
    policy's dearest. Its token prices are another way of saying the same money, so they are left out unless a flag gives one."""
    if amounts["endpoint_fee"] is not None:
        return amounts["endpoint_fee"], "as given"
    own = [leg.target for leg in route if leg.target.tier is Tier.FINETUNED]
    every = [target for target in policy.targets.values() if target.tier is Tier.FINETUNED]
    dear = max(own or every, key=lambda target: target.prices.fixed_per_month, default=None)
    if dear is None:
        return nothing(USD), ""
    return _monthly(dear), f"{dear.name}" if own else f"one like {dear.name}; none is in its route"


def _others(route: Route, one: Observed, amounts: Amounts) -> tuple[list[Road], list[str]]:
    found: list[Road] = []
    told: list[str] = []
    for name, seen, said in (("api", one.api, amounts["api_price"]), ("retrieval", one.retrieval, amounts["retrieval_price"])):
        price, how = (said, "as given") if said is not None else seen or (None, "")
        if price is not None:
            fixed = nothing(USD) if name == "api" else _retrieval_fee(route, amounts)
            found.append(road(name, fixed, price))
            told.append(f"{name} {price} a request ({how})")
    return found, told


def _retrieval_fee(route: Route, amounts: Amounts) -> Amount:
    own = [_monthly(leg.target) for leg in route if leg.target.tier is Tier.RETRIEVAL]
    return amounts["retrieval_fee"] or max(own, key=lambda a: a.micro, default=nothing(USD))


def _monthly(target: Target) -> Amount:
    return Amount(Fraction(target.prices.fixed_per_month), USD)


def _span(ms: int) -> str:
    if ms < 60_000:
        return f"{ms // 1000} s"
    minutes = ms // 60_000
    if ms >= MONTH_MS:
        return f"{ms // 86_400_000} days"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h" if minutes >= 1440 else f"{minutes // 60} h {minutes % 60} min"

