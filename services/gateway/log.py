"""The way through the log: a request is published, its terminal is waited for, a cancel is written."""

import asyncio
import time
from collections.abc import Callable

from aiokafka.errors import KafkaError
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer

from services.gateway.keys import Keys
from services.gateway.opinions import write_feedback
from services.gateway.replies import Replies
from trivium.codec import body_hash, identity_to, request_from
from trivium.core.admit import admit
from trivium.core.errors import BadRequest, Unreachable
from trivium.core.near import hint
from trivium.core.outcome import Reason, ReasonCode, Terminal
from trivium.core.partition import home
from trivium.core.policy import Tenant
from trivium.core.request import Identity
from trivium.facts import Policies
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.signature import Signatures
from trivium.kafka.topics import HEADER_CONTENT_TYPE, HEADER_SCHEMA, HEADER_WAITS, OUTCOMES, REQUESTS, RESPONSES
from trivium.telemetry.names import (
    MESSAGING_DESTINATION,
    MESSAGING_OPERATION,
    MESSAGING_PARTITION,
    MESSAGING_SYSTEM,
    SPAN_PUBLISH,
)
from trivium.telemetry.tracing import headers_from_context, spanning
from trivium.v1 import journey_pb2, records_pb2, request_pb2, services_pb2

_PROTOBUF = (HEADER_CONTENT_TYPE, b"application/protobuf")
_REQUEST = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.Request"))
_OUTCOME = (_PROTOBUF, (HEADER_SCHEMA, b"trivium.v1.OutcomeRecord"))


class Log:
    """Submit, wait and cancel over Kafka."""

    def __init__(
        self,
        producer: Producer,
        replies: Replies,
        keys: Keys,
        policies: Policies,
        partitions: int,
        tracer: Tracer,
        signatures: Signatures | None = None,
    ) -> None:
        """`signatures`: requests of tenants that must sign are signed in their name; whoever came in here had a key."""
        self._signatures = signatures
        self._producer = producer
        self._replies = replies
        self._keys = keys
        self._policies = policies
        self._partitions = partitions
        self._tracer = tracer

    async def submit(
        self, message: request_pb2.Request, parent: Context, timeout_ms: int, waits: bool = False
    ) -> services_pb2.Receipt:
        """Publish a request; returns when the broker has it. `waits`: its caller waits for the answer, so none of its work is left
        for later. Raises BadRequest before, Unreachable when it is unknown
        whether the broker has it: submitting the same id again is safe."""
        identity = self.checked(message)
        partition = home(identity.key, self._partitions)
        attributes = {
            MESSAGING_SYSTEM: "kafka",
            MESSAGING_OPERATION: "send",
            MESSAGING_DESTINATION: REQUESTS,
            MESSAGING_PARTITION: str(partition),
        }
        with spanning(self._tracer, SPAN_PUBLISH, parent, SpanKind.PRODUCER, attributes) as span:
            headers = (*_REQUEST, *headers_from_context(span))
            if waits:
                headers = (*headers, (HEADER_WAITS, b"1"))
            value = message.SerializeToString()
            if self._signatures is not None:
                headers = (*headers, *self._signatures.headers(identity, value))
            record = Record(REQUESTS, identity.key.encode(), value, headers, partition)
            offset = await self._publish(record, timeout_ms)
        return services_pb2.Receipt(identity=identity_to(identity), partition=partition, offset=offset)

    def checked(self, message: request_pb2.Request) -> Identity:
        """Raises BadRequest for what would be refused."""
        request = request_from(message)
        admit(request, self._policies.current)
        return request.identity

    async def submit_once(self, message: request_pb2.Request, parent: Context, timeout_ms: int) -> Terminal | int:
        """Under the request's id as an idempotency key, which holds for 24 hours in all gateways: publish it unless that was
        done. The terminal when it has ended already, else since when (broker's epoch ms) its terminal is to be looked for.

        Raises BadRequest (also id_reused, for another body), Unreachable and TimeoutError: asking again is safe."""
        identity, body = self.checked(message), body_hash(message)
        async with asyncio.timeout(timeout_ms / 1000):
            key = await self._keys.use(identity, body, timeout_ms)
            if key.body_hash != body:
                what = f"the key of {identity} was used for another request in the last 24 hours"
                hinted = "a new key for a new request, or the next replay number"
                raise BadRequest(Reason(ReasonCode.ID_REUSED, what, "id", hinted), identity)
            topic = self._topic(identity, message.reply_to)
            await self._replies.follow(topic)
            known = self._replies.known(topic, identity, key.since_ms)
            if known is not None:
                return known
            if not key.fresh(time.time_ns() // 1_000_000):
                # The routers may have forgotten it, and would begin anew.
                terminal = await self._replies.search(topic, identity, key.since_ms)
                if terminal is not None:
                    return terminal
                key = await self._keys.use(identity, body, timeout_ms, again=True)
            await self.submit(message, parent, timeout_ms, waits=True)
        return key.since_ms

    async def wait(
        self, identity: Identity, reply_to: str, look_back_after_s: float = 0.0, since_ms: int = 0
    ) -> Terminal:
        """The terminal of an identity; the caller bounds the wait. Raises BadRequest on an unknown tenant or topic."""
        return await self._replies.wait(self._topic(identity, reply_to), identity, look_back_after_s, since_ms)

    def _topic(self, identity: Identity, reply_to: str) -> str:
        tenant = self.tenant(identity.tenant)
        topics = tenant.reply_topics
        if reply_to and reply_to not in topics:
            what = f"{reply_to[:80]!r} is not a reply topic of {tenant.name}"
            raise BadRequest(Reason(ReasonCode.BAD_REPLY_TOPIC, what, "reply_to", hint(reply_to, topics)), identity)
        return reply_to or next(iter(topics), RESPONSES)

    async def cancel(self, identity: Identity, timeout_ms: int) -> None:
        """Tell the owner of the home partition that nobody wants the answer any more."""
        self.tenant(identity.tenant)
        cancel = journey_pb2.OutcomeRecord(cancel=True)
        cancel.outcome.identity.CopyFrom(identity_to(identity))
        partition = home(identity.key, self._partitions)
        record = Record(OUTCOMES, identity.key.encode(), cancel.SerializeToString(), _OUTCOME, partition)
        await self._publish(record, timeout_ms)

    async def feedback(
        self, message: records_pb2.FeedbackRecord, timeout_ms: int, now_ms: Callable[[], int]
    ) -> services_pb2.Receipt:
        """Write down how an answer was received. Raises BadRequest, Unreachable."""
        return await write_feedback(self._producer, message, timeout_ms, now_ms)

    def tenant(self, name: str) -> Tenant:
        """Raises BadRequest when the policy does not have it."""
        tenant = self._policies.current.tenants.get(name)
        if tenant is None:
            hinted = "the policy lists the tenants; names are compared letter by letter"
            raise BadRequest(Reason(ReasonCode.UNKNOWN_TENANT, f"no tenant {name[:80]!r}", "tenant", hinted))
        return tenant

    async def _publish(self, record: Record, timeout_ms: int) -> int:
        try:
            offset: int = (await self._producer.publish(record, timeout_ms)).offset
            return offset
        except KafkaError as error:
            raise Unreachable(
                f"the broker did not confirm in {timeout_ms} ms ({type(error).__name__}): ask again"
            ) from error
