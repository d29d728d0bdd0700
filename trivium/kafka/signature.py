"""Whose request a record is: the header `trivium-signature`, where the broker cannot say it to a consumer.

    trivium-signature: v1 KEY_ID HMAC_HEX

KEY_ID: the first 12 hex digits of the SHA-256 of the tenant's API key. HMAC_HEX: `trivium.keys.key.signature`, with the secret
`signing_of(key)`; docs/security.md has both in words for other languages. A producer needs the API key alone; router and
gateway need the `signing` entry of the keys file. A tenant without such an entry pays nothing and is asked nothing.
"""

import hmac
import logging
import time
from typing import Final

from trivium.core.outcome import Reason, ReasonCode
from trivium.core.request import Identity
from trivium.kafka.record import Delivered
from trivium.keys.file import KeyFile
from trivium.keys.key import Keys, digest_of, expired, signature, signing_of
from trivium.keys.once import Once
from trivium.telemetry.metrics import Metrics

_LOG = logging.getLogger(__name__)

HEADER_SIGNATURE: Final = "trivium-signature"
_VERSION: Final = "v1"
_ID_CHARS: Final = 12
_HINT: Final = f"sign tenant, id, replay and value with the tenant's key: header {HEADER_SIGNATURE}, see docs/security.md"

Headers = tuple[tuple[str, bytes], ...]


class Signer:
    """Signs with one API key, for a producer of one tenant."""

    def __init__(self, key: str) -> None:
        self._id = digest_of(key).hex()[:_ID_CHARS]
        self._signing = signing_of(key)

    def headers(self, identity: Identity, value: bytes) -> Headers:
        """The signature of a record's value."""
        return _header(self._id, self._signing, identity, value)


class Signatures:
    """Demands and checks signatures, and signs for tenants whose requests came in by another door."""

    def __init__(self, keys: KeyFile, metrics: Metrics) -> None:
        self._keys = keys
        self._metrics = metrics
        self._once = Once(_LOG)

    def refresh(self) -> None:
        """Look at the keys again; a bad file leaves the old ones in force."""
        said = self._keys.refresh()
        if said:
            _LOG.warning("%s", said)

    def wrong(self, record: Delivered, identity: Identity) -> Reason | None:
        """Why this record is not its tenant's; None when it is, or when nothing is demanded. Its clock is the record's."""
        keys = self._keys.current
        if not keys.signed(identity.tenant):
            return None
        stated = record.header(HEADER_SIGNATURE)
        if stated is None:
            what = f"requests of the tenant {identity.tenant} must be signed"
            return Reason(ReasonCode.UNSIGNED, what, HEADER_SIGNATURE, _HINT)
        why = _unproven(keys, stated.decode("ascii", "replace"), record, identity)
        return Reason(ReasonCode.BAD_SIGNATURE, why, HEADER_SIGNATURE, _HINT) if why else None

    def refused(self, reason: Reason, identity: Identity) -> None:
        """Count it, and say it once a minute."""
        self._metrics.refused("kafka", reason.code.value)
        self._once.say(identity.tenant, reason.code.value, f"kafka: a request of {identity.tenant} was refused: {reason.message}")

    def headers(self, identity: Identity, value: bytes) -> Headers:
        """The signature by the tenant's own key; nothing when it has none here."""
        key = self._keys.current.signer(identity.tenant, time.time_ns() // 1_000_000)
        return () if key is None else _header(key.id, key.signing, identity, value)


def open_signatures(keys: str, metrics: Metrics) -> Signatures | None:
    """From TRIVIUM_KEYS; None when it is empty. Raises BadSetting."""
    return Signatures(KeyFile(keys), metrics) if keys else None


def _header(key_id: str, signing: bytes, identity: Identity, value: bytes) -> Headers:
    return ((HEADER_SIGNATURE, f"{_VERSION} {key_id} {signature(signing, identity, value)}".encode()),)


def _unproven(keys: Keys, stated: str, record: Delivered, identity: Identity) -> str:
    version, _, rest = stated.partition(" ")
    key_id, _, proof = rest.partition(" ")
    if version != _VERSION or not proof:
        return f"the header is not: {_VERSION} KEY_ID HMAC_HEX"
    key = keys.by_id(key_id)
    if key is None or key.tenant != identity.tenant:
        return f"the key {key_id[:_ID_CHARS]!r} does not sign for the tenant {identity.tenant}"
    if expired(key, record.timestamp_ms):
        return f"the key {key.name} has expired"
    right = signature(key.signing, identity, record.value or b"")
    return "" if hmac.compare_digest(right.encode(), proof.encode()) else "the signature is not that of this record"
