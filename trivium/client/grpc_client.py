"""The gateway, as a Python caller sees it."""

from collections.abc import AsyncGenerator
from typing import Any, Final, Self

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Tracer

from trivium.client.requests import Asked, message_of
from trivium.codec import identity_to, terminal_from
from trivium.core.errors import TriviumError
from trivium.core.outcome import Terminal
from trivium.core.request import Identity
from trivium.rpc.channels import PLAIN, Dial, channel, stub
from trivium.rpc.guard import TRAILER_FIELD, TRAILER_REASON
from trivium.rpc.spans import call_stream, call_unary, rpc_attributes
from trivium.rpc.tls import handshake_trouble
from trivium.telemetry.names import SPAN_CALL
from trivium.telemetry.tracing import NO_CONTEXT
from trivium.v1 import records_pb2, services_pb2, services_pb2_grpc

_SERVICE: Final = "trivium.v1.Gateway"
_TIMEOUT_S: Final = 60.0


class GatewayError(TriviumError):
    """The call came to no terminal. `code` is the gRPC status; `reason` and `field` say what is wrong with a request."""

    def __init__(self, error: grpc.aio.AioRpcError, dial: Dial = PLAIN) -> None:
        said = error.details() or "the gateway gave no details"
        trouble = handshake_trouble(said, dial) if error.code() is grpc.StatusCode.UNAVAILABLE else ""
        super().__init__(f"{error.code().name}: {trouble or said}")
        self.code = error.code()
        trailer: Any = error.trailing_metadata() or ()
        told = {key: str(value) for key, value in trailer}
        self.reason = told.get(TRAILER_REASON, "")
        self.field = told.get(TRAILER_FIELD, "")
        self.retry_after_s = int(told.get("retry-after", "0"))
        """Of a call over the rate: ask again then."""


class TriviumClient:
    """Calls of one gateway. Every call has a timeout, in seconds; it is the deadline of everything behind it.

    Raises GatewayError when there is no terminal. A refused, failed or expired request is a terminal."""

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        tracer: Tracer | None = None,
        key: str = "",
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`key`: API key. `credentials`: of TLS, from `grpc.ssl_channel_credentials`; None is plain text."""
        self._dial = dial = Dial(credentials, key)
        self._channel = channel(endpoint, dial)
        self._stub = stub(services_pb2_grpc.GatewayStub, self._channel)
        self._timeout_s = timeout_s
        self._tracer = tracer or NoOpTracer()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; open calls are cancelled."""
        await self._channel.close(None)

    async def complete(
        self, asked: Asked, *, timeout_s: float | None = None, idempotent: bool = False, parent: Context = NO_CONTEXT
    ) -> Terminal:
        """The terminal. `idempotent`: through the log, so that it survives the gateway and may be asked again."""
        message = message_of(asked)
        metadata = (("idempotency-key", message.id),) if idempotent else ()
        return terminal_from(await self._call("Complete", message, timeout_s, parent, metadata))

    async def stream(
        self, asked: Asked, *, timeout_s: float | None = None, parent: Context = NO_CONTEXT
    ) -> AsyncGenerator[str | Terminal]:
        """Pieces of the answer as they come, then the terminal. A stream that ends without one raises GatewayError.

        Whoever leaves early closes it (`contextlib.aclosing`): the model stops then."""
        call = call_stream(
            self._tracer,
            SPAN_CALL,
            self._stub.CompleteStream,
            message_of(asked),
            timeout_s=timeout_s or self._timeout_s,
            parent=parent,
            attributes=rpc_attributes(f"{_SERVICE}/CompleteStream"),
        )
        try:
            async for event in call:
                yield event.delta if event.WhichOneof("event") == "delta" else terminal_from(event.terminal)
        except grpc.aio.AioRpcError as error:
            raise GatewayError(error, self._dial) from None
        finally:
            call.cancel()

    async def submit(self, asked: Asked, *, timeout_s: float | None = None, parent: Context = NO_CONTEXT) -> Identity:
        """Hand a request to the log; returns when it is there."""
        receipt = await self._call("Submit", message_of(asked), timeout_s, parent)
        return Identity(receipt.identity.tenant, receipt.identity.id, receipt.identity.replay)

    async def wait(
        self, identity: Identity, *, reply_to: str = "", timeout_s: float | None = None, parent: Context = NO_CONTEXT
    ) -> Terminal:
        """The terminal of a submitted request, whenever it came."""
        asked = services_pb2.AwaitRequest(identity=identity_to(identity), reply_to=reply_to)
        return terminal_from(await self._call("Await", asked, timeout_s, parent))

    async def cancel(self, identity: Identity, *, timeout_s: float | None = None) -> str:
        """`cancelled` when it ran in the gateway, `requested` when its owner was told."""
        asked = services_pb2.CancelRequest(identity=identity_to(identity))
        state: str = (await self._call("Cancel", asked, timeout_s, NO_CONTEXT)).state
        return state

    async def feedback(
        self,
        identity: Identity,
        outcome: str = "",
        *,
        score: float | None = None,
        corrected_text: str = "",
        correction_micro_dollars: int = 0,
        at_ms: int = 0,
        source: str = "",
        timeout_s: float | None = None,
    ) -> None:
        """How an answer was received: `resolved` or `unresolved`, a score from 0 to 1, what would have been right and what
        the correction cost. Late and repeated is fine: the last by `at_ms` (epoch ms; 0 is now) counts."""
        said = records_pb2.FeedbackRecord(
            identity=identity_to(identity), outcome=outcome, score=score, corrected_text=corrected_text,
            correction_micro_dollars=correction_micro_dollars, at_ms=at_ms, source=source,
        )  # fmt: skip
        await self._call("Feedback", said, timeout_s, NO_CONTEXT)

    async def _call(
        self,
        name: str,
        message: Any,
        timeout_s: float | None,
        parent: Context,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        try:
            return await call_unary(
                self._tracer,
                SPAN_CALL,
                getattr(self._stub, name),
                message,
                timeout_s=timeout_s or self._timeout_s,
                parent=parent,
                attributes=rpc_attributes(f"{_SERVICE}/{name}"),
                metadata=metadata,
            )
        except grpc.aio.AioRpcError as error:
            raise GatewayError(error, self._dial) from None
