"""Tokens, vectors, sentences and words: what every stand-in computes with.

The tokenizer and the vectors are those that ship inside the `wordllama` package. They are read without importing that
package (its import configures the root logger and its loader tries the network). The 16 MB of float16 vectors are
mapped, not loaded: only the rows of tokens that were really seen become resident.

A *token* of the stand-ins is a token of that tokenizer (Llama 2's, 32,000 pieces), for usage and for logprobs.
"""

import importlib.util
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Vector = NDArray[np.float32]
DIMENSIONS: Final = 256
VOCABULARY: Final = 32_000
REMEMBERED: Final = 4_096
SHORT: Final = 24
"""Characters; the tokens of texts up to this length, such as labels, are remembered."""
LONGEST_EMBEDDED: Final = 8_000
"""Characters; what is beyond does not change the vector, so that a pasted log costs about a millisecond."""

_STOPWORDS: Final = (
    "a an the and or but if then than so as of at by for from in into on onto off out over under to with without about"
    " is are was were be been being am do does did doing done have has had having will would shall should can could"
    " may might must i me my mine we us our ours you your yours he him his she her hers it its they them their this"
    " that these those there here what which who whom whose when where why how not no nor only own same too very just"
    " also please tell any some all each other more most such s t re ve ll d m get got"
)
STOPWORDS: Final = frozenset(_STOPWORDS.split())
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.UNICODE)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9À-Þ`*])|\n+")
_HEADING: Final = re.compile(r"^(#{1,6} .*)$", re.MULTILINE)
_WRAP: Final = re.compile(r"(?<=[^\n])\n(?!\s*(?:\n|[-*+>|#]|\d+[.)]\s|```|[\w ]{1,20}:\s))")
"""A line's end inside a paragraph: not before an empty line, a list item, a heading, a table row or a speaker."""
_SUFFIXES: Final = ("ations", "ation", "ings", "ing", "edly", "ed", "ies", "ers", "er", "es", "ly", "s")


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a text."""

    id: int
    text: str
    """Exactly the characters of the text that it stands for; all pieces of a text joined are the text."""


class Language:
    """Tokenizer and static vectors; deterministic. Not thread-safe (one event loop uses it)."""

    def __init__(self, tokenizer: Tokenizer, table: NDArray[np.float16]) -> None:
        self._tokenizer = tokenizer
        self._table = table
        self._remembered: OrderedDict[str, Vector] = OrderedDict()
        self._short: dict[str, list[Piece]] = {}

    def count(self, text: str) -> int:
        """Tokens in the text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def pieces(self, text: str) -> list[Piece]:
        """The tokens of the text; several tokens of one character (byte fallback) keep the text on the first."""
        if text in self._short:
            return self._short[text]
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        found: list[Piece] = []
        at = 0
        for identifier, (_, end) in zip(encoding.ids, encoding.offsets, strict=True):
            end = max(at, min(end, len(text)))
            found.append(Piece(identifier, text[at:end]))
            at = end
        if found and at < len(text):
            found[-1] = Piece(found[-1].id, found[-1].text + text[at:])
        if len(text) <= SHORT and len(self._short) < REMEMBERED:
            self._short[text] = found
        return found

    def embed(self, text: str) -> Vector:
        """float32[256] of unit length; zeros for a text without tokens. Remembers the last 4,096 texts."""
        known = self._remembered.get(text)
        if known is not None:
            self._remembered.move_to_end(text)
            return known
        vector = self._pool(self._tokenizer.encode(text[:LONGEST_EMBEDDED], add_special_tokens=False).ids)
        if len(text) <= 1_000:
            self._remembered[text] = vector
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return vector

    def embed_many(self, texts: Sequence[str]) -> Vector:
        """float32[len(texts), 256], each row what `embed` gives."""
        rows = [self.embed(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, DIMENSIONS), dtype=np.float32)

    def _pool(self, ids: list[int]) -> Vector:
        if not ids:
            return np.zeros(DIMENSIONS, dtype=np.float32)
        vector: Vector = self._table[ids].astype(np.float32).sum(axis=0)
        length = math.sqrt(float(vector @ vector))
        return vector / np.float32(length) if length > 0 else vector


def load_language() -> Language:
    """The bundled tokenizer and vectors, about 0.1 s. Raises FileNotFoundError with what to install."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package wordllama is not installed: pip install wordllama")
    folder = Path(spec.origin).parent
    weights = folder / "weights" / "l2_supercat_256.safetensors"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with weights.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    table = np.memmap(weights, dtype=np.float16, mode="r", offset=8 + header, shape=(VOCABULARY, DIMENSIONS))
    return Language(tokenizer, table)


def words(text: str) -> list[str]:
    """Lower-case words in reading order."""
    return [word.lower() for word in _WORD.findall(text)]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A crude English stem: enough for "refunds", "refunded" and "refund" to meet."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            cut = word[: -len(suffix)]
            return cut[:-1] if len(cut) > 3 and cut[-1] == cut[-2] and cut[-1] not in "ls" else cut.rstrip("e")
    return word.rstrip("e") if len(word) > 4 else word


@lru_cache(maxsize=4_096)
def content_stems(text: str) -> frozenset[str]:
    """Stems of the words that carry meaning."""
    return frozenset(stem(word) for word in words(text) if word not in STOPWORDS)


def sentences(text: str) -> list[str]:
    """The sentences of a text; list items and headings count as sentences of their own."""
    return [
        part.strip()
        for part in _SENTENCE_END.split(_WRAP.sub(" ", _HEADING.sub(r"\1\n\n", text)))
        if part and part.strip()
    ]
