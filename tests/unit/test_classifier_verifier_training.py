"""Training the verifier on one's own pairs: what it reports, and what it says of a file that cannot be used."""

import json
from pathlib import Path

import pytest

from trivium.cache.lookup import shipped_verifier
from trivium.cache.training import BadPairs, read_pairs, share, train_cache
from trivium.core.same_answer import Verifier
from trivium.embed.static import StaticEmbedder

SHIPPED = Path(__file__).parents[2] / "examples" / "support" / "pairs.jsonl"


def test_the_shipped_pairs_are_many_and_of_both_sorts() -> None:
    pairs = read_pairs(SHIPPED)
    assert len(pairs) >= 1_500
    assert sum(pair.same for pair in pairs) >= 700
    assert len({(pair.a, pair.b) for pair in pairs}) > 0.99 * len(pairs)


def test_training_measures_on_pairs_held_out_and_writes_a_verifier(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    pairs.write_text("\n".join(lines[::8]), encoding="utf-8")
    report = train_cache(pairs, StaticEmbedder.load(), 0.02, tmp_path / "verifier.json")
    assert report.hits.rate > 0.4
    assert report.wrong.rate < 0.05
    assert report.wrong.low <= report.wrong.rate <= report.wrong.high
    assert sum(found.n for found in report.hits_by_kind.values()) == report.hits.n
    assert Verifier.from_json((tmp_path / "verifier.json").read_text(encoding="utf-8")) == report.verifier


def test_the_shipped_verifier_states_its_wrong_hit_rate() -> None:
    verifier = shipped_verifier()
    assert verifier.wrong_rate == 0.008
    assert 0.5 < verifier.bar < 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "pairs.jsonl:1: not JSON"),
        ("3", "pairs.jsonl:1: not an object"),
        ('{"a": "x", "b": "y", "same": "yes"}', '"same": true or false'),
        ('{"a": "x", "b": " ", "same": true}', 'needs texts "a" and "b"'),
        (json.dumps({"a": "x", "b": "y", "same": True}), "at least 100 of each"),
    ],
)
def test_wrong_pairs_are_refused_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(BadPairs, match=message):
        read_pairs(path)
    with pytest.raises(BadPairs, match="cannot read"):
        read_pairs(tmp_path / "absent.jsonl")


def test_a_senseless_goal_is_refused() -> None:
    with pytest.raises(BadPairs, match="between 0 and"):
        train_cache(SHIPPED, StaticEmbedder.load(), 0.9)


def test_wilson_interval() -> None:
    """Against the values of Wilson's formula for 1 of 100 (Brown, Cai and DasGupta 2001)."""
    import numpy as np

    found = share(np.array([True] + [False] * 99))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0018, 0.0545)
