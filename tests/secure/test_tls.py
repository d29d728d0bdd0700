"""gRPC over TLS and mutual TLS: who is spoken to, who is not, and what is said."""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
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
from trivium.process import Process
from trivium.rpc import renewed as renewed_module
from trivium.rpc import tls as tls_module
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.handshakes import refusals_heard
from trivium.rpc.renewed import renewed_channel
from trivium.rpc.server import RpcServer, adding, opened
from trivium.rpc.tls import handshake_trouble, read_dial, read_tls
from trivium.settings import ProcessSettings
from trivium.telemetry.expiry import Expiries
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.names import METRIC_CERTIFICATE
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


async def test_a_channel_follows_its_certificate(
    pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renewed_module, "_LOOK_S", 0.0)

    def present(name: str) -> None:
        for end in ("pem", "key"):
            shutil.copy(pki / f"{name}.{end}", tmp_path / f"own.{end}")

    present("stranger")
    shutil.copy(pki / "ca.pem", tmp_path)
    async with (
        serving(settings(pki, "server", clients=True)) as address,
        renewed_channel(address, settings(tmp_path, "own")) as opened,
    ):
        generate = stub(services_pb2_grpc.TierStub, opened).Generate

        async def asked() -> str:
            try:
                return str((await generate(journey_pb2.Work(target={"name": "x"}), timeout=5)).target)
            except grpc.aio.AioRpcError as error:
                return error.code().name

        assert await asked() == "UNAVAILABLE"
        present("client")
        assert await asked() == "x"
        present("expired")
        assert await asked() == "x", "the valid one stays"
        assert caplog.text.count("is called with the new certificate") == 1
        assert caplog.text.count("is called with the old certificate: TRIVIUM_TLS_CERT") == 1


async def test_refused_handshakes_are_counted_by_reason_and_said_once(
    pki: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process("cloud", settings(pki, "server", clients=True), ProcessSettings(drain_ms=100))
    add = adding((services_pb2_grpc.add_TierServicer_to_server, TierDoor()))

    def counted(reason: str) -> float:
        labels = {"door": "tls", "reason": reason, "key": ""}
        return process.metrics.registry.get_sample_value("trivium_refused_total", labels) or 0.0

    def presenting(name: str) -> Dial:
        pair = ((pki / f"{name}.key").read_bytes(), (pki / f"{name}.pem").read_bytes())
        return Dial(grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes(), *pair))

    nothing = read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")})
    refused = {
        "expired_certificate": presenting("expired"), "unknown_authority": presenting("stranger"),
        "no_certificate": nothing, "plain_text": Dial(),
    }  # fmt: skip
    async with opened(process, 0, add) as server:
        address = f"127.0.0.1:{server.port}"
        for dial in (*refused.values(), *refused.values()):
            assert (await called(address, dial)).startswith("UNAVAILABLE")
        async with asyncio.timeout(90):
            while min(map(counted, refused)) < 2:  # noqa: ASYNC110 (the library tells nobody)
                await asyncio.sleep(0.01)
        assert await called(address, read_dial(settings(pki, "client"))) == "ok"
        assert counted("other") == 0
    said = [record.getMessage() for record in caplog.records if record.name == "trivium.rpc.handshakes"]
    assert sorted(line.split(": ")[1].split(";")[0] for line in said) == [
        "it presents no certificate", "it speaks plain text, not TLS", "its certificate has expired",
        "the CA in TRIVIUM_TLS_CA did not sign its certificate",
    ]  # fmt: skip
    await process.close()


async def test_what_else_is_written_to_standard_error_still_comes_there(capfd: pytest.CaptureFixture[str]) -> None:
    with refusals_heard(Metrics()):
        os.write(2, b"a native library speaks\nand has not ended")
    os.write(2, b"\nlater")
    assert capfd.readouterr().err == "a native library speaks\nand has not ended\nlater"


def test_the_end_of_a_certificate_is_a_metric_and_a_warning_a_day(
    pki: Path, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=8)
    write(tmp_path, "own", authority.issue_cert("127.0.0.1", not_after=ends))
    metrics = Metrics()
    expiries = Expiries({"TRIVIUM_TLS_CERT": str(tmp_path / "own.pem"), "TRIVIUM_TLS_CA": "system"}, metrics)

    def shown() -> float | None:
        return metrics.registry.get_sample_value(METRIC_CERTIFICATE, {"setting": "TRIVIUM_TLS_CERT"})

    now_s = time.time()
    expiries.look(now_s)
    assert shown() == ends.timestamp()
    assert caplog.text == ""
    for _ in range(3):
        expiries.look(now_s + 2 * 86_400)
    expiries.look(now_s + 3 * 86_400 + 1)
    expiries.look(now_s + 9 * 86_400)
    said = [record.getMessage().partition("own.pem ")[2].partition(";")[0] for record in caplog.records]
    assert said == ["expires in 144 hours", "expires in 120 hours", "expired 24 hours ago"]
    shutil.copy(pki / "server.pem", tmp_path / "own.pem")
    expiries.look(now_s)
    assert (shown() or 0) > ends.timestamp()


def test_a_caller_whose_own_certificate_has_expired_since_is_told_so(pki: Path) -> None:
    dial = read_dial(settings(pki, "client"))
    assert "look whether its CA" in handshake_trouble("Socket closed", dial)
    assert "this caller's certificate expired on 2" in handshake_trouble("Socket closed", replace(dial, ends_ms=1_700_000_000_000))
    assert "this caller has none" in handshake_trouble("Socket closed", read_dial({"TRIVIUM_TLS_CA": str(pki / "ca.pem")}))
    assert handshake_trouble("Socket closed", Dial()) == ""


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
