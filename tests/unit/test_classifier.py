"""The classifier names the task of a text, knows when nothing is near, and its training says what is wrong with a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from trivium.classifier.head import BadClassifier, LinearHead, TextClassifier
from trivium.classifier.surface import SURFACE, plain_complexity, surface
from trivium.classifier.training import (
    BadLabels,
    ClassifierReport,
    Labelled,
    fit_complexity,
    read_labelled,
    train_classifier,
    train_on,
)
from trivium.core.question import without_courtesy
from trivium.embed.static import StaticEmbedder

TICKETS = Path(__file__).parents[2] / "examples" / "support" / "tickets.jsonl"
KEPT = ("billing", "bug", "shipping", "login")
STRANGE = ("What is the capital of Peru?", "Write a poem about autumn", "How tall is a giraffe?", "Recommend a film")


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder.load()


@pytest.fixture(scope="module")
def report(embedder: StaticEmbedder) -> ClassifierReport:
    rows = [json.loads(line) for line in TICKETS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["label"] in KEPT] + [{"text": text, "label": "novel"} for text in STRANGE]
    data = Labelled(tuple(row["text"] for row in rows), tuple(row["label"] for row in rows))
    return train_on(data, embedder.embed_many(data.texts), embedder.fingerprint)


def test_held_out_tickets_are_classified_and_strange_ones_are_novel(report: ClassifierReport) -> None:
    assert report.accuracy > 0.8
    assert report.out_of_scope_how == "labelled rows"
    assert report.out_of_scope_texts == len(STRANGE)
    assert report.out_of_scope_recall >= 0.5
    assert report.false_novel <= 0.06
    assert report.probabilities.shape == (sum(1 for _ in report.probabilities), len(KEPT))
    assert np.allclose(report.probabilities.sum(axis=1), 1.0, atol=1e-4)


def test_novel_is_no_class(report: ClassifierReport) -> None:
    assert set(report.head.labels) == set(KEPT)


def test_one_text_is_classified_with_its_margin(report: ClassifierReport, embedder: StaticEmbedder) -> None:
    text = "My parcel has not been delivered yet"
    found = report.head.classify(embedder.embed(text), text)
    assert found.said.task_type == "shipping"
    assert not found.said.novel
    assert 0.5 < found.said.confidence <= 1
    assert 0 < found.margin <= found.said.confidence
    assert float(found.probabilities.sum()) == pytest.approx(1, abs=1e-5)


def test_a_head_survives_its_file(report: ClassifierReport, embedder: StaticEmbedder, tmp_path: Path) -> None:
    report.head.save(tmp_path / "head.json")
    again = TextClassifier(LinearHead.load(tmp_path / "head.json"), embedder)
    text = "I was charged twice"
    assert again(text) == report.head.classify(embedder.embed(text), text).said


def test_without_labelled_strangers_whole_classes_are_held_out(embedder: StaticEmbedder, tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    rows = [json.loads(line) for line in TICKETS.read_text(encoding="utf-8").splitlines()]
    lines = [f'"{row["text"]}",{row["label"]}' for row in rows if row["label"] in KEPT and '"' not in row["text"]]
    path.write_text("question,kind\n" + "\n".join(lines), encoding="utf-8")
    found = train_classifier(path, embedder, "question", "kind", out=tmp_path / "head.json")
    assert found.out_of_scope_how == "classes held out"
    assert found.out_of_scope_texts > 0
    assert LinearHead.load(tmp_path / "head.json").labels == found.head.labels


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("a.jsonl", "[1]", "not an object"),
        ("a.jsonl", '{"text": "x"}', "row 1 has no 'text' or no 'label'"),
        ("a.csv", "text,kind\nx,y", "it has the columns text, kind"),
        ("absent.csv", None, "cannot read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(BadLabels, match=message):
        read_labelled(tmp_path / name)


def test_too_few_labels_or_texts_are_refused() -> None:
    vectors = np.eye(6, dtype=np.float32)
    with pytest.raises(BadLabels, match="at least two"):
        train_on(Labelled(("x",) * 6, ("a",) * 6), vectors, "f")
    with pytest.raises(BadLabels, match="'b' has 1 texts"):
        train_on(Labelled(("x",) * 6, ("a",) * 5 + ("b",)), vectors, "f")


@pytest.mark.parametrize("content", ["", "{}", '{"labels": ["a"], "weights": "###"}', "[]"])
def test_a_wrong_head_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadClassifier, match=r"head\.json is not a classifier"):
        LinearHead.load(path)
    with pytest.raises(BadClassifier, match="cannot read"):
        LinearHead.load(tmp_path / "absent.json")


def test_another_embedder_is_refused(report: ClassifierReport, embedder: StaticEmbedder) -> None:
    class Other:
        fingerprint = "other:256:abc"

    with pytest.raises(BadClassifier, match="other:256:abc"):
        TextClassifier(report.head, Other())  # type: ignore[arg-type]


def test_complexity_follows_what_the_small_target_got_wrong(embedder: StaticEmbedder) -> None:
    easy = [f"Where is parcel {n}?" for n in range(60)]
    hard = [
        f"Prove step by step why the equation x^{n} = {n} has at most two roots, if x is not zero." for n in range(60)
    ]
    texts = easy + hard
    right = np.array([True] * 60 + [False] * 60)
    head = fit_complexity(texts, embedder.embed_many(texts), right)
    assert (
        head.complexity(embedder.embed(hard[0]), hard[0])
        > 0.6
        > 0.4
        > head.complexity(embedder.embed(easy[0]), easy[0])
    )


def test_surface_counts_are_named_and_bounded() -> None:
    assert len(surface("Why?")) == len(SURFACE)
    assert max(surface("why 9 = x\n" * 10_000)) < 100
    assert (
        plain_complexity("Hello") < 0.1 < 0.6 < plain_complexity("Prove why, step by step, if x = 2 then not y. " * 3)
    )


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Hi, where is my order? Thanks!", "Where is my order?"),
        ("Hello Anna, can you help ME? Best regards, Tom", "Can you help ME?"),
        ("WHERE IS MY ORDER?", "Where is my order?"),
        ("  where is\tmy order?", "Where is my order?"),
        ("Stra\u00dfe 5, hi", "Stra\u00dfe 5, hi"),
        ("hi", "Hi"),
        ("", ""),
    ],
)
def test_courtesy_and_the_first_capital_do_not_reach_the_classifier(written: str, asked: str) -> None:
    assert without_courtesy(written) == asked
