"""Writes pairs.jsonl from phrasings.txt and contrasts.txt: `python -m examples.support.make_pairs`.

Two phrasings of one intent are the same question; phrasings of two intents are different ones, and of those the hardest
are kept: what shares most words, and what the bundled vectors find nearest, as the cache's index would. Small rewordings
("how do I" to "what's the way to", a typing error, a greeting) are applied by rule to pairs of both sorts, because real
traffic repeats itself more closely than an author does. Contrasts are taken as they were written. Everything is drawn by
hashes of the texts, so the file is the same on every machine. `group` names the intents that a pair stands between:
training keeps whole groups out when it measures.
"""

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Final

from examples.support.grids import grid_pairs
from trivium.core.reading import Reader
from trivium.embed.static import StaticEmbedder

FOLDER: Final = Path(__file__).parent
SAME_PER_INTENT: Final = 12
HARD_PER_INTENT: Final = 12
NEAR_PER_INTENT: Final = 14
FAR_PER_INTENT: Final = 3
NEIGHBOURS: Final = 4
FRAMES: Final = (
    ("How do I ", ("How can I ", "What's the way to ", "Could you explain how to ", "I'd like to know how to ", "How would I ",
                   "Tell me how to ", "what do i do to ")),
    ("Where can I ", ("Where do I ", "Where is it possible to ", "In which place can I ")),
    ("Can I ", ("Is it possible to ", "May I ", "Could I ", "Am I able to ", "I'd like to know if I can ")),
    ("Do you have ", ("Is there ", "Do you offer ", "Have you got ")),
    ("Is there ", ("Do you have ", "Does there exist ")),
    ("I'd like to ", ("I want to ", "I would love to ", "I need to ")),
    ("I want to ", ("I'd like to ", "I need to ", "i wanna ")),
    ("What is ", ("Can you tell me what is ", "I'd like to know what is ")),
    ("What's ", ("Could you say what's ", "May I ask what's ")),
    ("My ", ("Unfortunately my ", "It seems that my ")),
    ("Why ", ("Can you explain why ", "Any idea why ")),
)  # fmt: skip
POLITE: Final = (("Hi, ", ""), ("Hello, ", " Thanks!"), ("", " Thank you in advance."), ("Good morning, ", ""),
                 ("Hey there! ", " Cheers"), ("", " Thanks a lot"))  # fmt: skip

Intents = dict[str, list[str]]


def read_phrasings(path: Path) -> tuple[Intents, dict[str, str]]:
    """(phrasings by intent, topic by intent)."""
    intents: Intents = {}
    topics: dict[str, str] = {}
    topic = intent = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            topic = line[3:].strip()
        elif line.startswith("-- "):
            intent = line[3:].strip()
            intents[intent], topics[intent] = [], topic
        elif line.strip() and not line.startswith("#"):
            intents[intent].append(line.strip())
    return intents, topics


def read_contrasts(path: Path) -> list[dict[str, object]]:
    """Pairs as written; each text pair is a group of its own, shared by pairs that begin with the same text."""
    pairs: list[dict[str, object]] = []
    same = True
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            same = line.strip() == "[same]"
        elif "|" in line and not line.startswith("#"):
            kind, first, second = (part.strip() for part in line.split("|"))
            pairs.append(_pair(first, second, same, kind, "contrast:" + _draw(first)[:6]))
    return pairs


def neighbour_pairs(contrasts: list[dict[str, object]]) -> list[dict[str, object]]:
    """Texts of different contrasts that the vectors find nearest, though they share at most half of what they speak of:
    a cache of many subjects shows such candidates all the time."""
    group: dict[str, str] = {}
    for pair in contrasts:
        for side in ("a", "b"):
            group.setdefault(str(pair[side]), str(pair["group"]))
    linked = {frozenset((str(pair["a"]), str(pair["b"]))) for pair in contrasts}
    texts = list(group)
    reader = Reader()
    concepts = [frozenset(reader.read(text).concepts) for text in texts]
    vectors = StaticEmbedder.load().embed_many(texts)
    pairs: dict[tuple[str, str], dict[str, object]] = {}
    for text, said, row in zip(texts, concepts, vectors @ vectors.T, strict=True):
        found = 0
        for index in (-row).argsort():
            other = texts[index]
            alike = 2 * len(said & concepts[index]) > min(len(said), len(concepts[index]))
            if alike or group[other] == group[text] or frozenset((text, other)) in linked:
                continue
            key = (min(text, other), max(text, other))
            pairs.setdefault(key, _pair(*key, False, "neighbour", f"{group[key[0]]}|{group[key[1]]}"))
            found += 1
            if found == NEIGHBOURS:
                break
    return list(pairs.values())


def same_pairs(intents: Intents) -> list[dict[str, object]]:
    """Up to SAME_PER_INTENT pairs of phrasings of each intent, and one with a greeting or thanks."""
    pairs = []
    for intent, phrasings in intents.items():
        both = sorted(itertools.combinations(phrasings, 2), key=lambda pair: _draw(*pair))[:SAME_PER_INTENT]
        pairs += [_pair(first, second, True, "paraphrase", intent) for first, second in both]
        text = min(phrasings, key=_draw)
        before, after = POLITE[int(_draw(intent), 16) % len(POLITE)]
        shown = text if not before else text[0].lower() + text[1:] if not text.startswith("I ") else text
        pairs.append(_pair(text, f"{before}{shown}{after}", True, "politeness", intent))
    return pairs


def reworded_pairs(intents: Intents) -> list[dict[str, object]]:
    """Each phrasing with itself in another frame, and with a typing error or without capitals and marks."""
    pairs = []
    for intent, phrasings in intents.items():
        for text in phrasings:
            framed = reframed(text)
            if framed != text:
                pairs.append(_pair(text, framed, True, "frame", intent))
            pairs.append(_pair(text, scrawled(framed if int(_draw(text), 16) % 2 else text), True, "scrawl", intent))
    return pairs


def reframed(text: str) -> str:
    """The text with another opening that asks the same, or unchanged."""
    for opening, others in FRAMES:
        if text.startswith(opening):
            return others[int(_draw(text), 16) % len(others)] + text[len(opening) :]
    return text


def scrawled(text: str) -> str:
    """As typed in haste: no capitals, no marks, and sometimes two letters of a long word in the wrong order."""
    plain = re.sub(r"[?!.,]", "", text.lower())
    draw = int(_draw(text, "scrawl"), 16)
    words = plain.split()
    long = [index for index, word in enumerate(words) if len(word) > 6 and word.isalpha()]
    if long and draw % 3 == 0:
        index = long[draw // 3 % len(long)]
        word, at = words[index], 2 + draw // 7 % (len(words[index]) - 4)
        words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if draw % 3 == 1:
        words = [word.replace("'", "") for word in words]
    return " ".join(words)


def different_pairs(intents: Intents, topics: dict[str, str]) -> list[dict[str, object]]:
    """For each intent: the other intents' phrasings that share most words with its own or are nearest to them in the
    vector space, and a few at random; every third of them with one side reworded."""
    owner = {text: intent for intent, phrasings in intents.items() for text in phrasings}
    words = {text: frozenset(re.findall(r"[a-z']+", text.lower())) for text in owner}
    texts = list(owner)
    embedder = StaticEmbedder.load()
    vectors = dict(zip(texts, embedder.embed_many(texts), strict=True))
    chosen: dict[tuple[str, str], str] = {}
    for intent, phrasings in intents.items():
        others = [text for text in owner if owner[text] != intent]
        crossed = list(itertools.product(phrasings, others))
        alike = sorted(crossed, key=lambda pair: (-_likeness(words, topics, owner, *pair), _draw(*pair)))
        near = sorted(crossed, key=lambda pair: -float(vectors[pair[0]] @ vectors[pair[1]]))
        far = sorted(crossed, key=lambda pair: _draw(*pair))
        for first, second in alike[:HARD_PER_INTENT] + near[:NEAR_PER_INTENT] + far[:FAR_PER_INTENT]:
            key = (min(first, second), max(first, second))
            chosen.setdefault(key, "same topic" if topics[owner[first]] == topics[owner[second]] else "other topic")
    pairs = []
    for (first, second), kind in chosen.items():
        draw = int(_draw(first, second, "side"), 16) % 6
        group = f"{owner[first]}|{owner[second]}"
        shown = reframed(first) if draw == 0 else scrawled(first) if draw == 1 else first
        pairs.append(_pair(shown, second, False, kind, group))
    return pairs


def _likeness(
    words: dict[str, frozenset[str]], topics: dict[str, str], owner: dict[str, str], first: str, second: str
) -> float:
    shared = len(words[first] & words[second]) / len(words[first] | words[second])
    return shared + (0.15 if topics[owner[first]] == topics[owner[second]] else 0.0)


def _pair(first: str, second: str, same: bool, kind: str, group: str) -> dict[str, object]:
    return {"a": first, "b": second, "same": same, "kind": kind, "group": group}


def _draw(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def main() -> None:
    """Writes pairs.jsonl beside this file and prints how many pairs of each kind it holds."""
    intents, topics = read_phrasings(FOLDER / "phrasings.txt")
    pairs = same_pairs(intents) + reworded_pairs(intents)
    contrasts = read_contrasts(FOLDER / "contrasts.txt")
    pairs += different_pairs(intents, topics) + contrasts + neighbour_pairs(contrasts)
    pairs += [_pair(*row) for row in grid_pairs()]
    lines = [json.dumps(pair, ensure_ascii=False) for pair in pairs]
    (FOLDER / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    same = sum(bool(pair["same"]) for pair in pairs)
    print(f"{len(pairs)} pairs, {same} same, {len(pairs) - same} different, {len(intents)} intents")


if __name__ == "__main__":
    main()
