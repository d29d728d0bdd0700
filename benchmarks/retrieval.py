"""How well and how fast passages are found, as the corpus grows: Milvus Lite, and a real Milvus when one is given.

    python -m benchmarks.retrieval --milvus http://127.0.0.1:19530

Everything goes the product's way: Library.ingest (Markdown to passages, embedding, Milvus) and Library.retrieve
(embedding, search, judgement). Searched by vectors alone (dense), by words alone (bm25) and by both (hybrid); a server
that is older than BM25 has dense alone. hit@3: the share of questions with a right passage among the first three.
The corpus and its questions are described in benchmarks/retrieval_data.py.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import finish, print_table
from benchmarks.retrieval_data import KINDS, SECTIONS, Corpus, Question, make_corpus
from benchmarks.shared_data import DEFAULT, progress
from infra.background import find
from infra.milvus.server import FOLDER
from infra.part import family_rss_mib
from services.retrieval.embedding import Embedding, bundled
from services.retrieval.library import Library, State
from services.retrieval.lite import LiteServer
from services.retrieval.milvus import Milvus, Place
from services.retrieval.store import Mode, Name
from trivium.core.errors import BadRequest, TriviumError

SIZES: Final = (1_000, 10_000, 100_000)
TENANT: Final = "benchmark"
COLLECTION: Final = "trivium_benchmark_retrieval"
_TELL_EVERY_S: Final = 10.0
_LITE_LANES: Final = 4


@dataclass(frozen=True, slots=True)
class Server:
    """A Milvus under test; `pid` 0: it runs elsewhere, its memory is not seen and given as 0."""

    name: str
    uri: str
    pid: int
    lanes: int


async def main(asked: argparse.Namespace) -> None:
    """Every server at every size."""
    sizes = sorted(asked.passages)
    progress(f"reading {asked.data}")
    corpus = make_corpus(asked.data, sizes[-1], asked.questions)
    embedding = bundled()
    rows: list[dict[str, object]] = []
    figures: dict[str, object] = {"questions": len(corpus.questions)}
    with tempfile.TemporaryDirectory(prefix="trivium-retrieval-") as folder:
        if not asked.no_lite:
            async with LiteServer(f"{folder}/lite.db") as lite:
                rows += await _measure(Server("lite", lite.uri, lite.pid, _LITE_LANES), corpus, embedding, sizes, figures)
        if asked.milvus:
            rows += await _measure(Server("milvus", asked.milvus, _pid_of(asked.milvus), 8), corpus, embedding, sizes, figures)
    print_table("found among the first three, and ms of one search", rows)
    if asked.json:
        finish(figures, True)


async def _measure(
    server: Server, corpus: Corpus, embedding: Embedding, sizes: Sequence[int], figures: dict[str, object]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    async with _opened(server, embedding) as store:
        own = store.mode
        library, there = Library(store, embedding), 0
        for size in sizes:
            began = time.monotonic()
            await _ingest(library, corpus, there, size, server.name)
            took = time.monotonic() - began
            figures[f"{server.name}_{size}_ingest_passages_per_s"] = round((size - there) / took)
            there = size
            for mode in (Mode.DENSE, Mode.BM25, Mode.HYBRID) if own is Mode.HYBRID else (Mode.DENSE,):
                store.mode = mode
                found = await _asked(library, corpus.questions)
                memory = round(family_rss_mib(server.pid))
                rows.append({"server": server.name, "passages": size, "searched by": mode.value, **found, "MiB": memory})
                at = f"{server.name}_{size}_{mode.value}"
                progress(f"  {at}: {', '.join(f'{name} {value}' for name, value in found.items())}")
                figures.update({f"{at}_{name.replace(' ', '_')}": value for name, value in found.items()})
            store.mode = own
            figures[f"{server.name}_{size}_rss_mib"] = memory
            progress(f"{server.name}: {size:,} passages; took in the last of them in {took:.0f} s; memory {memory} MiB")
    return rows


@asynccontextmanager
async def _opened(server: Server, embedding: Embedding) -> AsyncIterator[Milvus]:
    store = Milvus(Place(server.uri, lanes=server.lanes), embedding.dimensions)
    try:
        await store.connect()
        if COLLECTION in await store.collections(COLLECTION):
            await store.drop(COLLECTION)
        await store.open(COLLECTION)
        yield store
        await store.drop(COLLECTION)
    finally:
        await store.close()


async def _ingest(library: Library, corpus: Corpus, start: int, end: int, server: str) -> None:
    began = told = time.monotonic()
    for number, (document, content) in enumerate(corpus.documents(start, end), 1):
        done = await library.ingest(Name(TENANT, "volumes", document), "markdown", content)
        if done.state is not State.ADDED or done.passages != SECTIONS:
            raise SystemExit(f"{document}: {done.state.value} with {done.passages} passages; {done.message}")
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            progress(f"  {server}: {start + number * SECTIONS:,} of {end:,} passages, {number * SECTIONS / (told - began):.0f} a second")
    await library.seal()


async def _asked(library: Library, questions: Sequence[Question]) -> dict[str, float]:
    """hit@3 of each kind, and ms of one search, one after the other."""
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    times: dict[bool, list[float]] = {True: [], False: []}
    for question in questions:
        began = time.perf_counter()
        found = await _found(library, question.text)
        times[question.kind == "section"].append((time.perf_counter() - began) * 1000)
        hits[question.kind].append(not question.right.isdisjoint(found))
    row = {f"hit@3 {kind}": round(float(np.mean(hits[kind])), 3) for kind in KINDS}
    by_section, others = times[True], times[False]
    return row | {"p50 ms": _ms(others, 50), "p95 ms": _ms(others, 95), "p95 ms section": _ms(by_section, 95)}


def _ms(times: Sequence[float], percent: int) -> float:
    return round(float(np.percentile(times, percent)), 1)


async def _found(library: Library, question: str) -> set[tuple[str, str]]:
    try:
        found = await library.retrieve(TENANT, "volumes", question, 3, 2_000, 0.0)
    except BadRequest:
        return set()  # no word of the question is in the corpus
    return {(one.document, one.section.rsplit(" > ", 1)[-1].split(" ", 1)[0]) for one in found.passages}


def _pid_of(uri: str) -> int:
    """The process of the server that `make milvus` started, when it is that one."""
    running = find(FOLDER)
    return running.pid if running is not None and uri in running.addresses.values() else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retrieval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.retrieval --passages 1000 10000 --milvus http://127.0.0.1:19530",
    )  # fmt: skip
    parser.add_argument("--passages", type=_hundreds, nargs="+", default=list(SIZES), help="sizes of the corpus (default: 1000 10000 100000)")
    parser.add_argument("--questions", type=int, default=100, help="of each of three kinds, 200 at most (default: %(default)s)")
    parser.add_argument("--milvus", default="", metavar="URI", help="a Milvus server, measured after Milvus Lite")
    parser.add_argument("--no-lite", action="store_true", help="leave Milvus Lite out")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="folder of the public data (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


def _hundreds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1_000 or int(text) % SECTIONS:
        raise argparse.ArgumentTypeError(f"{text!r}: a multiple of {SECTIONS}, from 1000 on")
    return int(text)


if __name__ == "__main__":
    try:
        asyncio.run(main(_arguments()))
    except TriviumError as error:
        raise SystemExit(f"benchmarks.retrieval: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
