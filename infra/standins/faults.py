"""Failing on command: which call fails how, by an explicit order or by seeded chance.

`POST /control` takes one JSON object (all fields optional):

* `{"fault": "overloaded", "count": 3}`: the next three calls fail so (count -1: until cleared). With it go `delay_ms`
  (before the failure or, for `slow`, before the answer), `retry_after_s`, `after_tokens` (in a stream: answer that many
  tokens first), `match` (only calls whose prompt, model or adapter contains this text). Orders are served in turn.
* `{"rates": {"unavailable": 0.1, "hang": 0.01}, "seed": 7}`: every call draws its fault from the seed and its number.
* `{"ttft_ms": 50, "tpot_ms": 5}`: delays from now on. * `{"clear": true}`: no faults any more (delays stay), and
  what hangs is broken off.
* `{"batch": {"delay_ms": 2000, "expire": 3, "lose": 1, "refuse": 1}}`: message batches take so long from now on; the next
  three requests of a batch expire; the next batch is made, but its answer is lost with the connection; the next one is
  refused as overloaded.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

FaultKind = Literal[
    "overloaded",
    "unavailable",
    "rate_limited",
    "cut",
    "reset",
    "hang",
    "slow",
    "refuse",
    "bad_json",
    "bad_request",
    "unauthorized",
    "generation",
]
"""cut: the stream ends without its final event (an unstreamed body ends early); reset: the connection is broken;
hang: nothing comes until the caller goes (or `delay_ms` is over, then the connection is broken); refuse: TGI drops the
connection without an answer, Claude answers with the stop reason `refusal`; bad_json: 200 with broken JSON."""

KINDS: Final[tuple[FaultKind, ...]] = get_args(FaultKind)
FIELDS: Final = frozenset(
    [
        "fault",
        "count",
        "delay_ms",
        "retry_after_s",
        "after_tokens",
        "match",
        "rates",
        "seed",
        "clear",
        "ttft_ms",
        "tpot_ms",
        "batch",
    ]
)
BATCH_FIELDS: Final = ("delay_ms", "expire", "lose", "refuse")


class BadControl(ValueError):
    """A control message that cannot be obeyed; the message says what was wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure."""

    kind: FaultKind
    delay_ms: int = 0
    retry_after_s: int = 1
    after_tokens: int | None = None
    match: str = ""


@dataclass(slots=True)
class Pace:
    """Known delays, in ms: to the first token, and from each token to the next."""

    ttft_ms: float = 0.0
    tpot_ms: float = 0.0


@dataclass(slots=True)
class _Order:
    fault: Fault
    left: int


@dataclass(slots=True)
class Faults:
    """The orders in force."""

    pace: Pace = field(default_factory=Pace)
    rates: dict[FaultKind, float] = field(default_factory=dict)
    seed: int = 0
    batch: dict[str, float] = field(default_factory=dict)
    """Orders about message batches: ms of delay, and how many are left of each other one."""
    cleared: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another, when there are no faults any more."""
    _orders: list[_Order] = field(default_factory=list)

    def order(self, kind: FaultKind, count: int = 1, **details: Any) -> None:
        """The next `count` calls (-1: all) fail so; details as in `Fault`."""
        self._orders.append(_Order(Fault(kind, **details), count))

    def clear(self) -> None:
        """No faults any more; calls that hang are broken off."""
        self._orders.clear()
        self.rates = {}
        self.batch = {name: value for name, value in self.batch.items() if name == "delay_ms"}
        self.cleared.set()
        self.cleared = asyncio.Event()

    def draw(self, number: int, text: str) -> Fault | None:
        """The fault of call `number`, if any; text: what `match` looks into."""
        for order in self._orders:
            if order.fault.match in text:
                order.left -= order.left > 0
                if order.left == 0:
                    self._orders.remove(order)
                return order.fault
        return self._chance(number)

    def control(self, message: object) -> None:
        """Obeys a control message. Raises BadControl; then nothing has changed."""
        if not isinstance(message, Mapping):
            raise BadControl('want a JSON object such as {"fault": "overloaded", "count": 1}')
        if unknown := sorted(set(message) - FIELDS):
            raise BadControl(f"unknown field {', '.join(unknown)}; known: {', '.join(sorted(FIELDS))}")
        rates = {_kind(kind): _number(message["rates"], kind) for kind in message.get("rates", {})}
        kind = _kind(message["fault"]) if message.get("fault") else None
        batch = _batch_orders(message.get("batch") or {})
        if message.get("clear"):
            self.clear()
        if "rates" in message:
            self.rates = rates
        self.batch |= batch
        self.seed = int(_number(message, "seed", self.seed))
        self.pace.ttft_ms = _number(message, "ttft_ms", self.pace.ttft_ms)
        self.pace.tpot_ms = _number(message, "tpot_ms", self.pace.tpot_ms)
        if kind:
            details = {
                name: int(_number(message, name))
                for name in ("delay_ms", "retry_after_s", "after_tokens")
                if name in message
            }
            self.order(kind, int(_number(message, "count", 1)), match=str(message.get("match", "")), **details)

    def next_batch(self, name: str) -> bool:
        """Whether an order about batches strikes now; counts it."""
        left = self.batch.get(name, 0)
        self.batch[name] = max(0, left - 1)
        return left > 0

    def state(self) -> dict[str, Any]:
        """What is in force, for `GET /control`."""
        orders = [{"fault": one.fault.kind, "left": one.left, "match": one.fault.match} for one in self._orders]
        pace = {"ttft_ms": self.pace.ttft_ms, "tpot_ms": self.pace.tpot_ms}
        return {"orders": orders, "rates": dict(self.rates), "seed": self.seed, "batch": dict(self.batch), **pace, "kinds": list(KINDS)}

    def _chance(self, number: int) -> Fault | None:
        if not self.rates:
            return None
        digest = hashlib.blake2b(f"{self.seed}/{number}".encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest, "big") / 2**64
        for kind, rate in self.rates.items():
            if drawn < rate:
                return Fault(kind)
            drawn -= rate
        return None


def _kind(name: object) -> FaultKind:
    found = next((kind for kind in KINDS if kind == name), None)
    if found is None:
        raise BadControl(f"unknown fault {name!r}; known: {', '.join(KINDS)}")
    return found


def _batch_orders(orders: object) -> dict[str, float]:
    if not isinstance(orders, Mapping) or set(orders) - set(BATCH_FIELDS):
        raise BadControl(f"batch must be an object of {', '.join(BATCH_FIELDS)}, not {orders!r}")
    return {name: _number(orders, name) for name in orders}


def _number(message: Mapping[str, Any], name: str, default: float = 0) -> float:
    value = message.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadControl(f"{name} must be a number, not {value!r}")
    return float(value)
