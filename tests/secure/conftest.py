"""Certificates of a small authority, made for the tests that need them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

Issue = Callable[..., None]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def pki(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem; NAME.pem and NAME.key for server, client, expired, stranger (of another authority, other-ca.pem)."""
    folder, other = tmp_path_factory.mktemp("pki"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other-ca.pem"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    write(folder, "server", authority.issue_cert("127.0.0.1", "localhost"))
    write(folder, "client", authority.issue_cert("client"))
    write(folder, "expired", expired(authority, yesterday))
    write(folder, "stranger", other.issue_cert("127.0.0.1"))
    return folder


def expired(ca: trustme.CA, at: datetime) -> trustme.LeafCert:
    return ca.issue_cert("127.0.0.1", not_before=at - timedelta(days=9), not_after=at)


def write(folder: Path, name: str, cert: trustme.LeafCert) -> None:
    cert.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
