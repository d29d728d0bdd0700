"""Files go in over gRPC, only changes are touched, and what they say is found."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.trace import NoOpTracer

from infra.broker import EmbeddedBroker
from services.retrieval.announcer import MAX_VECTOR_BYTES, LogAnnouncer, merged
from services.retrieval.embedding import Local
from services.retrieval.library import Library
from services.retrieval.milvus import Milvus, Place
from services.retrieval.servicer import Servicer
from trivium.core.errors import Unreachable
from trivium.embed.static import StaticEmbedder
from trivium.ingest.files import MAX_FILE_BYTES, select
from trivium.ingest.send import Report, Sent, ingest
from trivium.kafka.producer import Producer
from trivium.kafka.topics import DOCUMENTS
from trivium.rpc.channels import channel
from trivium.rpc.server import RpcServer, adding
from trivium.v1 import services_pb2 as pb
from trivium.v1.services_pb2_grpc import RetrievalStub, add_RetrievalServicer_to_server


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder.load()


@pytest.fixture
async def address(milvus: str, milvus_collection: str, embedder: StaticEmbedder) -> AsyncIterator[str]:
    """A retrieval service without its tier."""
    store = Milvus(Place(milvus, lanes=2), embedder.dimensions)
    await store.connect()
    await store.open(milvus_collection)
    servicer = Servicer(Library(store, Local(embedder)), NoOpTracer())
    async with RpcServer(adding((add_RetrievalServicer_to_server, servicer)), notice_ms=0) as server:
        yield f"127.0.0.1:{server.port}"
    await store.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Whales\n\nThe whale swims in the northern sea.\n")
    (docs / "b.html").write_text("<h1>Hours</h1><p>The museum opens at nine.</p>")
    (docs / "c.txt").write_text("The ticket costs five euros.")
    return docs


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4()}"


async def run(address: str, tenant: str, *paths: Path, progress: list[Sent] | None = None) -> Report:
    async with channel(address) as connection:
        return await ingest(connection, tenant, "docs", select(paths), (progress if progress is not None else []).append)


async def found(address: str, tenant: str, question: str) -> pb.RetrieveReply:
    async with channel(address) as connection:
        request = pb.RetrieveRequest(tenant=tenant, corpus="docs", query=question)
        stub: Any = RetrievalStub(connection)  # type: ignore[no-untyped-call]
        reply: pb.RetrieveReply = await stub.Retrieve(request, timeout=10)
        return reply


async def test_a_folder_goes_in_and_is_found(address: str, folder: Path, tenant: str) -> None:
    progress: list[Sent] = []
    report = await run(address, tenant, folder, progress=progress)
    assert [(one.document, one.state, one.passages) for one in report.sent] == [
        ("docs/a.md", "added", 1), ("docs/b.html", "added", 1), ("docs/c.txt", "added", 1)
    ]  # fmt: skip
    assert progress == list(report.sent)
    reply = await found(address, tenant, "When does the museum open?")
    assert [(one.document, one.section, one.text) for one in reply.passages] == [("docs/b.html", "Hours", "The museum opens at nine.")]
    assert reply.passages[0].version == report.sent[1].version
    assert (reply.mode, reply.left_out) == ("hybrid", 2)


async def test_a_second_run_touches_what_changed_and_forgets_what_went(address: str, folder: Path, tenant: str) -> None:
    await run(address, tenant, folder)
    (folder / "a.md").unlink()
    (folder / "b.html").write_text("<h1>Hours</h1><p>The museum opens at ten.</p>")
    (folder / "d.md").write_text("A new exhibition of maps.")
    report = await run(address, tenant, folder)
    assert {one.document: one.state for one in report.sent} == {"docs/b.html": "changed", "docs/c.txt": "unchanged", "docs/d.md": "added"}
    assert report.forgotten == ("docs/a.md",)
    assert (await found(address, tenant, "When does the museum open?")).passages[0].text == "The museum opens at ten."
    assert "docs/a.md" not in {one.document for one in (await found(address, tenant, "Where does the whale swim?")).passages}


async def test_single_files_forget_nothing(address: str, folder: Path, tenant: str) -> None:
    await run(address, tenant, folder)
    report = await run(address, tenant, folder / "a.md")
    assert [(one.document, one.state) for one in report.sent] == [("docs/a.md", "unchanged")]
    assert report.forgotten == ()
    assert len((await found(address, tenant, "What does the ticket cost?")).passages) == 1


async def test_an_unreadable_file_is_told_and_the_others_go_on(address: str, folder: Path, tenant: str) -> None:
    (folder / "a.md").write_bytes(b"caf\xe9 \xff")
    (folder / "b.html").write_text("")
    (folder / "big.txt").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (folder / "z.pdf").write_bytes(b"%PDF-1.7 not really")
    report = await run(address, tenant, folder)
    said = {one.document: one.message for one in report.failed}
    assert set(said) == {"docs/a.md", "docs/b.html", "docs/big.txt", "docs/z.pdf"}
    assert "UTF-8" in said["docs/a.md"]
    assert "empty" in said["docs/b.html"]
    assert "limit" in said["docs/big.txt"]
    assert "PDF" in said["docs/z.pdf"]
    assert report.count("added") == 1


async def test_a_file_that_becomes_unreadable_keeps_its_last_version(address: str, folder: Path, tenant: str) -> None:
    await run(address, tenant, folder)
    (folder / "c.txt").write_bytes(b"\xff\x00")
    report = await run(address, tenant, folder)
    assert [one.document for one in report.failed] == ["docs/c.txt"]
    assert report.forgotten == ()
    assert (await found(address, tenant, "What does the ticket cost?")).passages[0].document == "docs/c.txt"


async def test_an_unknown_corpus_and_an_empty_query_are_refused_in_words(address: str, tenant: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await found(address, tenant, "anything?")
    with pytest.raises(grpc.aio.AioRpcError) as empty:
        await found(address, tenant, "  ")
    assert unknown.value.code() is empty.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert tenant in (unknown.value.details() or "")
    assert "empty" in (empty.value.details() or "")


async def test_a_service_that_is_not_there_is_one_sentence(folder: Path, tenant: str, free_port: int) -> None:
    with pytest.raises(Unreachable, match="the retrieval service"):
        await run(f"127.0.0.1:{free_port}", tenant, folder)


async def test_changes_are_in_the_log_before_they_are_in_the_store(
    milvus: str, milvus_collection: str, embedder: StaticEmbedder, tenant: str
) -> None:
    from aiokafka import AIOKafkaConsumer

    from services.retrieval.store import Name
    from trivium.v1 import records_pb2

    store = Milvus(Place(milvus, lanes=2), embedder.dimensions)
    await store.connect()
    await store.open(milvus_collection)
    name = Name(tenant, "docs", "a.md")
    with EmbeddedBroker({DOCUMENTS: 12}) as broker:
        async with Producer(broker.bootstrap) as producer:
            library = Library(store, Local(embedder), LogAnnouncer(producer))
            done = await library.ingest(name, "text", b"The whale swims.")
            await library.forget(tenant, "docs", ["a.md"], False, "")
        consumer = AIOKafkaConsumer(DOCUMENTS, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
        await consumer.start()
        try:
            records = [await consumer.getone() for _ in range(2)]
        finally:
            await consumer.stop()
    await store.close()
    there, gone = (records_pb2.DocumentRecord.FromString(record.value) for record in records)
    assert {record.key for record in records} == {f"{tenant}/docs/a.md".encode()}
    assert (there.version, there.state, there.passages, len(there.new_passages)) == (done.version, "present", 1, 1)
    assert len(there.new_passages[0]) == 4 * embedder.dimensions
    assert there.fingerprint == embedder.fingerprint
    assert (gone.version, gone.state) == ("", "forgotten")
    assert gone.epoch > there.epoch


def test_vectors_of_a_huge_document_are_merged_until_they_fit(embedder: StaticEmbedder) -> None:
    vectors = list(embedder.embed_many([f"passage {n} about topic {n % 40}" for n in range(1_500)]))
    few = merged(vectors)
    assert sum(4 * len(vector) for vector in few) <= MAX_VECTOR_BYTES
    assert all(abs(float(vector @ vector) - 1) < 1e-4 for vector in few)
    assert merged(vectors[:3]) == vectors[:3]
