"""PEM files of certificates and keys: read and checked at the start, so that a bad one is a sentence and not a riddle.

Used by Kafka's clients (trivium/kafka/security.py) and by gRPC (trivium/rpc/tls.py).
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from trivium.core.errors import BadSetting


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate chain and its key, as they stood in their files."""

    certificate: bytes
    key: bytes
    ends_ms: int
    """Epoch ms when the first certificate of the chain expires."""

    def __repr__(self) -> str:
        return f"Pem(ends_ms={self.ends_ms})"


def read_pem(setting: str, path: str) -> bytes:
    """The bytes of a file that a setting names. BadSetting when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadSetting(f"{setting}: {path} cannot be read: {error.strerror}") from None


def read_authorities(setting: str, path: str, now_ms: int | None = None) -> bytes:
    """A file of CA certificates. BadSetting when it holds none, or only expired ones."""
    text = read_pem(setting, path)
    found = _certificates(setting, path, text)
    if all(_ms(c.not_valid_after_utc) <= _now(now_ms) for c in found):
        raise BadSetting(f"{setting}: {path} expired on {_day(found[0].not_valid_after_utc)}; name a CA that is valid")
    return text


def read_pair(cert_setting: str, cert: str, key_setting: str, key: str, now_ms: int | None = None) -> Pem:
    """A certificate with its key. BadSetting when they do not belong together, or the certificate is not valid now."""
    chain, secret = read_pem(cert_setting, cert), read_pem(key_setting, key)
    leaf = _certificates(cert_setting, cert, chain)[0]
    try:
        private = load_pem_private_key(secret, password=None)
    except TypeError:
        raise BadSetting(f"{key_setting}: {key} is encrypted; name a key file without a passphrase") from None
    except ValueError:
        raise BadSetting(f"{key_setting}: {key} holds no private key in PEM") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise BadSetting(f"{key_setting}: {key} is not the key of the certificate {cert} ({cert_setting})")
    now = _now(now_ms)
    if _ms(leaf.not_valid_after_utc) <= now:
        raise BadSetting(f"{cert_setting}: {cert} expired on {_day(leaf.not_valid_after_utc)}; renew it")
    if _ms(leaf.not_valid_before_utc) > now:
        raise BadSetting(f"{cert_setting}: {cert} is not valid before {_day(leaf.not_valid_before_utc)}; look at the clock")
    return Pem(chain, secret, _ms(leaf.not_valid_after_utc))


def expires_ms(setting: str, path: str) -> int:
    """Epoch ms when a file of certificates ends: a chain with its first, a file of several CAs with its last. BadSetting
    when it holds none."""
    found = _certificates(setting, path, read_pem(setting, path))
    ends = [_ms(certificate.not_valid_after_utc) for certificate in found]
    return max(ends) if setting.endswith("_CA") else ends[0]


def _certificates(setting: str, path: str, text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise BadSetting(f"{setting}: {path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None


def _now(now_ms: int | None) -> int:
    return time.time_ns() // 1_000_000 if now_ms is None else now_ms


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
