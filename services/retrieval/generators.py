"""The tier that writes the answer, asked over gRPC."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from opentelemetry.context import get_current
from opentelemetry.trace import Tracer

from trivium.codec import outcome_from, work_to
from trivium.core.outcome import FaultKind, Outcome
from trivium.core.slip import Work
from trivium.ports import Emit, emit_nothing
from trivium.rpc.spans import call_stream, rpc_attributes
from trivium.telemetry.names import SPAN_WRITE, TARGET
from trivium.tier.meter import now_ms, uncalled
from trivium.v1.services_pb2_grpc import TierStub

METHOD: Final = "trivium.v1.Tier/GenerateStream"

_KINDS: Final = {
    grpc.StatusCode.DEADLINE_EXCEEDED: FaultKind.OVERDUE,
    grpc.StatusCode.UNAVAILABLE: FaultKind.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FaultKind.OVERLOADED,
    grpc.StatusCode.INVALID_ARGUMENT: FaultKind.REJECTED,
    grpc.StatusCode.PERMISSION_DENIED: FaultKind.FORBIDDEN,
}


class RemoteTier:
    """A Generator behind a channel. The channel is its owner's to close."""

    def __init__(self, channel: grpc.aio.Channel, tracer: Tracer) -> None:
        self._stub: Any = TierStub(channel)  # type: ignore[no-untyped-call]
        self._tracer = tracer

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """The other tier's outcome; a fault when the call fails, or ends without one. Bounded by the work's deadline."""
        left_ms = work.deadline_ms - now_ms()
        if left_ms <= 0:
            return uncalled(work, FaultKind.LATE, "no time was left for the generator")
        call = call_stream(
            self._tracer, SPAN_WRITE, self._stub.GenerateStream, work_to(work),
            timeout_s=left_ms / 1000, parent=get_current(),
            attributes=rpc_attributes(METHOD) | {TARGET: work.target.name},
        )  # fmt: skip
        try:
            outcome = await _last(aiter(call), emit)
        except grpc.aio.AioRpcError as error:
            kind = _KINDS.get(error.code(), FaultKind.INTERNAL)
            return uncalled(work, kind, f"generator {work.target.name}: {error.details() or error.code().name}")
        finally:
            call.cancel()
        return outcome or uncalled(work, FaultKind.CUT, f"generator {work.target.name} ended its stream without an outcome")


async def _last(events: AsyncIterator[Any], emit: Emit) -> Outcome | None:
    outcome: Outcome | None = None
    async for event in events:
        if event.WhichOneof("event") == "delta":
            emit(event.delta)
        else:
            outcome = outcome_from(event.outcome)
    return outcome
