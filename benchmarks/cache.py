"""The semantic cache at 100,000 entries: embedding + lookup + verifier of one question, recall of the index, its size.

Entries are the real texts of the shared data and variations of them (words dropped, added, exchanged, halves of two texts
joined); questions are further variations of real texts, never equal to an entry. Recall: how often the nearest entry of
a flat scan is among the candidates that are verified. One scope holds all, which is the worst case.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import finish, print_table
from benchmarks.shared_data import DEFAULT, progress, read_rows
from trivium.cache.lookup import CANDIDATES, Hit, Lookup, shipped_verifier
from trivium.embed.static import StaticEmbedder
from trivium.ports import Vector

SCOPE = "bench"
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Line:
    """A cache entry of the benchmark."""

    id: str
    question: str
    scope: str = SCOPE
    expires_ms: int = 0


def texts(folder: Path, entries: int, questions: int) -> tuple[list[str], list[str]]:
    """(entries, questions), all different, drawn the same way every time."""
    real: list[str] = []
    for name, column in (("banking77.csv", "text"), ("clinc150.csv", "text"), ("routellm.csv", "prompt")):
        real += [row[column][:LONGEST] for row in read_rows(folder, name)]
    real = list(dict.fromkeys(real))[:entries]
    draw = np.random.default_rng(5)
    words = [text.split() for text in real]
    seen = dict.fromkeys(real)
    while len(seen) < entries + questions:
        seen.setdefault(_varied(words, draw))
    every = list(seen)
    return every[:entries], every[entries:]


def _varied(words: list[list[str]], draw: np.random.Generator) -> str:
    one, other = list(words[draw.integers(len(words))]), words[draw.integers(len(words))]
    way = int(draw.integers(4))
    if way == 0 and len(one) > 4:
        one.pop(int(draw.integers(len(one))))
    elif way == 1:
        one.insert(int(draw.integers(len(one) + 1)), other[int(draw.integers(len(other)))])
    elif way == 2:
        one[int(draw.integers(len(one)))] = other[int(draw.integers(len(other)))]
    else:
        one = one[: max(3, len(one) // 2)] + other[len(other) // 2 :]
    return " ".join(one)


def filled(entries: list[str], embedder: StaticEmbedder) -> tuple[Lookup, Vector]:
    """A lookup that holds the entries, and their vectors."""
    lookup = Lookup(embedder, shipped_verifier())
    progress(f"embedding {len(entries)} entries ...")
    vectors = embedder.embed_many(entries)
    progress("building the index ...")
    lookup.put_many(
        [(Line(str(number), text), vector) for number, (text, vector) in enumerate(zip(entries, vectors, strict=True))]
    )
    return lookup, vectors


def main() -> None:
    """Builds, asks, and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cache",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.cache --entries 100000 --json",
    )
    parser.add_argument(
        "--data", type=Path, default=DEFAULT, help="folder of the public data sets (default: %(default)s)"
    )
    parser.add_argument("--entries", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--questions", type=int, default=2_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    chosen = parser.parse_args()
    embedder = StaticEmbedder.load()
    entries, questions = texts(chosen.data, chosen.entries, chosen.questions)
    started = time.perf_counter()
    lookup, vectors = filled(entries, embedder)
    built_s = time.perf_counter() - started
    figures = measured(lookup, vectors, questions, embedder) | {
        "build_s": round(built_s, 1),
        "entries": float(len(entries)),
    }
    print_table("Semantic cache", [{"figure": name, "value": value} for name, value in figures.items()])
    if chosen.json:
        finish(figures, True)


def measured(lookup: Lookup, vectors: Vector, questions: list[str], embedder: StaticEmbedder) -> dict[str, float]:
    """Latency of whole lookups by the clock and by the processor (they differ when others use it), recall, bytes."""
    progress(f"asking {len(questions)} questions ...")
    for question in questions[:50]:
        lookup.find(SCOPE, question, now_ms=0)
    taken, worked, hits = [], [], 0
    for question in questions:
        started, begun = time.perf_counter_ns(), time.thread_time_ns()
        found = lookup.find(SCOPE, question, now_ms=0)
        taken.append((time.perf_counter_ns() - started) / 1e6)
        worked.append((time.thread_time_ns() - begun) / 1e6)
        hits += isinstance(found, Hit)
    recalled = 0
    for start in range(0, len(questions), 200):
        batch = embedder.embed_many(questions[start : start + 200])
        best = (batch @ vectors.T).max(axis=1)
        for vector, cosine in zip(batch, best, strict=True):
            near = lookup.index.nearest(SCOPE, vector, CANDIDATES)
            recalled += bool(near) and near[0][1] >= float(cosine) - 1e-5
    return {
        "lookup_p50_ms": round(float(np.quantile(taken, 0.5)), 3),
        "lookup_p99_ms": round(float(np.quantile(taken, 0.99)), 3),
        "lookup_cpu_p50_ms": round(float(np.quantile(worked, 0.5)), 3),
        "lookup_cpu_p99_ms": round(float(np.quantile(worked, 0.99)), 3),
        "recall": round(recalled / len(questions), 4),
        "index_mib": round(lookup.index.bytes_used() / 2**20, 1),
        "hit_rate": round(hits / len(questions), 4),
    }


if __name__ == "__main__":
    main()
