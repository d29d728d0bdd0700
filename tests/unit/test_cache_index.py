"""Entries are found in their scope and nowhere else, and stay found while the index grows, shrinks and forgets."""

import numpy as np
import pytest

from trivium.cache import index as index_module
from trivium.cache.index import CacheIndex, NewEntry
from trivium.ports import Vector

SIZE = 32


def unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def filled(count: int, scope: str = "s") -> CacheIndex:
    index = CacheIndex(SIZE)
    for number in range(count):
        index.add(f"e{number}", scope, f"question {number}", unit(number))
    return index


def test_exact_is_by_normalised_text_and_scope() -> None:
    index = filled(1)
    index.add("x", "s", "Where is my order?", unit(900))
    assert index.exact("s", "hello, WHERE is my order? thanks") == "x"
    assert index.exact("other", "Where is my order?") is None


def test_a_replaced_entry_is_found_by_its_new_text_only() -> None:
    index = filled(3)
    index.add("e1", "s", "another question", unit(77))
    assert index.exact("s", "question 1") is None
    assert index.exact("s", "another question") == "e1"
    assert index.nearest("s", unit(77), 1)[0][0] == "e1"
    assert len(index) == 3


def test_removing_one_of_two_equal_questions_keeps_the_other() -> None:
    index = CacheIndex(SIZE)
    index.add("old", "s", "same", unit(1))
    index.add("new", "s", "same", unit(2))
    assert index.remove("old")
    assert index.exact("s", "same") == "new"
    assert not index.remove("old")


def test_nearest_stays_in_its_scope() -> None:
    index = filled(10)
    index.add("far", "t", "question", unit(3))
    assert [entry for entry, _ in index.nearest("t", unit(4), 5)] == ["far"]
    assert index.nearest("nowhere", unit(4), 5) == []


def test_labels_documents_and_scopes_are_forgotten_together() -> None:
    index = CacheIndex(SIZE)
    for number in range(4):
        index.add(f"e{number}", f"s{number % 2}", f"q{number}", unit(number), frozenset({f"document:d{number // 2}"}))
    assert index.remove_labelled("document:d0") == {"e0", "e1"}
    assert index.remove_scope("s0") == {"e2"}
    assert len(index) == 1
    assert index.scopes == 1


def test_expiry_takes_what_is_due_and_not_what_was_replaced() -> None:
    index = CacheIndex(SIZE)
    index.add("a", "s", "a", unit(1), expires_ms=100)
    index.add("b", "s", "b", unit(2), expires_ms=200)
    index.add("a", "s", "a", unit(1), expires_ms=300)
    assert index.expire(199) == frozenset()
    assert index.expire(200) == {"b"}
    assert index.expire(1_000) == {"a"}


@pytest.mark.parametrize("bulk", [False, True])
def test_a_large_scope_finds_as_a_flat_scan_does(monkeypatch: pytest.MonkeyPatch, bulk: bool) -> None:
    monkeypatch.setattr(index_module, "FLAT_ROWS", 100)
    vectors = np.stack([unit(number) for number in range(600)])
    index = CacheIndex(SIZE)
    if bulk:
        index.add_many([NewEntry(f"e{number}", "s", f"q{number}", vectors[number]) for number in range(600)])
    else:
        for number in range(600):
            index.add(f"e{number}", "s", f"q{number}", vectors[number])
    for number in range(0, 600, 2):
        index.remove(f"e{number}")
    found = 0
    for seed in range(1_000, 1_100):
        asked = unit(seed)
        best = 1 + 2 * int((vectors[1::2] @ asked).argmax())
        near = index.nearest("s", asked, 3)
        assert all(int(entry[1:]) % 2 for entry, _ in near)
        assert near == sorted(near, key=lambda pair: -pair[1])
        found += near[0][0] == f"e{best}"
    assert found >= 95


def test_rows_of_removed_entries_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "FLAT_ROWS", 20)
    index = filled(60)
    before = index.bytes_used()
    for turn in range(5):
        for number in range(40):
            index.add(f"e{number}", "s", f"turn {turn} {number}", unit(5_000 + turn * 40 + number))
    assert index.nearest("s", unit(5_000 + 4 * 40 + 7), 1)[0][0] == "e7"
    assert len(index) == 60
    assert index.bytes_used() <= before * 1.5


def test_a_vector_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        CacheIndex(SIZE).add("e", "s", "q", np.zeros(5, dtype=np.float32))


def test_leading_dimensions_find_and_whole_vectors_rank() -> None:
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(index_module.FLAT_ROWS + 500, 32)).astype(np.float32)
    vectors[:, 16:] *= 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = CacheIndex(32, leading=16)
    index.add_many([NewEntry(str(row), "s", f"question {row}", vector) for row, vector in enumerate(vectors)])
    asked = vectors[:200] + draw.normal(scale=0.05, size=(200, 32)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    found = [index.nearest("s", vector, 3) for vector in asked]
    right = [near[0][0] == str(int((vectors @ vector).argmax())) for near, vector in zip(found, asked, strict=True)]
    assert np.mean(right) > 0.95
    for near, vector in zip(found, asked, strict=True):
        assert near == sorted(near, key=lambda pair: -pair[1])
        assert all(abs(cosine - float(vectors[int(name)] @ vector)) < 1e-5 for name, cosine in near)
