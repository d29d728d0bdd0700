"""How right the decisions are: classification, out-of-scope work, the semantic cache, the choice between models, tools.

banking77 and clinc150: the `auto` classifier, held out. Cache: all of banking77 in one shuffled stream through the real
lookup with the shipped verifier and bar; what misses becomes an entry, a hit is wrong when the intents differ. The task
classifier is its witness, as in production; each text is judged by a head of four folds that do not contain it.
routellm: questions in order of predicted complexity go to the strong model; the share of the gap between all-weak and
all-strong quality recovered, averaged over all cost levels, five-fold (APGR of Ong et al. 2024; chance is 0.5).
Tools: the held-out part of a labelled set, over the wire of the TGI stand-in through the openai SDK.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import finish, print_table
from benchmarks.shared_data import DEFAULT, progress, read_rows
from benchmarks.tool_choice import tool_choice
from trivium.cache.lookup import Hit, Lookup, shipped_verifier
from trivium.cache.training import share
from trivium.classifier.training import ClassifierReport, Labelled, fit_complexity, train_on
from trivium.embed.static import StaticEmbedder
from trivium.ports import Vector

FOLDS = 5
SEED = 7


@dataclass(frozen=True, slots=True)
class Question:
    """A cache entry of the stream."""

    id: str
    question: str
    intent: str
    scope: str = "banking77"
    expires_ms: int = 0


@dataclass
class HeldOutWitness:
    """Gives each text the probabilities of the head that did not see it, by the bytes of its vector."""

    views: dict[bytes, Vector] = field(default_factory=dict)

    def probabilities(self, vector: Vector) -> Vector:
        return self.views[vector.tobytes()]


def classification(
    folder: Path, embedder: StaticEmbedder
) -> tuple[dict[str, float], ClassifierReport, list[dict[str, str]]]:
    """Accuracies and recall, and banking77's report for the cache."""
    banking = read_rows(folder, "banking77.csv")
    progress("banking77: five folds of 77 intents ...")
    data = Labelled(tuple(row["text"] for row in banking), tuple(row["intent"] for row in banking))
    report = train_on(data, embedder.embed_many(data.texts), embedder.fingerprint)
    clinc = [row for row in read_rows(folder, "clinc150.csv") if row["split"] != "val"]
    asked = [row for row in read_rows(folder, "clinc150.csv") if row["split"] == "val"]
    progress("clinc150: 150 intents and out-of-scope queries ...")
    known = Labelled(tuple(row["text"] for row in clinc), tuple(row["intent"] for row in clinc))
    wide = train_on(known, embedder.embed_many(known.texts), embedder.fingerprint)
    vectors = embedder.embed_many([row["text"] for row in asked])
    said = (vectors @ wide.head.weights + wide.head.bias).argmax(axis=1)
    right = [wide.head.labels[number] == row["intent"] for number, row in zip(said, asked, strict=True)]
    figures = {
        "banking77_accuracy": round(report.accuracy, 4),
        "clinc150_accuracy": round(float(np.mean(right)), 4),
        "oos_recall": round(wide.out_of_scope_recall, 4),
        "oos_false_novel": round(wide.false_novel, 4),
    }
    return figures, report, banking


def cache_stream(rows: list[dict[str, str]], report: ClassifierReport, embedder: StaticEmbedder) -> dict[str, float]:
    """Hits and wrong hits of one stream of all the texts."""
    vectors = embedder.embed_many([row["text"] for row in rows])
    views = {vector.tobytes(): view for vector, view in zip(vectors, report.probabilities, strict=True)}
    lookup = Lookup(embedder, shipped_verifier(), HeldOutWitness(views))
    hits: list[bool] = []
    exact = 0
    for count, number in enumerate(np.random.default_rng(SEED).permutation(len(rows))):
        if count % 2000 == 0:
            progress(f"cache: {count} of {len(rows)}, {len(hits)} hits")
        row = rows[number]
        found = lookup.find("banking77", row["text"], now_ms=0)
        if isinstance(found, Hit):
            entry = lookup.entries[found.entry_id]
            assert isinstance(entry, Question)
            hits.append(entry.intent != row["intent"])
            exact += found.exact
        else:
            lookup.put(Question(str(number), row["text"], row["intent"]), found.vector)
    wrong = share(np.array(hits, dtype=bool))
    return {
        "cache_hit_rate": round(len(hits) / len(rows), 4),
        "cache_wrong_rate": round(wrong.rate, 4),
        "cache_wrong_low": round(wrong.low, 4),
        "cache_wrong_high": round(wrong.high, 4),
        "cache_exact_hits": float(exact),
    }


def model_choice(folder: Path, embedder: StaticEmbedder) -> dict[str, float]:
    """APGR of the complexity head, five-fold."""
    rows = read_rows(folder, "routellm.csv")
    progress(f"routellm: {len(rows)} questions, five folds ...")
    texts = [row["prompt"] for row in rows]
    weak = np.array([row["weak_correct"] == "1" for row in rows])
    strong = np.array([row["strong_correct"] == "1" for row in rows])
    vectors = embedder.embed_many(texts)
    folds = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    recovered = []
    for fold in range(FOLDS):
        seen, asked = folds != fold, np.flatnonzero(folds == fold)
        head = fit_complexity([texts[i] for i in np.flatnonzero(seen)], vectors[seen], weak[seen], strong[seen])
        hard = np.array([head.raw(vectors[i], texts[i]) for i in asked])
        recovered.append(recovered_gap(hard, weak[asked], strong[asked]))
    return {"routellm_apgr": round(float(np.mean(recovered)), 4)}


def recovered_gap(hard: NDArray[np.float64], weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> float:
    """Area under the share of the quality gap recovered, against the share of questions sent to the strong model."""
    order = np.argsort(-hard, kind="stable")
    gains = strong[order].astype(np.float64) - weak[order]
    recovered = np.concatenate([[0.0], np.cumsum(gains) / gains.sum()])
    return float(np.trapezoid(recovered, dx=1 / len(hard)))


def main() -> None:
    """Measures what was asked for, everything by default."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.quality --data ../shared/data --json",
    )
    parser.add_argument(
        "--data", type=Path, default=DEFAULT, help="folder of the public data sets (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    embedder = StaticEmbedder.load()
    figures, report, banking = classification(chosen.data, embedder)
    progress(str(figures))
    figures |= cache_stream(banking, report, embedder)
    figures |= model_choice(chosen.data, embedder)
    figures |= tool_choice()
    print_table(
        "Quality", [{"figure": name, "value": value, "floor": FLOORS.get(name, "")} for name, value in figures.items()]
    )
    if chosen.json:
        finish(figures, True)


FLOORS = {
    "banking77_accuracy": ">= 0.88",
    "cache_hit_rate": ">= 0.3",
    "cache_wrong_rate": "<= 0.01",
    "routellm_apgr": ">= 0.594",
}

if __name__ == "__main__":
    main()
