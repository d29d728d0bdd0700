"""The four dashboards: what is happening, what it costs, how the tiers do, and what needs a hand."""

from typing import Any, Final

from infra.grafana.panels import Panel, Query, board, dollars, latency, quantile, rate, share
from trivium.telemetry import names as n

_STATES: Final = ((0, "closed", "green"), (1, "half open", "yellow"), (2, "open", "red"))
_READY: Final = ((0, "not ready", "red"), (1, "ready", "green"))
_ANSWERED: Final = '{kind="answered"}'


def overview() -> dict[str, Any]:
    """What is happening."""
    terminals, cache = n.METRIC_TERMINALS, n.METRIC_CACHE
    hits = rate(cache, "", '{result=~"exact|semantic"}')
    return board("trivium-overview", "Trivium: overview", "Requests, answers and their time, over both doors.", [
        Panel("Requests ended a second", (Query(rate(terminals, "")),), "stat", "reqps", width=4, height=4),
        Panel("Answered", (Query(share(rate(terminals, "", _ANSWERED), rate(terminals, ""))),), "stat", "percentunit", width=4, height=4),
        Panel("p95, arrival to terminal", (Query(f"histogram_quantile(0.95, {rate(n.METRIC_DURATION + '_bucket', 'le')})"),),
              "stat", "s", width=4, height=4),
        Panel("Dollars an hour", (Query(dollars(n.METRIC_COST, "")),), "stat", "currencyUSD", width=4, height=4),
        Panel("Waiting for an outcome", (Query(f"sum({n.METRIC_PENDING})"),), "stat", width=4, height=4),
        Panel("Cache hits", (Query(share(hits, rate(cache, ""))),), "stat", "percentunit", width=4, height=4),
        Panel("Answers by tier", (Query(rate(terminals, "tier", _ANSWERED), "{{tier}}"),), unit="reqps", stacked=True,
              about="A cached answer has the tier cache."),
        Panel("Ends by kind", (Query(rate(terminals, "kind"), "{{kind}}"),), unit="reqps", stacked=True,
              about="answered, refused (bad input, no route), expired (no answer in time), failed (every attempt failed)."),
        latency("Arrival to terminal, by tier", n.METRIC_DURATION, "tier", "Queues, escalations and fallbacks are in it."),
        latency("Arrival to terminal, by task type", n.METRIC_DURATION, "task_type", "Compare with each task's timeout."),
        Panel("Cache look-ups", (Query(rate(cache, "result"), "{{result}}"),), unit="reqps", stacked=True,
              about="refused: something was near, and the verifier said that it does not answer the same question."),
        Panel("Cached entries held", (Query(f"max({n.METRIC_CACHE_ENTRIES})", "entries"),),
              about="The largest view; every router and gateway holds one."),
        Panel("Requests by door", (Query(rate(terminals, "door"), "{{door}}"),), unit="reqps", stacked=True),
        Panel("Requests by task type", (Query(rate(terminals, "task_type"), "{{task_type}}"),), unit="reqps", stacked=True),
    ])  # fmt: skip


def money() -> dict[str, Any]:
    """What it costs."""
    cost, spend = n.METRIC_COST, n.METRIC_SPEND

    def by(label: str, metric: str = cost) -> Panel:
        return Panel(f"Dollars an hour by {label.replace('_', ' ')}", (Query(dollars(metric, label), f"{{{{{label}}}}}"),),
                     unit="currencyUSD", stacked=True)  # fmt: skip

    context = rate(n.METRIC_TOKENS, "target", '{kind="context"}')
    read = rate(n.METRIC_TOKENS, "target", '{kind="input"}')
    each = f"{rate(cost, 'tier')} / 1e3 / ({rate(n.METRIC_TERMINALS, 'tier', _ANSWERED)} > 0)"
    return board("trivium-money", "Trivium: money", "Attempts at the policy's prices; fixed costs of a month are not in it.", [
        Panel("Dollars, last 24 hours", (Query(f"sum(increase({cost}[24h])) / 1e6"),), "stat", "currencyUSD", width=6, height=4),
        Panel("Dollars in the time shown", (Query(f"sum(increase({cost}[$__range])) / 1e6"),), "stat", "currencyUSD", width=6, height=4),
        Panel("Against yesterday", (Query(f"sum(rate({cost}[1h])) / (sum(rate({cost}[1h] offset 1d)) > 0)"),), "stat",
              "percentunit", "The last hour against the same hour a day before.", width=6, height=4),
        Panel("Cloud's share of the bill", (Query(share(rate(cost, "", '{tier="cloud"}'), rate(cost, ""))),), "stat",
              "percentunit", width=6, height=4),
        by("tier"), by("target"), by("task_type"), by("tenant", spend), by("team", spend), by("user_tier", spend),
        Panel("Dollars for a thousand answers, by tier", (Query(each, "{{tier}}"),), unit="currencyUSD",
              about="What was spent on a tier, failed attempts too, for each thousand answers that it gave."),
        Panel("Tokens a second by kind", (Query(rate(n.METRIC_TOKENS, "kind"), "{{kind}}"),),
              about="context, tool, cache_read and cache_write are parts of input."),
        Panel("Output tokens a second by target", (Query(rate(n.METRIC_TOKENS, "target", '{kind="output"}'), "{{target}}"),), stacked=True),
        Panel("Retrieved context's share of the input, by target",
              (Query(share(context, read), "{{target}}"),), unit="percentunit"),
        Panel("Budgets: spent share of the limit", (Query(f"max by (budget, hard) ({n.METRIC_BUDGET_USED})", "{{budget}} hard={{hard}}"),),
              unit="percentunit", about="In the present day or month; of a budget with parts, the part that is nearest to its end."),
        Panel("Budgets: dollars spent", (Query(f"max by (budget) ({n.METRIC_BUDGET_SPENT}) / 1e6", "{{budget}}"),), unit="currencyUSD",
              about="All parts of a budget together."),
        Panel("Budgets: dollars held and not spent", (Query(f"max by (budget) ({n.METRIC_BUDGET_RESERVED}) / 1e6", "{{budget}}"),),
              unit="currencyUSD", about="Slices of the processes that pay. What a dead one held comes back when the auditor closes its account."),
        Panel("Budgets: limits in dollars", (Query(f"max by (budget) ({n.METRIC_BUDGET_LIMIT}) / 1e6", "{{budget}}"),), unit="currencyUSD"),
        Panel("Refused because a budget is used up, by tenant", (Query(rate(n.METRIC_OVER_BUDGET, "tenant"), "{{tenant}}"),), unit="reqps",
              stacked=True),
        Panel("Alerts of budgets", (Query(f"sum by (result) (increase({n.METRIC_BUDGET_ALERTS}[1h]))", "{{result}}"),), stacked=True,
              about="In an hour. not_posted: the webhook did not take them; trivium.alerts and the log have them."),
    ])  # fmt: skip


def tiers() -> dict[str, Any]:
    """How the tiers do."""
    attempts = n.METRIC_ATTEMPTS
    faults = rate(attempts, "target", '{outcome!~"answer|over_budget"}')
    return board("trivium-tiers", "Trivium: tiers", "The targets as their tiers see them, over both doors.", [
        latency("Time to first token", n.METRIC_TTFT, "target", "From the call to the first token, queue not included."),
        latency("Time per output token after the first", n.METRIC_TPOT, "target", "Rises when a model server is full."),
        latency("Queue wait", n.METRIC_QUEUE_WAIT, "target", "For a slot of the instance. Above it, add instances or slots."),
        Panel("Breakers", (Query(f"max by (target) ({n.METRIC_BREAKER})", "{{target}}"),), "state-timeline", words=_STATES,
              about="The worst of a target's instances."),
        Panel("Attempts a second by target", (Query(rate(attempts, "target"), "{{target}}"),), unit="reqps", stacked=True),
        Panel("Share of attempts without an answer", (Query(f"{faults} / {rate(attempts, 'target')}", "{{target}}"),), unit="percentunit"),
        Panel("Attempts without an answer, by kind",
              (Query(rate(attempts, "target, outcome", '{outcome!="answer"}'), "{{target}} {{outcome}}"),), unit="reqps", stacked=True, width=24),
        Panel("Turned away because of a queue", (Query(rate(n.METRIC_SHED, "target, priority"), "{{target}} {{priority}}"),), unit="reqps", stacked=True,
              about="Batch work first, interactive work last. Without a target: the whole request, when it was decided."),
        Panel("Batch work: requests that are held", (Query(f"sum by (tier) ({n.METRIC_BATCH_WAITING})", "{{tier}}"),), stacked=True,
              about="They wait, or their bill is still to come (docs/batch.md)."),
        Panel("Batch work: batches under way", (Query(f"sum by (tier) ({n.METRIC_BATCHES})", "{{tier}}"),), stacked=True),
        Panel("Attempts that may have been paid twice", (Query(rate(n.METRIC_AMBIGUOUS, "target, then"), "{{target}} {{then}}"),), stacked=True,
              about="Started, never settled, and seen again: called once more or failed, as the policy says."),
        Panel("Processor time of the tiers", (Query('sum by (service, instance) (rate(process_cpu_seconds_total{job="trivium"}[$__rate_interval]))',
                                                    "{{service}} {{instance}}"),), unit="percentunit", about="1: one whole core."),
        Panel("Resident memory", (Query('max by (service, instance) (process_resident_memory_bytes{job="trivium"})', "{{service}} {{instance}}"),),
              unit="bytes"),
    ])  # fmt: skip


def health() -> dict[str, Any]:
    """What needs a hand."""
    return board("trivium-health", "Trivium: health", "What docs/runbooks is about.", [
        Panel("Alerts that fire", (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),), "state-timeline", width=24,
              height=6),
        Panel("Instances", (Query(f"min by (service, instance) ({n.METRIC_READY})", "{{service}} {{instance}}"),), "state-timeline", words=_READY),
        Panel("Instances that answer Prometheus", (Query('sum by (service) (up{job="trivium"})', "{{service}}"),)),
        Panel("Waiting for an outcome", (Query(f"sum by (instance) ({n.METRIC_PENDING})", "{{instance}}"),), stacked=True,
              about="Rises while a tier is slow or gone; falls at the latest with the attempts' deadlines."),
        Panel("Dead letters by reason", (Query(f"sum by (reason) (increase({n.METRIC_DEADLETTERS}[5m])) > 0", "{{reason}}"),), stacked=True,
              about="In five minutes. trivium deadletter list names each."),
        Panel("Refused at a door", (Query(rate(n.METRIC_REFUSED, "door, reason"), "{{door}} {{reason}}"),), unit="reqps", stacked=True,
              about="Wrong key, wrong tenant, over the rate: before anything was decided."),
        Panel("Certificates: time left", (Query(f"min by (service, setting) ({n.METRIC_CERTIFICATE}) - time()", "{{service}} {{setting}}"),), unit="s",
              about="Of the instance whose file ends first. They are read again without a restart."),
        Panel("Asyncio tasks", (Query(f"max by (service, instance) ({n.METRIC_TASKS})", "{{service}} {{instance}}"),),
              about="Stays under a steady load; a leak climbs."),
        Panel("Ledger: records not counted yet", (Query(f"max by (instance) ({n.METRIC_LEDGER_BEHIND})", "{{instance}}"),),
              about="Of the store behind trivium report. Climbs while its database is away; the topics keep what comes."),
        Panel("Ledger: its database takes records", (Query(f"min by (instance) ({n.METRIC_LEDGER_DATABASE})", "{{instance}}"),), "state-timeline",
              words=_READY),
        Panel("Ledger: records a second", (Query(rate(n.METRIC_LEDGER_RECORDS, "topic, result"), "{{topic}} {{result}}"),), stacked=True,
              about="refused: the table ledger_refused says which and why. lost: deleted from the topic before they were counted."),
        Panel("Strays a second", (Query(rate(n.METRIC_STRAYS, "")),), about="Outcomes that came after another had won: late, and often paid."),
        Panel("Known identities that came again", (Query(rate(n.METRIC_DUPLICATES, "")),), about="Callers that repeat; harmless."),
        Panel("Expired and failed, by task type", (Query(rate(n.METRIC_TERMINALS, "task_type, kind", '{kind=~"expired|failed"}'),
                                                         "{{task_type}} {{kind}}"),), unit="reqps", stacked=True),
        Panel("Queue wait, p95 of all targets", (Query(quantile(0.95, n.METRIC_QUEUE_WAIT, "target"), "{{target}}"),), unit="s"),
    ])  # fmt: skip


BOARDS: Final = {"overview": overview, "money": money, "tiers": tiers, "health": health}
