"""Kafka over SASL and TLS: what settings must fit together, and what a client says when the broker refuses it."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.transport import AppOptions, build_app
from trivium.core.errors import BadSetting, Unreachable
from trivium.kafka.admin import ensure
from trivium.kafka.group import GroupConsumer, GroupOptions
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.reader import ReaderOptions, end_offsets
from trivium.kafka.security import arguments, read_kafka

SASL = {"TRIVIUM_KAFKA_PROTOCOL": "SASL_PLAINTEXT", "TRIVIUM_KAFKA_USER": "router", "TRIVIUM_KAFKA_PASSWORD": "s3cret"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PROTOCOL": "TLS"}, "TRIVIUM_KAFKA_PROTOCOL must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, not 'TLS'"),
        ({"PROTOCOL": "SASL_SSL", "MECHANISM": "PLAIN"}, "TRIVIUM_KAFKA_MECHANISM must be one of SCRAM-SHA-512"),
        ({"PROTOCOL": "SASL_SSL"}, "TRIVIUM_KAFKA_PROTOCOL=SASL_SSL needs TRIVIUM_KAFKA_USER"),
        ({"PROTOCOL": "SASL_SSL", "USER": "a"}, "needs one of TRIVIUM_KAFKA_PASSWORD and TRIVIUM_KAFKA_PASSWORD_FILE"),
        ({"PROTOCOL": "SASL_SSL", "USER": "a", "PASSWORD": "b", "PASSWORD_FILE": "c"}, "needs only one of"),
        ({"PROTOCOL": "SASL_PLAINTEXT", "USER": "a", "PASSWORD_FILE": "/none"}, "/none cannot be read"),
        ({"USER": "a"}, "TRIVIUM_KAFKA_USER is set, but TRIVIUM_KAFKA_PROTOCOL is PLAINTEXT; it must be SASL_SSL"),
        ({"PROTOCOL": "SSL", "PASSWORD": "b"}, "TRIVIUM_KAFKA_PASSWORD is set, but TRIVIUM_KAFKA_PROTOCOL is SSL"),
        ({"CA": "ca.pem"}, "TRIVIUM_KAFKA_CA is set, but TRIVIUM_KAFKA_PROTOCOL is PLAINTEXT; it must be SSL or SASL_SSL"),
        ({"PROTOCOL": "SSL", "CERT": "client.pem"}, "TRIVIUM_KAFKA_CERT needs TRIVIUM_KAFKA_KEY beside it"),
        ({"PROTOCOL": "SSL", "CA": "none.pem"}, "none.pem cannot be read: No such file or directory"),
        ({"PROTOCOL": "SSL", "CA": "client.key"}, "client.key holds no certificate in PEM"),
        ({"PROTOCOL": "SSL", "CERT": "client.pem", "KEY": "ca.pem"}, "ca.pem holds no private key in PEM"),
        ({"PROTOCOL": "SSL", "CERT": "client.pem", "KEY": "server.key"}, "is not the key of the certificate"),
        ({"PROTOCOL": "SSL", "CERT": "expired.pem", "KEY": "expired.key"}, "expired.pem expired on "),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(pki: Path, given: dict[str, str], said: str) -> None:
    files = {"CA", "CERT", "KEY"}
    environ = {f"TRIVIUM_KAFKA_{k}": str(pki / v) if k in files else v for k, v in given.items()}
    with pytest.raises(BadSetting) as caught:
        read_kafka(environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_next_connection_presents_a_renewed_certificate(
    pki: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def present(name: str) -> None:
        for end in ("pem", "key"):
            shutil.copy(pki / f"{name}.{end}", tmp_path / f"own.{end}")

    present("client")
    own = {"PROTOCOL": "SSL", "CA": pki / "ca.pem", "CERT": tmp_path / "own.pem", "KEY": tmp_path / "own.key"}
    kafka = read_kafka({f"TRIVIUM_KAFKA_{name}": str(value) for name, value in own.items()})
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.pem"))
    asking.load_cert_chain(pki / "server.pem", pki / "server.key")
    asking.verify_mode = ssl.CERT_REQUIRED
    serials: list[str] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serials.append(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=asking) as broker:
        port = broker.sockets[0].getsockname()[1]

        async def connected() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=arguments(kafka.bootstrap)["ssl_context"])
            async with asyncio.timeout(90):
                await reader.read()
            writer.close()

        await connected()
        present("server")
        await connected()
        present("expired")
        await connected()
    assert serials[0] != serials[1] == serials[2]
    assert [line.partition(":")[0] for line in caplog.messages] == [
        "Kafka's certificates were read again", "Kafka is called with the old certificate",
    ]  # fmt: skip


def test_a_plain_address_costs_and_changes_nothing() -> None:
    kafka = read_kafka({"TRIVIUM_KAFKA": "broker:9092"})
    assert type(kafka.bootstrap) is str
    assert arguments(kafka.bootstrap) == {}


def test_the_password_may_stand_in_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    rest = {"TRIVIUM_KAFKA_PROTOCOL": "SASL_PLAINTEXT", "TRIVIUM_KAFKA_USER": "router"}
    kafka = read_kafka(rest | {"TRIVIUM_KAFKA_PASSWORD_FILE": str(tmp_path / "password")})
    assert arguments(kafka.bootstrap)["sasl_plain_password"] == "s3cret"
    assert "s3cret" not in repr(kafka) + str(kafka) + repr(read_kafka(SASL)) + f"{kafka.bootstrap!r}"


async def test_every_client_is_given_the_protocol(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"TRIVIUM_KAFKA_CA": str(pki / "ca.pem")}
    kafka = read_kafka(SASL | files | {"TRIVIUM_KAFKA": "localhost:1", "TRIVIUM_KAFKA_PROTOCOL": "SASL_SSL"})
    credentials = build_app(AppOptions(kafka.bootstrap)).conf.broker_credentials
    assert (credentials.protocol.value, credentials.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (credentials.username, credentials.password) == ("router", "s3cret")
    seen = []
    for module in ("producer.AIOKafkaProducer", "reader.AIOKafkaConsumer", "joining.AIOKafkaConsumer", "admin.AIOKafkaAdminClient"):
        monkeypatch.setattr(f"trivium.kafka.{module}", lambda *_, module=module, **given: seen.append(given) or 1 / 0)
    for start in (
        Producer(kafka.bootstrap).start(),
        end_offsets(kafka.bootstrap, "t"),
        GroupConsumer(kafka.bootstrap, "g", ["t"], lambda _: None).start(),
        ensure(kafka.bootstrap, [], 1, create=False),
    ):
        with pytest.raises(ZeroDivisionError):
            await start
    assert [(g["security_protocol"], g["sasl_plain_username"], g["ssl_context"].check_hostname) for g in seen] == [
        ("SASL_SSL", "router", True)
    ] * 4


@asynccontextmanager
async def tls_server(pki: Path) -> AsyncIterator[str]:
    """Something that speaks TLS and hangs up: enough to see whether its certificate is accepted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


Start = Callable[[str], object]


@pytest.mark.parametrize(
    "start",
    [
        lambda at: Producer(at, ProducerOptions(start_timeout_ms=2_000)).start(),
        lambda at: end_offsets(at, "t", ReaderOptions(start_timeout_ms=2_000)),
        lambda at: GroupConsumer(at, "g", ["t"], lambda _: None, GroupOptions(start_timeout_ms=2_000)).start(),
    ],
    ids=["producer", "reader", "group"],
)
async def test_a_broker_of_another_authority_is_not_spoken_to(pki: Path, start: Start) -> None:
    async with tls_server(pki) as address:
        environ = {"TRIVIUM_KAFKA": address, "TRIVIUM_KAFKA_PROTOCOL": "SSL"}
        kafka = read_kafka(environ | {"TRIVIUM_KAFKA_CA": str(pki / "other-ca.pem")})
        with pytest.raises(Unreachable) as caught:
            await start(kafka.bootstrap)  # type: ignore[misc]
    assert f"the Kafka broker at {address} refuses this client: its certificate is not accepted" in str(caught.value)
    assert "TRIVIUM_KAFKA_CA" in str(caught.value)
