"""gRPC over TLS, and mutual TLS, from TRIVIUM_TLS_ settings.

    tls = read_tls(process.environ)
    channel(address, read_dial(process.environ))
    server.add_secure_port(at, read_tls(process.environ).server())

A server reads its certificate again when the file changes: the next connection gets the new one. One that is bad leaves
the old one in force and is said once.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc

from trivium.core.errors import BadSetting
from trivium.keys.own import own_key
from trivium.rpc.channels import Dial
from trivium.settings import TlsSettings, read

_LOG = logging.getLogger(__name__)
SYSTEM: Final = "system"
_TROUBLES: Final = {
    "certificate has expired": "its certificate has expired",
    "Hostname Verification": "its certificate is for another host name",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by the CA that this caller trusts",
    "WRONG_VERSION_NUMBER": "it speaks plain text, not TLS",
}
_CLOSED: Final = ("Socket closed", "Connection reset", "Endpoint closing", "Broken pipe")
_LOOK_S: Final = 1.0
_SOON_MS: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Tls:
    """What a process presents and whom it trusts; both may be nothing."""

    settings: TlsSettings

    def server(self) -> grpc.ServerCredentials | None:
        """Of the gRPC port; None: plain text. BadSetting when a file is bad or expired."""
        return _Renewed(self.settings).credentials() if self.settings.cert else None

    def client(self) -> grpc.ChannelCredentials | None:
        """Of every channel; None: plain text. BadSetting when a file is bad or expired."""
        return self.presented()[0]

    def presented(self) -> tuple[grpc.ChannelCredentials | None, int]:
        """The same, and when the certificate that is presented expires: epoch ms, 0 when there is none."""
        settings = self.settings
        if not settings.ca:
            return None, 0
        # Not at the top: who speaks plain text needs no parser of certificates in memory.
        from trivium.certificates import read_authorities

        roots = None if settings.ca == SYSTEM else read_authorities("TRIVIUM_TLS_CA", settings.ca)
        if not settings.cert:
            return grpc.ssl_channel_credentials(roots), 0
        pem = _pair(settings)
        return grpc.ssl_channel_credentials(roots, pem.key, pem.certificate), pem.ends_ms

    def stamp(self) -> tuple[int, ...]:
        """Changes when one of the files does."""
        return _stamp(self.settings)


def read_tls(environ: Mapping[str, str]) -> Tls:
    """BadSetting when the settings do not fit together."""
    settings = read(TlsSettings, environ)
    if bool(settings.cert) != bool(settings.key):
        has, lacks = ("CERT", "KEY") if settings.cert else ("KEY", "CERT")
        raise BadSetting(f"TRIVIUM_TLS_{has} needs TRIVIUM_TLS_{lacks} beside it")
    if settings.clients and not (settings.cert and settings.ca):
        raise BadSetting("TRIVIUM_TLS_CLIENTS needs TRIVIUM_TLS_CERT, TRIVIUM_TLS_KEY and TRIVIUM_TLS_CA")
    if settings.clients and settings.ca == SYSTEM:
        raise BadSetting("TRIVIUM_TLS_CLIENTS needs a CA of your own in TRIVIUM_TLS_CA, not the machine's: they sign for anybody")
    return Tls(settings)


def handshake_trouble(details: str, dial: Dial) -> str:
    """Why TLS with a peer failed, from the details of UNAVAILABLE; empty when something else did. A peer that does not take
    our certificate closes without a word: gRPC has no status before the handshake is over."""
    for words, why in _TROUBLES.items():
        if words in details:
            return why
    if dial.credentials is not None and any(words in details for words in _CLOSED):
        return f"it closed the connection in the handshake: {_guess(dial.ends_ms, time.time_ns() // 1_000_000)}"
    return ""


def _guess(ends_ms: int | None, now_ms: int) -> str:
    match ends_ms:
        case None:
            return "it may not take this caller's certificate, or asks for one"
        case 0:
            return "it may ask for a certificate, and this caller has none (TRIVIUM_TLS_CERT)"
        case _ if ends_ms <= now_ms:
            ended = datetime.fromtimestamp(ends_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            return f"this caller's certificate expired on {ended} (TRIVIUM_TLS_CERT)"
        case _:
            return "it may not take this caller's certificate, which is valid: look whether its CA is the one that signed it"


def read_dial(environ: Mapping[str, str]) -> Dial:
    """How this process calls others: over TLS, with its API key, with both or neither. BadSetting on a bad file."""
    credentials, ends_ms = read_tls(environ).presented()
    return Dial(credentials, own_key(environ), ends_ms if credentials is not None else None)


class _Renewed:
    """Server credentials that follow their files. gRPC asks at every handshake; the files are looked at once a second."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._stamp = _stamp(settings)
        self._looked = time.monotonic()
        pem = _pair(settings)
        left = pem.ends_ms - time.time_ns() // 1_000_000
        if left < _SOON_MS:
            _LOG.warning("TRIVIUM_TLS_CERT: %s expires in %d hours", settings.cert, left // 3_600_000)

    def credentials(self) -> grpc.ServerCredentials:
        dynamic: Any = grpc.dynamic_ssl_server_credentials
        made: grpc.ServerCredentials = dynamic(_configuration(self._settings), self._fetch, self._settings.clients)
        return made

    def _fetch(self) -> Any:
        """None: nothing new. Called in a thread of gRPC's; must not raise."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return None
        self._looked = now
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            fresh = _configuration(self._settings)
        except BadSetting as error:
            _LOG.error("the old certificate stays in force: %s", error)
            return None
        _LOG.warning("TRIVIUM_TLS_CERT: %s was read again", self._settings.cert)
        return fresh


def _configuration(settings: TlsSettings) -> Any:
    from trivium.certificates import read_authorities

    pem = _pair(settings)
    roots = read_authorities("TRIVIUM_TLS_CA", settings.ca) if settings.clients else None
    make: Any = grpc.ssl_server_certificate_configuration
    return make([(pem.key, pem.certificate)], roots)


def _pair(settings: TlsSettings) -> Any:
    from trivium.certificates import read_pair

    return read_pair("TRIVIUM_TLS_CERT", settings.cert, "TRIVIUM_TLS_KEY", settings.key)


def _stamp(settings: TlsSettings) -> tuple[int, ...]:
    return tuple(_changed_ns(Path(name)) for name in (settings.cert, settings.key, settings.ca) if name and name != SYSTEM)


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
