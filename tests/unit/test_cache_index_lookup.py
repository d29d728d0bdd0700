"""A lookup gives an entry whose answer serves, or says of the near ones why theirs does not."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from trivium.cache.lookup import Hit, Lookup, Miss, shipped_verifier
from trivium.embed.static import StaticEmbedder
from trivium.ports import Vector

REQUESTS = Path(__file__).parents[2] / "examples" / "support" / "requests.txt"


@dataclass(frozen=True)
class Kept:
    id: str
    question: str
    scope: str = "s"
    expires_ms: int = 0


@dataclass(frozen=True)
class Torn:
    """A witness that puts every text into a class of its own mood."""

    view: tuple[float, ...]

    def probabilities(self, vector: Vector) -> Vector:
        return np.array(self.view, dtype=np.float32)


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder.load()


@pytest.fixture
def lookup(embedder: StaticEmbedder) -> Lookup:
    found = Lookup(embedder, shipped_verifier())
    found.put(Kept("enable", "How do I enable dark mode?"))
    found.put(Kept("refund", "What's our refund policy?"), labels=frozenset({"tag:prices"}))
    found.put(Kept("late", "How do I print a label?", expires_ms=500))
    return found


def test_the_same_question_is_an_exact_hit(lookup: Lookup) -> None:
    found = lookup.find("s", "Hi! what's our refund policy", now_ms=0)
    assert isinstance(found, Hit)
    assert (found.entry_id, found.exact, found.score) == ("refund", True, 1.0)


def test_a_paraphrase_is_a_semantic_hit_with_its_score(lookup: Lookup) -> None:
    found = lookup.find("s", "How do I get a refund?", now_ms=0)
    assert isinstance(found, Hit)
    assert found.entry_id == "refund"
    assert not found.exact
    assert 0 < found.similarity < 1
    assert "passes" in found.why


def test_a_refused_candidate_says_why(lookup: Lookup) -> None:
    found = lookup.find("s", "How do I disable dark mode?", now_ms=0)
    assert isinstance(found, Miss)
    first = found.refused[0]
    assert first.entry_id == "enable"
    assert first.similarity > 0.8
    assert "on/off" in first.why
    assert found.vector is not None


def test_other_scopes_and_expired_entries_are_not_seen(lookup: Lookup) -> None:
    assert lookup.find("t", "What's our refund policy?", now_ms=0) == Miss()
    assert isinstance(lookup.find("s", "How do I print a label?", now_ms=499), Hit)
    assert isinstance(lookup.find("s", "How do I print a label?", now_ms=500), Miss)
    assert lookup.expire(500) == 1
    assert "late" not in lookup.entries


def test_entries_fall_by_label_scope_and_id(lookup: Lookup) -> None:
    assert lookup.remove_labelled("tag:prices") == 1
    assert isinstance(lookup.find("s", "What's our refund policy?", now_ms=0), Miss)
    assert lookup.remove("enable")
    assert not lookup.remove("enable")
    assert lookup.remove_scope("s") == 1
    assert len(lookup) == 0


def test_without_semantic_only_the_exact_key_counts(lookup: Lookup) -> None:
    assert lookup.find("s", "How do I get a refund?", now_ms=0, semantic=False) == Miss()
    assert isinstance(lookup.find("s", "what's our refund policy", now_ms=0, semantic=False), Hit)


def test_a_torn_classifier_refuses_what_the_texts_alone_would_pass(embedder: StaticEmbedder) -> None:
    share = 1 / 77
    torn = Lookup(embedder, shipped_verifier(), Torn((share,) * 77))
    torn.put(Kept("refund", "What's our refund policy?"))
    assert isinstance(torn.find("s", "How do I get a refund?", now_ms=0), Miss)
    sure = Lookup(embedder, shipped_verifier(), Torn((1.0,) + (0.0,) * 76))
    sure.put(Kept("refund", "What's our refund policy?"))
    assert isinstance(sure.find("s", "How do I get a refund?", now_ms=0), Hit)


def test_entries_put_together_answer_as_those_put_one_by_one(embedder: StaticEmbedder) -> None:
    small = Lookup(embedder, shipped_verifier())
    small.put_many(
        [(Kept(str(n), text), embedder.embed(text)) for n, text in enumerate(("Reset my password", "I want a refund"))]
    )
    for _ in range(2):
        assert isinstance(small.find("s", "please reset my password now", now_ms=0), Hit | Miss)
        found = small.find("s", "i'd like a refund", now_ms=0)
        assert isinstance(found, Hit)
        assert found.entry_id == "1"


def test_no_near_miss_of_the_demo_is_served_by_another_question(embedder: StaticEmbedder) -> None:
    asked = demo_questions()
    for task in ("product_question", "how_to"):
        found = Lookup(embedder, shipped_verifier())
        for number, question in enumerate(asked["documents", task] + asked.get(("undocumented", task), [])):
            found.put(Kept(str(number), question))
        assert asked["near-miss", task]
        for question in asked["near-miss", task]:
            assert isinstance(found.find("s", question, now_ms=0), Miss), question
        for question in asked["repeat", task]:
            assert isinstance(found.find("s", question, now_ms=0), Hit), question


def demo_questions() -> dict[tuple[str, str], list[str]]:
    """The demo's requests by (section, task type)."""
    sections: dict[tuple[str, str], list[str]] = {}
    section: list[str] = []
    for line in REQUESTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind, task = line[3:].split("|")[:2]
            section = sections.setdefault((kind.strip(), task.strip()), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return sections
