"""The last spans, serialised, found again by trace and searched from the newest backwards."""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KEPT: Final = 200_000
AT_ONCE: Final = 200
"""Traces searched before others run."""
_DERIVED: Final = ("error", "span.kind")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|true|false|[\[{].*", re.DOTALL)
KINDS: Final[Mapping[int, str]] = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where spans come from: a resource and an instrumentation scope; shared by all their spans."""

    service: str
    tags: tuple[tuple[str, object], ...]
    """Attributes of the resource without `service.name`."""
    scope: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One span."""

    origin: Origin
    raw: bytes
    """opentelemetry.proto.trace.v1.Span."""

    def span(self) -> Span:
        """The span, parsed."""
        return Span.FromString(self.raw)


@dataclass(frozen=True, slots=True)
class Query:
    """A search for traces that have one span which fits it all."""

    service: str
    operation: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tag or attribute -> value as text, of the span, its resource or its events."""
    start_us: int = 0
    end_us: int = 2**63
    limit: int = 100


class SpanMemory:
    """Keeps so many spans; the oldest go first."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._order: deque[bytes] = deque()
        self._traces: OrderedDict[bytes, list[Stored]] = OrderedDict()
        self._origins: dict[bytes, Origin] = {}
        self._operations: dict[str, set[tuple[str, str]]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, resource: Resource, scope: str, spans: Iterable[Span]) -> None:
        """Keeps spans of one resource and scope."""
        origin = self._origin(resource, scope)
        operations = self._operations.setdefault(origin.service, set())
        for span in spans:
            operations.add((span.name, KINDS.get(span.kind, "")))
            self._traces.setdefault(span.trace_id, []).append(Stored(origin, span.SerializeToString()))
            self._traces.move_to_end(span.trace_id)
            self._order.append(span.trace_id)
        while len(self._order) > self._most:
            self._forget(self._order.popleft())

    def services(self) -> list[str]:
        """Names of all services seen."""
        return sorted(self._operations)

    def operations(self, service: str) -> list[tuple[str, str]]:
        """(span name, span kind) of a service, sorted."""
        return sorted(self._operations.get(service, ()))

    def trace(self, trace_id: bytes) -> list[Stored]:
        """The spans of a trace in the order in which they came; empty when there is none."""
        return list(self._traces.get(trace_id, ()))

    async def search(self, query: Query) -> list[bytes]:
        """Ids of traces with a span that fits, those that were added to last first. Lets others run in between: a
        search that finds nothing takes half a second for 200,000 spans."""
        filters: dict[int, _Filter | None] = {}
        found: list[bytes] = []
        for at, trace_id in enumerate(list(reversed(self._traces))):
            if at % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if len(found) >= query.limit:
                break
            if any(_fits(stored, query, filters) for stored in self._traces.get(trace_id, ())):
                found.append(trace_id)
        return found

    def _origin(self, resource: Resource, scope: str) -> Origin:
        key = resource.SerializeToString(deterministic=True) + b"\0" + scope.encode()
        known = self._origins.get(key)
        if known is None:
            values = {one.key: plain(one.value) for one in resource.attributes}
            service = str(values.pop("service.name", "unknown_service"))
            known = self._origins[key] = Origin(service, tuple(values.items()), scope)
        return known

    def _forget(self, trace_id: bytes) -> None:
        """Forgets the oldest span of a trace."""
        spans = self._traces[trace_id]
        spans.pop(0)
        if not spans:
            del self._traces[trace_id]


def plain(value: AnyValue) -> object:
    """An attribute's value as a Python value."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return ""
        case "array_value":
            return [plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return {one.key: plain(one.value) for one in value.kvlist_value.values}
        case _:
            return getattr(value, kind)


def as_text(value: object) -> str:
    """As Jaeger compares tags: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes as a dict."""
    return {pair.key: plain(pair.value) for pair in pairs}


@dataclass(frozen=True, slots=True)
class _Filter:
    """What is asked of the spans of one origin, after what the origin itself answers."""

    tags: tuple[tuple[str, str], ...]
    needles: tuple[bytes, ...]
    """Bytes without which a serialised span cannot fit: looked for before it is parsed."""


def _filter(origin: Origin, query: Query) -> _Filter | None:
    """None: no span of this origin can fit."""
    if origin.service != query.service:
        return None
    shared = {name: as_text(value) for name, value in origin.tags}
    tags = tuple((name, value) for name, value in query.tags.items() if shared.get(name) != value)
    names = [name for name, _ in tags if name not in _DERIVED]
    # Numbers and booleans are not stored as their text.
    texts = [value for name, value in tags if name not in _DERIVED and not _NUMBER.fullmatch(value)]
    wanted = (*names, *texts, *([query.operation] if query.operation else []))
    return _Filter(tags, tuple(one.encode() for one in wanted))


def _fits(stored: Stored, query: Query, filters: dict[int, _Filter | None]) -> bool:
    key = id(stored.origin)
    if key not in filters:
        filters[key] = _filter(stored.origin, query)
    wanted = filters[key]
    if wanted is None or not all(needle in stored.raw for needle in wanted.needles):
        return False
    span = stored.span()
    if query.operation and span.name != query.operation:
        return False
    if not query.start_us <= span.start_time_unix_nano // 1_000 <= query.end_us:
        return False
    return all(_tagged(span, name, value) for name, value in wanted.tags)


def _tagged(span: Span, name: str, value: str) -> bool:
    if name == "error":
        return (span.status.code == Status.STATUS_CODE_ERROR) == (value == "true")
    if name == "span.kind":
        return KINDS.get(span.kind, "") == value
    holders = (span.attributes, *(event.attributes for event in span.events))
    return any(pair.key == name and as_text(plain(pair.value)) == value for holder in holders for pair in holder)
