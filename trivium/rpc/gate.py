"""The lock on a gRPC door: an API key in `authorization: Bearer ...`, what it is bound to, and how often.

    gate = Gate(KeyFile(settings.keys), process.metrics)
    inner = gate.locked("trivium.v1.Gateway/Complete", handler)

Status and trailer `trivium-reason` say which: UNAUTHENTICATED (no_key, wrong_key, expired_key), PERMISSION_DENIED (door,
tenant, team, endpoint, target), RESOURCE_EXHAUSTED (rate, with the trailer `retry-after` in seconds). What a key is bound
to and a message leaves out is filled in.
"""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import grpc

from trivium.core.near import quoted
from trivium.keys.bucket import Bucket
from trivium.keys.file import KeyFile
from trivium.keys.key import ANY, Key, expired
from trivium.keys.once import Once
from trivium.rpc.spans import metadata_of
from trivium.telemetry.metrics import Metrics
from trivium.v1 import journey_pb2, records_pb2, request_pb2, services_pb2

_LOG = logging.getLogger(__name__)

AUTHORIZATION: Final = "authorization"
RETRY_AFTER: Final = "retry-after"
_BEARER: Final = "bearer "
_NAMED: Final = (services_pb2.AwaitRequest, services_pb2.CancelRequest, records_pb2.FeedbackRecord)
_UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED
_DENIED: Final = grpc.StatusCode.PERMISSION_DENIED
_EXHAUSTED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED


class Refused(Exception):
    """A call may not come in. The message is for the caller; it holds nothing that he did not send himself."""

    def __init__(self, status: grpc.StatusCode, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s


class Gate:
    """One for all doors of a process. Rates are counted by key, in this process."""

    def __init__(self, keys: KeyFile, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._metrics = metrics
        self._clock = clock
        self._buckets: dict[bytes, tuple[Key, Bucket]] = {}
        self._once = Once(_LOG)

    def refresh(self) -> None:
        """Look at the file again; a bad one leaves the old keys in force. May take milliseconds."""
        said = self._keys.refresh()
        if said:
            _LOG.warning("%s", said)
            # Only keys that are still there keep their buckets.
            known = {key.digest for key in self._keys.current.all}
            self._buckets = {digest: kept for digest, kept in self._buckets.items() if digest in known}

    def locked(self, method: str, inner: Callable[..., Any], streamed: bool) -> Callable[..., Any]:
        """The same handler for callers with a key. `streamed`: its answers are a stream."""
        door = method.partition("/")[0].rpartition(".")[2].lower()

        async def unary(message: Any, context: Any) -> Any:
            return await inner(await self._entered(door, message, context), context)

        async def streaming(message: Any, context: Any) -> AsyncIterator[Any]:
            answers = inner(await self._entered(door, message, context), context)
            try:
                async for answer in answers:
                    yield answer
            except Refused as refused:
                await _abort(context, refused)
            finally:
                await answers.aclose()

        return streaming if streamed else unary

    async def _entered(self, door: str, message: Any, context: Any) -> Any:
        key: Key | None = None
        try:
            key = self._key(metadata_of(context))
            self._known(key, door)
            if hasattr(message, "DESCRIPTOR"):
                bound(key, message)
                return message
            return self._each(key, door, message, context)
        except Refused as refused:
            self._tell(refused, door, key, context)
            await _abort(context, refused)

    async def _each(self, key: Key, door: str, messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """A caller's stream: every message is looked at."""
        async for message in messages:
            try:
                bound(key, message)
            except Refused as refused:
                self._tell(refused, door, key, context)
                raise
            yield message

    def _key(self, metadata: Sequence[tuple[str, str | bytes]]) -> Key:
        said = next((value for name, value in metadata if name == AUTHORIZATION), None)
        if said is None:
            raise Refused(_UNAUTHENTICATED, "no_key", "this door needs an API key: metadata authorization: Bearer KEY")
        text = said if isinstance(said, str) else ""
        if text[: len(_BEARER)].lower() != _BEARER:
            raise Refused(_UNAUTHENTICATED, "no_key", "the metadata authorization must be: Bearer KEY")
        key = self._keys.current.find(text[len(_BEARER) :].strip())
        if key is None:
            raise Refused(_UNAUTHENTICATED, "wrong_key", "this API key is not known here")
        return key

    def _known(self, key: Key, door: str) -> None:
        if key.expires_ms is not None and expired(key, time.time_ns() // 1_000_000):
            raise Refused(_UNAUTHENTICATED, "expired_key", f"the API key {quoted(key.name)} has expired; ask for a new one")
        if door not in key.doors:
            raise Refused(_DENIED, "door", f"the API key {quoted(key.name)} is not for the {door}")
        if not key.per_second:
            return
        held = self._buckets.get(key.digest)
        if held is None or held[0].per_second != key.per_second or held[0].burst != key.burst:
            held = self._buckets[key.digest] = (key, Bucket(key.per_second, key.burst))
        wait_s = held[1].take(self._clock())
        if wait_s:
            said = f"the API key {quoted(key.name)} may call {key.per_second:g} times a second, {key.burst} at once"
            raise Refused(_EXHAUSTED, "rate", said, wait_s)

    def _tell(self, refused: Refused, door: str, key: Key | None, context: Any) -> None:
        name = key.name if key is not None else ""
        self._metrics.refused(door, refused.reason, name)
        peer = context.peer().rpartition(":")[0]
        self._once.say(name or peer, refused.reason, f"{door}: a call from {peer} was refused ({refused.reason}): {refused}")


def bound(key: Key, message: Any) -> None:
    """What the key is bound to, in one message: filled in where the message says nothing. Raises Refused."""
    if isinstance(message, request_pb2.Request):
        _request(key, message)
    elif isinstance(message, journey_pb2.Work):
        _tenant(key, message.request)
        if key.targets is not None and message.target.name not in key.targets:
            raise _denied("target", key, f"target {quoted(message.target.name)}")
    elif isinstance(message, _NAMED):
        _tenant(key, message.identity)
    else:
        _tenant(key, message)


def _request(key: Key, message: request_pb2.Request) -> None:
    _tenant(key, message)
    if key.team and message.team != key.team:
        if message.team:
            raise _denied("team", key, f"team {quoted(message.team)}")
        message.team = key.team
    if key.endpoints is not None:
        # The endpoint auto agrees with any task type: both must be allowed.
        named = [name for name in (message.endpoint, message.task_type) if name]
        wrong = next((name for name in named if name not in key.endpoints), None)
        if wrong is not None or not named:
            raise _denied("endpoint", key, f"endpoint {quoted(wrong)}" if wrong else "a request without an endpoint")
    if key.targets is not None and message.target and message.target not in key.targets:
        raise _denied("target", key, f"target {quoted(message.target)}")


def _tenant(key: Key, message: Any) -> None:
    if key.tenant == ANY or message.tenant == key.tenant:
        return
    if message.tenant:
        raise _denied("tenant", key, f"tenant {quoted(message.tenant)}")
    message.tenant = key.tenant


def _denied(reason: str, key: Key, what: str) -> Refused:
    return Refused(_DENIED, reason, f"the API key {quoted(key.name)} is not for {what}")


async def _abort(context: Any, refused: Refused) -> None:
    trailer = [("trivium-reason", refused.reason)]
    if refused.retry_after_s:
        trailer.append((RETRY_AFTER, str(math.ceil(refused.retry_after_s))))
    context.set_trailing_metadata(tuple(trailer))
    await context.abort(refused.status, str(refused))
