"""How every Kafka client of the mesh proves who it is, and knows whom it speaks to.

`read_kafka` is how a process reads its Kafka settings: its `bootstrap` is then a `Cluster`, the address together with
protocol, principal and certificates. Whoever makes a client passes `**arguments(bootstrap)` on to aiokafka; a plain
address has none. The embedded broker speaks PLAINTEXT alone.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from trivium.core.errors import BadSetting, Unreachable
from trivium.settings import KafkaSettings, read

_LOG = logging.getLogger(__name__)
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256")
_ASK_S: Final = 3.0


class Refused(Unreachable):
    """The broker is there and does not take this client: waiting mends nothing."""


class Cluster(str):
    """Bootstrap servers that must be spoken to in a certain way. As text it is the address alone, never a secret."""

    __slots__ = ("_arguments",)
    _arguments: Mapping[str, Any]

    def __new__(cls, bootstrap: str, arguments: Mapping[str, Any]) -> "Cluster":
        """`arguments`: what aiokafka's clients take beside the address."""
        made = super().__new__(cls, bootstrap)
        made._arguments = arguments
        return made


def arguments(bootstrap: str) -> Mapping[str, Any]:
    """Keyword arguments of an aiokafka client for this address; none for a plain one."""
    return bootstrap._arguments if isinstance(bootstrap, Cluster) else {}


def read_kafka(environ: Mapping[str, str]) -> KafkaSettings:
    """The Kafka settings of a process, ready for its clients. BadSetting when they do not fit together."""
    return secured(read(KafkaSettings, environ))


def secured(kafka: KafkaSettings) -> KafkaSettings:
    """The same settings whose `bootstrap` is a Cluster, when anything but PLAINTEXT is asked for."""
    _check(kafka)
    if kafka.protocol == "PLAINTEXT":
        return kafka
    chosen: dict[str, Any] = {"security_protocol": kafka.protocol}
    if kafka.protocol.startswith("SASL"):
        chosen |= {"sasl_mechanism": kafka.mechanism, "sasl_plain_username": kafka.user, "sasl_plain_password": _password(kafka)}
    if kafka.protocol.endswith("SSL"):
        chosen["ssl_context"] = _context(kafka)
    return replace(kafka, bootstrap=Cluster(kafka.bootstrap, chosen), password="")


async def unreachable(bootstrap: str, error: BaseException, whose: str = "") -> Unreachable:
    """Why no client came up, in one sentence. aiokafka keeps the reason to itself: one connection is tried to hear it."""
    prefix = f"{whose}: " if whose else ""
    reason = await _refusal(bootstrap) if isinstance(bootstrap, Cluster) else None
    if reason is not None:
        return Refused(f"{prefix}the Kafka broker at {bootstrap} refuses this client: {reason}")
    return Unreachable(f"{prefix}no Kafka broker answers at {bootstrap}: {error!r}")


async def _refusal(cluster: Cluster) -> str | None:
    host, _, port = cluster.split(",")[0].strip().rpartition(":")
    try:
        async with asyncio.timeout(_ASK_S):
            connection = await create_conn(host, int(port), **arguments(cluster))
    except SaslAuthenticationFailed:
        user, mechanism = (arguments(cluster).get(name) for name in ("sasl_plain_username", "sasl_mechanism"))
        return f"wrong password or unknown user {user!r} ({mechanism}); see TRIVIUM_KAFKA_USER and TRIVIUM_KAFKA_PASSWORD"
    except UnsupportedSaslMechanismError:
        return f"it does not take {arguments(cluster).get('sasl_mechanism')}; see TRIVIUM_KAFKA_MECHANISM"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted ({error.verify_message}); see TRIVIUM_KAFKA_CA"
    except (ssl.SSLError, KafkaError, OSError, TimeoutError, ValueError) as error:
        return _cause_of(error)
    connection.close()
    return None


def _cause_of(error: BaseException) -> str | None:
    """A TLS failure that aiokafka wrapped; None when nobody listens."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({seen.verify_message}); see TRIVIUM_KAFKA_CA"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed ({seen.reason or seen}); see TRIVIUM_KAFKA_PROTOCOL, TRIVIUM_KAFKA_CERT and TRIVIUM_KAFKA_CA"
        seen = seen.__cause__ or seen.__context__
    return None


def _check(kafka: KafkaSettings) -> None:
    if kafka.protocol not in PROTOCOLS:
        raise BadSetting(f"TRIVIUM_KAFKA_PROTOCOL must be one of {', '.join(PROTOCOLS)}, not {kafka.protocol!r}")
    sasl, tls = kafka.protocol.startswith("SASL"), kafka.protocol.endswith("SSL")
    if kafka.mechanism not in MECHANISMS:
        raise BadSetting(f"TRIVIUM_KAFKA_MECHANISM must be one of {', '.join(MECHANISMS)}, not {kafka.mechanism!r}")
    given = {"USER": kafka.user, "PASSWORD": kafka.password, "PASSWORD_FILE": kafka.password_file}
    _only_with(sasl, given, kafka.protocol, "SASL_SSL or SASL_PLAINTEXT")
    _only_with(tls, {"CA": kafka.ca, "CERT": kafka.cert, "KEY": kafka.key}, kafka.protocol, "SSL or SASL_SSL")
    if sasl and not kafka.user:
        raise BadSetting(f"TRIVIUM_KAFKA_PROTOCOL={kafka.protocol} needs TRIVIUM_KAFKA_USER")
    if sasl and bool(kafka.password) == bool(kafka.password_file):
        count = "one of" if not kafka.password else "only one of"
        raise BadSetting(
            f"TRIVIUM_KAFKA_PROTOCOL={kafka.protocol} needs {count} TRIVIUM_KAFKA_PASSWORD and TRIVIUM_KAFKA_PASSWORD_FILE"
        )
    if bool(kafka.cert) != bool(kafka.key):
        has, lacks = ("CERT", "KEY") if kafka.cert else ("KEY", "CERT")
        raise BadSetting(f"TRIVIUM_KAFKA_{has} needs TRIVIUM_KAFKA_{lacks} beside it")


def _only_with(applies: bool, given: Mapping[str, str], protocol: str, needed: str) -> None:
    named = [f"TRIVIUM_KAFKA_{name}" for name, value in given.items() if value]
    if named and not applies:
        raise BadSetting(f"{' and '.join(named)} is set, but TRIVIUM_KAFKA_PROTOCOL is {protocol}; it must be {needed}")


def _password(kafka: KafkaSettings) -> str:
    if kafka.password:
        return kafka.password
    try:
        text = Path(kafka.password_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"TRIVIUM_KAFKA_PASSWORD_FILE: {kafka.password_file} cannot be read: {error}") from None
    if not text:
        raise BadSetting(f"TRIVIUM_KAFKA_PASSWORD_FILE: {kafka.password_file} is empty")
    return text


def _context(kafka: KafkaSettings) -> ssl.SSLContext:
    """The host name is checked, always: a broker whose certificate names another host is not ours."""
    context = _Renewed(ssl.PROTOCOL_TLS_CLIENT)
    context.follow(kafka)
    return context


class _Renewed(ssl.SSLContext):
    """A context that reads its files again when they have changed: the next connection presents the new certificate. A CA
    that is new is trusted from then on; one that is gone from the file is trusted until the process ends."""

    _kafka: KafkaSettings
    _stamp: tuple[int, ...]

    def follow(self, kafka: KafkaSettings) -> None:
        """Read them now. BadSetting when one is bad."""
        self._kafka, self._stamp = kafka, _stamp(kafka)
        if not kafka.ca:
            self.load_default_certs()
        self._load()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """What event loops call for each connection."""
        stamp = _stamp(self._kafka)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._load()
                _LOG.warning("Kafka's certificates were read again: %s", ", ".join(_files(self._kafka)))
            except BadSetting as error:
                _LOG.error("Kafka is called with the old certificate: %s", error)
        return super().wrap_bio(*args, **kwargs)

    def _load(self) -> None:
        # Not at the top: who speaks PLAINTEXT needs no parser of certificates in memory.
        from trivium.certificates import read_authorities, read_pair

        kafka = self._kafka
        authorities = read_authorities("TRIVIUM_KAFKA_CA", kafka.ca) if kafka.ca else b""
        if kafka.cert:
            read_pair("TRIVIUM_KAFKA_CERT", kafka.cert, "TRIVIUM_KAFKA_KEY", kafka.key)
            self.load_cert_chain(kafka.cert, kafka.key)
        if authorities:
            self.load_verify_locations(cadata=authorities.decode("ascii", "replace"))


def _files(kafka: KafkaSettings) -> tuple[str, ...]:
    return tuple(name for name in (kafka.cert, kafka.key, kafka.ca) if name)


def _stamp(kafka: KafkaSettings) -> tuple[int, ...]:
    return tuple(_changed_ns(Path(name)) for name in _files(kafka))


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
