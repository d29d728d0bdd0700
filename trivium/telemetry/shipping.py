"""Spans on their way to a collector: a bounded queue, and one thread that empties it without being felt.

The thread encodes a few spans and then lets go of the interpreter, so that no request waits longer than that for it. While
the collector is away nothing is encoded: the thread waits, 1 s, then twice as long up to 10 s; spans stay in the queue
and the oldest go. It says once that the collector went away, and once that it is back.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from opentelemetry.util.re import parse_env_headers

from trivium.core.errors import BadSetting
from trivium.telemetry.otlp import EXPORT, Encoder
from trivium.telemetry.recording import Recorded

_LOG = logging.getLogger(__name__)
QUEUE: Final = 8_192
"""Spans that wait at most: some ten megabytes."""
_BATCH: Final = 512
_BATCH_BYTES: Final = 1_000_000
_SLICE: Final = 32
_SLICE_S: Final = 0.000_5
_LOOK_S: Final = 0.05
_SOON_S: Final = 0.01
_FEW: Final = 2
"""What a killed process takes with it: the spans of 50 ms; of 10 ms while they are few, at most 200 a second. An export costs
a process about 0.5 ms, whatever is in it: 5 % of a core at most while they are few, 1 % when they are many."""
_CALL_S: Final = 5.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 10.0
_AGAIN: Final = frozenset((
    grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
))  # fmt: skip
"""https://opentelemetry.io/docs/specs/otlp/#failures: after another status the batch is given up."""
_OPTIONS: Final = (
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


class Shipper:
    """`take` is called by whoever ends a span, in any thread; the rest happens in a thread of its own."""

    def __init__(self, endpoint: str, resource: Mapping[str, Any], scope: str, headers: str = "") -> None:
        """`endpoint`: http(s)://host:port; `headers`: name=value,name=value. BadSetting when they are none."""
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise BadSetting(f"TRIVIUM_OTLP must be a URL such as http://localhost:4317, not {endpoint!r}")
        self._endpoint, self._url = endpoint, url
        self._headers = _read(headers)
        self._encoder = Encoder(resource, scope)
        self._queue: deque[Recorded] = deque(maxlen=QUEUE)
        self._lost = 0
        self._away = False
        self._last_call_s = _CALL_S
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="spans")
        self._thread.start()

    def take(self, span: Recorded) -> None:
        """Put a span into the queue; when it is full the oldest goes."""
        if len(self._queue) == QUEUE:
            self._lost += 1
        self._queue.append(span)

    def close(self, timeout_s: float) -> None:
        """Send what is queued, for at most `timeout_s`."""
        self._last_call_s = timeout_s
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with self._channel() as channel:
            export = channel.unary_unary(EXPORT, None, None)
            look_s = _SOON_S
            while not self._closing.wait(look_s):
                look_s = _SOON_S if len(self._queue) <= _FEW else _LOOK_S
                while self._queue and self._sent(export, self._batch()):
                    pass
            # Once, however it goes: whoever closes does not wait for a collector that is away.
            while self._queue and self._tried(export, self._batch(), self._last_call_s) is None:
                pass

    def _channel(self) -> grpc.Channel:
        if self._url.scheme == "http":
            return grpc.insecure_channel(self._url.netloc, _OPTIONS)
        return grpc.secure_channel(self._url.netloc, grpc.ssl_channel_credentials(), _OPTIONS)

    def _batch(self) -> list[bytes]:
        """The oldest spans of the queue, as bytes."""
        batch: list[bytes] = []
        size = 0
        while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
            for _ in range(min(_SLICE, len(self._queue))):
                written = self._encoder.span(self._queue.popleft())
                batch.append(written)
                size += len(written)
            if not self._closing.is_set():
                # Lets go of the interpreter: sleep(0) takes it again before a waiting thread is awake.
                time.sleep(_SLICE_S)
        return batch

    def _sent(self, export: Any, batch: list[bytes]) -> bool:
        """Whether it went, or was given up; False when the process ends meanwhile."""
        pause_s = _FIRST_PAUSE_S
        while (status := self._tried(export, batch, _CALL_S)) in _AGAIN:
            if not self._away:
                self._away = True
                _LOG.warning("traces: %s takes no spans (%s); they wait, and the oldest go", self._endpoint, status.name)
            if self._closing.wait(pause_s):
                self._tried(export, batch, self._last_call_s)
                return False
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        if status is not None:
            self._lost += len(batch)
            _LOG.warning("traces: %s refused %d spans (%s)", self._endpoint, len(batch), status.name)
        elif self._away:
            self._away = False
            _LOG.warning("traces: %s takes spans again; %d were lost", self._endpoint, self._lost)
        return True

    def _tried(self, export: Any, batch: list[bytes], timeout_s: float) -> grpc.StatusCode | None:
        """None when the collector took it, else how it failed."""
        try:
            export(self._encoder.request(batch), timeout=timeout_s, metadata=self._headers)
        except grpc.RpcError as error:
            status: grpc.StatusCode = error.code()
            return status
        return None


def _read(headers: str) -> tuple[tuple[str, str], ...]:
    """As the SDK reads OTEL_EXPORTER_OTLP_HEADERS: names in small letters, values with %-escapes."""
    found = tuple(parse_env_headers(headers, liberal=True).items())
    if len(found) != sum(bool(pair.strip()) for pair in headers.split(",")):
        # Not their text: a header is often a key.
        raise BadSetting("TRIVIUM_OTLP_HEADERS must be name=value,name=value, each name once")
    return found
