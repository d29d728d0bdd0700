"""Writes pairs.jsonl from phrasings.txt and contrasts.txt: `python examples/support/make_pairs.py`.

Two phrasings of one intent are the same question; phrasings of two intents are different ones, and of those the hardest
are kept: neighbours in a topic and whatever shares most words. Contrasts are taken as they were written. Everything is
ordered and drawn by hashes of the texts, so the file is the same on every machine. `group` names the intents that a
pair stands between: training keeps whole groups out when it measures.
"""

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
SAME_PER_INTENT: Final = 12
HARD_PER_INTENT: Final = 14
FAR_PER_INTENT: Final = 4
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


def different_pairs(intents: Intents, topics: dict[str, str]) -> list[dict[str, object]]:
    """For each intent: the other intents' phrasings that share most words with its own, and a few at random."""
    owner = {text: intent for intent, phrasings in intents.items() for text in phrasings}
    words = {text: frozenset(re.findall(r"[a-z']+", text.lower())) for text in owner}
    chosen: dict[tuple[str, str], str] = {}
    for intent, phrasings in intents.items():
        others = [text for text in owner if owner[text] != intent]
        ranked = sorted(
            itertools.product(phrasings, others),
            key=lambda pair: (-_likeness(words, topics, owner, *pair), _draw(*pair)),
        )
        far = sorted(itertools.product(phrasings, others), key=lambda pair: _draw(*pair))[:FAR_PER_INTENT]
        for first, second in ranked[:HARD_PER_INTENT] + far:
            key = (min(first, second), max(first, second))
            near = topics[owner[first]] == topics[owner[second]]
            chosen.setdefault(key, "same topic" if near else "other topic")
    return [
        _pair(first, second, False, kind, f"{owner[first]}|{owner[second]}") for (first, second), kind in chosen.items()
    ]


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
    pairs = same_pairs(intents) + different_pairs(intents, topics) + read_contrasts(FOLDER / "contrasts.txt")
    lines = [json.dumps(pair, ensure_ascii=False) for pair in pairs]
    (FOLDER / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    same = sum(bool(pair["same"]) for pair in pairs)
    print(f"{len(pairs)} pairs, {same} same, {len(pairs) - same} different, {len(intents)} intents")


if __name__ == "__main__":
    main()
