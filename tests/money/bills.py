"""The same bill, read three times: from the vendors' logs of calls, from the topics, from the SQL report."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.local import POLICY
from infra.standins.calls import Entry
from tests.money.asked import AGAIN
from tests.money.vendors import MarkedLog
from trivium.cli.log import everything
from trivium.core.outcome import Usage
from trivium.core.policy import Prices, Tier
from trivium.core.price import cost
from trivium.kafka.topics import LEDGER, attempts
from trivium.policy import load
from trivium.settings import KafkaSettings
from trivium.v1 import records_pb2, services_pb2


@dataclass(slots=True)
class Amount:
    """What was paid to one target. `cost` is micro-dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0

    def add(self, input_tokens: int, output_tokens: int, cost: int) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost += cost


Bill = Mapping[str, Amount]
"""By the target that was paid."""


@dataclass(slots=True)
class Execution:
    """One execution of an attempt, as its records say."""

    tier: str
    begun: records_pb2.AttemptRecord
    settled: records_pb2.AttemptRecord | None = None
    calls: list[Entry] = field(default_factory=list)
    """Of the vendor, put here by `sorted_calls`."""

    @property
    def mark(self) -> str:
        """What its prompt was marked with."""
        return self.begun.identity.id.removesuffix(AGAIN)

    @property
    def own_cost(self) -> int:
        """Without what a generator has written down itself."""
        assert self.settled is not None
        return self.settled.cost_micro_dollars - self.settled.costs.parts

    @property
    def searched(self) -> int:
        """What its own searches cost: nobody but the mesh saw them."""
        assert self.settled is not None
        if self.tier != Tier.RETRIEVAL.value or not self.settled.usage.embedding_tokens:
            return 0
        return cost(_prices(self.begun.target), Usage(embedding_tokens=self.settled.usage.embedding_tokens))

    def told(self) -> str:
        """One line."""
        said = "open" if self.settled is None else f"settled at {self.own_cost}, fault {self.settled.fault or '-'}"
        return f"{self.begun.identity.id} at {self.begun.target} by {self.begun.door}: {said}; {len(self.calls)} calls, {self.called()}"

    def called(self) -> Amount:
        """Of its calls that the vendor answered, with one rounding for all of them."""
        done = [entry for entry in self.calls if entry.status == 200]
        usage = Usage(sum(entry.prompt_tokens for entry in done), sum(entry.output_tokens for entry in done))
        return Amount(usage.input_tokens, usage.output_tokens, cost(_prices(self.begun.target), usage) if done else 0)


async def executions(bootstrap: str) -> list[Execution]:
    """As they lie in the topics; a record that lies there twice counts once."""
    found: dict[tuple[Any, ...], Execution] = {}
    for tier in Tier:
        async for record in everything(KafkaSettings(bootstrap=bootstrap), attempts(tier)):
            m = records_pb2.AttemptRecord.FromString(record.value or b"")
            key = (tier, m.identity.id, m.attempt, m.execution, m.instance, m.begun_ms or m.at_ms, m.target)
            known = found.setdefault(key, Execution(tier.value, m))
            if m.state == "settled":
                known.settled = m
    return list(found.values())


async def told_by_the_ledger(bootstrap: str) -> int:
    """What the terminals and strays of the ledger topic come to."""
    total = 0
    async for record in everything(KafkaSettings(bootstrap=bootstrap), LEDGER):
        entry = records_pb2.LedgerRecord.FromString(record.value or b"")
        total += entry.terminal.cost_micro_dollars + entry.stray.cost_micro_dollars
    return total


def sorted_calls(found: Sequence[Execution], logs: Mapping[str, MarkedLog]) -> list[tuple[str, Entry]]:
    """Puts each call into the execution that made it: the last one of its request and tier that had begun. Returns those
    that nobody made."""
    nobodys = []
    for tier, log in logs.items():
        for mark, entry in log.marked:
            of_it = [one for one in found if one.tier == tier and one.mark == mark and one.begun.begun_ms <= entry.at_ms]
            if of_it:
                max(of_it, key=lambda one: one.begun.begun_ms).calls.append(entry)
            else:
                nobodys.append((mark, entry))
    return nobodys


def of_calls(settled: Iterable[Execution]) -> Bill:
    """What the vendors' logs say, at the policy's prices; beside it the searches."""
    bill: dict[str, Amount] = defaultdict(Amount)
    for one in settled:
        called = one.called()
        bill[one.begun.target].add(called.input_tokens, called.output_tokens, called.cost + one.searched)
    return bill


def of_topics(settled: Iterable[Execution]) -> Bill:
    """What the settled attempts say."""
    bill: dict[str, Amount] = defaultdict(Amount)
    for one in settled:
        assert one.settled is not None
        # Retrieval calls no model itself: its generator's own record has the tokens.
        own, usage = one.tier != Tier.RETRIEVAL.value, one.settled.usage
        bill[one.begun.target].add(usage.input_tokens * own, usage.output_tokens * own, one.own_cost)
    return bill


def of_report(lines: Iterable[services_pb2.ReportLine]) -> Bill:
    """What a report by `paid` says."""
    return {
        line.group[0]: Amount(line.input_tokens, line.output_tokens, line.cost)
        for line in lines
        if not line.total and line.group[0]
    }


def _prices(target: str) -> Prices:
    return load(POLICY).targets[target].prices
