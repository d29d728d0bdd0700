"""Opening the store for the embedder at hand, and moving documents over when the embedder has changed.

A collection belongs to one embedder, one mode and one schema: its name carries a hash of them. When the collection of
the embedder at hand is new and there are older ones, their passages (the text is kept in Milvus) are embedded again
and written into it; then the old ones are dropped. Ids are the same, so a move that was broken off goes on where a new
start begins it again, and nothing is lost before everything is there.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from services.retrieval.embedding import Embedding
from services.retrieval.lite import LiteServer
from services.retrieval.milvus import Milvus, Place, warm
from services.retrieval.store import Mode, Name, Row, embedded_text
from trivium.core.errors import Unreachable, VendorFault

_LOG = logging.getLogger(__name__)

PREFIX: Final = "trivium_passages_"
SCHEMA: Final = "2"
LITE_LANES: Final = 4
"""Measured: 1, 2, 4 and 8 give 104, 97, 106 and 82 searches/s at 2,000 passages, 176, 185, 236 and 192 at 300."""
_BATCH: Final = 256


def is_server(uri: str) -> bool:
    """Whether a setting names a server; otherwise it is a file of Milvus Lite."""
    return "://" in uri


def collection_of(fingerprint: str, mode: Mode) -> str:
    """Name of the collection of an embedder."""
    return PREFIX + hashlib.sha256(f"{SCHEMA}\0{mode.value}\0{fingerprint}".encode()).hexdigest()[:12]


@asynccontextmanager
async def opened_store(uri: str, token: str, embedding: Embedding) -> AsyncIterator[Milvus]:
    """A store that is ready. Raises Unreachable when there is none."""
    if is_server(uri):
        async with _connected(Place(uri, token), embedding) as store:
            yield store
    else:
        async with _lite(uri) as lite, _connected(_of(lite), embedding) as store:
            yield store


def _of(lite: LiteServer) -> Place:
    return Place(lite.uri, lanes=LITE_LANES, asked_if_alive=False)


@asynccontextmanager
async def _lite(path: str) -> AsyncIterator[LiteServer]:
    """Milvus Lite, started while this process imports its client: either takes a second."""
    lite = LiteServer(path)
    try:
        await asyncio.gather(lite.start(), asyncio.to_thread(warm))
        yield lite
    finally:
        await lite.stop()


@asynccontextmanager
async def _connected(place: Place, embedding: Embedding) -> AsyncIterator[Milvus]:
    store = Milvus(place, embedding.dimensions)
    try:
        await _prepare(store, place, embedding)
        yield store
    finally:
        await store.close()


async def _prepare(store: Milvus, place: Place, embedding: Embedding) -> None:
    await store.connect()
    if store.mode is Mode.DENSE:
        _LOG.warning("Milvus at %s is older than 2.5 and has no BM25: passages are found by vectors alone", place.uri)
    try:
        await store.open(collection_of(embedding.fingerprint, store.mode))
        await move_all(store, embedding)
        await store.warm_up()
    except VendorFault as error:
        raise Unreachable(f"the documents at {place.uri} cannot be opened: {error.fault.message}") from error


async def move_all(store: Milvus, embedding: Embedding, prefix: str = PREFIX) -> None:
    """Moves what other embedders' collections hold into the open one, and drops them."""
    for old in await store.collections(prefix):
        if old != store.collection:
            await _move(store, old, embedding)


async def _move(store: Milvus, old: str, embedding: Embedding) -> None:
    rows = await store.everything(old)
    _LOG.warning("%s is of another embedder or an earlier version: its %d passages are embedded again", old, len(rows))
    present = {stored.name for stored in await store.documents() if stored.whole}
    missing = [row for row in rows if Name(row["tenant"], row["corpus"], row["document"]) not in present]
    for start in range(0, len(missing), _BATCH):
        await store.put(await _embedded(missing[start : start + _BATCH], embedding))
    await store.flush()
    await store.drop(old)


async def _embedded(rows: Sequence[dict[str, Any]], embedding: Embedding) -> list[Row]:
    vectors = await embedding.embed_many([embedded_text(row["section"], row["text"]) for row in rows])
    return [
        Row(
            Name(row["tenant"], row["corpus"], row["document"]), row["version"], int(row["ordinal"]), int(row["total"]),
            row["section"], row["text"], row["lookup"], int(row["tokens"]), int(row["epoch"]), vector,
        )
        for row, vector in zip(rows, vectors, strict=True)
    ]  # fmt: skip
