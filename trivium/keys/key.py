"""A key, what it allows, and how keys are found.

A key is 256 random bits, so its SHA-256 is stored: there is nothing to guess, and the slow hashes made for passwords
(scrypt, argon2) cost tens of milliseconds a call and add nothing. Looked up by that hash: what an attacker learns from
the time of a look-up is about a hash that he cannot steer.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from trivium.core.request import Identity

PREFIX: Final = "trv_"
ANY: Final = "*"
"""Tenant of a part of the mesh, which calls for all of them."""
_RANDOM_BYTES: Final = 32
_ID_CHARS: Final = 12
_SIGNING: Final = b"trivium signing secret v1"
_REQUEST: Final = b"trivium request v1"


@dataclass(frozen=True, slots=True)
class Key:
    """What the holder of a key may do. `None` in `endpoints` and `targets`: all. Times are epoch ms."""

    name: str
    digest: bytes = field(repr=False)
    """SHA-256 of the key."""
    tenant: str
    team: str = ""
    doors: frozenset[str] = frozenset({"gateway"})
    endpoints: frozenset[str] | None = None
    targets: frozenset[str] | None = None
    per_second: float = 0.0
    """0: as often as it likes."""
    burst: int = 0
    expires_ms: int | None = None
    signing: bytes = field(default=b"", repr=False)
    """Secret that records of Kafka are signed with; empty: this key signs none. Whoever reads it can sign."""

    @property
    def id(self) -> str:
        """Names the key in a signature; tells nothing of it."""
        return self.digest.hex()[:_ID_CHARS]


class Keys:
    """All keys of one file, found by what a caller presents."""

    def __init__(self, keys: Iterable[Key], signatures_required: bool = False) -> None:
        """`signatures_required`: of every tenant; else of those that have a signing key."""
        self.all = tuple(keys)
        self._required = signatures_required
        self._by_digest = {key.digest: key for key in self.all}
        self._by_id = {key.id: key for key in self.all if key.signing}
        self._signers = {tenant: self._of(tenant) for tenant in {key.tenant for key in self.all if key.signing}}

    def _of(self, tenant: str) -> tuple[Key, ...]:
        mine = [key for key in self.all if key.signing and key.tenant == tenant]
        return tuple(sorted(mine, key=lambda key: key.expires_ms or 1 << 62, reverse=True))

    def find(self, presented: str) -> Key | None:
        """The key whose text this is."""
        digest = digest_of(presented)
        key = self._by_digest.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None

    def signed(self, tenant: str) -> bool:
        """Whether requests of this tenant must be signed."""
        return self._required or tenant in self._signers

    def signer(self, tenant: str, now_ms: int) -> Key | None:
        """The tenant's signing key that is valid longest."""
        return next((key for key in self._signers.get(tenant, ()) if not expired(key, now_ms)), None)

    def by_id(self, key_id: str) -> Key | None:
        """The signing key that a signature names."""
        return self._by_id.get(key_id)


def expired(key: Key, now_ms: int) -> bool:
    """Whether its time is over."""
    return key.expires_ms is not None and key.expires_ms <= now_ms


def new_key() -> str:
    """A key: shown once, kept by its holder alone."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def signing_of(key: str) -> bytes:
    """The secret by which the holder of a key signs. It does not give the key away."""
    return hmac.digest(key.encode(), _SIGNING, "sha256")


def signature(signing: bytes, identity: Identity, value: bytes) -> str:
    """HMAC-SHA256, hex, over tenant, id, replay number and the hash of a record's value."""
    parts = (_REQUEST, identity.tenant.encode(), identity.id.encode(), b"%d" % identity.replay, hashlib.sha256(value).digest())
    # Lengths, so that no two requests are the same bytes.
    return hmac.new(signing, b"".join(b"%d:" % len(part) + part for part in parts), "sha256").hexdigest()
