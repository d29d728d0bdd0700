"""A faust.App that stands on the safe consumer, with the settings that this needs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faust
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.sensors import Monitor
from faust.transport.drivers.aiokafka import Transport
from yarl import URL

from streams.consumer import RECORDS_OF_AN_EVENT, SafeConsumer
from streams.spans import GROUP
from trivium.crash import Crash
from trivium.kafka.security import arguments


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What the app needs to know. Times are ms."""

    bootstrap: str
    """`host:port[,host:port]`."""
    group: str = GROUP
    """Faust's app id, which is its consumer group."""
    instance_id: str = ""
    """Static membership; empty: none (and none on the embedded broker)."""
    fetch_max_wait_ms: int = 10
    session_timeout_ms: int = 10_000
    heartbeat_ms: int = 1_000
    commit_every_ms: int = 200
    buffer: int = 16_384
    """Records between fetching and the agent; too few make back-pressure pause the fetching."""
    max_poll_records: int = 500
    datadir: str = ""
    """Empty: a temporary one; nothing of worth is kept there."""
    crash: Crash | None = None


class QuietMonitor(Monitor):
    """Faust's statistics without those of every single event, which cost more than the event."""

    def on_message_in(self, tp: object, offset: int, message: object) -> None: ...

    def on_message_out(self, tp: object, offset: int, message: object) -> None: ...

    def on_stream_event_in(self, tp: object, offset: int, stream: object, event: object) -> None: ...

    def on_stream_event_out(
        self, tp: object, offset: int, stream: object, event: object, state: object = None
    ) -> None: ...


class SafeTransport(Transport):
    """Makes safe consumers."""

    Consumer = SafeConsumer

    def __init__(self, url: list[URL], app: faust.App, fetch_max_wait_ms: int, crash: Crash | None = None) -> None:
        super().__init__(url, app)
        self._own = {"fetch_max_wait_ms": fetch_max_wait_ms, "crash": crash}

    def create_consumer(self, callback: Any, **kwargs: Any) -> SafeConsumer:
        """See faust."""
        return cast(SafeConsumer, super().create_consumer(callback, **self._own, **kwargs))


def brokers(bootstrap: str) -> list[URL]:
    """`host:port,host:port` as Faust wants it."""
    return [URL(f"kafka://{address.strip()}") for address in bootstrap.split(",") if address.strip()]


def settings(options: AppOptions) -> Mapping[str, Any]:
    """Faust's settings for the safe consumer; each undoes a default that loses, stalls or is slow."""
    chosen: dict[str, Any] = {
        "broker": brokers(options.bootstrap),
        "broker_session_timeout": options.session_timeout_ms / 1000,
        "broker_heartbeat_interval": options.heartbeat_ms / 1000,
        "broker_commit_interval": options.commit_every_ms / 1000,
        "broker_max_poll_records": options.max_poll_records,
        "broker_request_timeout": max(15.0, options.session_timeout_ms / 1000 + 1),
        "consumer_auto_offset_reset": "earliest",
        "stream_buffer_maxsize": max(4, options.buffer // RECORDS_OF_AN_EVENT),
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "broker_credentials": _credentials(options.bootstrap),
        "datadir": Path(options.datadir or tempfile.mkdtemp(prefix="trivium-router-")),
        "Monitor": QuietMonitor,
        "value_serializer": "raw",
        "key_serializer": "raw",
    }
    if options.instance_id:
        chosen["consumer_group_instance_id"] = options.instance_id
    return chosen


def _credentials(bootstrap: str) -> Credentials | None:
    """What a secured address says, in Faust's words."""
    chosen = arguments(bootstrap)
    match chosen.get("security_protocol"):
        case None:
            return None
        case "SSL":
            return SSLCredentials(chosen["ssl_context"])
        case _:
            user, password = chosen["sasl_plain_username"], chosen["sasl_plain_password"]
            return SASLCredentials(
                username=user, password=password, ssl_context=chosen.get("ssl_context"), mechanism=chosen["sasl_mechanism"]
            )


def build_app(options: AppOptions) -> faust.App:
    """An app whose consumer is safe. Agents are the caller's; their streams use `noack()` and `records_of`."""
    app = faust.App(options.group, **settings(options))
    app.transport = SafeTransport(brokers(options.bootstrap), app, options.fetch_max_wait_ms, options.crash)
    return app


def safe_consumer(app: faust.App) -> SafeConsumer:
    """The consumer of an app from `build_app`."""
    return cast(SafeConsumer, app.consumer)
