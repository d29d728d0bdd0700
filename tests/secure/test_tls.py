"""gRPC over TLS and mutual TLS: who is spoken to, who is not, and what is said."""

import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tests.secure.conftest import expired, write
from trivium.core.errors import BadSetting
from trivium.rpc import tls as tls_module
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.server import RpcServer, adding
from trivium.rpc.tls import read_dial, read_tls
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2_grpc


class Tier(services_pb2_grpc.TierServicer):
    async def Generate(self, work: journey_pb2.Work, context: Any) -> outcome_pb2.Outcome:
        return outcome_pb2.Outcome(target=work.target.name)


def settings(pki: Path, name: str, ca: str = "ca", clients: bool = False) -> dict[str, str]:
    files = {"TRIVIUM_TLS_CERT": f"{name}.pem", "TRIVIUM_TLS_KEY": f"{name}.key", "TRIVIUM_TLS_CA": f"{ca}.pem"}
    return {key: str(pki / file) for key, file in files.items()} | {"TRIVIUM_TLS_CLIENTS": str(clients).lower()}


@asynccontextmanager
async def serving(environ: dict[str, str]) -> AsyncIterator[str]:
    add = adding((services_pb2_grpc.add_TierServicer_to_server, Tier()))
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
