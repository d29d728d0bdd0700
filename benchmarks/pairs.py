"""What the cache answers when 400 adversarial questions and 400 rewordings are asked of it, by the whole decision path.

tests/faults/pairs/*.jsonl hold one question a line, a rewording that wants the same answer, and a partner that wants
another: negated, turned round, with another number or name, or of another tenant or subject. Each question is decided by
the policy, answered, written to the topic and read by the view of a second process, on the embedded broker. Then both
others are asked of that view. A rewording hits when it gets its own question's answer; every hit of a partner is wrong, and
so is a rewording that gets another question's answer. The development half may be looked at, the held-out half not.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import finish, print_table
from benchmarks.shared_data import progress
from infra.broker import EmbeddedBroker
from trivium.cache.view import CacheView, clock_ms
from trivium.core.journey import advance, begin
from trivium.core.outcome import Answer, Outcome
from trivium.core.policy import Policy
from trivium.core.request import CacheUse, Identity, Message, Request, Role
from trivium.core.slip import Arrival, Call, End, Facts, Step
from trivium.insight import open_insight
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import CACHE, DOCUMENTS
from trivium.policy.load import load
from trivium.settings import KafkaSettings, RouterSettings
from trivium.telemetry.metrics import Metrics

ROOT: Final = Path(__file__).parent.parent
PAIRS: Final = ROOT / "tests" / "faults" / "pairs"
POLICY: Final = ROOT / "examples" / "support" / "policy.yaml"
HALVES: Final = ("development", "held_out")
TASK: Final = "account_question"
"""Of the example's task types the one whose answers are cached by tenant and by subject."""
TENANT, OTHER_TENANT, SUBJECT, OTHER_SUBJECT = "acme", "globex", "customer-1", "customer-2"
WAIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Triple:
    """A question, a rewording of it, and a partner that wants another answer."""

    kind: str
    base: str
    same: str
    other: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What one question got: whose answer ("" for none), and if none, why the nearest was refused."""

    triple: Triple
    adversarial: bool
    got: str
    why: str

    @property
    def wrong(self) -> bool:
        return bool(self.got) and (self.adversarial or self.got != self.triple.base)

    @property
    def hit(self) -> bool:
        return not self.adversarial and self.got == self.triple.base


def read_triples(half: str) -> list[Triple]:
    """One half of the set."""
    lines = (PAIRS / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Triple(**json.loads(line)) for line in lines]


class Door:
    """Asks as a router does: the pure journey decides, a view of the cache is its memory."""

    def __init__(self, policy: Policy, view: CacheView, producer: Producer) -> None:
        self._policy = policy
        self._view = view
        self._producer = producer
        self._count = 0

    async def fill(self, question: str, tenant: str, subject: str) -> None:
        """Ask past the cache, let a model answer, and write what may be kept."""
        call = self._begin(question, tenant, subject, CacheUse.REFRESH)
        if not isinstance(call, Call):
            raise RuntimeError(f"{question!r} was not sent to a model: {call}")
        work = call.work
        answer = Answer(f"answer to {question}", confidence=1.0)
        outcome = Outcome(work.request.identity, work.attempt, work.target.name, answer)
        step = advance(call.journey, outcome, self._policy, Facts(clock_ms()))
        entry = self._view.entry(step) if isinstance(step, End) else None
        if entry is None:
            raise RuntimeError(f"the answer to {question!r} was not kept")
        key = f"{entry.scope}/{entry.id}".encode()
        await self._producer.publish(Record(CACHE, key, entry.SerializeToString(), (), None), 10_000)

    def ask(self, triple: Triple, question: str, tenant: str, subject: str, adversarial: bool) -> Asked:
        """What the question gets without any model being called."""
        step = self._begin(question, tenant, subject, CacheUse.USE)
        if isinstance(step, End) and step.terminal.cache is not None:
            return Asked(triple, adversarial, step.terminal.cache.question, step.terminal.cache.kind)
        if not isinstance(step, Call):
            raise RuntimeError(f"{question!r} was neither answered nor sent to a model: {step}")
        refused = {near.question: near.why for near in step.journey.refused_candidates}
        return Asked(triple, adversarial, "", refused.get(triple.base, "not among the nearest"))

    def _begin(self, question: str, tenant: str, subject: str, cache: CacheUse) -> Step:
        self._count += 1
        identity = Identity(tenant, f"{tenant}-{self._count}")
        message = Message(Role.USER, question)
        request = Request(identity, (message,), task_type=TASK, subject=subject, cache=cache)
        now = clock_ms()
        return begin(request, self._policy, Facts(now, lookup=lambda scope: self._view.lookup(scope, now)), Arrival())


@asynccontextmanager
async def doors(policy: Policy) -> AsyncIterator[tuple[Door, Door, CacheView]]:
    """A door that writes and one of another process that reads, with its view, on a broker of their own."""
    with EmbeddedBroker({CACHE: 4, DOCUMENTS: 4}) as broker:
        kafka, router = KafkaSettings(bootstrap=broker.bootstrap), RouterSettings()
        one, two = (open_insight(policy, kafka, router, Metrics()).cache for _ in range(2))
        async with Producer(broker.bootstrap) as producer, one, two:
            if not (await one.wait_caught_up(20_000) and await two.wait_caught_up(20_000)):
                raise RuntimeError("the views did not read their topics to the end within 20 s")
            yield Door(policy, one, producer), Door(policy, two, producer), two


async def run(triples: Sequence[Triple], policy: Policy) -> list[Asked]:
    """What every rewording and every partner got, all questions being in the cache together."""
    async with doors(policy) as (writing, reading, view):
        await asyncio.gather(*(writing.fill(triple.base, TENANT, SUBJECT) for triple in triples))
        async with asyncio.timeout(WAIT_S):
            while view.entries < len(triples):  # noqa: ASYNC110 (the view has no event)
                await asyncio.sleep(0.02)
        asked = []
        for triple in triples:
            asked.append(reading.ask(triple, triple.same, TENANT, SUBJECT, False))
            tenant = OTHER_TENANT if triple.kind == "tenant" else TENANT
            subject = OTHER_SUBJECT if triple.kind == "subject" else SUBJECT
            asked.append(reading.ask(triple, triple.other, tenant, subject, True))
        return asked


def figures_of(asked: Sequence[Asked]) -> dict[str, float]:
    """Shares of the hits and of the wrong ones, and how many crossed tenants or subjects."""
    true, adversarial = [one for one in asked if not one.adversarial], [one for one in asked if one.adversarial]
    crossed = [one for one in adversarial if one.got and one.triple.kind in ("tenant", "subject")]
    return {
        "hit_rate": round(sum(one.hit for one in true) / len(true), 4),
        "wrong_rate": round(sum(one.wrong for one in adversarial) / len(adversarial), 4),
        "mistaken_rewordings": sum(one.wrong for one in true),
        "across_tenants": sum(one.triple.kind == "tenant" for one in crossed),
        "across_subjects": sum(one.triple.kind == "subject" for one in crossed),
        "rewordings": len(true),
        "adversarial": len(adversarial),
    }


def by_kind(half: str, asked: Sequence[Asked]) -> list[dict[str, object]]:
    """A row for each kind of adversarial pair."""
    rows: list[dict[str, object]] = []
    for kind in sorted({one.triple.kind for one in asked}):
        of_kind = figures_of([one for one in asked if one.triple.kind == kind])
        rows.append({"half": half, "kind": kind, **of_kind})
    return rows


def show(asked: Sequence[Asked]) -> None:
    """Every rewording that missed and every partner that hit, with the reason."""
    for one in asked:
        if one.wrong or not (one.hit or one.adversarial):
            text = one.triple.other if one.adversarial else one.triple.same
            print(f"{'WRONG' if one.wrong else 'missed'} {one.triple.kind}: {text} | {one.got or one.triple.base} | {one.why}")


def main() -> None:
    """Measures both halves, or the one that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pairs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.pairs --half development --show",
    )
    parser.add_argument("--half", choices=HALVES, help="one half only")
    parser.add_argument("--policy", type=Path, default=POLICY, help="the policy that decides (default: the example's)")
    parser.add_argument("--show", action="store_true", help="print each miss and each wrong hit; development half only")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    policy = load(chosen.policy)
    figures: dict[str, object] = {}
    rows: list[dict[str, object]] = []
    every: list[Asked] = []
    for half in (chosen.half,) if chosen.half else HALVES:
        progress(f"{half}: writing and asking ...")
        asked = asyncio.run(run(read_triples(half), policy))
        every += asked
        rows += by_kind(half, asked)
        figures |= {f"{half}_{name}": value for name, value in figures_of(asked).items()}
        if chosen.show and half == "development":
            show(asked)
    print_table("Pairs by kind", rows)
    finish(figures | figures_of(every), chosen.json)


if __name__ == "__main__":
    main()
