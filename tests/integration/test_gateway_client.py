"""The Python clients: over gRPC against a gateway, over Kafka against a log that somebody answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.broker import EmbeddedBroker
from tests.integration.gateway_mesh import GatewayMesh, gateway_mesh
from trivium.client import GatewayError, KafkaClient, TriviumClient, request
from trivium.client.kafka_client import KafkaClientOptions
from trivium.client.memory import BadMemory, Memory
from trivium.codec import decode_request, encode_terminal
from trivium.core.errors import BadRequest, Unreachable
from trivium.core.outcome import Answer, Terminal, TerminalKind
from trivium.core.partition import home
from trivium.core.request import Identity
from trivium.core.slip import ContentType
from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import REQUESTS, RESPONSES
from trivium.telemetry.tracing import start

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARTITIONS = 4
TIMEOUT = 10.0


# --- gRPC ----------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayMesh]:
    async with gateway_mesh(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(mesh: GatewayMesh) -> AsyncIterator[TriviumClient]:
    async with TriviumClient(f"127.0.0.1:{mesh.process.addresses['port']}", timeout_s=TIMEOUT) as opened:
        yield opened


async def test_complete_gives_a_terminal(client: TriviumClient) -> None:
    terminal = await client.complete(request("acme", "hello", endpoint="/one"))
    assert terminal.kind is TerminalKind.ANSWERED
    assert terminal.answer is not None
    assert terminal.answer.text == "finetuned: an answer"


async def test_a_stream_gives_pieces_and_the_terminal_last(client: TriviumClient) -> None:
    async with aclosing(client.stream(request("acme", "hello", endpoint="/one"))) as pieces:
        seen = [piece async for piece in pieces]
    assert seen[:-1] == ["finetuned: ", "an ", "answer"]
    assert isinstance(seen[-1], Terminal)


async def test_what_is_no_terminal_is_an_error_that_says_why(client: TriviumClient) -> None:
    with pytest.raises(GatewayError, match="no endpoint") as told:
        await client.submit(request("acme", "hello", endpoint="/nowhere"))
    assert (told.value.code, told.value.reason, told.value.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "unknown_endpoint",
        "endpoint",
    )


async def test_submit_wait_and_cancel(client: TriviumClient) -> None:
    identity = await client.submit(request("acme", "hello", id="w", endpoint="/one"))
    assert identity == Identity("acme", "w")
    assert await client.cancel(identity) == "requested"
    with pytest.raises(GatewayError) as told:
        await client.wait(identity, timeout_s=0.3)
    assert told.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_gateway_that_is_not_there_is_an_error() -> None:
    async with TriviumClient("127.0.0.1:1", timeout_s=5) as lost:
        with pytest.raises(GatewayError, match="UNAVAILABLE"):
            await lost.complete(request("acme", "hello"))


# --- Kafka ---------------------------------------------------------------------------------------------------------


class Echo:
    """Answers every request with its question, `copies` times."""

    def __init__(self, bootstrap: str, outbox: Outbox) -> None:
        self.copies = 1
        self.seen: list[Delivered] = []
        self._outbox = outbox
        self.tail = Tail(bootstrap, REQUESTS, self._take)

    async def repeat(self, key: str) -> None:
        """Answer it once more."""
        record = next(r for r in self.seen if r.key == key.encode())
        self._take(record)
        self.seen.pop()

    def _take(self, record: Delivered) -> None:
        self.seen.append(record)
        header = record.header("content-type")
        decoded = decode_request(record.value or b"", header.decode() if header else None)
        answer = Answer(decoded.message.prompt)
        terminal = Terminal(decoded.identity, TerminalKind.ANSWERED, answer, tier="cloud", target="cloud/small")
        headers = (("content-type", decoded.content_type.value.encode()), ("replay", b"%d" % decoded.identity.replay))
        value = encode_terminal(terminal, decoded.content_type)
        reply = Record(RESPONSES, record.key, value, headers, record.partition)
        self._outbox.put((tuple(reply for _ in range(self.copies)),), lambda: None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo() -> AsyncIterator[tuple[str, Echo]]:
    with EmbeddedBroker({REQUESTS: PARTITIONS, RESPONSES: PARTITIONS, "silent": PARTITIONS}) as broker:
        async with Producer(broker.bootstrap) as producer, Outbox(producer, _never) as outbox:
            answering = Echo(broker.bootstrap, outbox)
            async with answering.tail:
                yield broker.bootstrap, answering


def _never(record: Record, error: BaseException) -> Sequence[Record]:
    raise AssertionError(f"{record.topic}: {error}")


@asynccontextmanager
async def publishing(bootstrap: str, topic: str = RESPONSES, **options: object) -> AsyncIterator[KafkaClient]:
    chosen = replace(KafkaClientOptions(partitions=PARTITIONS, timeout_ms=10_000), **options)  # type: ignore[arg-type]
    async with KafkaClient(bootstrap, "acme", topic, options=chosen) as opened:
        yield opened


@pytest.mark.parametrize("kind", [kind for kind in ContentType if "event" in kind.value])
async def test_the_client_says_that_it_writes_no_events(kind: ContentType) -> None:
    with pytest.raises(ValueError, match="protobuf or JSON"):
        KafkaClientOptions(content_type=kind)


@pytest.mark.parametrize("kind", [ContentType.PROTOBUF, ContentType.JSON])
async def test_a_published_request_is_answered_in_kind(echo: tuple[str, Echo], kind: ContentType) -> None:
    bootstrap, answering = echo
    async with publishing(bootstrap, content_type=kind) as client:
        terminal = await client.ask(request("", "why?", id=f"k-{kind.name}"))
    assert terminal.identity == Identity("acme", f"k-{kind.name}")
    assert terminal.answer is not None
    assert terminal.answer.text == "why?"
    record = answering.seen[-1]
    assert record.partition == home(f"acme/k-{kind.name}", PARTITIONS)
    if kind is ContentType.JSON:
        assert json.loads(record.value or b"")["prompt"] == "why?"


async def test_many_are_answered_and_no_more_than_allowed_are_in_flight(echo: tuple[str, Echo]) -> None:
    async with publishing(echo[0], in_flight=10) as client:
        most, waiting = 0, []
        for number in range(100):
            waiting.append(await client.publish(request("acme", f"q{number}")))
            most = max(most, client.in_flight)
        answers = [await pending for pending in waiting]
    assert [a.answer.text for a in answers if a.answer] == [f"q{n}" for n in range(100)]
    assert most == 10


async def test_the_first_terminal_counts_and_the_others_are_counted(echo: tuple[str, Echo]) -> None:
    bootstrap, answering = echo
    answering.copies = 3
    try:
        async with publishing(bootstrap) as client, asyncio.timeout(TIMEOUT):
            await client.ask(request("acme", "one", id="dup"))
            while client.duplicates < 2:
                await client.ask(request("acme", "another"))
    finally:
        answering.copies = 1
    assert client.duplicates >= 2


async def test_the_same_identity_joins_and_another_body_is_refused(echo: tuple[str, Echo]) -> None:
    async with publishing(echo[0], "silent") as client:
        one = await client.publish(request("acme", "one", id="same"))
        assert await client.publish(request("acme", "one", id="same")) is one
        with pytest.raises(BadRequest, match="another body"):
            await client.publish(request("acme", "other", id="same"))


async def test_no_terminal_in_time_is_a_timeout_and_makes_room(echo: tuple[str, Echo]) -> None:
    async with publishing(echo[0], "silent", in_flight=1) as client:
        pending = await client.publish(request("acme", "one"), timeout_ms=50)
        with pytest.raises(TimeoutError, match="no terminal for acme/"):
            await pending
        assert client.in_flight == 0


async def test_a_record_that_the_broker_refuses_is_told(echo: tuple[str, Echo]) -> None:
    async with publishing(echo[0], max_record_bytes=1_000) as client:
        with pytest.raises(BadRequest, match="the broker refuses the record"):
            await client.ask(request("acme", "x" * 2_000))


async def test_with_a_memory_an_answer_is_shown_once_across_restarts(echo: tuple[str, Echo], tmp_path: Path) -> None:
    bootstrap, answering = echo
    remembering = {"memory": str(tmp_path / "client.db")}
    async with publishing(bootstrap, **remembering) as client:
        await client.ask(request("acme", "one", id="m1"))
        with pytest.raises(BadMemory, match="one file for each client"):
            KafkaClient(bootstrap, "acme", options=KafkaClientOptions(memory=remembering["memory"]))
    published = len(answering.seen)
    async with publishing(bootstrap, **remembering) as client, asyncio.timeout(TIMEOUT):
        assert client.resumed == ()
        again = await client.ask(request("acme", "one", id="m1"))
        with pytest.raises(BadRequest, match="another body"):
            await client.publish(request("acme", "other", id="m1"))
        # Its terminal is written once more, as after a crash of a router.
        await answering.repeat("acme/m1")
        while not client.duplicates:
            await client.ask(request("acme", "another"))
    assert again.answer is not None
    assert again.answer.text == "one"
    assert "acme/m1" not in [(r.key or b"").decode() for r in answering.seen[published:]]


async def test_what_was_unanswered_at_a_restart_is_resumed_whatever_became_of_it(
    echo: tuple[str, Echo], tmp_path: Path
) -> None:
    bootstrap, answering = echo
    remembering = {"memory": str(tmp_path / "client.db")}
    # The process ends after the file was written: nothing was published, and nobody knows.
    with Memory(remembering["memory"]) as memory:
        memory.ask(Identity("acme", "m2"), request("acme", "never sent", id="m2"))
    async with publishing(bootstrap, "silent", **remembering) as deaf:
        # It publishes, and ends before an answer comes to where it listens.
        assert [pending.identity.id for pending in deaf.resumed] == ["m2"]
        async with asyncio.timeout(TIMEOUT):
            while not any((r.key or b"") == b"acme/m2" for r in answering.seen):  # noqa: ASYNC110 (a list tells nobody)
                await asyncio.sleep(0.01)
    published = [r.key for r in answering.seen].count(b"acme/m2")
    async with publishing(bootstrap, **remembering) as client, asyncio.timeout(TIMEOUT):
        (pending,) = client.resumed
        terminal = await pending
    assert terminal.answer is not None
    assert terminal.answer.text == "never sent"
    assert published == 1


async def test_closing_ends_what_waits(echo: tuple[str, Echo]) -> None:
    async with publishing(echo[0], "silent") as client:
        pending = await client.publish(request("acme", "one"))
    with pytest.raises(Unreachable, match="closed before"):
        await pending


async def test_a_broker_that_is_not_there_is_told_in_time() -> None:
    with pytest.raises(Unreachable, match="127.0.0.1:1"):
        async with publishing("127.0.0.1:1", connect_timeout_ms=500):
            pass


async def test_the_producers_span_is_the_root_of_the_trace(echo: tuple[str, Echo]) -> None:
    bootstrap, answering = echo
    exporter = InMemorySpanExporter()
    tracing = start("product", "1", "", exporter)
    options = KafkaClientOptions(partitions=PARTITIONS)
    async with KafkaClient(bootstrap, "acme", options=options, tracer=tracing.tracer) as client:
        pending = await client.publish(request("acme", "traced"))
        await pending
    (span,) = exporter.get_finished_spans()
    headers = [value for key, value in answering.seen[-1].headers if key == "traceparent"]
    (header,) = headers
    assert header.startswith(f"00-{pending.trace_id}-{span.context.span_id:016x}-".encode())
    tracing.close()
