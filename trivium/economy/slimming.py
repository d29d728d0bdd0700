"""Finds what a prompt can do without: a greedy search on one half of the held-out questions, a test on the other.

A change stays when it saves tokens, weighed by their prices, and the answers are not worse than those of the prompt of today by more than the
margin (`intervals.not_worse`). A search picks what was lucky, so its prompts are tested on questions that it never saw:
in the order in which they became slimmer, each at the same level, until the first that fails. The best of those that
passed is the result. Testing in an order that was fixed before needs no correction for how many were tested (fixed-sequence
testing, as in Angelopoulos et al., "Learn then Test", 2021)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.policy import Target, TaskSpec
from trivium.economy.edits import Ladder
from trivium.economy.intervals import ONE_SIDED, Interval, Pairs, difference, not_worse, pairs_of, saved_share, wilson
from trivium.economy.questions import Question, is_right

ANSWER_WORTH: Final = 2.0
"""One point of answers must buy at least two points of tokens, or the change before it is the result."""
TOO_DEAR: Final = "passed, but saves too little for what it loses"

AskAll = Callable[[TaskSpec, Sequence[Question]], Awaitable[list[Outcome]]]
"""Has every question answered with this spec, in their order. Raises when one could not be asked at all."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a token of input and one of output weigh: their prices, or one each where tokens cost nothing."""

    input: int = 1
    output: int = 1

    def of(self, usage: Usage) -> int:
        return usage.input_tokens * self.input + usage.output_tokens * self.output


def weights_of(target: Target) -> Weights:
    """By the prices of whoever writes the answer."""
    prices = (target.generator or target).prices
    return Weights(prices.input_per_million, prices.output_per_million) if prices.input_per_million else Weights()


@dataclass(frozen=True, slots=True)
class Run:
    """All questions of one half, answered with one spec."""

    spec: TaskSpec
    outcomes: tuple[Outcome, ...]
    right: tuple[bool, ...]

    @property
    def tokens(self) -> list[int]:
        """Input and output of each question."""
        return [o.usage.input_tokens + o.usage.output_tokens for o in self.outcomes]

    def weight(self, weights: Weights) -> list[int]:
        """Of each question, finer than whole micro-dollars."""
        return [weights.of(o.usage) for o in self.outcomes]

    @property
    def cost_micro_dollars(self) -> int:
        return sum(o.cost_micro_dollars for o in self.outcomes)

    @property
    def quality(self) -> Interval:
        return wilson(sum(self.right), len(self.right))

    def mean(self, part: Callable[[Outcome], int]) -> float:
        """Of a part of the usage, for one question."""
        return sum(map(part, self.outcomes)) / len(self.outcomes) if self.outcomes else 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A change and what came of it, on the calibration half."""

    name: str
    kept: bool
    worse: bool
    why: str
    """Of one that is not kept."""
    tokens: float
    """Mean of a question."""
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Slimmed:
    """The result. `passed`: on the test half it saves tokens and is not worse."""

    before: Run
    after: Run
    """Both of the test half; `after` is the best that passed, else `before`."""
    tried: tuple[Tried, ...]
    tested: tuple[Tried, ...]
    """The kept changes, one upon the other, on the test half; the first that fails is the last."""
    calibration: int
    margin: float
    seed: int
    spent_micro_dollars: int
    stopped: str = ""
    """Why the search ended early."""
    weights: Weights = Weights()

    @property
    def pairs(self) -> Pairs:
        return pairs_of(self.before.right, self.after.right)

    @property
    def passed(self) -> bool:
        spared = saved_share(self.before.weight(self.weights), self.after.weight(self.weights), self.seed)
        return self.before.spec != self.after.spec and spared.low > 0

    @property
    def saved(self) -> Interval:
        """Share of all tokens."""
        return saved_share(self.before.tokens, self.after.tokens, self.seed)

    def saved_of(self, part: Callable[[Outcome], int]) -> Interval:
        """Share of a part of the usage, or of the cost."""
        return saved_share([part(o) for o in self.before.outcomes], [part(o) for o in self.after.outcomes], self.seed)

    @property
    def lost(self) -> Interval:
        """Quality after minus before."""
        return difference(self.pairs)


@dataclass
class Search:
    """One search. `limit_micro_dollars` 0: none; else no change is tried that could take more than what is left after the test."""

    ask: AskAll
    calibration: Sequence[Question]
    test: Sequence[Question]
    margin: float
    seed: int
    limit_micro_dollars: int = 0
    weights: Weights = Weights()
    tell: Callable[[Tried], None] = lambda _tried: None
    tried: list[Tried] = field(default_factory=list)
    path: list[tuple[str, TaskSpec]] = field(default_factory=list)
    """What was kept, one upon the other."""
    spent: int = 0
    stopped: str = ""

    async def slim(self, spec: TaskSpec, ladders: Sequence[Ladder]) -> Slimmed:
        """Climbs every ladder, then tests what it met on the way."""
        best = today = await self._run(spec, self.calibration, None)
        for ladder in ladders:
            best = await self._climb(ladder, best, today)
        before, tested = await self._run(spec, self.test, None), list[Tried]()
        passed = [before]
        for name, slimmer in self.path:
            run = await self._run(slimmer, self.test, before)
            tested.append(self._judge(name, run, passed[-1], before))
            if tested[-1].worse:
                break
            passed.append(run)
        end = max(range(len(passed)), key=lambda at: (self._worth(passed[at], before), at))
        beyond = [replace(one, kept=False, why=TOO_DEAR) if one.kept else one for one in tested[end:]]
        return Slimmed(before, passed[end], tuple(self.tried), (*tested[:end], *beyond), len(self.calibration), self.margin,
                       self.seed, self.spent, self.stopped, self.weights)  # fmt: skip

    def _worth(self, run: Run, before: Run) -> float:
        """Share of the tokens that is saved, less what the lost answers are worth."""
        lost = (sum(before.right) - sum(run.right)) / max(1, len(run.right))
        return 1 - sum(run.weight(self.weights)) / max(1, sum(before.weight(self.weights))) - ANSWER_WORTH * max(0.0, lost)

    async def _climb(self, ladder: Ladder, best: Run, today: Run) -> Run:
        began = best
        for edit in ladder.rungs:
            spec = edit.apply(best.spec)
            if spec == best.spec or self._too_dear(today):
                continue
            run = await self._run(spec, self.calibration, today)
            tried = self._judge(edit.name, run, best, today)
            self.tried.append(tried)
            self.tell(tried)
            if tried.kept:
                best = run
                self.path.append((edit.name, run.spec))
            elif tried.worse:
                # A stronger rung only takes more away.
                return best if best is not began else await self._finer(ladder, best, today)
        return best

    async def _finer(self, ladder: Ladder, best: Run, today: Run) -> Run:
        for finer in ladder.finer:
            best = await self._climb(finer, best, today)
        return best

    def _judge(self, name: str, run: Run, best: Run, today: Run) -> Tried:
        pairs = pairs_of(today.right, run.right)
        worse, saves = not not_worse(pairs, self.margin), sum(run.weight(self.weights)) < sum(best.weight(self.weights))
        why = _said(pairs) if worse else "" if saves else "saves nothing"
        return Tried(name, saves and not worse, worse, why, sum(run.tokens) / max(1, len(run.tokens)), pairs)

    def _too_dear(self, today: Run) -> bool:
        """Whether another run and the test of what is kept may pass the limit; no run is dearer than today's."""
        runs = 3 + len(self.path)
        needed = today.cost_micro_dollars * (1 + runs * len(self.test) // max(1, len(self.calibration)))
        if self.limit_micro_dollars and self.spent + needed > self.limit_micro_dollars:
            self.stopped = "the limit of money is near; the rest was not tried"
        return bool(self.stopped)

    async def _run(self, spec: TaskSpec, questions: Sequence[Question], today: Run | None) -> Run:
        outcomes = await self.ask(spec, questions)
        self.spent += sum(outcome.cost_micro_dollars for outcome in outcomes)
        answers = [_answer(outcome) for outcome in outcomes]
        known = answers if today is None else [_answer(outcome) for outcome in today.outcomes]
        right = tuple(is_right(q, answer, old) for q, answer, old in zip(questions, answers, known, strict=True))
        return Run(spec, tuple(outcomes), right)


def _said(pairs: Pairs) -> str:
    return f"{pairs.lost} answers lost, {pairs.won} won: up to {-difference(pairs, ONE_SIDED).low:.1%} worse"


def _answer(outcome: Outcome) -> Answer | None:
    return outcome.result if isinstance(outcome.result, Answer) else None
