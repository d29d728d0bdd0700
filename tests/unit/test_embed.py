"""Embedders: the same vector for the same text, and a server's faults as clear errors."""

import json
import random
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from trivium.embed.remote import RemoteEmbedder, RemoteEmbedderFault
from trivium.embed.static import DIMENSIONS, StaticEmbedder

PAIRS = Path(__file__).parents[2] / "examples" / "support" / "pairs.jsonl"


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder.load()


def test_static_vectors_are_unit_and_equal_in_batches(embedder: StaticEmbedder) -> None:
    texts = ["How do I get a refund?", "Où est ma commande ?", "x" * 20_000]
    many = embedder.embed_many(texts)
    assert many.shape == (3, DIMENSIONS)
    assert many.dtype == np.float32
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    for text, row in zip(texts, many, strict=True):
        assert np.array_equal(embedder.embed(text), row)


def test_a_text_without_tokens_is_the_zero_vector(embedder: StaticEmbedder) -> None:
    assert not embedder.embed("").any()
    assert embedder.embed_many([]).shape == (0, DIMENSIONS)


def test_the_fingerprint_names_model_size_and_weights(embedder: StaticEmbedder) -> None:
    model, size, digest = embedder.fingerprint.split(":")
    assert (model, size, len(digest)) == ("wordllama/l2_supercat", "256", 12)
    assert "wordllama" not in sys.modules


def served(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/info":
        return httpx.Response(200, json={"model_id": "BAAI/bge-small", "model_sha": "abcdef0123456789"})
    texts = json.loads(request.content)["inputs"]
    return httpx.Response(200, json=[[3.0, 4.0, float(len(text))] for text in texts])


async def test_a_server_is_asked_in_batches_and_its_vectors_normalised() -> None:
    async with RemoteEmbedder("http://tei/", transport=httpx.MockTransport(served)) as remote:
        assert remote.fingerprint == "BAAI/bge-small:3:abcdef012345"
        many = await remote.embed_many([f"t{n}" for n in range(70)])
        assert many.shape == (70, 3)
        assert np.allclose(np.linalg.norm(many, axis=1), 1)
        assert (await remote.embed_many([])).shape == (0, 3)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(503, text="loading"), "503"),
        (httpx.Response(200, text="<html>"), "/info"),
        (httpx.Response(200, json={"status": "ok"}), "model_id"),
    ],
)
async def test_another_server_is_told_apart(response: httpx.Response, message: str) -> None:
    remote = RemoteEmbedder("http://tei", transport=httpx.MockTransport(lambda _request: response))
    with pytest.raises(RemoteEmbedderFault, match=message):
        await remote.connect()
    await remote.close()


@pytest.mark.parametrize("body", [[[1.0, 2.0], [3.0]], [[1.0]] * 3, {"error": "x"}, [["a"]]])
async def test_vectors_of_another_shape_are_refused(body: object) -> None:
    remote = RemoteEmbedder("http://tei", transport=httpx.MockTransport(lambda _r: httpx.Response(200, json=body)))
    with pytest.raises(RemoteEmbedderFault, match="/embed"):
        await remote.embed("one")
    await remote.close()


ODD_WORDS = ["How", "refund?", "don't", "Où", "🙂", "日本語の質問", "x" * 60, "a\nb", "\n", "<s>", "<unk>", "\u2581up", "1,000.50",
             "", "\t", "\u00a0", "naïve—", "0x00", "\x00", "\ud7ff", "##", "it's", "ﬁ"]  # fmt: skip


def test_a_text_put_together_from_known_words_has_the_tokenizers_own_ids(embedder: StaticEmbedder) -> None:
    draw = random.Random(3)
    words = ODD_WORDS + [
        word for line in PAIRS.read_text(encoding="utf-8").splitlines()[::40] for word in json.loads(line)["a"].split()
    ]
    fresh = StaticEmbedder.load()
    for _ in range(3_000):
        text = " ".join(draw.choices(words, k=draw.randint(0, 12)))
        assert np.array_equal(fresh.embed(text), embedder.embed_many([text])[0]), text


def test_words_are_forgotten_when_they_are_too_many(embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivium.embed.words.REMEMBERED", 6)
    fresh = StaticEmbedder.load()
    for text in ("one two three", "two three four five", "one six two", "a b c d e f g h i", "one one two"):
        assert np.array_equal(fresh.embed(text), embedder.embed_many([text])[0])
