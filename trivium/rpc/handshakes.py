"""Handshakes that our gRPC ports refused: counted, and logged once a minute.

gRPC tells Python nothing of a connection before its handshake is over. Its library writes one line for each that failed
to standard error, with the reason and without the peer. While a port speaks TLS this takes those lines out of there:

    with refusals_heard(process.metrics):
        ...

Everything else that native code writes goes on to where it went, and Python writes there directly. With GRPC_VERBOSITY=NONE
or ERROR the library says nothing, and nothing is counted.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from trivium.keys.once import Once
from trivium.telemetry.metrics import Metrics

_LOG = logging.getLogger(__name__)
DOOR: Final = "tls"
_STDERR: Final = 2
_FAILED: Final = re.compile(rb"ssl_transport_security\.cc:\d+\] Handshake failed with error \S+ (.*)")
_REASONS: Final = {
    b"certificate has expired": ("expired_certificate", "its certificate has expired"),
    b"certificate is not yet valid": ("early_certificate", "its certificate is not valid yet"),
    b"CERTIFICATE_VERIFY_FAILED": ("unknown_authority", "the CA in TRIVIUM_TLS_CA did not sign its certificate"),
    b"PEER_DID_NOT_RETURN_A_CERTIFICATE": ("no_certificate", "it presents no certificate"),
    b"ALERT_UNKNOWN_CA": ("refused_by_caller", "the caller does not know the CA of our certificate"),
    b"ALERT_CERTIFICATE_EXPIRED": ("refused_by_caller", "to the caller our certificate has expired"),
    b"ALERT_BAD_CERTIFICATE": ("refused_by_caller", "the caller does not take our certificate"),
    b"ALERT_CERTIFICATE_UNKNOWN": ("refused_by_caller", "the caller does not take our certificate"),
    b"WRONG_VERSION_NUMBER": ("plain_text", "it speaks plain text, not TLS"),
    b"HTTP_REQUEST": ("plain_text", "it speaks plain text, not TLS"),
}
"""By what the line holds; the first that does. Not a word of a peer's goes into a label or a log."""


@contextmanager
def refusals_heard(metrics: Metrics) -> Iterator[None]:
    """One at a time in a process. When standard error is closed nothing is heard."""
    try:
        kept = os.dup(_STDERR)
    except OSError:
        yield
        return
    reading, writing = os.pipe()
    # Full, it takes nothing more: native code that holds the interpreter must not wait for the thread that needs it.
    os.set_blocking(writing, False)
    listener = threading.Thread(target=_listen, args=(reading, kept, metrics), daemon=True, name="handshakes")
    os.dup2(writing, _STDERR)
    os.close(writing)
    listener.start()
    straight = _straight(kept)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        listener.join(1.0)
        if straight is not None:
            straight[0].flush()
            _to(straight[1], straight[0])
        if not listener.is_alive():
            # A child that inherited the pipe may hold it open.
            os.close(reading)
            os.close(kept)


def _straight(kept: int) -> tuple[TextIO, TextIO] | None:
    """Python's own words go to where they went before, not through the pipe: they must be read when this process dies."""
    before = sys.stderr
    if before is not sys.__stderr__ or before is None or before.fileno() != _STDERR:
        return None
    now = open(kept, "w", buffering=1, encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    _to(now, before)
    return now, before


def _to(now: TextIO, before: TextIO) -> None:
    sys.stderr = now
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(now)


def _listen(reading: int, kept: int, metrics: Metrics) -> None:
    once, rest = Once(_LOG), b""
    while data := os.read(reading, 65_536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if (found := _FAILED.search(line)) is not None:
                _refused(found[1], metrics, once)
            else:
                _write(kept, line + b"\n")
    if rest:
        _write(kept, rest)


def _refused(said: bytes, metrics: Metrics, once: Once) -> None:
    reason, why = next((known for words, known in _REASONS.items() if words in said), ("other", "the handshake failed"))
    metrics.refused(DOOR, reason)
    once.say(DOOR, why, f"a caller's TLS connection was refused: {why}; gRPC does not say whose it is")


def _write(kept: int, line: bytes) -> None:
    while line:
        try:
            line = line[os.write(kept, line):]
        except OSError:
            return
