"""What a run came to: pure sums over its terminals and dead letters."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trivium.core.outcome import Terminal, TerminalKind, Verdict
from trivium.core.request import Identity
from trivium.v1.records_pb2 import DeadLetter

TIERS = ("finetuned", "retrieval", "cloud")


@dataclass(slots=True)
class Tally:
    """Terminals by identity (the first counts), how often more came, and dead letters by where they came from."""

    asked: int = 0
    expected: set[Identity] = field(default_factory=set)
    terminals: dict[Identity, Terminal] = field(default_factory=dict)
    took_ms: dict[Identity, int] = field(default_factory=dict)
    """Broker's time of the request to broker's time of its terminal."""
    duplicates: int = 0
    letters: dict[str, DeadLetter] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    """Places (topic-partition-offset) of records without an identity: each must have a dead letter."""

    def terminal(self, terminal: Terminal, at_ms: int) -> bool:
        """Takes one in that was written at `at_ms`; False when its identity had one already."""
        if terminal.identity in self.terminals:
            self.duplicates += 1
            return False
        self.terminals[terminal.identity] = terminal
        self.took_ms[terminal.identity] = max(0, at_ms - terminal.arrived_ms)
        return True

    def durations(self, terminals: Iterable[Terminal]) -> list[int]:
        """How long they took, ms, sorted."""
        return sorted(self.took_ms[t.identity] for t in terminals)

    @property
    def missing(self) -> list[str]:
        """Who got neither terminal nor, being unreadable, a dead letter."""
        silent = [str(i) for i in sorted(self.expected - self.terminals.keys(), key=str)]
        return silent + sorted(self.unreadable - self.letters.keys())

    @property
    def whole(self) -> bool:
        """Every request got exactly one terminal."""
        return not self.missing and not self.duplicates

    def answered(self) -> list[Terminal]:
        return [t for t in self.terminals.values() if t.kind is TerminalKind.ANSWERED]

    def by_tier(self) -> dict[str, list[Terminal]]:
        """Answered terminals by answering tier; the cache is a tier here."""
        found: dict[str, list[Terminal]] = defaultdict(list)
        for terminal in self.answered():
            found[terminal.tier].append(terminal)
        return found

    def shares(self) -> dict[str, float]:
        """Share of each tier in what was answered by a model (hits and refusals aside)."""
        tiers = self.by_tier()
        total = sum(len(tiers.get(tier, ())) for tier in TIERS)
        return {tier: round(len(tiers.get(tier, ())) / total, 4) if total else 0.0 for tier in TIERS}

    def cost(self) -> int:
        return sum(t.cost_micro_dollars for t in self.terminals.values())

    def all_cloud(self) -> int:
        return sum(t.all_cloud_micro_dollars for t in self.terminals.values())

    def verdicts(self) -> Counter[Verdict]:
        return Counter(a.verdict for t in self.terminals.values() for a in t.attempts)

    def kinds(self) -> Counter[str]:
        return Counter(t.kind.value for t in self.terminals.values())

    def figures(self) -> dict[str, object]:
        """The line of JSON that `trivium demo --json` ends with. Cost in micro-dollars."""
        times = self.durations(self.answered())
        return {
            "requests": self.asked,
            "terminals": len(self.terminals),
            "missing": len(self.missing),
            "duplicates": self.duplicates,
            "share": self.shares(),
            "cost": self.cost(),
            "all_cloud_cost": self.all_cloud(),
            "cache_hits": len(self.by_tier().get("cache", ())),
            "dead_letters": len(self.letters),
            "p50_ms": percentile(times, 0.5),
            "p95_ms": percentile(times, 0.95),
        }


def percentile(ordered: Sequence[int], share: float) -> int:
    """Nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0
