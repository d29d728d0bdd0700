"""A linear head over embeddings: task type, confidence, novelty and complexity of a text in about 0.05 ms.

The file is JSON with arrays as base64 of little-endian float32, so that nothing in it can be executed.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trivium.classifier.surface import SURFACE, plain_complexity, surface
from trivium.core.decision import Classification
from trivium.core.errors import TriviumError
from trivium.core.question import without_courtesy
from trivium.ports import Embedder, Vector


class BadClassifier(TriviumError):
    """A classifier file that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """When nothing known is near: the best logit and the cosine to the nearest class centre, each standardised by the
    held-out texts of known classes, are added; below `bar` the text is novel."""

    logit_mean: float = 0.0
    logit_sd: float = 1.0
    cosine_mean: float = 0.0
    cosine_sd: float = 1.0
    bar: float = -1e9

    def nearness(self, logit: Any, cosine: Any) -> Any:
        """The sum; scalars or arrays."""
        return (logit - self.logit_mean) / self.logit_sd + (cosine - self.cosine_mean) / self.cosine_sd


@dataclass(frozen=True, slots=True)
class ComplexityHead:
    """How likely a small target is to get the text wrong: linear in the embedding and in standardised surface counts."""

    weights: Vector
    """float32[dimensions + counts]."""
    bias: float
    mean: Vector
    sd: Vector

    def complexity(self, vector: Vector, text: str) -> float:
        """0..1."""
        return min(1.0, max(0.0, self.raw(vector, text)))

    def raw(self, vector: Vector, text: str) -> float:
        """The same before it is cut to 0..1, for ranking."""
        counts = (np.array(surface(text), dtype=np.float32) - self.mean) / self.sd
        size = len(vector)
        return float(vector @ self.weights[:size]) + float(counts @ self.weights[size:]) + self.bias


@dataclass(frozen=True, slots=True)
class Classified:
    """What the head says of one text: the classification for the decision, and what it rests on."""

    said: Classification
    margin: float
    """Probability of the first class less that of the second."""
    nearness: float
    probabilities: Vector


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Labels, weights float32[dimensions, classes], biases, class centres float32[classes, dimensions], temperature."""

    labels: tuple[str, ...]
    weights: Vector
    bias: Vector
    centres: Vector
    temperature: float
    novelty: Novelty
    fingerprint: str
    """Of the embedder that it was trained with; with another one its answers mean nothing."""
    complexity: ComplexityHead | None = None

    def probabilities(self, vector: Vector) -> Vector:
        """float32[classes], in the order of `labels`; sums to 1."""
        return softmax((vector @ self.weights + self.bias) / np.float32(self.temperature))

    def classify(self, vector: Vector, text: str) -> Classified:
        """Names the task type of a text whose embedding is `vector`."""
        logits = vector @ self.weights + self.bias
        found = softmax(logits / np.float32(self.temperature))
        best = int(found.argmax())
        rest = float(np.partition(found, -2)[-2]) if len(found) > 1 else 0.0
        near = float(self.novelty.nearness(float(logits[best]), float((self.centres @ vector).max())))
        hard = self.complexity.complexity(vector, text) if self.complexity is not None else plain_complexity(text)
        said = Classification(self.labels[best], float(found[best]), hard, near < self.novelty.bar)
        return Classified(said, float(found[best]) - rest, near, found)

    def save(self, path: Path) -> None:
        """Writes the head as JSON."""
        novelty = {name: getattr(self.novelty, name) for name in Novelty.__slots__}
        data: dict[str, Any] = {
            "labels": self.labels, "fingerprint": self.fingerprint, "temperature": self.temperature, "novelty": novelty,
            "weights": _packed(self.weights), "bias": _packed(self.bias), "centres": _packed(self.centres),
        }  # fmt: skip
        if self.complexity is not None:
            data["complexity"] = {"weights": _packed(self.complexity.weights), "bias": self.complexity.bias,
                                  "mean": _packed(self.complexity.mean), "sd": _packed(self.complexity.sd)}  # fmt: skip
        path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "LinearHead":
        """Reads what `save` wrote. Raises BadClassifier."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            labels = tuple(str(label) for label in data["labels"])
            weights = _unpacked(data["weights"]).reshape(-1, len(labels))
            centres = _unpacked(data["centres"]).reshape(len(labels), -1)
            bias = _unpacked(data["bias"])
            if bias.shape != (len(labels),) or centres.shape[1] != weights.shape[0]:
                raise ValueError("weights, bias, centres and labels do not fit together")
            novelty = Novelty(**{name: float(value) for name, value in data["novelty"].items()})
            return cls(labels, weights, bias, centres, float(data["temperature"]), novelty, str(data["fingerprint"]),
                       _complexity(data.get("complexity"), weights.shape[0]))  # fmt: skip
        except OSError as error:
            raise BadClassifier(f"cannot read the classifier {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadClassifier(
                f"{path} is not a classifier ({error}): train one with `trivium train-classifier`"
            ) from error


class TextClassifier:
    """A head with its embedder: what the decision asks, text in, classification out."""

    def __init__(self, head: LinearHead, embedder: Embedder) -> None:
        if head.fingerprint != embedder.fingerprint:
            raise BadClassifier(f"the classifier was trained with the embedder {head.fingerprint}, not with "
                                f"{embedder.fingerprint}: train it again")  # fmt: skip
        self.head = head
        self._embedder = embedder

    def __call__(self, text: str) -> Classification:
        """The classification of one text."""
        return self.head.classify(self._embedder.embed(without_courtesy(text)), text).said


def softmax(logits: Vector) -> Vector:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Vector = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _complexity(data: dict[str, Any] | None, dimensions: int) -> ComplexityHead | None:
    if data is None:
        return None
    head = ComplexityHead(
        _unpacked(data["weights"]), float(data["bias"]), _unpacked(data["mean"]), _unpacked(data["sd"])
    )
    if head.weights.shape != (dimensions + len(SURFACE),) or head.mean.shape != (len(SURFACE),):
        raise ValueError("its complexity head is of another version")
    return head


def _packed(array: Vector) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def _unpacked(text: str) -> Vector:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
