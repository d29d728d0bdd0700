"""Prometheus metrics of one process, in a registry of its own.

Terminals, cost and duration are counted where requests end (router, gateway); attempts, tokens and latency of
targets where they are answered (tiers): summed over the mesh nothing is counted twice.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from trivium.core.outcome import Answer, Outcome, ReasonCode, Terminal, Usage
from trivium.core.policy import NOBODY_SHOWN, Shown
from trivium.core.request import Priority, Request
from trivium.telemetry import names

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_DURATION: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)
_TPOT: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}

OTHER: Final = "other"
"""Stands for every team and user tier that the policy does not list: callers choose the words, we bear the series."""

CacheResult = Literal["exact", "semantic", "miss", "refused"]
Door = Literal["kafka", "grpc"]


class Metrics:
    """Everything a process counts. Cheap: a few microseconds a terminal."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._terminals = Counter(
            names.METRIC_TERMINALS, "Terminals.", ("kind", "tier", "target", "task_type", "door"), registry=registry
        )
        self._cost = Counter(names.METRIC_COST, "Micro-dollars.", ("tier", "target", "task_type"), registry=registry)
        self._spend = Counter(
            names.METRIC_SPEND, "Micro-dollars by who asked.", ("tenant", "team", "user_tier"), registry=registry
        )
        self._tokens = Counter(names.METRIC_TOKENS, "Tokens.", ("kind", "target"), registry=registry)
        self._duration = Histogram(
            names.METRIC_DURATION, "Arrival to terminal.", ("tier", "task_type"), registry=registry, buckets=_DURATION
        )
        self._ttft = Histogram(names.METRIC_TTFT, "First token.", ("target",), registry=registry, buckets=_DURATION)
        self._tpot = Histogram(
            names.METRIC_TPOT, "Time per output token after the first.", ("target",), registry=registry, buckets=_TPOT
        )
        self._attempts = Counter(names.METRIC_ATTEMPTS, "Attempts.", ("target", "outcome"), registry=registry)
        self._cache = Counter(names.METRIC_CACHE, "Cache look-ups.", ("result",), registry=registry)
        self._cache_results = {result: self._cache.labels(result) for result in get_args(CacheResult)}
        self._cache_entries = Gauge(names.METRIC_CACHE_ENTRIES, "Entries in the view.", registry=registry)
        self._queue_wait = Histogram(
            names.METRIC_QUEUE_WAIT, "Wait for a slot.", ("target",), registry=registry, buckets=_DURATION
        )
        self._breaker = Gauge(names.METRIC_BREAKER, "0 closed, 1 half open, 2 open.", ("target",), registry=registry)
        self._deadletters = Counter(names.METRIC_DEADLETTERS, "Dead letters.", ("reason",), registry=registry)
        for code in ReasonCode:
            # From the start: the first one of a series that is new is a rise that nobody sees.
            self._deadletters.labels(code.value)
        self._strays = Counter(names.METRIC_STRAYS, "Outcomes that came too late.", registry=registry)
        self._duplicates = Counter(names.METRIC_DUPLICATES, "Known identities that came again.", registry=registry)
        self._shed = Counter(names.METRIC_SHED, "Turned away by load.", ("target", "priority"), registry=registry)
        for priority in Priority:
            self._shed.labels("", priority.value)
        self._over_budget = Counter(names.METRIC_OVER_BUDGET, "Refused for money.", ("tenant",), registry=registry)
        self._ambiguous = Counter(
            names.METRIC_AMBIGUOUS, "Perhaps paid, and came again.", ("target", "then"), registry=registry
        )
        self._pending = Gauge(names.METRIC_PENDING, "Requests that wait for an outcome.", registry=registry)
        self._tasks = Gauge(names.METRIC_TASKS, "Asyncio tasks.", registry=registry)
        self._refused = Counter(
            names.METRIC_REFUSED, "Refused at a door.", ("door", "reason", "key"), registry=registry
        )
        self._batch: tuple[Gauge, Gauge] | None = None
        self._ledger: tuple[Gauge, Counter, Gauge] | None = None
        self._certificate = Gauge(names.METRIC_CERTIFICATE, "When it expires.", ("setting",), registry=registry)
        self._ready = Gauge(names.METRIC_READY, "1 when the process takes work.", registry=registry)
        # Finding a child by its labels costs more than counting with it.
        self._known: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._costs: dict[tuple[str, str], Counter] = {}
        self._spent: dict[tuple[str, str, str], Counter] = {}
        self._attempted: dict[tuple[str, str], Counter] = {}
        self._token_kinds: dict[tuple[str, str], Counter] = {}
        self._of_target: dict[str, tuple[Histogram, Histogram, Histogram]] = {}

    def terminal(
        self, terminal: Terminal, door: Door, asked: Request | None = None, shown: Shown = NOBODY_SHOWN
    ) -> None:
        """A request ended here. `asked`: whose bill it goes on; `shown`: which of its words may be labels."""
        if asked is not None and terminal.cost_micro_dollars:
            self._charge(terminal, asked, shown)
        labels = (terminal.kind.value, terminal.tier, terminal.target, terminal.task_type, door)
        known = self._known.get(labels)
        if known is None:
            duration = self._duration.labels(terminal.tier, terminal.task_type)
            known = self._known[labels] = (self._terminals.labels(*labels), duration)
        known[0].inc()
        known[1].observe(max(terminal.ended_ms - terminal.arrived_ms, 0) / 1000)
        if terminal.reason is not None and asked is not None:
            if terminal.reason.code is ReasonCode.OVERLOADED:
                self.shed("", asked.priority.value)
            elif terminal.reason.code is ReasonCode.OVER_BUDGET:
                self._over_budget.labels(terminal.identity.tenant).inc()
        for attempt in terminal.attempts:
            if attempt.cost_micro_dollars:
                key = (attempt.target, terminal.task_type)
                cost = self._costs.get(key)
                if cost is None:
                    tier = attempt.target.partition("/")[0]
                    cost = self._costs[key] = self._cost.labels(tier, attempt.target, terminal.task_type)
                cost.inc(attempt.cost_micro_dollars)

    def _charge(self, terminal: Terminal, asked: Request, shown: Shown) -> None:
        team, user_tier = asked.team, asked.user_tier
        key = (
            terminal.identity.tenant,
            team if not team or team in shown.teams else OTHER,
            user_tier if not user_tier or user_tier in shown.user_tiers else OTHER,
        )
        spent = self._spent.get(key)
        if spent is None:
            spent = self._spent[key] = self._spend.labels(*key)
        spent.inc(terminal.cost_micro_dollars)

    def attempt(self, outcome: Outcome, target: str = "") -> None:
        """An attempt was answered here, by `target` (the outcome's own unless given)."""
        target = target or outcome.target
        result = outcome.result
        key = (target, "answer" if isinstance(result, Answer) else result.kind.value)
        attempts = self._attempted.get(key)
        if attempts is None:
            attempts = self._attempted[key] = self._attempts.labels(*key)
        attempts.inc()
        ttft, tpot, _ = self._times(target)
        if outcome.ttft_ms is not None:
            ttft.observe(outcome.ttft_ms / 1000)
        if outcome.tpot_us is not None:
            tpot.observe(outcome.tpot_us / 1_000_000)
        self._count_tokens(outcome.usage, target)

    def _times(self, target: str) -> tuple[Histogram, Histogram, Histogram]:
        """First token, time per token and queue wait of a target."""
        known = self._of_target.get(target)
        if known is None:
            known = (self._ttft.labels(target), self._tpot.labels(target), self._queue_wait.labels(target))
            self._of_target[target] = known
        return known

    def _count_tokens(self, usage: Usage, target: str) -> None:
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("context", usage.context_tokens),
            ("tool", usage.tool_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        ):
            if tokens:
                counter = self._token_kinds.get((kind, target))
                if counter is None:
                    counter = self._token_kinds[kind, target] = self._tokens.labels(kind, target)
                counter.inc(tokens)

    def cache(self, result: CacheResult) -> None:
        """The cache was asked."""
        self._cache_results[result].inc()

    def cache_entries(self, count: int) -> None:
        """So many entries are in the view."""
        self._cache_entries.set(count)

    def queue_wait(self, target: str, wait_ms: float) -> None:
        """A work record waited so long for a slot."""
        self._times(target)[2].observe(wait_ms / 1000)

    def shed(self, target: str, priority: str) -> None:
        """Work was turned away because of a queue; `target` empty: a whole request, when it was decided."""
        self._shed.labels(target, priority).inc()

    def ambiguous(self, target: str, then: Literal["called", "failed"]) -> None:
        """An attempt that was started before, and may have been paid, was called once more or failed."""
        self._ambiguous.labels(target, then).inc()

    def breaker(self, target: str, state: str) -> None:
        """closed, half_open or open."""
        self._breaker.labels(target).set(_BREAKER[state])

    def deadletter(self, code: ReasonCode | str) -> None:
        """A record was put aside."""
        self._deadletters.labels(code.value if isinstance(code, ReasonCode) else code).inc()

    def stray(self) -> None:
        """An outcome came after another one had won."""
        self._strays.inc()

    def duplicate(self) -> None:
        """A known identity came again."""
        self._duplicates.inc()

    def tasks(self, count: int) -> None:
        """So many asyncio tasks live."""
        self._tasks.set(count)

    def pending(self, count: int) -> None:
        """So many requests wait for an outcome."""
        self._pending.set(count)

    def refused(self, door: str, reason: str, key: str = "") -> None:
        """A call or record was refused at the door. `key`: the name of a known key, never what was presented."""
        self._refused.labels(door, reason, key).inc()

    def certificate(self, setting: str, ends_s: float) -> None:
        """A certificate of this process expires then, epoch seconds."""
        self._certificate.labels(setting).set(ends_s)

    def waiting(self, tier: str, requests: int, batches: int) -> None:
        """Of a batch process alone: what it holds."""
        if self._batch is None:
            self._batch = (
                Gauge(names.METRIC_BATCH_WAITING, "Requests that are held.", ("tier",), registry=self.registry),
                Gauge(names.METRIC_BATCHES, "Batches under way.", ("tier",), registry=self.registry),
            )
        for gauge, count in zip(self._batch, (requests, batches), strict=True):
            gauge.labels(tier).set(count)

    def ledger(self, behind: int | None = None, up: bool | None = None) -> None:
        """Of the ledger's store alone: how many records it is behind, and whether its database takes them."""
        gauge, _, database = self._of_ledger()
        if behind is not None:
            gauge.set(behind)
        if up is not None:
            database.set(up)

    def ledger_records(self, topic: str, result: Literal["counted", "refused", "skipped", "lost"], count: int) -> None:
        """So many records of a topic came to this."""
        self._of_ledger()[1].labels(topic, result).inc(count)

    def _of_ledger(self) -> tuple[Gauge, Counter, Gauge]:
        if self._ledger is None:
            self._ledger = (
                Gauge(names.METRIC_LEDGER_BEHIND, "Records not counted yet.", registry=self.registry),
                Counter(names.METRIC_LEDGER_RECORDS, "Records taken in.", ("topic", "result"), registry=self.registry),
                Gauge(names.METRIC_LEDGER_DATABASE, "1 when the database takes records.", registry=self.registry),
            )
        return self._ledger

    def ready(self, ready: bool) -> None:
        """Whether the process takes work."""
        self._ready.set(ready)

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)


def merged(texts: Mapping[str, str]) -> bytes:
    """The metrics of several workers as one text: every sample gets the label `worker`, the key of its text."""
    registry = CollectorRegistry()
    registry.register(_Merged(texts))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
        return families.values()
