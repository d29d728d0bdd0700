"""An embedded Kafka broker: librdkafka's mock cluster, which the confluent-kafka wheel carries.

It speaks the real wire protocol on a port that the kernel chooses (the library offers no way to ask for
one), keeps everything in memory, and exists so that a machine with Python alone can run the mesh.

Its limits, which callers must respect: about 5 MB a partition are kept and older records vanish without an
error; one member a consumer group; no compaction; record times are the producer's (never LogAppendTime);
a lookup of offsets by time finds nothing.

    with EmbeddedBroker({"trivium.requests": 12}) as broker:
        client(bootstrap_servers=broker.bootstrap)
"""

import argparse
import contextlib
import ctypes
import functools
import importlib
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from trivium.kafka.topics import all_topics

_PRODUCER: Final = 0
_ERRSTR_BYTES: Final = 512
_ALL_BROKERS: Final = -1
_CONF_OK: Final = 0
_KNOCK_S: Final = 0.005

_SIGNATURES: Final[Mapping[str, tuple[object, tuple[object, ...]]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, ()),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
    ),
    "rd_kafka_new": (ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)),
    "rd_kafka_destroy": (None, (ctypes.c_void_p,)),
    "rd_kafka_err2str": (ctypes.c_char_p, (ctypes.c_int,)),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int)),
    "rd_kafka_mock_cluster_destroy": (None, (ctypes.c_void_p,)),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, (ctypes.c_void_p,)),
    "rd_kafka_mock_topic_create": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (ctypes.c_void_p, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_rtt": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        (ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)),
    ),
    "rd_kafka_mock_clear_request_errors": (None, (ctypes.c_void_p, ctypes.c_int16)),
}


class BrokerError(Exception):
    """The embedded broker cannot do what was asked; the message says what and why."""


def _library_path() -> Path:
    spec = find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise BrokerError("the embedded broker needs the package confluent-kafka, which is not installed")
    package = Path(spec.origin).parent
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
        found = sorted(folder.glob("librdkafka*"))
        if found:
            return found[0]
    raise BrokerError("this build of confluent-kafka carries no librdkafka library: install the wheel")


@functools.cache
def _library() -> ctypes.CDLL:
    # Dependencies of the library lie beside it; importing the package first loads them.
    importlib.import_module("confluent_kafka")
    library = ctypes.CDLL(str(_library_path()))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class EmbeddedBroker:
    """One mock broker with its topics; a context manager. Not to be shared between forked processes."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        """`topics`: name -> number of partitions; all exist before `bootstrap` can be read."""
        for name, partitions in topics.items():
            if not name or partitions < 1:
                raise BrokerError(f"topic {name!r} has {partitions} partitions; it needs a name and at least one")
        self._topics = dict(topics)
        self._client: int | None = None
        self._cluster: int | None = None
        self._bootstrap = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`host:port` for a client's bootstrap servers."""
        self._require()
        return self._bootstrap

    @property
    def topics(self) -> Mapping[str, int]:
        """The topics that were created, with their number of partitions."""
        return dict(self._topics)

    def start(self) -> None:
        """Start listening, then create every topic. Does nothing when started already."""
        if self._cluster is not None:
            return
        library = _library()
        self._client = _new_client(library)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self.stop()
            raise BrokerError("librdkafka could not open a port on the loopback interface")
        # Otherwise the first member of every group waits three seconds for others.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        with _awake(self._bootstrap):
            for name, partitions in self._topics.items():
                self._create(name, partitions)

    def stop(self) -> None:
        """Close the port and forget everything. Safe to call twice."""
        library = _library()
        if self._cluster:
            library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    def create_topic(self, name: str, partitions: int) -> None:
        """Create one more topic. It must not exist: clients that asked for it made it with 4 partitions."""
        self._require()
        self._create(name, partitions)
        self._topics[name] = partitions

    def set_down(self) -> None:
        """Disconnect every client and accept no connection until `set_up`. Records are kept."""
        self._check(_library().rd_kafka_mock_broker_set_down(self._require(), _ALL_BROKERS), "broker down")

    def set_up(self) -> None:
        """Accept connections again, on the same port."""
        self._check(_library().rd_kafka_mock_broker_set_up(self._require(), _ALL_BROKERS), "broker up")

    def set_rtt(self, rtt_ms: int) -> None:
        """Delay every response by `rtt_ms` (0: none)."""
        self._check(_library().rd_kafka_mock_broker_set_rtt(self._require(), _ALL_BROKERS, rtt_ms), "round trip time")

    def fail_requests(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next `len(errors)` requests of kind `api_key` (Kafka protocol number) with these codes."""
        array = (ctypes.c_int * len(errors))(*errors)
        _library().rd_kafka_mock_push_request_errors_array(self._require(), api_key, len(errors), array)

    def clear_request_errors(self, api_key: int) -> None:
        """Forget the errors of `fail_requests` that were not used yet."""
        _library().rd_kafka_mock_clear_request_errors(self._require(), api_key)

    def _require(self) -> int:
        if self._cluster is None:
            raise BrokerError("the embedded broker is not running: call start() or use it as a context manager")
        return self._cluster

    def _create(self, name: str, partitions: int) -> None:
        code = _library().rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        self._check(code, f"creating topic {name!r}")

    def _check(self, code: int, doing: str) -> None:
        if code:
            raise BrokerError(f"{doing}: {_library().rd_kafka_err2str(code).decode()}")


@contextlib.contextmanager
def _awake(bootstrap: str) -> Iterator[None]:
    """Keep the mock cluster's thread from sleeping: now and then it misses that it was asked something, and a call
    then takes a whole second. A connection wakes it."""
    host, _, port = bootstrap.partition(":")
    over = threading.Event()

    def knock() -> None:
        while not over.wait(_KNOCK_S):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                pass

    knocking = threading.Thread(target=knock, name="broker-knock", daemon=True)
    knocking.start()
    try:
        yield
    finally:
        over.set()
        knocking.join()


def _new_client(library: ctypes.CDLL) -> int:
    error = ctypes.create_string_buffer(_ERRSTR_BYTES)
    conf = library.rd_kafka_conf_new()
    # Only emergencies: the library writes to stderr whenever a client goes away.
    if library.rd_kafka_conf_set(conf, b"log_level", b"0", error, _ERRSTR_BYTES) != _CONF_OK:
        raise BrokerError(f"librdkafka refused its configuration: {error.value.decode()}")
    client = library.rd_kafka_new(_PRODUCER, conf, error, _ERRSTR_BYTES)
    if not client:
        raise BrokerError(f"librdkafka did not start: {error.value.decode()}")
    return int(client)


def parse_topic(text: str) -> tuple[str, int]:
    """`name:partitions` as the command line gives it. Raises ArgumentTypeError that says what is wrong."""
    name, colon, count = text.rpartition(":")
    if not colon or not name or not count.isdecimal() or int(count) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:PARTITIONS, for example trivium.requests:12")
    return name, int(count)


def _arguments(argv: Sequence[str]) -> Mapping[str, int]:
    parser = argparse.ArgumentParser(
        prog="python -m infra.broker",
        description="Run the embedded broker on a free port; prints one line of JSON with its address when ready.",
        epilog="example: python -m infra.broker --mesh --reply-topic trivium.replies.desk",
    )
    parser.add_argument("--topic", action="append", default=[], type=parse_topic, metavar="NAME:PARTITIONS")
    parser.add_argument("--mesh", action="store_true", help="every topic of the mesh")
    parser.add_argument("--reply-topic", action="append", default=[], metavar="NAME", help="with --mesh: a tenant's")
    chosen = parser.parse_args(argv)
    wanted = dict(chosen.topic)
    if chosen.mesh:
        wanted |= {topic.name: topic.partitions for topic in all_topics(chosen.reply_topic)}
    if not wanted:
        parser.error("no topic given: use --mesh or --topic; clients could then only make topics of 4 partitions")
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Prints `{"bootstrap": "host:port", "topics": {...}}` once."""
    topics = _arguments(sys.argv[1:] if argv is None else argv)
    leave = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, leave)
    try:
        with EmbeddedBroker(topics) as broker:
            print(json.dumps({"bootstrap": broker.bootstrap, "topics": broker.topics}), flush=True)
            signal.sigwait(leave)
    except BrokerError as error:
        print(f"infra.broker: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
