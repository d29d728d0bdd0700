"""The requests that this process is answering right now: to join, to cancel, and to tell a reused id."""

import asyncio
from typing import Any

from trivium.core.request import Identity
from trivium.core.slip import Journey
from trivium.v1 import outcome_pb2, request_pb2


class Flight:
    """One request in process."""

    __slots__ = ("_joined", "call", "cancelled", "identity", "journey", "message", "sent", "terminal")

    def __init__(self, identity: Identity, message: request_pb2.Request) -> None:
        self.identity = identity
        self.message = message
        self.sent: request_pb2.Request | None = message
        """What tiers are sent; None: made anew from the journey's request, which says more than the message."""
        self.journey: Journey | None = None
        """As it stands, once there is one."""
        self.call: Any = None
        """The open gRPC call of a tier."""
        self.cancelled = False
        """Gateway.Cancel was called."""
        self.terminal: outcome_pb2.Terminal | None = None
        """How it ended; None at the end when its caller went away."""
        self._joined: asyncio.Future[outcome_pb2.Terminal | None] | None = None

    def cancel(self) -> None:
        """Stop the tier's call, and with it the vendor's."""
        self.cancelled = True
        if self.call is not None:
            self.call.cancel()

    async def joined(self) -> outcome_pb2.Terminal | None:
        """The terminal, for somebody who asks the same at the same time; None when it came to no end."""
        if self._joined is None:
            self._joined = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._joined)

    def settle(self) -> None:
        """Give those who joined their answer."""
        if self._joined is not None and not self._joined.done():
            self._joined.set_result(self.terminal)


class Flights:
    """By identity."""

    def __init__(self) -> None:
        self._open: dict[Identity, Flight] = {}

    def __len__(self) -> int:
        return len(self._open)

    def find(self, identity: Identity) -> Flight | None:
        """The flight of this identity, if it is in this process."""
        return self._open.get(identity)

    def enter(self, identity: Identity, message: request_pb2.Request) -> Flight:
        """Begin one. Its owner calls `leave` in every case."""
        flight = self._open[identity] = Flight(identity, message)
        return flight

    def leave(self, flight: Flight) -> None:
        """It is over."""
        del self._open[flight.identity]
        flight.settle()
