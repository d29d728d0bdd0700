"""Static word vectors that ship inside the `wordllama` package: no network, no accelerator, about 0.04 ms a short text.

The tokenizer and the vectors are read from the package's folder and called directly. The package itself is never
imported: importing it configures the root logger, and its loader looks for the tokenizer in the wrong folder and
then tries the network.
"""

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from trivium.embed.words import WordTokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Vector = NDArray[np.float32]
"""One unit vector, float32[dimensions], or a matrix of them, float32[n, dimensions]."""

MODEL: Final = "wordllama/l2_supercat"
DIMENSIONS: Final = 256
LEADING: Final = 64

# A question that matters is short; a pasted log is not. Only the two ends of a long text are embedded, so that one
# request of 512 KiB costs no more than a millisecond or two of an event loop that serves everybody.
HEAD_CHARS: Final = 6_000
TAIL_CHARS: Final = 2_000


class EmbedderMissing(Exception):
    """The bundled weights are not where the package should have put them."""


class StaticEmbedder:
    """Mean of the static vectors of a text's tokens, L2-normalised. Same text, same vector, on every machine."""

    dimensions: int = DIMENSIONS
    leading: int = LEADING
    """The vectors were trained so that their first dimensions stand for all (Kusupati et al., Matryoshka, 2022)."""

    def __init__(self, tokenizer: "Tokenizer", table: Vector, fingerprint: str) -> None:
        self._tokenizer = tokenizer
        self._words = WordTokens(tokenizer)
        self._table = table
        self.fingerprint = fingerprint
        """Model, dimensions and a prefix of the weights' SHA-256: vectors of different fingerprints never meet."""

    @classmethod
    def load(cls) -> "StaticEmbedder":
        """Reads weights (16 MB) and tokenizer from the installed package, about 0.2 s. Raises EmbedderMissing."""
        from safetensors.numpy import load as load_safetensors
        from tokenizers import Tokenizer

        folder = _package_folder()
        weights = folder / "weights" / f"l2_supercat_{DIMENSIONS}.safetensors"
        vocabulary = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        for path in (weights, vocabulary):
            if not path.is_file():
                raise EmbedderMissing(f"the package wordllama does not contain {path.name}: reinstall wordllama")
        raw = weights.read_bytes()
        tokenizer = Tokenizer.from_file(str(vocabulary))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        digest = hashlib.sha256(raw).hexdigest()[:12]
        table = np.ascontiguousarray(load_safetensors(raw)["embedding.weight"], dtype=np.float32)
        return cls(tokenizer, table, f"{MODEL}:{DIMENSIONS}:{digest}")

    def embed(self, text: str) -> Vector:
        """float32[256], unit length; all zeros for a text without tokens."""
        return _unit(np.add.reduce(self.token_vectors(text), axis=0))

    def embed_many(self, texts: Sequence[str]) -> Vector:
        """float32[len(texts), 256], row by row what `embed` gives."""
        out = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        encoded = self._tokenizer.encode_batch([_ends(text) for text in texts], add_special_tokens=False)
        for row, encoding in zip(out, encoded, strict=True):
            row[:] = _unit(np.add.reduce(self._rows(encoding.ids), axis=0))
        return out

    def token_vectors(self, text: str) -> Vector:
        """float32[tokens, 256], not normalised, in reading order."""
        return self._rows(self._words.ids(_ends(text)))

    def _rows(self, ids: list[int]) -> Vector:
        return self._table.take(np.array(ids, dtype=np.intp), axis=0)


def _package_folder() -> Path:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise EmbedderMissing("the package wordllama is not installed")
    return Path(spec.origin).parent


def _ends(text: str) -> str:
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return text[:HEAD_CHARS] + " " + text[-TAIL_CHARS:]


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(vector.dot(vector))
    return vector * np.float32(1.0 / length) if length > 0 else vector
