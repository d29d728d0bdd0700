"""gRPC over TLS and mutual TLS: who is spoken to, who is not, and what is said."""

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from services.gateway.flights import Flight
from services.gateway.tiers import Tiers
from tests.secure.conftest import expired, write
from trivium.client.grpc_client import GatewayError, TriviumClient
from trivium.core.errors import BadSetting
from trivium.core.outcome import Fault, FaultKind
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Request
from trivium.core.slip import Work
from trivium.rpc import tls as tls_module
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.server import RpcServer, adding
from trivium.rpc.tls import handshake_trouble, read_dial, read_tls
from trivium.v1 import journey_pb2, outcome_pb2, request_pb2, services_pb2_grpc


class TierDoor(services_pb2_grpc.TierServicer):
    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        return outcome_pb2.Outcome(target=work.target.name, attempt=work.attempt)


def settings(pki: Path, name: str, ca: str = "ca", clients: bool = False) -> dict[str, str]:
    files = {"TRIVIUM_TLS_CERT": f"{name}.pem", "TRIVIUM_TLS_KEY": f"{name}.key", "TRIVIUM_TLS_CA": f"{ca}.pem"}
    return {key: str(pki / file) for key, file in files.items()} | {"TRIVIUM_TLS_CLIENTS": str(clients).lower()}


@asynccontextmanager
async def serving(environ: dict[str, str]) -> AsyncIterator[str]:
    add = adding((services_pb2_grpc.add_TierServicer_to_server, TierDoor()))
    async with RpcServer(add, notice_ms=0, drain_ms=100, credentials=read_tls(environ).server()) as server:
        yield f"127.0.0.1:{server.port}"


async def called(address: str, dial: Dial) -> str:
    """`ok`, or the status and details of the refusal."""
    async with channel(address, dial) as opened:
        try:
            reply = await stub(services_pb2_grpc.TierStub, opened).Generate(
                journey_pb2.Work(target={"name": "x"}), timeout=5
            )
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        assert reply.target == "x"
        return "ok"


async def test_tls_of_the_server_alone(pki: Path) -> None:
    async with serving(settings(pki, "server")) as address:
        assert await called(address, read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")})) == "ok"
        assert (await called(address, Dial())).startswith("UNAVAILABLE")
        other = await called(address, read_dial({"TRIVIUM_TLS_CA": str(pki / "other-ca.pem")}))
        assert other.startswith("UNAVAILABLE")
        assert "CERTIFICATE_VERIFY_FAILED" in other


async def test_mutual_tls_takes_only_whom_the_authority_knows(pki: Path) -> None:
    async with serving(settings(pki, "server", clients=True)) as address:
        assert await called(address, read_dial(settings(pki, "client"))) == "ok"
        assert (await called(address, read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")}))).startswith("UNAVAILABLE")
        assert (await called(address, read_dial(settings(pki, "stranger")))).startswith("UNAVAILABLE")
        # Its own process refuses to start with such a file; somebody else's need not.
        chain, key = (pki / "expired.pem").read_bytes(), (pki / "expired.key").read_bytes()
        late = Dial(grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes(), key, chain))
        assert (await called(address, late)).startswith("UNAVAILABLE")


async def test_a_certificate_is_read_again_without_a_restart(
    pki: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_module, "_LOOK_S", 0.0)
    for file in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(pki / file, tmp_path / file)
    dial = read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")})
    with caplog.at_level(logging.WARNING):
        async with serving(settings(tmp_path, "server")) as address:
            assert await called(address, dial) == "ok"
            other = trustme.CA()
            write(tmp_path, "server", other.issue_cert("127.0.0.1"))
            refused = await called(address, dial)
            assert "CERTIFICATE_VERIFY_FAILED" in refused
            write(tmp_path, "server", authority.issue_cert("127.0.0.1"))
            assert await called(address, dial) == "ok"
            write(tmp_path, "server", expired(authority, datetime.now(UTC) - timedelta(hours=1)))
            assert await called(address, dial) == "ok", "the valid one stays in force"
    said = [record.getMessage() for record in caplog.records if record.name == "trivium.rpc.tls"]
    assert [line.split(":")[0] for line in said[-3:]] == [
        "TRIVIUM_TLS_CERT", "TRIVIUM_TLS_CERT", "the old certificate stays in force"
    ]  # fmt: skip
    assert "expired on" in said[-1]


async def test_what_went_wrong_in_a_handshake_is_told(pki: Path, authority: trustme.CA, tmp_path: Path) -> None:
    client = read_dial(settings(pki, "client"))

    async def told(address: str, dial: Dial) -> str:
        return handshake_trouble(await called(address, dial), dial)

    async with serving(settings(pki, "server", clients=True)) as address:
        stranger, other = read_dial(settings(pki, "stranger")), read_dial(settings(pki, "client", "other-ca"))
        assert "may not take this caller's certificate" in await told(address, stranger)
        assert "not signed by the CA" in await told(address, other)
        assert await told(address, client) == ""
        async with TriviumClient(address, credentials=stranger.credentials) as caller:
            with pytest.raises(GatewayError, match="may not take this caller's certificate"):
                await caller.cancel(Identity("acme", "1"), timeout_s=5)
    late = grpc.ssl_server_credentials([((pki / "expired.key").read_bytes(), (pki / "expired.pem").read_bytes())])
    async with RpcServer(adding(), notice_ms=0, drain_ms=0, credentials=late) as server:
        assert await told(f"127.0.0.1:{server.port}", client) == "its certificate has expired"
    write(tmp_path, "named", authority.issue_cert("example.org"))
    named = {"TRIVIUM_TLS_CERT": str(tmp_path / "named.pem"), "TRIVIUM_TLS_KEY": str(tmp_path / "named.key")}
    async with serving(named) as address:
        assert await told(address, client) == "its certificate is for another host name"
    async with serving({}) as address:
        assert await told(address, client) == "it speaks plain text, not TLS"


async def test_a_slow_handshake_is_waited_for(pki: Path) -> None:
    """A round trip to another region, or a machine that is busy."""
    async with serving(settings(pki, "server")) as address:
        host, _, port = address.partition(":")

        async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    await asyncio.sleep(0.15)
                    sink.write(data)
                sink.close()
                await sink.wait_closed()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            open_ones.append(task)
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))

        open_ones: list[asyncio.Task[None]] = []
        async with await asyncio.start_server(accept, "127.0.0.1", 0) as far:
            there = f"127.0.0.1:{far.sockets[0].getsockname()[1]}"
            said = await called(there, read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")}))
            await asyncio.gather(*open_ones)
        assert said == "ok"


async def test_the_gateway_calls_its_tiers_with_a_new_certificate(pki: Path, caplog: pytest.LogCaptureFixture) -> None:
    identity = Identity("acme", "1")
    work = Work(Request(identity, ()), 1, Target("x", Tier.CLOUD, "m"), TaskSpec("t"), int(time.time() * 1000) + 5_000)
    async with serving(settings(pki, "server", clients=True)) as address:
        tiers = Tiers({Tier.CLOUD: address}, lambda: int(time.time() * 1000), dial=read_dial(settings(pki, "stranger")))
        for _ in range(2):
            outcome = await tiers.generate(work, Flight(identity, request_pb2.Request()), ())
            assert isinstance(outcome.result, Fault)
            assert outcome.result.kind is FaultKind.UNAVAILABLE
            assert "may not take this caller's certificate" in outcome.result.message
        assert caplog.text.count("TLS with the cloud tier") == 1
        tiers.redial(read_dial(settings(pki, "client")))
        outcome = await tiers.generate(work, Flight(identity, request_pb2.Request()), ())
        assert "CERTIFICATE" not in repr(outcome), outcome
        assert not isinstance(outcome.result, Fault) or outcome.result.kind is not FaultKind.UNAVAILABLE
        await tiers.close()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TRIVIUM_TLS_CERT": "server.pem"}, "TRIVIUM_TLS_CERT needs TRIVIUM_TLS_KEY beside it"),
        ({"TRIVIUM_TLS_CLIENTS": "true"}, "TRIVIUM_TLS_CLIENTS needs TRIVIUM_TLS_CERT"),
        ({"TRIVIUM_TLS_CERT": "expired.pem", "TRIVIUM_TLS_KEY": "expired.key"}, "expired.pem expired on 20"),
        ({"TRIVIUM_TLS_CERT": "server.pem", "TRIVIUM_TLS_KEY": "client.key"}, "is not the key of the certificate"),
        ({"TRIVIUM_TLS_CERT": "none.pem", "TRIVIUM_TLS_KEY": "client.key"}, "none.pem cannot be read: No such file"),
        ({"TRIVIUM_TLS_CA": "server.key"}, "TRIVIUM_TLS_CA: "),
    ],
)
def test_bad_files_are_one_sentence_at_the_start(pki: Path, environ: dict[str, str], said: str) -> None:
    files = {name: value if value == "true" else str(pki / value) for name, value in environ.items()}
    with pytest.raises(BadSetting) as caught:
        (read_tls(files).server(), read_dial(files))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_set_is_plain_text() -> None:
    assert read_tls({}).server() is None
    assert read_dial({}) == Dial()
