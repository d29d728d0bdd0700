"""Milvus Lite as a process of its own: it comes back, and says what it cannot do."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from services.retrieval import milvus
from services.retrieval.embedding import Local
from services.retrieval.library import Library, State
from services.retrieval.lite import LiteServer
from services.retrieval.milvus import Milvus, Place
from services.retrieval.opening import opened_store
from services.retrieval.store import Name
from trivium.core.errors import Unreachable, VendorFault
from trivium.embed.static import StaticEmbedder
from trivium.ports import Passage

NAME = Name("acme", "help", "hours.md")
QUESTION = "When does the shop open?"


async def test_a_killed_server_comes_back_with_its_documents(tmp_path: Path) -> None:
    embedding = Local(StaticEmbedder.load())
    async with LiteServer(str(tmp_path / "lite.db")) as server:
        store = Milvus(Place(server.uri, lanes=2), embedding.dimensions)
        await store.connect()
        await store.open("hours")
        library = Library(store, embedding)
        await library.ingest(NAME, "text", b"The shop opens at nine.")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(90):
            found = await _patiently(library)
        assert [one.text for one in found] == ["The shop opens at nine."]
        assert server.pid not in (0, first)
        assert (await library.ingest(NAME, "text", b"The shop opens at nine.")).state is State.UNCHANGED
        await store.close()


async def _patiently(library: Library) -> tuple[Passage, ...]:
    while True:
        try:
            return (await library.retrieve("acme", "help", QUESTION, 3, 600, 0.0)).passages
        except VendorFault:
            await asyncio.sleep(0.1)


async def test_a_server_that_hangs_is_a_fault_in_time_and_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = Local(StaticEmbedder.load())
    async with LiteServer(str(tmp_path / "lite.db")) as server:
        store = Milvus(Place(server.uri, lanes=2), embedding.dimensions)
        await store.connect()
        await store.open("hours")
        library = Library(store, embedding)
        await library.ingest(NAME, "text", b"The shop opens at nine.")
        monkeypatch.setattr(milvus, "SEARCH_MS", 300)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(VendorFault, match="Milvus: DEADLINE_EXCEEDED|did not answer in 300 ms"):
                await library.retrieve("acme", "help", QUESTION, 3, 600, 0.0)
            await store.warm_up()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        async with asyncio.timeout(90):
            assert [one.text for one in await _patiently(library)] == ["The shop opens at nine."]
        await store.close()


async def test_a_folder_that_another_has_open_is_one_sentence(tmp_path: Path) -> None:
    path = str(tmp_path / "lite.db")
    async with LiteServer(path):
        with pytest.raises(Unreachable, match="another process has it open"):
            await LiteServer(path).start()


async def test_a_path_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unreachable, match="Milvus Lite cannot open"):
        await LiteServer(str(tmp_path / "file" / "lite.db")).start()


async def test_a_stopped_service_starts_again_where_it_was(tmp_path: Path) -> None:
    embedding, path = Local(StaticEmbedder.load()), str(tmp_path / "deep" / "lite.db")
    async with opened_store(path, "", embedding) as store:
        await Library(store, embedding).ingest(NAME, "text", b"The shop opens at nine.")
    async with opened_store(path, "", embedding) as store:
        found = await Library(store, embedding).retrieve("acme", "help", QUESTION, 3, 600, 0.0)
    assert len(found.passages) == 1
