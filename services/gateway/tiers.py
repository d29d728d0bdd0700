"""The three tiers as the gateway calls them: a call goes out, an outcome comes back, whatever happened on the way."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import grpc

from services.gateway.flights import Flight
from trivium.codec import outcome_from, work_to
from trivium.core.errors import TriviumError
from trivium.core.outcome import Fault, FaultKind, Outcome
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.keys.once import Once
from trivium.rpc.channels import MAX_MESSAGE_BYTES, PLAIN, Dial, channel, stub
from trivium.rpc.resolving import Retired
from trivium.rpc.tls import handshake_trouble
from trivium.v1 import journey_pb2, outcome_pb2, services_pb2_grpc

_LOG = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]

_GRACE_MS: Final = 50
"""A tier that ends at the deadline can still say what it cost."""
_FAULTS: Final = {
    grpc.StatusCode.UNAVAILABLE: FaultKind.UNAVAILABLE,
    grpc.StatusCode.CANCELLED: FaultKind.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: FaultKind.OVERDUE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FaultKind.OVERLOADED,
    grpc.StatusCode.INVALID_ARGUMENT: FaultKind.REJECTED,
    grpc.StatusCode.PERMISSION_DENIED: FaultKind.FORBIDDEN,
}


class CallerCancelled(TriviumError):
    """Gateway.Cancel stopped the call; the journey ends as cancelled."""


class Tiers:
    """Clients of the three tiers. Connects when first used; never retries."""

    def __init__(
        self, addresses: Mapping[Tier, str], now_ms: Callable[[], int], channels: int = 1, dial: Dial = PLAIN
    ) -> None:
        """`channels`: connections a tier; more than one when several workers share the tier's port. `dial`: TLS and key."""
        self._now_ms = now_ms
        self._addresses = addresses
        self._each = channels
        self._once = Once(_LOG)
        self._retired = Retired()
        self._open: list[grpc.aio.Channel] = []
        self.redial(dial)

    def redial(self, dial: Dial) -> None:
        """From now on calls go over new connections. Those before are closed when the calls that are on them have ended."""
        for before in self._open:
            self._retired.add(before)
        self._dial = dial
        made = {tier: [channel(address, dial) for _ in range(self._each)] for tier, address in self._addresses.items()}
        self._open = [opened for channels in made.values() for opened in channels]
        self._stubs = {
            tier: itertools.cycle([stub(services_pb2_grpc.TierStub, opened) for opened in channels])
            for tier, channels in made.items()
        }

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(self._retired.close(), *(opened.close(None) for opened in self._open))

    async def generate(self, work: Work, flight: Flight, metadata: Metadata) -> Outcome:
        """The outcome of one attempt. Raises CallerCancelled, and CancelledError when the gateway's own caller left."""
        began = self._now_ms()
        generate = next(self._stubs[work.target.tier]).Generate
        message = _message(work, flight)
        flight.call = call = generate(message, timeout=self._timeout(work, began), metadata=metadata or None)
        try:
            return self._checked(work, await call, began)
        except grpc.aio.AioRpcError as error:
            return self._faulty(work, began, self._fault(work, message.ByteSize(), error))
        except asyncio.CancelledError:
            if flight.cancelled:
                raise CallerCancelled("cancelled") from None
            raise
        finally:
            flight.call = None

    async def stream(self, work: Work, flight: Flight, metadata: Metadata) -> AsyncGenerator[str | Outcome]:
        """Pieces of text as they come, then the outcome. Raises as `generate`; leaving early stops the vendor's call."""
        began = self._now_ms()
        generate = next(self._stubs[work.target.tier]).GenerateStream
        message = _message(work, flight)
        flight.call = call = generate(message, timeout=self._timeout(work, began), metadata=metadata or None)
        outcome: Outcome | None = None
        try:
            async for event in call:
                if event.WhichOneof("event") == "delta":
                    yield event.delta
                else:
                    outcome = self._checked(work, event.outcome, began)
        except grpc.aio.AioRpcError as error:
            outcome = outcome or self._faulty(work, began, self._fault(work, message.ByteSize(), error))
        except asyncio.CancelledError:
            if flight.cancelled:
                raise CallerCancelled("cancelled") from None
            raise
        finally:
            flight.call = None
            call.cancel()
        cut = Fault(FaultKind.CUT, f"{work.target.tier.value} ended its stream without an outcome")
        yield outcome or self._faulty(work, began, cut)

    def _timeout(self, work: Work, now_ms: int) -> float:
        return max(1, work.deadline_ms - now_ms + _GRACE_MS) / 1000

    def _checked(self, work: Work, message: outcome_pb2.Outcome, began: int) -> Outcome:
        if message.attempt != work.attempt or message.target != work.target.name:
            said = f"{work.target.tier.value} answered for {message.target} attempt {message.attempt}"
            return self._faulty(work, began, Fault(FaultKind.INTERNAL, said))
        return outcome_from(message)

    def _fault(self, work: Work, size: int, error: grpc.aio.AioRpcError) -> Fault:
        where = f"the {work.target.tier.value} tier at {self._addresses[work.target.tier]}"
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and size > MAX_MESSAGE_BYTES:
            return Fault(FaultKind.TOO_LARGE, f"{where} takes {MAX_MESSAGE_BYTES} bytes, not {size}")
        kind = _FAULTS.get(error.code(), FaultKind.INTERNAL)
        trouble = handshake_trouble(error.details() or "", self._dial) if kind is FaultKind.UNAVAILABLE else ""
        if trouble:
            self._once.say(work.target.tier.value, trouble, f"TLS with {where} failed: {trouble}")
            return Fault(kind, f"{where}: {trouble}")
        return Fault(kind, f"{where}: {error.code().name}, {(error.details() or 'no details')[:300]}")

    def _faulty(self, work: Work, began: int, fault: Fault) -> Outcome:
        return Outcome(
            work.request.identity, work.attempt, work.target.name, fault, started_ms=began, ended_ms=self._now_ms()
        )


def _message(work: Work, flight: Flight) -> journey_pb2.Work:
    """What the tier is sent; over-quota and batch work says so, and is served with idle slots."""
    message = work_to(work, flight.sent)
    if flight.journey is not None and flight.journey.spare:
        message.slip.spare = True
    return message
