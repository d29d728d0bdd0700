"""Rubbish among good neighbours: every neighbour is answered, nothing bad is dropped in silence, nobody falls over."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from google.protobuf import json_format
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.mesh.running import TIMEOUT_S, RunningMesh, asking
from trivium.codec import decode_request
from trivium.core.errors import BadRequest
from trivium.kafka.producer import Producer
from trivium.kafka.reader import Tail
from trivium.kafka.record import Delivered, Record
from trivium.kafka.topics import HEADER_CONTENT_TYPE, LEDGER, REQUESTS
from trivium.v1 import records_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

BATCH = 15


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that is no good request."""

    value: bytes
    content_type: str


def _plain() -> dict[str, object]:
    made: dict[str, object] = json_format.MessageToDict(asking("I am happy.", endpoint="/sentiment"), preserving_proto_field_name=True)
    return made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["tenant", "endpoint", "messages", "timeout_ms", "output", "tools", "sensitivity", "stakes", "prompt", "replay", "tags", "nonsense"])


@st.composite
def mutated_json(draw: st.DrawFn) -> Bad:
    """A good request in JSON with some of its fields replaced, its end cut off, or something else in its place."""
    plain = _plain()
    for name in draw(st.lists(FIELDS, min_size=1, max_size=3)):
        plain[name] = draw(json_values)
    text = json.dumps(plain).encode()
    return Bad(text[: draw(st.integers(1, len(text)))] if draw(st.booleans()) else text, "application/json")


@st.composite
def mutated_protobuf(draw: st.DrawFn) -> Bad:
    """A good request in protobuf with bytes replaced, put in or cut off."""
    value = bytearray(asking("I am happy.", endpoint="/sentiment").SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return Bad(bytes(value), "application/protobuf")


garbage = st.builds(Bad, st.binary(max_size=60), st.sampled_from(["", "application/protobuf", "application/json", "text/html"]))
bad_records = garbage | mutated_json() | mutated_protobuf()
floods = st.lists(bad_records, min_size=BATCH, max_size=BATCH)


class Ended:
    """Identities that the ledger has a terminal of, as they come."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str, int]] = set()
        self.more = asyncio.Event()

    def take(self, record: Delivered) -> None:
        written = records_pb2.LedgerRecord.FromString(record.value or b"")
        if written.role == "terminal":
            identity = written.terminal.identity
            self.found.add((identity.tenant, identity.id, identity.replay))
            self.more.set()


@pytest_asyncio.fixture(loop_scope="session")
async def ended(mesh: RunningMesh) -> AsyncIterator[Ended]:
    seen = Ended()
    async with Tail(mesh.local.addresses.kafka, LEDGER, seen.take, from_beginning=False) as tail:
        assert await tail.wait_caught_up(10_000)
        yield seen


@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(flood=floods)
async def test_rubbish_is_answered_or_put_aside_and_its_neighbours_go_on(mesh: RunningMesh, ended: Ended, flood: list[Bad]) -> None:
    neighbours = []
    async with Producer(mesh.local.addresses.kafka) as producer:
        for number, bad in enumerate(flood):
            if number % 3 == 0:
                neighbours.append(await mesh.kafka.publish(asking("I am so happy!", endpoint="/sentiment")))
            headers = ((HEADER_CONTENT_TYPE, bad.content_type.encode()),) if bad.content_type else ()
            await producer.publish(Record(REQUESTS, None, bad.value, headers), 5_000)
    async with asyncio.timeout(TIMEOUT_S):
        for neighbour in neighbours:
            terminal = await neighbour
            assert terminal.answer is not None
            assert terminal.answer.text == "positive"
        for bad in flood:
            while not _settled(bad, mesh, ended):
                ended.more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.more.wait(), 0.1)
    mesh.local.check()


def _settled(bad: Bad, mesh: RunningMesh, ended: Ended) -> bool:
    """Whether a dead letter carries it, or its identity has its terminal."""
    letter = next((m for m in mesh.letters.found.values() if m.value == bad.value), None)
    if letter is not None:
        assert letter.reason.code != "internal", (bad, letter.reason)
        assert letter.reason.message
        return True
    try:
        identity = decode_request(bad.value, bad.content_type or None).identity
    except BadRequest as error:
        if error.identity is None:
            return False
        identity = error.identity
    return (identity.tenant, identity.id, identity.replay) in ended.found
