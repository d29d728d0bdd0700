"""A corpus of any size and questions whose right passages are known, from public data.

Every passage is a section of a volume: volume 7 has the sections 1.1 to 10.10. The texts are customers' utterances of
BANKING77 and CLINC150 and exam questions of MMLU and GSM8K; beyond these 36,000, two of them joined. Three kinds of
questions:

* paraphrase: an utterance of BANKING77 that is not in the corpus; right is every passage of the same intent (people
  labelled them). Nobody wrote these questions to fit a passage.
* words: up to eight of the content words of one exam question, in order; right is that passage. They are its own words,
  so this kind flatters BM25.
* section: "What does section 4.7 say about WORD WORD?", two content words of that passage.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.shared_data import read_rows
from services.retrieval.terms import words_of
from trivium.core.prompt import estimate_tokens

KINDS: Final = ("paraphrase", "words", "section")
SECTIONS: Final = 100
"""Of a volume: ten chapters of ten."""
_MOST_TOKENS: Final = 150
"""A longer text would be cut into several passages."""
_FEWEST_WORDS: Final = 8
_ASKED_WORDS: Final = 8
_KNOWN: Final = 200
"""Passages that are asked for, all in the smallest corpus."""
_PER_INTENT: Final = 5
_SEED: Final = 7

Place = tuple[str, str]
"""Document and section number of a passage."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its kind, and the passages any of which is right."""

    kind: str
    text: str
    right: frozenset[Place]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts in the order in which they are taken in, and questions about the first of them."""

    texts: Sequence[str]
    questions: Sequence[Question]

    def documents(self, start: int, end: int) -> Iterator[tuple[str, bytes]]:
        """The volumes that hold the passages from `start` up to `end`, as Markdown. Both are multiples of 100."""
        for first in range(start, end, SECTIONS):
            yield place_of(first)[0], _volume(self.texts[first : first + SECTIONS], first)


def place_of(index: int) -> Place:
    """Where the text with this number stands."""
    volume, inside = divmod(index, SECTIONS)
    return f"volume-{volume:04d}.md", f"{inside // 10 + 1}.{inside % 10 + 1}"


def make_corpus(folder: Path, size: int, questions: int) -> Corpus:
    """`size` passages and `questions` questions of each kind, the same ones at every call."""
    draw = random.Random(_SEED)
    exams = _plain(row["prompt"] for row in read_rows(folder, "routellm.csv"))
    known = [text for text in exams if len(set(words_of(text))) >= _FEWEST_WORDS][:_KNOWN]
    labelled, asked = _by_intent(folder)
    first = [*known, *(text for text, _ in labelled)]
    rest = list(dict.fromkeys([*exams, *_plain(row["text"] for row in read_rows(folder, "clinc150.csv"))]))
    rest = [text for text in rest if text not in set(first)]
    draw.shuffle(rest)
    texts = [*first, *rest][:size]
    short = [text for text in rest if estimate_tokens(text) <= _MOST_TOKENS // 2]
    while len(texts) < size:
        texts.append(f"{draw.choice(short)} {draw.choice(short)}")
    order = list(range(min(size, 1_000)))
    draw.shuffle(order)
    at = {old: new for new, old in enumerate(order)}
    shuffled = [texts[old] for old in order] + texts[len(order) :]
    intents: dict[str, set[Place]] = defaultdict(set)
    for number, (_, intent) in enumerate(labelled, len(known)):
        intents[intent].add(place_of(at[number]))
    return Corpus(shuffled, [
        *(Question("paraphrase", text, frozenset(intents[intent])) for text, intent in asked[:questions]),
        *(Question("words", " ".join(_some_words(text, _ASKED_WORDS)), frozenset({place_of(at[n])})) for n, text in enumerate(known[:questions])),
        *(_of_section(text, place_of(at[n])) for n, text in enumerate(known[:questions])),
    ])  # fmt: skip


def _of_section(text: str, place: Place) -> Question:
    about = " ".join(_some_words(text, 2))
    return Question("section", f"What does section {place[1]} say about {about}?", frozenset({place}))


def _by_intent(folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Utterances with their intents: five of each intent to be found, and others that ask."""
    by_intent: dict[str, list[str]] = defaultdict(list)
    for row in sorted(read_rows(folder, "banking77.csv"), key=lambda row: hashlib.sha256(row["text"].encode()).digest()):
        by_intent[row["intent"]].append(_one_line(row["text"]))
    held = [(text, intent) for intent, texts in by_intent.items() for text in texts[:_PER_INTENT]]
    asked = [(texts[_PER_INTENT + turn], intent) for turn in range(3) for intent, texts in by_intent.items()]
    return held, asked


def _some_words(text: str, most: int) -> list[str]:
    """Content words of a text, in order: those that a hash of the text chooses."""
    kept = [word for word in (raw.strip(".,:;?!()\"'") for raw in text.split()) if len(word) > 3 and words_of(word)]
    chosen = set(random.Random(text).sample(range(len(kept)), min(most, len(kept))))
    return [word for number, word in enumerate(kept) if number in chosen]


def _plain(texts: Iterator[str]) -> list[str]:
    return [line for line in map(_one_line, texts) if line and estimate_tokens(line) <= _MOST_TOKENS]


def _one_line(text: str) -> str:
    return " ".join(text.replace("#", " ").replace("|", " ").split()).lstrip("-+*>=`~_0123456789.) ")


def _volume(texts: Sequence[str], first: int) -> bytes:
    name, _ = place_of(first)
    lines = [f"# {name.removesuffix('.md').replace('-', ' ').title()}"]
    for index, text in enumerate(texts, first):
        number = place_of(index)[1]
        if number.endswith(".1"):
            lines.append(f"## {number.removesuffix('.1')} Chapter")
        lines.append(f"### {number} Entry\n\n{text}")
    return "\n\n".join(lines).encode()
