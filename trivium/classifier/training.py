"""Trains the `auto` classifier on labelled texts and measures it five-fold: numpy alone, about a second for 10,000 texts.

Softmax regression over unit embeddings (Adam, cosine schedule, weight decay), its temperature and its novelty bar set on
held-out logits. Rows labelled as out of scope are never trained on as a class; they measure how many are recognised.
Without such rows whole classes are held out in turn instead, which is the harder question.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trivium.classifier.head import ComplexityHead, LinearHead, Novelty, softmax
from trivium.classifier.surface import surface
from trivium.core.errors import TriviumError
from trivium.core.question import without_courtesy
from trivium.ports import Embedder, Vector

FOLDS: Final = 5
EPOCHS: Final = 30
STEPS: Final = 1_000
"""At least so many steps of Adam, so that a small file is learned too."""
BATCH: Final = 256
RATE: Final = 0.02
DECAY: Final = 3e-4
SCALE: Final = 8.0
"""Unit vectors are scaled by this in training, so that weights stay near 1."""
FALSE_NOVEL: Final = 0.05
"""Share of held-out texts of known classes that the novelty bar may call novel."""
NOVEL_LABELS: Final = frozenset({"novel", "oos", "out_of_scope", "out-of-scope"})
FEWEST_PER_LABEL: Final = 5
RIDGE: Final = 300.0
GAIN: Final = 0.3


class BadLabels(TriviumError):
    """A file of labelled texts that cannot be trained on; the message names the line and what would be right."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with their labels."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """What training gave; every figure is of texts that the measured head did not see."""

    head: LinearHead
    texts: int
    accuracy: float
    accuracy_by_label: dict[str, float]
    out_of_scope_recall: float
    out_of_scope_texts: int
    out_of_scope_how: str
    """"labelled rows" or "classes held out"."""
    false_novel: float
    probabilities: Vector
    """float32[texts in scope, classes], held-out, in the order of the file's rows in scope."""


def train_classifier(
    path: Path, embedder: Embedder, text_column: str = "text", label_column: str = "label", out: Path | None = None
) -> ClassifierReport:
    """Trains on JSONL or CSV and writes the head to `out` if given. Raises BadLabels for a file that it cannot use."""
    data = read_labelled(path, text_column, label_column)
    vectors = embedder.embed_many([without_courtesy(text) for text in data.texts])
    report = train_on(data, vectors, embedder.fingerprint)
    if out is not None:
        report.head.save(out)
    return report


def train_on(data: Labelled, vectors: Vector, fingerprint: str) -> ClassifierReport:
    """The same on texts that are embedded already, float32[texts, dimensions]."""
    labels = np.array(data.labels)
    outside = np.isin(np.char.lower(labels), list(NOVEL_LABELS))
    names, truth = np.unique(labels[~outside], return_inverse=True)
    _check(names, truth)
    known, strange = vectors[~outside], vectors[outside]
    folds = _folds(truth)
    logits, cosines = _held_out(known, truth, len(names), folds)
    temperature = _temperature(logits, truth)
    novelty = _novelty(logits.max(axis=1), cosines)
    near = novelty.nearness(logits.max(axis=1), cosines)
    head = _head(known, truth, tuple(str(name) for name in names), temperature, novelty, fingerprint)
    recall, asked, how = _out_of_scope(head, known, truth, strange)
    right = logits.argmax(axis=1) == truth
    by_label = {str(name): float(right[truth == number].mean()) for number, name in enumerate(names)}
    return ClassifierReport(head, len(labels), float(right.mean()), by_label, recall, asked, how,
                            float((near < novelty.bar).mean()), softmax(logits / np.float32(temperature)))  # fmt: skip


def read_labelled(path: Path, text_column: str = "text", label_column: str = "label") -> Labelled:
    """Rows of a .jsonl or .csv file. Raises BadLabels with the first wrong one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file)) if path.suffix == ".csv" else _json_rows(path, file)
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabels(f"cannot read {path}: {error}") from error
    texts, labels = [], []
    for number, row in enumerate(rows, 2 if path.suffix == ".csv" else 1):
        text, label = row.get(text_column), row.get(label_column)
        if not isinstance(text, str) or not isinstance(label, str) or not text.strip() or not label.strip():
            raise BadLabels(f"{path.name}: row {number} has no {text_column!r} or no {label_column!r}; it has the columns "
                            f"{', '.join(map(str, row)) or 'none'}")  # fmt: skip
        texts.append(text)
        labels.append(label.strip())
    return Labelled(tuple(texts), tuple(labels))


def _json_rows(path: Path, lines: Any) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadLabels(f"{path.name}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadLabels(f'{path.name}: line {number} is not an object like {{"text": "...", "label": "..."}}')
        rows.append(row)
    return rows


def _check(names: NDArray[Any], truth: NDArray[Any]) -> None:
    if len(names) < 2:
        raise BadLabels(f"there are {len(names)} labels: a classifier needs at least two")
    counts = np.bincount(truth)
    if counts.min() < FEWEST_PER_LABEL:
        raise BadLabels(f"the label {str(names[counts.argmin()])!r} has {counts.min()} texts: "
                        f"at least {FEWEST_PER_LABEL} are needed")  # fmt: skip


def _folds(truth: NDArray[Any]) -> NDArray[np.int64]:
    """Stratified: the rows of each class are dealt out in turn after one fixed shuffle."""
    folds = np.zeros(len(truth), dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(truth))
    for label in range(int(truth.max()) + 1):
        rows = order[truth[order] == label]
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def _held_out(vectors: Vector, truth: NDArray[Any], classes: int, folds: NDArray[np.int64]) -> tuple[Vector, Vector]:
    """(logits, cosine to the nearest class centre) of every row by a head that did not see it."""
    logits = np.zeros((len(truth), classes), dtype=np.float32)
    cosines = np.zeros(len(truth), dtype=np.float32)
    for fold in range(FOLDS):
        asked = folds == fold
        weights, bias = fit(vectors[~asked], truth[~asked], classes)
        logits[asked] = vectors[asked] @ weights + bias
        cosines[asked] = (vectors[asked] @ _centres(vectors[~asked], truth[~asked], classes).T).max(axis=1)
    return logits, cosines


def fit(vectors: Vector, truth: NDArray[Any], classes: int, epochs: int = EPOCHS) -> tuple[Vector, Vector]:
    """(weights float32[dimensions, classes], bias float32[classes]) of a softmax regression. Deterministic."""
    draw = np.random.default_rng(0)
    inputs = np.c_[vectors * np.float32(SCALE), np.ones(len(vectors), dtype=np.float32)]
    weights = np.zeros((inputs.shape[1], classes), dtype=np.float32)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    batches = max(1, -(-len(inputs) // BATCH))
    total = max(epochs * batches, STEPS)
    targets = np.eye(classes, dtype=np.float32)[truth]
    order = draw.permutation(len(inputs))
    for step in range(total):
        if step % batches == 0:
            order = draw.permutation(len(inputs))
        rows = order[step % batches * BATCH : (step % batches + 1) * BATCH]
        error = (softmax(inputs[rows] @ weights) - targets[rows]) / np.float32(len(rows))
        slope = inputs[rows].T @ error + np.float32(DECAY) * weights
        first += 0.1 * (slope - first)
        second += 0.001 * (slope * slope - second)
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / total)) / (1 - 0.9 ** (step + 1))
        weights -= rate * first / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
    return weights[:-1] * np.float32(SCALE), weights[-1]


def _centres(vectors: Vector, truth: NDArray[Any], classes: int) -> Vector:
    sums = np.zeros((classes, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, truth, vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centres: Vector = sums / np.maximum(lengths, 1e-6).astype(np.float32)
    return centres


def _temperature(logits: Vector, truth: NDArray[Any]) -> float:
    """Of a few, the one with the least held-out log loss (Guo et al. 2017)."""
    rows = np.arange(len(truth))
    grid = np.geomspace(0.5, 3.0, 25)
    losses = [-np.log(softmax(logits / np.float32(t))[rows, truth] + 1e-9).mean() for t in grid]
    return round(float(grid[int(np.argmin(losses))]), 4)


def _novelty(best: Vector, cosines: Vector) -> Novelty:
    bare = Novelty(float(best.mean()), float(best.std()) or 1.0, float(cosines.mean()), float(cosines.std()) or 1.0)
    bar = float(np.quantile(bare.nearness(best, cosines), FALSE_NOVEL))
    return Novelty(bare.logit_mean, bare.logit_sd, bare.cosine_mean, bare.cosine_sd, bar)


def _head(
    vectors: Vector, truth: NDArray[Any], names: tuple[str, ...], temperature: float, novelty: Novelty, fingerprint: str
) -> LinearHead:
    weights, bias = fit(vectors, truth, len(names))
    return LinearHead(names, weights, bias, _centres(vectors, truth, len(names)), temperature, novelty, fingerprint)


def _out_of_scope(head: LinearHead, known: Vector, truth: NDArray[Any], strange: Vector) -> tuple[float, int, str]:
    """(recall, texts asked, how): of labelled rows if there are any, else of a fifth of the classes at a time."""
    if len(strange):
        return float(_novel(head, strange).mean()), len(strange), "labelled rows"
    found: list[NDArray[np.bool_]] = []
    classes = len(head.labels)
    for fold in range(min(FOLDS, classes - 1)):
        left_out = truth % FOLDS == fold
        if len(np.unique(truth[~left_out])) < 2 or not left_out.any():
            continue
        _, rest = np.unique(truth[~left_out], return_inverse=True)
        count, inside = int(rest.max()) + 1, known[~left_out]
        aside = _folds(rest) == 0
        smaller = _head(
            inside[~aside], rest[~aside], head.labels[:count], head.temperature, Novelty(), head.fingerprint
        )
        bar = _novelty((inside[aside] @ smaller.weights + smaller.bias).max(axis=1),
                       (inside[aside] @ smaller.centres.T).max(axis=1))  # fmt: skip
        smaller = replace(smaller, novelty=bar)
        found.append(_novel(smaller, known[left_out]))
    asked = np.concatenate(found) if found else np.zeros(0, dtype=bool)
    return float(asked.mean()) if len(asked) else 0.0, len(asked), "classes held out"


def _novel(head: LinearHead, vectors: Vector) -> NDArray[np.bool_]:
    best = (vectors @ head.weights + head.bias).max(axis=1)
    near: NDArray[np.bool_] = head.novelty.nearness(best, (vectors @ head.centres.T).max(axis=1)) < head.novelty.bar
    return near


def fit_complexity(
    texts: Sequence[str], vectors: Vector, weak_right: NDArray[np.bool_], strong_right: NDArray[np.bool_] | None = None
) -> ComplexityHead:
    """Ridge regression of "the small target is wrong", leaning towards texts that the strong one gets right."""
    counts = np.array([surface(text) for text in texts], dtype=np.float32)
    mean, sd = counts.mean(axis=0), counts.std(axis=0) + np.float32(1e-3)
    inputs = np.c_[vectors * 4.0, (counts - mean) / sd, np.ones(len(texts))].astype(np.float64)
    goal = 1.0 - weak_right.astype(np.float64)
    if strong_right is not None:
        goal += GAIN * (strong_right.astype(np.float64) - weak_right.astype(np.float64))
    solved = np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ goal)
    solved[: vectors.shape[1]] *= 4.0
    return ComplexityHead(solved[:-1].astype(np.float32), float(solved[-1]), mean, sd)
