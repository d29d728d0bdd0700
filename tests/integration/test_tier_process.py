"""The tiers as processes of their own: they say where they listen, answer, and leave when told to."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest

from infra.broker import EmbeddedBroker
from trivium import codec
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.kafka import topics
from trivium.rpc.channels import channel, stub
from trivium.tier.meter import now_ms
from trivium.v1.services_pb2_grpc import TierStub


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker({t.name: min(t.partitions, 4) for t in topics.all_topics([])}) as running:
        yield running


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens: bound, so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def started(service: str, environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**environ, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(("service", "tier"), [("cloud", Tier.CLOUD), ("finetuned", Tier.FINETUNED)])
async def test_a_tier_says_where_it_listens_answers_and_leaves_when_told(
    broker: EmbeddedBroker, nowhere: str, service: str, tier: Tier
) -> None:
    settings = {
        "TRIVIUM_KAFKA": broker.bootstrap,
        "TRIVIUM_PARTITIONS": "4",
        f"TRIVIUM_{service.upper()}_PORT": "0",
        f"TRIVIUM_{service.upper()}_URL": f"http://{nowhere}",
    }
    request = Request(Identity("acme", "1"), (Message(Role.USER, "Hello"),))
    work = Work(request, 1, Target(f"{service}/a", tier, "a"), TaskSpec("draft"), now_ms() + 50_000)
    async with started(service, settings) as process, asyncio.timeout(50):
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        assert said["service"] == service
        async with channel(f"127.0.0.1:{said['port']}") as to_tier:
            outcome = await stub(TierStub, to_tier).Generate(codec.work_to(work), timeout=20)
        assert outcome.fault.kind == "unavailable"
        process.send_signal(signal.SIGTERM)
        _, told = await process.communicate()
    assert (process.returncode, b"Traceback" in told) == (0, False)


@pytest.mark.parametrize(
    ("service", "settings", "said"),
    [
        ("finetuned", {"TRIVIUM_FINETUNED_WIRE": "grpc"}, "TRIVIUM_FINETUNED_WIRE must be tgi or openai, not 'grpc'"),
        ("cloud", {"TRIVIUM_CLOUD_PROT": "1"}, "did you mean TRIVIUM_CLOUD_PORT?"),
        ("cloud", {"TRIVIUM_KAFKA_WAIT_MS": "500"}, "no Kafka broker answers at"),
    ],
)
async def test_what_an_operator_can_mend_is_one_sentence(
    nowhere: str, service: str, settings: dict[str, str], said: str
) -> None:
    environ = {"TRIVIUM_KAFKA": nowhere, **settings}
    async with started(service, environ) as process, asyncio.timeout(50):
        _, told = await process.communicate()
    last = told.decode().strip().splitlines()[-1]
    assert process.returncode == 2
    assert said in last
    assert "Traceback" not in told.decode()
