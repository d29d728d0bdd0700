"""What the other instances of a tier say of the targets that this one calls, out of their pulses."""

from google.protobuf.message import DecodeError

from trivium.core.breaker import State
from trivium.core.policy import Tier
from trivium.kafka import topics
from trivium.kafka.reader import ReaderOptions, Tail
from trivium.kafka.record import Delivered
from trivium.tier.meter import now_ms
from trivium.tier.targets import TargetBoard
from trivium.v1 import records_pb2

_STATES = {state.value: state for state in State}


class Others:
    """Hears pulses, and tells the board about the breakers of instances that do the same work."""

    def __init__(self, tier: Tier, instance: str, board: TargetBoard) -> None:
        self._service = tier.value
        self._instance = instance
        self._board = board

    def tail(self, bootstrap: str, options: ReaderOptions) -> Tail:
        """Follows the pulses from now on; `async with` it."""
        return Tail(bootstrap, topics.PULSE, self.take, from_beginning=False, options=options)

    def take(self, record: Delivered) -> None:
        """One record of the topic."""
        try:
            pulse = records_pb2.Pulse.FromString(record.value or b"")
        except DecodeError:
            return
        if pulse.service != self._service or pulse.instance == self._instance or pulse.draining:
            return
        at_ms = now_ms()
        for told in pulse.targets:
            state = _STATES.get(told.breaker)
            if state is not None:
                self._board.heard(told.target, pulse.instance, state, at_ms)
