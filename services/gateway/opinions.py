"""Gateway.Feedback: how an answer was received, checked and written to its topic."""

from collections.abc import Callable

from aiokafka.errors import KafkaError

from trivium.codec import identity_from, identity_to
from trivium.core.errors import BadRequest, Unreachable
from trivium.core.outcome import Reason, ReasonCode
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record
from trivium.kafka.topics import FEEDBACK, HEADER_CONTENT_TYPE, HEADER_SCHEMA
from trivium.ledger.facts import Unusable, feedback_of
from trivium.v1 import records_pb2, services_pb2

_HEADERS = ((HEADER_CONTENT_TYPE, b"application/protobuf"), (HEADER_SCHEMA, b"trivium.v1.FeedbackRecord"))


async def write_feedback(
    producer: Producer, message: records_pb2.FeedbackRecord, timeout_ms: int, now_ms: Callable[[], int]
) -> services_pb2.Receipt:
    """Returns when the broker has it. Raises BadRequest before, Unreachable when it is unknown whether the broker has it:
    saying the same again is safe."""
    try:
        feedback_of(message, now_ms())
    except Unusable as error:
        raise BadRequest(Reason(ReasonCode.WRONG_SHAPE, str(error), error.field)) from None
    if not message.at_ms:
        message.at_ms = now_ms()
    identity = identity_from(message.identity)
    record = Record(FEEDBACK, identity.key.encode(), message.SerializeToString(), _HEADERS)
    try:
        placed = await producer.publish(record, timeout_ms)
    except KafkaError as error:
        raise Unreachable(f"the broker did not confirm in {timeout_ms} ms ({type(error).__name__}): say it again") from error
    return services_pb2.Receipt(identity=identity_to(identity), partition=placed.partition, offset=placed.offset)
