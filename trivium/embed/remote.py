"""Embeddings from a text-embeddings-inference server by URL (`POST /embed`, `GET /info`), over httpx.

The wire: https://huggingface.github.io/text-embeddings-inference (`inputs`, `normalize`, `truncate`). A server that
answers something else gives RemoteEmbedderFault with what was wrong; nothing is retried here.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx
import numpy as np

from trivium.embed.static import Vector

BATCH = 32
"""Texts per call: the server's default `max_client_batch_size`."""


class RemoteEmbedderFault(Exception):
    """The embedding server did not answer in time, refused, or answered in another shape; the message says which."""


class RemoteEmbedder:
    """Client of one text-embeddings-inference server. `connect` first: it learns model and dimensions."""

    def __init__(self, url: str, timeout_ms: int = 2_000, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.dimensions = 0
        self.fingerprint = ""
        self._timeout_s = timeout_ms / 1000
        self._client = httpx.AsyncClient(base_url=self.url, timeout=self._timeout_s, transport=transport)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Asks `/info` for the model and embeds one word for the dimensions; sets `fingerprint`."""
        info = await self._ask("GET", "/info", None)
        if not isinstance(info, dict) or not isinstance(info.get("model_id"), str):
            raise RemoteEmbedderFault(f"{self.url}/info does not name a model_id: is it text-embeddings-inference?")
        self.dimensions = int((await self.embed("hello")).shape[0])
        self.fingerprint = f"{info['model_id']}:{self.dimensions}:{str(info.get('model_sha') or '')[:12]}"

    async def embed(self, text: str) -> Vector:
        """float32[dimensions], unit length."""
        matrix = await self.embed_many([text])
        vector: Vector = matrix[0]
        return vector

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        """float32[len(texts), dimensions], unit rows, in calls of at most `BATCH` texts."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        parts = [await self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return np.concatenate(parts)

    async def close(self) -> None:
        """Closes the connections. Safe to call twice."""
        await self._client.aclose()

    async def _batch(self, texts: Sequence[str]) -> Vector:
        answer = await self._ask("POST", "/embed", {"inputs": list(texts), "normalize": True, "truncate": True})
        try:
            matrix = np.clip(np.asarray(answer, dtype=np.float64), -1e6, 1e6).astype(np.float32)
        except (TypeError, ValueError) as error:
            raise RemoteEmbedderFault(f"{self.url}/embed did not answer a list of vectors: {error}") from error
        if matrix.ndim != 2 or matrix.shape[0] != len(texts) or not np.isfinite(matrix).all():
            raise RemoteEmbedderFault(f"{self.url}/embed answered shape {matrix.shape} for {len(texts)} texts")
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        unit: Vector = np.divide(matrix, np.where(norms > 0, norms, 1), dtype=np.float32)
        return unit

    async def _ask(self, method: str, path: str, body: dict[str, object] | None) -> object:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.request(method, path, json=body)
            response.raise_for_status()
            answer: object = response.json()
        except TimeoutError as error:
            raise RemoteEmbedderFault(f"{self.url}{path} did not answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, ValueError) as error:
            raise RemoteEmbedderFault(f"{self.url}{path}: {error}") from error
        return answer
