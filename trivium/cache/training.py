"""Trains the verifier of the semantic cache on pairs of questions, and measures it on pairs that it did not see.

Pairs are JSON lines {"a", "b", "same", "kind"?, "group"?}. Groups (an intent, or two joined by "|") are never split
between training and measuring; without them a pair is its own group. Needs scikit-learn (the extra `train`).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trivium.core.errors import TriviumError
from trivium.core.reading import Reader
from trivium.core.same_answer import Evidence, Verifier, features, requirement_failed
from trivium.core.trees import Tree
from trivium.ports import Embedder

FOLDS: Final = 5
FEWEST_PAIRS: Final = 100
TREES: Final = 150
DEPTH: Final = 3
SHRINK: Final = 0.1
CONTRASTS: Final = frozenset({"question", "object", "actor", "scope", "wording", "number", "plan", "name", "polarity",
                              "negation", "time", "direction", "identifier", "unit"})  # fmt: skip
CONTRAST_WEIGHT: Final = 4.0
"""Written contrasts of these kinds count four times: they are few, and what adversaries and unlucky customers ask is like them."""


class BadPairs(TriviumError):
    """A file of pairs that cannot be trained on; the message names the line and what would be right."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions and whether one answer serves both."""

    a: str
    b: str
    same: bool
    kind: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """k of n with its 95 % Wilson interval (Wilson 1927)."""

    k: int
    n: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What training gave. Hits and wrong hits are of held-out pairs, at bars set on other held-out pairs."""

    verifier: Verifier
    pairs: int
    hits: Share
    """Of the pairs with one answer."""
    wrong: Share
    """Of the pairs with different answers."""
    hits_by_kind: dict[str, Share]
    wrong_by_kind: dict[str, Share]


def train_cache(
    pairs_path: Path, embedder: Embedder, wrong_rate: float = 0.008, out: Path | None = None
) -> CacheReport:
    """Trains on all pairs, sets the bar by cross-validation for `wrong_rate`, writes the verifier to `out` if given.

    Raises BadPairs for a file that it cannot use."""
    if not 0.0 < wrong_rate < 0.5:
        raise BadPairs(f"a wrong-hit rate of {wrong_rate:g} is no goal: give one between 0 and 0.5, such as 0.01")
    pairs = read_pairs(pairs_path)
    table = _Table.of(pairs, embedder)
    held_out = _held_out_scores(table)
    passed = _crossed(table, held_out, wrong_rate)
    bar = _bar(held_out, table.same, wrong_rate)
    verifier = _fit(table, np.ones(len(pairs), dtype=bool), bar, wrong_rate, f"{pairs_path.name}, {len(pairs)} pairs")
    if out is not None:
        out.write_text(verifier.to_json() + "\n", encoding="utf-8")
    return CacheReport(
        verifier,
        len(pairs),
        share(passed[table.same]),
        share(passed[~table.same]),
        _by_kind(pairs, table.same, passed),
        _by_kind(pairs, ~table.same, passed),
    )


def read_pairs(path: Path) -> list[Pair]:
    """The file's pairs. Raises BadPairs with the first wrong line, or when there are too few to hold any out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPairs(f"cannot read {path}: {error}") from error
    pairs = [_pair(f"{path.name}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    same = sum(pair.same for pair in pairs)
    if same < FEWEST_PAIRS or len(pairs) - same < FEWEST_PAIRS:
        raise BadPairs(f"{path.name} has {same} pairs with one answer and {len(pairs) - same} with two: "
                       f"at least {FEWEST_PAIRS} of each are needed")  # fmt: skip
    return pairs


def _pair(where: str, line: str) -> Pair:
    example = '{"a": "How do I get a refund?", "b": "I want my money back", "same": true}'
    try:
        data = json.loads(line)
    except ValueError as error:
        raise BadPairs(f"{where}: not JSON ({error}); right would be {example}") from error
    if not isinstance(data, dict):
        raise BadPairs(f"{where}: not an object; right would be {example}")
    a, b, same = data.get("a"), data.get("b"), data.get("same")
    if not isinstance(a, str) or not isinstance(b, str) or not a.strip() or not b.strip() or not isinstance(same, bool):
        raise BadPairs(f'{where}: needs texts "a" and "b" and "same": true or false; right would be {example}')
    group = data.get("group")
    groups = tuple(group.split("|")) if isinstance(group, str) and group else (f"{a}\n{b}",)
    return Pair(a, b, same, str(data.get("kind", "")), groups)


@dataclass(frozen=True, slots=True)
class _Table:
    """The pairs as arrays: inputs float64[n, features], whether a requirement failed, truth, weight and folds."""

    inputs: NDArray[np.float64]
    failed: NDArray[np.bool_]
    same: NDArray[np.bool_]
    weight: NDArray[np.float64]
    folds: list[frozenset[int]]
    home: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Sequence[Pair], embedder: Embedder) -> "_Table":
        reader = Reader()
        texts = sorted({pair.a for pair in pairs} | {pair.b for pair in pairs})
        vectors = dict(zip(texts, embedder.embed_many(texts), strict=True))
        read = {text: reader.read(text) for text in texts}
        rows, failed = [], []
        for pair in pairs:
            evidence = Evidence(float(vectors[pair.a] @ vectors[pair.b]))
            rows.append(features(read[pair.a], read[pair.b], evidence))
            failed.append(bool(requirement_failed(read[pair.a], read[pair.b])))
        folds = [frozenset(_fold(group) for group in pair.groups) for pair in pairs]
        return cls(
            np.array(rows),
            np.array(failed),
            np.array([pair.same for pair in pairs]),
            np.array([CONTRAST_WEIGHT if pair.kind in CONTRASTS else 1.0 for pair in pairs]),
            folds,
            np.array([_fold(pair.groups[0]) for pair in pairs]),
        )


def _fold(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % FOLDS


def _held_out_scores(table: _Table) -> NDArray[np.float64]:
    """Each pair's score by a model that saw none of its groups; 0 where a requirement fails."""
    scores = np.zeros(len(table.same))
    for fold in range(FOLDS):
        trained = np.array([fold not in folds for folds in table.folds])
        asked = table.home == fold
        if asked.any():
            scores[asked] = _classifier(table, trained).predict_proba(table.inputs[asked])[:, 1]
    scores[table.failed] = 0.0
    return scores


def _crossed(table: _Table, scores: NDArray[np.float64], wrong_rate: float) -> NDArray[np.bool_]:
    """Which pairs pass a bar that was set on the other folds, so that no pair helped to set its own bar."""
    passed = np.zeros(len(scores), dtype=bool)
    for fold in range(FOLDS):
        asked = table.home == fold
        passed[asked] = scores[asked] >= _bar(scores[~asked], table.same[~asked], wrong_rate)
    return passed


def _bar(scores: NDArray[np.float64], same: NDArray[np.bool_], wrong_rate: float) -> float:
    """The lowest bar that at most `wrong_rate` of the pairs with different answers reach."""
    wrong = np.sort(scores[~same])[::-1]
    allowed = int(wrong_rate * len(wrong))
    return round(min(float(wrong[allowed]) + 1e-4, 0.9999), 4)


def _classifier(table: _Table, rows: NDArray[np.bool_]) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=SHRINK, subsample=0.6, max_features=8, min_samples_leaf=15,
        random_state=0,
    )  # fmt: skip
    kept = rows & ~table.failed
    if len(np.unique(table.same[kept])) < 2:
        raise BadPairs("the pairs hang together in too few groups to hold any out: give more groups, or none")
    return model.fit(table.inputs[kept], table.same[kept], sample_weight=table.weight[kept])


def _fit(table: _Table, rows: NDArray[np.bool_], bar: float, wrong_rate: float, trained_on: str) -> Verifier:
    model = _classifier(table, rows)
    prior = float(model.init_.class_prior_[1])
    trees = tuple(_exported(estimator.tree_, 0) for estimator in model.estimators_[:, 0])
    return Verifier(trees, round(math.log(prior / (1 - prior)), 6), bar, wrong_rate, trained_on)


def _exported(tree: Any, node: int) -> Tree:
    feature = int(tree.feature[node])
    if feature < 0:
        return round(float(tree.value[node][0][0]) * SHRINK, 6)
    left, right = int(tree.children_left[node]), int(tree.children_right[node])
    return (feature, round(float(tree.threshold[node]), 6), _exported(tree, left), _exported(tree, right))


def share(passed: NDArray[np.bool_]) -> Share:
    """How many of them are true, with the Wilson interval at 95 %."""
    k, n, z = int(passed.sum()), len(passed), 1.959964
    if n == 0:
        return Share(0, 0, 0.0, 1.0)
    rate = k / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Share(k, n, max(0.0, centre - half), min(1.0, centre + half))


def _by_kind(pairs: Sequence[Pair], chosen: NDArray[np.bool_], passed: NDArray[np.bool_]) -> dict[str, Share]:
    kinds = np.array([pair.kind for pair in pairs])
    return {str(kind): share(passed[chosen & (kinds == kind)]) for kind in np.unique(kinds[chosen])}
