"""Decides whether one answer serves two questions: hard requirements first, each with its reason, then a learned score.

Similarity of vectors cannot decide it: "enable" and "disable" are 0.9 alike, "from A to B" and "from B to A" 1.0, while
true paraphrases are 0.6. So numbers, units, names, identifiers, polarity and direction must agree, and what is left is
weighed by a small trained model over features of both texts and over what the task classifier thinks of them.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Final

from trivium.core.concepts import ACTIONS, CONCEPTS, FACETS
from trivium.core.direction import order_reason
from trivium.core.errors import TriviumError
from trivium.core.lexicon import GENERAL, lexicon
from trivium.core.question import Text
from trivium.core.trees import Forest, Tree, tree_of
from trivium.core.wording import CONVERSES, FAILURES, SWITCHES

FEATURES: Final = (
    "cosine", "cosine_gap", "concept_jaccard", "concept_cover", "word_jaccard", "trigram_jaccard", "length_ratio",
    "shared_actions", "shared_facets", "shared_things", "shared_unknown",
    "action_conflict", "action_one_sided", "facet_conflict", "facet_one_sided", "thing_conflict", "thing_one_sided",
    "unknown_conflict", "unknown_one_sided", "unmatched_least", "unmatched_most", "fewest_concepts",
    "ask_distance", "modifier_mismatch", "past_mismatch", "complaint_mismatch", "undone_mismatch",
    "poles_shared", "poles_one_sided", "rivals_one_sided", "actors_equal", "order_kept", "kin", "kin_jaccard", "kin_cover", "foreign_least", "foreign_most", "substituted", "passive_mismatch",
)  # fmt: skip
"""Names of the learned score's inputs, in their order. A model file that names others is refused."""

NEGATION_DECIDES: Final = 0.5
"""Share of common concepts from which a negation on one side alone is decisive. Below it "no label was in my parcel" and
"how do I print a label" are told apart, or not, by the learned score."""

FOREIGN_WORDS: Final = 2
"""Words outside the table that only one of two texts has; so many on each side, and less than half of the rest in common,
are two subjects. Of 2,937 written true pairs this refuses 27."""

FULL_WITNESS: Final = math.log2(77)
"""Classes, as bits, from which the agreement of a classifier has its full weight."""
MUTE_WITNESS: Final = 4.0
"""Classes, as bits, up to which a classifier says nothing of two questions."""

TEXT_YIELDS: Final = 0.7
WITNESS_POWER: Final = 6.0
"""Both chosen on banking77 so that at the shipped bar a stream of it hits often with fewer than one wrong hit in a hundred."""

REFRAMED: Final = 0.98
"""Least probability of two ways to ask how, with the same words of meaning in the same order."""
_ACTING: Final = frozenset({"i", "we"})
_FRAME_WORDS: Final = frozenset({"do", "can", "could", "would", "may", "might", "please", "to"})

_OPEN_ASKS: Final = frozenset({"do", "can", "state", "where"})
_NEAR_ASKS: Final = frozenset(
    {"when howlong", "howmuch what", "what which", "can whether", "whether why", "do which", "do what", "can what"}
)
"""Kinds of question that customers swap freely ("how do I", "can I", "I want to", "where do I"), and pairs that they
swap now and then."""


class BadVerifier(TriviumError):
    """A verifier file that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What others than the two texts say about them."""

    cosine: float
    """Of the two embeddings, -1..1."""
    agreement: float = 1.0
    """Probability that the task classifier puts both texts into one class: the sum over classes of p(a) * p(b)."""
    classes: int = 0
    """How many classes it chooses among, 0 when none looked. Agreement on one of 77 says more than on one of 4."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one answer serves both, how sure the learned score was (0..1, 0 after a failed requirement), and why."""

    same: bool
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class Verifier:
    """The trained judge: hard requirements, then gradient-boosted trees over FEATURES, then the classifier's witness.

    `bar` was set on held-out pairs so that at most `wrong_rate` of the pairs with different answers pass it."""

    trees: tuple[Tree, ...]
    base: float
    bar: float
    wrong_rate: float
    trained_on: str = ""
    _forest: Forest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_forest", Forest(self.trees, len(FEATURES)))

    @classmethod
    def from_json(cls, source: str) -> "Verifier":
        """Reads what `to_json` wrote. Raises BadVerifier with what is wrong."""
        try:
            data = json.loads(source)
            if tuple(data["features"]) != FEATURES:
                raise BadVerifier(
                    "the verifier was trained for other features than this version computes: train it again"
                )
            trees = tuple(tree_of(tree, len(FEATURES)) for tree in data["trees"])
            return cls(
                trees, float(data["base"]), float(data["bar"]), float(data["wrong_rate"]), str(data["trained_on"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadVerifier(f"not a verifier file: {error!r}") from error

    def to_json(self) -> str:
        """One JSON object; floats are written so that they read back equal."""
        data = {"features": FEATURES, "base": self.base, "bar": self.bar, "wrong_rate": self.wrong_rate,
                "trained_on": self.trained_on, "trees": self.trees}  # fmt: skip
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))

    def verify(self, a: Text, b: Text, evidence: Evidence) -> Verdict:
        """Symmetric in a and b. About 20 us; a pair that fails a requirement costs 5 us."""
        if a.key == b.key:
            return Verdict(True, 1.0, "the same question")
        failed = requirement_failed(a, b)
        if failed:
            return Verdict(False, 0.0, failed)
        score = self.score(a, b, evidence)
        if score >= self.bar:
            return Verdict(True, score, f"pair score {score:.2f} passes {self.bar:.2f}")
        return Verdict(False, score, f"pair score {score:.2f} is below {self.bar:.2f}")

    def score(self, a: Text, b: Text, evidence: Evidence) -> float:
        """0..1: the trees' probability, weighed with the agreement of a classifier in proportion to how finely it divides.

        With w from 0 for MUTE_WITNESS bits of classes to 1 for FULL_WITNESS it is
        p^(1 - TEXT_YIELDS w) * agreement^(WITNESS_POWER w): one of 77 intents agreed upon is worth most of the texts' own
        doubt and its doubt counts more than double; one of eight task types says nothing, because two wordings of one
        question often fall into two of them."""
        inputs = features(a, b, evidence)
        total = self._forest.sum(inputs, self.base)
        probability = 1.0 / (1.0 + math.exp(-total))
        if a.sequence == b.sequence and a.ask == b.ask == "do" and _reframed(a, b):
            probability = max(probability, REFRAMED)
        if evidence.classes < 2:
            return probability
        weight = min(1.0, (math.log2(evidence.classes) - MUTE_WITNESS) / (FULL_WITNESS - MUTE_WITNESS))
        if weight <= 0.0:
            return probability
        return float(
            probability ** (1.0 - TEXT_YIELDS * weight) * max(evidence.agreement, 0.0) ** (WITNESS_POWER * weight)
        )


def requirement_failed(a: Text, b: Text) -> str:
    """The first hard requirement that two texts fail, in words, or "" when none is failed."""
    if a.key == b.key:
        return ""
    return (
        _quantity_reason(a, b)
        or _name_reason(a, b)
        or _rival_reason(a, b)
        or _polarity_reason(a, b)
        or order_reason(a, b)
        or _subject_reason(a, b)
    )


def features(a: Text, b: Text, evidence: Evidence) -> tuple[float, ...]:
    """The learned score's inputs in the order of FEATURES; symmetric in a and b."""
    shared = len(frozenset(a.words).intersection(b.words))
    words = shared / ((len(a.words) + len(b.words) - shared) or 1)
    both, either = (a.trigrams & b.trigrams).bit_count(), (a.trigrams | b.trigrams).bit_count()
    return (
        evidence.cosine,
        evidence.cosine - words,
        *_concept_features(a, b, words, both / (either or 1)),
        _ask_distance(a.ask, b.ask),
        min(len(a.modifiers ^ b.modifiers), 3),
        a.past != b.past,
        a.complaint != b.complaint,
        *_pole_features(a, b),
        min(len(_groups(a) ^ _groups(b)), 4) if a.rivals or b.rivals else 0,
        a.actors == b.actors,
        _order_kept(a, b),
        *_kin_features(a, b),
        a.passive != b.passive,
    )


def _kin_features(a: Text, b: Text) -> tuple[float, ...]:
    """Of the concepts that only one of them has: how many have kin on the other side, what is shared then, what is foreign,
    and whether one foreign word stands where the other text has another, all else being the same."""
    every_a, every_b = frozenset(a.concepts), frozenset(b.concepts)
    rest_a, rest_b = every_a - every_b, every_b - every_a
    shared = len(every_a) - len(rest_a)
    left_a, left_b = len(rest_a), len(rest_b)
    if rest_a and rest_b:
        kin = lexicon().kin
        none: frozenset[str] = frozenset()
        left_a = sum(kin.get(word, none).isdisjoint(rest_b) for word in rest_a)
        left_b = sum(kin.get(word, none).isdisjoint(rest_a) for word in rest_b)
    matched = min(len(rest_a) - left_a, len(rest_b) - left_b)
    likeness = shared + matched
    return (
        min(matched, 3),
        likeness / ((likeness + left_a + left_b) or 1),
        likeness / (min(shared + matched + left_a, shared + matched + left_b) or 1),
        min(left_a, left_b, 4),
        min(max(left_a, left_b), 6),
        left_a == 1 and left_b == 1 and _substituted(a.sequence, b.sequence),
    )


def _substituted(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    return len(a) == len(b) and sum(one != two for one, two in zip(a, b, strict=True)) == 1


def _pole_features(a: Text, b: Text) -> tuple[float, float, float]:
    """Undone on one side alone, poles shared, axes on one side alone."""
    if not a.poles and not b.poles:
        return 0, 0, 0
    axes = {axis for axis, _ in a.poles if axis[0] != GENERAL} ^ {axis for axis, _ in b.poles if axis[0] != GENERAL}
    return _undone(a) != _undone(b), min(len(a.poles & b.poles), 3), min(len(axes), 4)


def _groups(text: Text) -> set[str]:
    return {group for group, _ in text.rivals if group != "asked time"}


def _concept_features(a: Text, b: Text, words: float, trigrams: float) -> tuple[float, ...]:
    every_a, every_b = frozenset(a.concepts), frozenset(b.concepts)
    shared = every_a & every_b
    fewest = min(len(every_a), len(every_b))
    rest_a, rest_b = every_a - shared, every_b - shared
    count_a, count_b = len(rest_a), len(rest_b)
    actions, facets, things, unknown = _sorted_out(shared)
    actions_a, facets_a, things_a, unknown_a = _sorted_out(rest_a)
    actions_b, facets_b, things_b, unknown_b = _sorted_out(rest_b)
    return (
        len(shared) / ((count_a + len(every_b)) or 1),
        len(shared) / (fewest or 1),
        words,
        trigrams,
        (a.length / b.length if a.length < b.length else b.length / a.length) if a.length and b.length else 0.0,
        min(actions, 3), min(facets, 3), min(things, 3), min(unknown, 3),
        min(actions_a, actions_b, 2), min(abs(actions_a - actions_b), 3),
        min(facets_a, facets_b, 2), min(abs(facets_a - facets_b), 3),
        min(things_a, things_b, 2), min(abs(things_a - things_b), 3),
        min(unknown_a, unknown_b, 2), min(abs(unknown_a - unknown_b), 3),
        min(count_a, count_b, 4),
        min(max(count_a, count_b), 6),
        min(fewest, 6),
    )  # fmt: skip


_KINDS: Final = {concept: ((concept in ACTIONS) | (concept in FACETS) << 8 | (concept in CONCEPTS) << 16)
                 for concept in (*CONCEPTS, *ACTIONS, *FACETS)}  # fmt: skip
"""Three counts in one integer: an action, a facet, a concept of the table."""


def _sorted_out(concepts: frozenset[str]) -> tuple[int, int, int, int]:
    """How many of them are actions, facets, things and words that the table does not know."""
    if not concepts:
        return 0, 0, 0, 0
    kinds = 0
    for concept in concepts:
        if concept in _KINDS:
            kinds += _KINDS[concept]
    actions, facets, known = kinds & 255, kinds >> 8 & 255, kinds >> 16
    return actions, facets, known - actions - facets, len(concepts) - known


def _ask_distance(first: str, second: str) -> float:
    """0 for the same kind of question, 1 for kinds that are swapped freely, 2 now and then, 3 hardly ever."""
    if first == second:
        return 0.0
    if first in _OPEN_ASKS and second in _OPEN_ASKS:
        return 1.0
    if " ".join(sorted((first, second))) in _NEAR_ASKS or "state" in (first, second):
        return 2.0
    return 3.0


def _order_kept(a: Text, b: Text) -> float:
    if a.sequence == b.sequence:
        return 1.0 if len(set(a.sequence)) > 1 else 0.5
    common = set(a.sequence).intersection(b.sequence)
    if len(common) < 2:
        return 0.5
    first = [word for word in a.sequence if word in common]
    second = [word for word in b.sequence if word in common]
    return 1.0 if first == second else 0.0


def _reframed(a: Text, b: Text) -> bool:
    """Nothing but "do", "can" and their like stands in one of them alone."""
    return a.modifiers == b.modifiers and a.past == b.past and frozenset(a.words) ^ frozenset(b.words) <= _FRAME_WORDS


def _quantity_reason(a: Text, b: Text) -> str:
    if a.numbers != b.numbers:
        return f"different numbers: {_listed(a.numbers - b.numbers)} against {_listed(b.numbers - a.numbers)}"
    if a.identifiers != b.identifiers:
        found = f"{_listed(a.identifiers - b.identifiers)} against {_listed(b.identifiers - a.identifiers)}"
        return f"different identifiers: {found}"
    return ""


def _name_reason(a: Text, b: Text) -> str:
    if not a.names and not b.names:
        return ""
    for one, other in ((a, b), (b, a)):
        for name in sorted(one.names):
            if name not in other.words and name not in other.key:
                return f"only one of them names {name!r}"
    return ""


def _rival_reason(a: Text, b: Text) -> str:
    if not a.rivals or not b.rivals:
        return ""
    for group in sorted({group for group, _ in a.rivals} & {group for group, _ in b.rivals}):
        first = {member for g, member in a.rivals if g == group}
        second = {member for g, member in b.rivals if g == group}
        if first.isdisjoint(second):
            return f"different {group}: {_listed(first)} against {_listed(second)}"
    return ""


def _polarity_reason(a: Text, b: Text) -> str:
    opposed = _opposed(a, b) if a.poles and b.poles else []
    if opposed and (a.negations > 0) == (b.negations > 0):
        return f"opposite sense on {opposed[0]}"
    if (a.complaint != b.complaint or _only_negated(a, b)) and not opposed and _undone(a) == _undone(b):
        shared, every = len(set(a.concepts).intersection(b.concepts)), len({*a.concepts, *b.concepts})
        if shared >= NEGATION_DECIDES * every:
            return "one of them is negated"
    return ""


def _only_negated(a: Text, b: Text) -> bool:
    """One is negated, and both complain in the same words or in none."""
    failures_a, failures_b = ({word[:4] for word in FAILURES.intersection(text.words)} for text in (a, b))
    return (a.negations > 0) != (b.negations > 0) and failures_a == failures_b


def _opposed(a: Text, b: Text) -> list[str]:
    axes = sorted({axis for axis, _ in a.poles} & {axis for axis, _ in b.poles})
    if a.actors != b.actors or _ACTING.isdisjoint(a.words) != _ACTING.isdisjoint(b.words):
        axes = [axis for axis in axes if axis not in CONVERSES]
    return [axis for axis in axes if not any((axis, side) in a.poles and (axis, side) in b.poles for side in (0, 1))]


def _undone(text: Text) -> bool:
    return any(side == 1 and axis in SWITCHES for axis, side in text.poles)


def _subject_reason(a: Text, b: Text) -> str:
    """Little is shared, and each names what the table does not know and the other does not name: no score is to judge."""
    shared = set(a.concepts).intersection(b.concepts)
    if 2 * len(shared) >= min(len(a.concepts), len(b.concepts)):
        return ""
    only_a = {concept for concept in a.concepts if concept not in shared and concept not in CONCEPTS}
    only_b = {concept for concept in b.concepts if concept not in shared and concept not in CONCEPTS}
    if len(only_a) < FOREIGN_WORDS or len(only_b) < FOREIGN_WORDS:
        return ""
    return f"different subjects: {_listed(only_a)} against {_listed(only_b)}"


def _listed(items: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(items)) if items else "none"
