"""How well personal data is found: recall and precision of each kind on labelled sentences, and how long a look takes.

    .venv/bin/python -m benchmarks.detector [--json] [--wrong]
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import finish, print_table
from trivium.core.policy import Kind
from trivium.detect.detector import Detector

LABELLED: Final = Path(__file__).parent.parent / "tests/data/detector.jsonl"
ROUNDS: Final = 5
ALL: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, and the kinds that a person sees in it. Held-out ones were not looked at while the detector was made."""

    text: str
    kinds: frozenset[Kind]
    held_out: bool


@dataclass(frozen=True, slots=True)
class Score:
    """How one kind was found."""

    right: int
    missed: int
    mistaken: int

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.mistaken)


def read() -> list[Sentence]:
    """The labelled set."""
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    return [Sentence(row["text"], frozenset(Kind(kind) for kind in row["kinds"]), row["held_out"]) for row in rows]


def scored(sentences: Sequence[Sentence], kind: Kind, detector: Detector) -> Score:
    """How `kind` is found in the sentences."""
    pairs = [(kind in sentence.kinds, bool(detector(sentence.text, frozenset({kind})))) for sentence in sentences]
    return Score(pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)))


def look_us(sentences: Sequence[Sentence], detector: Detector) -> float:
    """Median microseconds to look for all kinds in one sentence."""
    took = []
    for _ in range(ROUNDS):
        for sentence in sentences:
            began = time.perf_counter_ns()
            detector(sentence.text, ALL)
            took.append(time.perf_counter_ns() - began)
    return sorted(took)[len(took) // 2] / 1000


def main() -> None:
    """Prints a row for each kind, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--wrong", action="store_true", help="name the sentences (not the held-out ones) that are told wrong")
    chosen = parser.parse_args()
    sentences, detector = read(), Detector()
    held = [sentence for sentence in sentences if sentence.held_out]
    figures: dict[str, object] = {"sentences": len(sentences), "without_any": sum(not s.kinds for s in sentences)}
    rows = []
    for kind in Kind:
        whole, out = scored(sentences, kind, detector), scored(held, kind, detector)
        row = {"recall": whole.recall, "precision": whole.precision, "held_out_recall": out.recall, "held_out_precision": out.precision}
        figures |= {f"{kind.value}_{name}": round(value, 3) for name, value in row.items()}
        rows.append({"kind": kind.value, "sentences": whole.right + whole.missed, **row})
    figures["look_us"] = round(look_us(sentences, detector), 1)
    if not chosen.json:
        print_table("Personal data found", rows)
    for sentence in sentences if chosen.wrong else ():
        found = detector(sentence.text, ALL)
        if found != sentence.kinds and not sentence.held_out:
            print(f"{_words(found):20} instead of {_words(sentence.kinds):20} {sentence.text}")
    finish(figures, chosen.json)


def _words(kinds: frozenset[Kind]) -> str:
    return ",".join(sorted(kind.value for kind in kinds)) or "-"


if __name__ == "__main__":
    main()
