"""The retrieval tier on a real Milvus: what the server cannot do is said at start-up, and questions are answered all the same."""

from pathlib import Path

from infra.broker import EmbeddedBroker
from infra.local import LocalMesh, MeshOptions, free_ports
from infra.part import Part, RunningPart
from services.retrieval.milvus import Milvus, Place
from services.retrieval.store import Mode
from tests.integration.mesh.running import DOCUMENTS, asking
from trivium.client import TriviumClient
from trivium.ingest.files import select
from trivium.ingest.send import ingest
from trivium.kafka.topics import PARTITIONS, all_topics
from trivium.rpc.channels import channel
from trivium.v1 import services_pb2
from trivium.v1.services_pb2_grpc import RetrievalStub

OLD = "older than 2.5 and has no BM25: passages are found by vectors alone"


async def mode_of_server(uri: str) -> Mode:
    store = Milvus(Place(uri, lanes=1), 1)
    await store.connect()
    await store.close()
    return store.mode


async def test_a_question_is_answered_from_it_and_an_old_server_is_named_once(milvus: str, tmp_path: Path) -> None:
    mode = await mode_of_server(milvus)
    async with LocalMesh(MeshOptions(data=tmp_path, milvus=milvus, traces=False)) as mesh:
        async with channel(mesh.addresses.retrieval) as retrieval:
            stub = RetrievalStub(retrieval)  # type: ignore[no-untyped-call]
            report = await ingest(retrieval, "acme", "docs", select(DOCUMENTS), lambda _sent: None)
            assert not report.failed
            try:
                asked = services_pb2.RetrieveRequest(tenant="acme", corpus="docs", query="What is never written to the cache?")
                found = await stub.Retrieve(asked, timeout=10)
                async with TriviumClient(mesh.addresses.gateway) as client:
                    prompt = "Are restricted requests ever written to the cache?"
                    terminal = await client.complete(asking(endpoint="/policy-question", prompt=prompt, cache="bypass"))
            finally:
                await stub.Forget(services_pb2.ForgetRequest(tenant="acme", corpus="docs", all_but=True), timeout=30)
        said = (tmp_path / "logs" / "retrieval.log").read_text()
    assert (found.mode, terminal.target, terminal.kind.value) == (mode.value, "retrieval/docs", "answered")
    assert found.passages
    assert terminal.answer is not None
    assert {citation.document for citation in terminal.answer.citations} <= {str(path) for path in DOCUMENTS}
    assert terminal.answer.citations
    assert said.count(OLD) == (1 if mode is Mode.DENSE else 0)
    assert [line for line in said.splitlines() if "Traceback" in line] == []


async def test_two_processes_share_the_server(milvus: str, tmp_path: Path) -> None:
    """Two worker processes on one port, which Milvus Lite cannot have: either finds what the other took in."""
    (port,) = free_ports(1)
    topics = {topic.name: PARTITIONS for topic in all_topics([])}
    with EmbeddedBroker(topics) as broker:
        environ = {
            "TRIVIUM_KAFKA": broker.bootstrap, "TRIVIUM_KAFKA_WORKER": "false", "TRIVIUM_MILVUS": milvus,
            "TRIVIUM_RETRIEVAL_PORT": str(port), "TRIVIUM_TIER_PROCESSES": "2",
        }  # fmt: skip
        part = await RunningPart.start(Part("retrieval", "services.retrieval", (), environ), tmp_path)
        try:
            await part.until_ready(90)
            await _shared(f"127.0.0.1:{port}")
        finally:
            await part.stop()
    assert part.process.returncode == 0


async def _shared(address: str) -> None:
    async with channel(address) as retrieval:
        report = await ingest(retrieval, "acme", "shared", select(DOCUMENTS), lambda _sent: None)
        assert not report.failed
    request = services_pb2.RetrieveRequest(tenant="acme", corpus="shared", query="What is never written to the cache?")
    for _ in range(8):
        async with channel(address) as other:
            found = await RetrievalStub(other).Retrieve(request, timeout=10)  # type: ignore[no-untyped-call]
            assert found.passages
    async with channel(address) as retrieval:
        stub = RetrievalStub(retrieval)  # type: ignore[no-untyped-call]
        gone = await stub.Forget(services_pb2.ForgetRequest(tenant="acme", corpus="shared", all_but=True), timeout=30)
        assert sorted(gone.forgotten) == sorted(str(path) for path in DOCUMENTS)
