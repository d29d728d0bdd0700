"""The service's embedder, whichever it is, behind one awaitable door."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np

from trivium.core.errors import Unreachable, VendorFault
from trivium.core.outcome import Fault, FaultKind
from trivium.embed.remote import RemoteEmbedder, RemoteEmbedderFault
from trivium.embed.static import EmbedderMissing, StaticEmbedder
from trivium.ports import Embedder, Vector


class Embedding(Protocol):
    """Texts to unit vectors. Raises VendorFault when its server does not answer."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    async def embed_many(self, texts: Sequence[str]) -> Vector: ...


class Local:
    """An embedder of this process: 0.04 ms a text, not worth a thread."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.fingerprint = inner.fingerprint
        self.dimensions = inner.dimensions

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        return self._inner.embed_many(texts)


class Remote:
    """An embedding server; used as a context manager."""

    def __init__(self, inner: RemoteEmbedder) -> None:
        self._inner = inner

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    async def __aenter__(self) -> Self:
        try:
            await self._inner.connect()
        except RemoteEmbedderFault as error:
            await self._inner.close()
            raise Unreachable(f"no embedder: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._inner.close()

    async def embed_many(self, texts: Sequence[str]) -> Vector:
        try:
            return np.asarray(await self._inner.embed_many(texts), dtype=np.float32)
        except RemoteEmbedderFault as error:
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, f"embedder: {error}")) from error


def bundled() -> Local:
    """The static vectors that ship with the package. Raises Unreachable when they are missing."""
    try:
        return Local(StaticEmbedder.load())
    except EmbedderMissing as error:
        raise Unreachable(str(error)) from error
