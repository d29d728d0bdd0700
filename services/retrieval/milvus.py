"""Passages in Milvus: the only module that knows pymilvus.

The client is the synchronous one, in a small pool of threads (the asynchronous one cannot create collections on Milvus
Lite and never checks the status of a delete). Every call has a timeout: without one pymilvus tries 75 times.
"""

import asyncio
import functools
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from services.retrieval.filters import of_sections, only, quoted
from services.retrieval.store import Hit, Mode, Name, Row, Stored
from services.retrieval.terms import section_numbers
from trivium.core.errors import Unreachable, VendorFault
from trivium.core.outcome import Fault, FaultKind
from trivium.ports import Vector

P = ParamSpec("P")
T = TypeVar("T")

_LOG = logging.getLogger(__name__)

SEARCH_MS: Final = 5_000
WRITE_MS: Final = 30_000
CONNECT_MS: Final = 8_000
CONNECT_AGAIN_S: Final = (0.05, 0.2, 0.5)
"""Waits before a refused connection is tried again."""
BATCH: Final = 200
"""Rows of one write."""
PAGE: Final = 1_000
"""Rows of one page of a listing."""
MOST_ROWS: Final = 16_384
"""What one query may return; a document has at most half as many passages, for two versions of it may be there."""
MOST_LISTED: Final = 512
"""Passages of a named section that are listed; when there are more, the index finds the nearest."""
RRF_K: Final = 60
"""Constant of reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009."""
FIELDS: Final = ("document", "section", "version", "ordinal", "text", "lookup", "tokens", "epoch", "dense")
_NEVER_ASKED: Final = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}


@dataclass(frozen=True, slots=True)
class Place:
    """Where Milvus is and what it can do."""

    uri: str
    token: str = ""
    lanes: int = 8
    """Calls at once. Milvus Lite computes in one interpreter: many only make each other wait."""
    asked_if_alive: bool = True
    """Whether pymilvus may ask an idle connection every 10 s if the other side lives. Milvus Lite, a child on this machine,
    closes a connection over which that is asked too often (too_many_pings), with the calls on it."""


def warm() -> None:
    """Imports the client, 0.8 s with the pandas that it wants, so that a start can do it beside other things."""
    import pymilvus  # noqa: F401


class Milvus:
    """One collection of passages. `connect` before anything else; every method may raise VendorFault."""

    def __init__(self, place: Place, dimensions: int) -> None:
        self._place = place
        self._dimensions = dimensions
        self._pool = ThreadPoolExecutor(place.lanes, thread_name_prefix="milvus")
        self._lane = asyncio.Semaphore(place.lanes)
        self._client: Any = None
        self.mode = Mode.HYBRID
        self.collection = ""

    async def connect(self) -> None:
        """Finds out what the server can do. Raises Unreachable."""
        try:
            await self._run(self._connect, CONNECT_MS)
        except VendorFault as error:
            raise Unreachable(f"no Milvus answers at {self._place.uri}: {error.fault.message}") from None

    async def close(self) -> None:
        """Ends the connection once the running calls are over."""
        if self._client is not None:
            self._pool.submit(self._client.close)
        await asyncio.to_thread(self._pool.shutdown)

    async def collections(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with `prefix`."""
        names = await self._run(lambda: self._client.list_collections(timeout=CONNECT_MS / 1000), CONNECT_MS)
        return tuple(sorted(name for name in names if name.startswith(prefix)))

    async def open(self, collection: str) -> None:
        """Creates or loads it. Raises Unreachable when one of this name has another schema."""
        self.collection = collection
        problem = await self._run(self._open, WRITE_MS)
        if problem:
            raise Unreachable(f"the collection {collection} in Milvus is not ours ({problem}): drop or rename it")

    async def drop(self, collection: str) -> None:
        await self._run(lambda: self._client.drop_collection(collection, timeout=WRITE_MS / 1000), WRITE_MS)

    async def search(self, tenant: str, corpus: str, vector: Vector, lookup: str, limit: int) -> tuple[Hit, ...]:
        """The best `limit` passages of one tenant's corpus. Empty only when the corpus has none."""
        return await self._run(functools.partial(self._search, tenant, corpus, vector, lookup, limit), SEARCH_MS)

    async def search_sections(
        self, tenant: str, corpus: str, vector: Vector, numbers: Sequence[str], limit: int
    ) -> tuple[Hit, ...]:
        """The `limit` passages nearest to a vector of the sections with these numbers, those below them included."""
        where = f"{only(tenant=tenant, corpus=corpus)} and {of_sections(numbers)}"
        return await self._run(functools.partial(self._of_sections, where, vector, limit), SEARCH_MS)

    async def versions(self, name: Name) -> tuple[Stored, ...]:
        """Every version of a document that is there."""
        rows = await self._run(functools.partial(self._of, name, ("version", "total", "epoch")), SEARCH_MS)
        return tuple(_counted({**row, "tenant": name.tenant, "corpus": name.corpus, "document": name.document} for row in rows))

    async def texts(self, name: Name) -> frozenset[tuple[str, str]]:
        """(section, text) of every passage of a document."""
        rows = await self._run(functools.partial(self._of, name, ("section", "text")), SEARCH_MS)
        return frozenset((row["section"], row["text"]) for row in rows)

    async def documents(self, tenant: str = "", corpus: str = "") -> tuple[Stored, ...]:
        """The versions of all documents of a corpus, or of everything."""
        where = only(tenant=tenant, corpus=corpus) if tenant else 'tenant != ""'
        fields = ("tenant", "corpus", "document", "version", "total", "epoch")
        return tuple(_counted(await self._run(functools.partial(self._rows, where, fields), WRITE_MS)))

    async def put(self, rows: Sequence[Row]) -> None:
        """Writes rows; those that are there are replaced."""
        for start in range(0, len(rows), BATCH):
            data = [self._stored(row) for row in rows[start : start + BATCH]]
            await self._run(functools.partial(self._upsert, data), WRITE_MS)

    async def remove(self, name: Name, keep: str = "") -> None:
        """Removes every version of a document but `keep`, and looks whether it is gone."""
        await self._run(functools.partial(self._remove, name, keep), WRITE_MS)

    async def flush(self) -> None:
        """Seals what was written: Milvus Lite searches unsealed rows 20 times slower."""
        await self._run(lambda: self._client.flush(self.collection, timeout=WRITE_MS / 1000), WRITE_MS)

    async def warm_up(self) -> None:
        """One search for nobody, so that no caller is the one for whom Milvus Lite builds its indexes (0.1-0.6 s, and
        seconds for 100,000 passages). That it takes too long is no fault: the indexes are there a little later."""
        vector = np.full(self._dimensions, self._dimensions**-0.5, dtype=np.float32)
        try:
            await self._run(functools.partial(self._search, "", "", vector, "warm", 1), WRITE_MS)
        except VendorFault as error:
            _LOG.warning("the indexes of %s are not built yet: %s", self.collection, error.fault.message)

    async def everything(self, collection: str) -> list[dict[str, Any]]:
        """All rows of another collection of ours without their vectors, for a new embedder."""
        fields = ("tenant", "corpus", "document", "version", "ordinal", "total", "section", "text", "lookup", "tokens", "epoch")
        return await self._run(functools.partial(self._copied, collection, fields), WRITE_MS * 10)

    # --- in the pool's threads ---------------------------------------------------------------------------------

    async def _run(self, call: Callable[[], T], timeout_ms: int) -> T:
        import grpc
        from pymilvus import MilvusException

        try:
            async with asyncio.timeout(timeout_ms / 1000 + 0.5), self._lane:
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._loaded, call)
        except TimeoutError:
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, f"Milvus did not answer in {timeout_ms} ms")) from None
        except grpc.RpcError as error:
            # A search past its time leaves pymilvus as it came from the channel.
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, f"Milvus: {error.code().name}")) from error
        except MilvusException as error:
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, f"Milvus: {_sentence(error)}")) from error

    def _loaded(self, call: Callable[[], T]) -> T:
        """The call; once more after loading when the server was started again, which releases its collections."""
        from pymilvus import MilvusException

        try:
            return call()
        except MilvusException as error:
            if not any(word in str(error.message) for word in ("not loaded", "'released'")):
                raise
            self._client.load_collection(self.collection, timeout=WRITE_MS / 1000)
            return call()

    def _connect(self) -> None:
        from pymilvus import MilvusClient

        # It prints a stack trace for every refused call; ours is one sentence.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        timeout = CONNECT_MS / 1000
        place = self._place
        options = {} if place.asked_if_alive else _NEVER_ASKED
        self._client = self._connected(lambda: MilvusClient(uri=place.uri, token=place.token, timeout=timeout, grpc_options=options))
        self.mode = mode_of(str(self._client.get_server_version(timeout=timeout)))

    def _connected(self, make: Callable[[], Any]) -> Any:
        """A client. gRPC shares connections in a process: a new client may be handed one that its server is closing
        (GOAWAY), and pymilvus tries the first call of a client only once."""
        from pymilvus import MilvusException
        from pymilvus.client.types import Status

        for pause_s in CONNECT_AGAIN_S:
            try:
                return make()
            except MilvusException as error:
                if error.code != Status.CONNECT_FAILED:
                    raise
                _LOG.info("no connection to Milvus yet, once more in %.2f s: %s", pause_s, _sentence(error))
            time.sleep(pause_s)
        return make()

    def _open(self) -> str:
        timeout = WRITE_MS / 1000
        schema, indexes = self._schema()
        if not self._client.has_collection(self.collection, timeout=timeout):
            # Session: a search sees what this process wrote, and waits for nobody else's writes.
            self._client.create_collection(self.collection, schema=schema, timeout=timeout, consistency_level="Session")
        if not self._client.list_indexes(self.collection, timeout=timeout):
            # Not waited for: pymilvus looks every half second, and loading waits for the indexes itself.
            self._client.create_index(self.collection, indexes, timeout=timeout, sync=False)
        problem = self._difference(self._client.describe_collection(self.collection, timeout=timeout))
        if not problem:
            self._client.load_collection(self.collection, timeout=timeout)
        return problem

    def _schema(self) -> tuple[Any, Any]:
        from pymilvus import DataType, Function, FunctionType

        hybrid = self.mode is not Mode.DENSE
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("tenant", DataType.VARCHAR, max_length=256, is_partition_key=True)
        schema.add_field("corpus", DataType.VARCHAR, max_length=256)
        schema.add_field("document", DataType.VARCHAR, max_length=1024)
        schema.add_field("version", DataType.VARCHAR, max_length=64)
        schema.add_field("section", DataType.VARCHAR, max_length=8192)
        schema.add_field("text", DataType.VARCHAR, max_length=65535)
        schema.add_field("lookup", DataType.VARCHAR, max_length=65535, **({"enable_analyzer": True} if hybrid else {}))
        for heading in ("number", "chapter"):
            schema.add_field(heading, DataType.VARCHAR, max_length=64)
        for number in ("ordinal", "total", "tokens", "epoch"):
            schema.add_field(number, DataType.INT64)
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self._dimensions)
        indexes = self._client.prepare_index_params()
        indexes.add_index("dense", index_type="AUTOINDEX", metric_type="COSINE")
        if hybrid:
            schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
            schema.add_function(Function("bm25", FunctionType.BM25, ["lookup"], ["sparse"]))
            indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        return schema, indexes

    def _difference(self, described: dict[str, Any]) -> str:
        fields = {field["name"]: field for field in described["fields"]}
        wanted = {"id", "tenant", "corpus", "total", "number", "chapter", *FIELDS} | ({"sparse"} if self.mode is not Mode.DENSE else set())
        if missing := wanted - fields.keys():
            return "it has no field " + ", ".join(sorted(missing))
        dimensions = int(fields["dense"]["params"]["dim"])
        return "" if dimensions == self._dimensions else f"its vectors have {dimensions} dimensions, not {self._dimensions}"

    def _stored(self, row: Row) -> dict[str, Any]:
        numbers = section_numbers(row.section) or ("",)
        return {
            "id": row.id, "tenant": row.name.tenant, "corpus": row.name.corpus, "document": row.name.document,
            "version": row.version, "ordinal": row.ordinal, "total": row.total, "section": _cut(row.section, 8192),
            "text": row.text, "lookup": _cut(row.lookup, 65_535), "tokens": row.tokens, "epoch": row.epoch,
            "number": _cut(numbers[-1], 64), "chapter": _cut(numbers[0], 64), "dense": row.vector.tolist(),
        }  # fmt: skip

    def _search(self, tenant: str, corpus: str, vector: Vector, lookup: str, limit: int) -> tuple[Hit, ...]:
        where = only(tenant=tenant, corpus=corpus)
        if self.mode is Mode.DENSE or not lookup:
            return _hits(self._dense_search(where, vector, limit), vector)
        if self.mode is Mode.BM25:
            return _hits(self._bm25_search(where, lookup, limit), vector)
        return _hits(self._hybrid_search(where, vector, lookup, limit), vector)

    def _hybrid_search(self, where: str, vector: Vector, lookup: str, limit: int) -> Any:
        from pymilvus import AnnSearchRequest, RRFRanker

        asked = [
            AnnSearchRequest([vector.tolist()], "dense", {"metric_type": "COSINE"}, limit, expr=where),
            AnnSearchRequest([lookup], "sparse", {"metric_type": "BM25"}, limit, expr=where),
        ]
        return self._client.hybrid_search(
            self.collection, asked, RRFRanker(RRF_K), limit=limit, output_fields=list(FIELDS), timeout=SEARCH_MS / 1000,
            consistency_level="Session",
        )  # fmt: skip

    def _bm25_search(self, where: str, lookup: str, limit: int) -> Any:
        return self._client.search(
            self.collection, [lookup], anns_field="sparse", limit=limit, filter=where, output_fields=list(FIELDS),
            timeout=SEARCH_MS / 1000, search_params={"metric_type": "BM25"}, consistency_level="Session",
        )  # fmt: skip

    def _of_sections(self, where: str, vector: Vector, limit: int) -> tuple[Hit, ...]:
        # Listed and not searched: under a filter that few rows pass, an index of vectors misses some of them.
        rows = self._client.query(
            self.collection, filter=where, output_fields=list(FIELDS), limit=MOST_LISTED, timeout=SEARCH_MS / 1000,
            consistency_level="Session",
        )  # fmt: skip
        if len(rows) == MOST_LISTED:
            return _hits(self._dense_search(where, vector, limit), vector)
        hits = (replace(hit, score=hit.cosine) for hit in (_hit(row, 0.0, vector) for row in rows))
        return tuple(sorted(hits, key=lambda hit: -hit.cosine)[:limit])

    def _dense_search(self, where: str, vector: Vector, limit: int) -> Any:
        return self._client.search(
            self.collection, [vector.tolist()], anns_field="dense", limit=limit, filter=where, output_fields=list(FIELDS),
            timeout=SEARCH_MS / 1000, search_params={"metric_type": "COSINE"}, consistency_level="Session",
        )  # fmt: skip

    def _of(self, name: Name, fields: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of one document, as they are now."""
        rows = self._client.query(
            self.collection, filter=only(name), output_fields=list(fields), limit=MOST_ROWS, timeout=SEARCH_MS / 1000,
            consistency_level="Strong",
        )  # fmt: skip
        return [dict(row) for row in rows]

    def _rows(self, where: str, fields: Sequence[str], collection: str = "") -> list[dict[str, Any]]:
        """All rows that a filter lets through, as they were a moment ago; one query would end at 16,384."""
        pages = self._client.query_iterator(
            collection or self.collection, batch_size=PAGE, filter=where, output_fields=list(fields),
            timeout=WRITE_MS / 1000, consistency_level="Strong",
        )  # fmt: skip
        rows: list[dict[str, Any]] = []
        try:
            while page := pages.next():
                rows.extend(dict(row) for row in page)
        finally:
            pages.close()
        return rows

    def _copied(self, collection: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        self._client.load_collection(collection, timeout=WRITE_MS / 1000)
        return self._rows('tenant != ""', fields, collection)

    def _upsert(self, data: list[dict[str, Any]]) -> None:
        timeout = WRITE_MS / 1000
        if self.mode is not Mode.DENSE:
            self._client.upsert(self.collection, data, timeout=timeout)
            return
        # An upsert of Milvus 2.3 is never found: its delete has the time of its insert and takes that too.
        self._client.delete(self.collection, ids=[row["id"] for row in data], timeout=timeout)
        self._client.insert(self.collection, data, timeout=timeout)

    def _remove(self, name: Name, keep: str) -> None:
        where = only(name) + (f" and version != {quoted(keep)}" if keep else "")
        self._client.delete(self.collection, filter=where, timeout=WRITE_MS / 1000)
        left = self._client.query(
            self.collection, filter=where, output_fields=["id"], limit=1, timeout=SEARCH_MS / 1000, consistency_level="Strong"
        )
        if left:
            raise VendorFault(Fault(FaultKind.UNAVAILABLE, f"Milvus kept passages of {name.document} that were to go"))


def mode_of(server_version: str) -> Mode:
    """BM25 came with Milvus 2.5: "v2.6.1", "milvus_lite-3.2.2" have it, "v2.3.5-lite" has not (and would abort)."""
    numbers = re.search(r"(\d+)\.(\d+)", server_version)
    old = numbers is not None and (int(numbers[1]), int(numbers[2])) < (2, 5)
    return Mode.DENSE if old else Mode.HYBRID


def _hits(found: Any, asked: Vector) -> tuple[Hit, ...]:
    return tuple(_hit(one["entity"], float(one["distance"]), asked) for one in found[0])


def _hit(entity: dict[str, Any], score: float, asked: Vector) -> Hit:
    return Hit(
        document=entity["document"], section=entity["section"], version=entity["version"], ordinal=int(entity["ordinal"]),
        text=entity["text"], lookup=entity["lookup"], tokens=int(entity["tokens"]), epoch=int(entity["epoch"]),
        score=score, cosine=float(np.dot(np.asarray(entity["dense"], dtype=np.float32), asked)),
    )  # fmt: skip


def _counted(rows: Iterable[dict[str, Any]]) -> list[Stored]:
    counts: dict[tuple[Name, str], list[int]] = {}
    for row in rows:
        name = Name(row["tenant"], row["corpus"], row["document"])
        count = counts.setdefault((name, row["version"]), [0, int(row["total"]), int(row["epoch"])])
        count[0] += 1
        count[2] = max(count[2], int(row["epoch"]))
    return [Stored(name, version, *count) for (name, version), count in counts.items()]


def _cut(text: str, most_bytes: int) -> str:
    raw = text.encode()
    return text if len(raw) <= most_bytes else raw[:most_bytes].decode(errors="ignore")


def _sentence(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", "") or error).split())[:300]
