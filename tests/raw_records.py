"""Record batches that no Kafka client makes, and a way to hand them to a broker."""

import struct
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint
from aiokafka.structs import TopicPartition

_CRC_AT, _CRC_FROM = 17, 21
_PLACE = b"?name?"

Header = tuple[bytes, bytes | None]


def batch(records: Sequence[tuple[bytes | None, bytes | None, Sequence[Header]]], compression: int = 0) -> bytes:
    """A sound batch of (key, value, headers); the headers' names are any bytes."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 16_000_000)
    builder.append(0, 0, None, b"", [])
    head = bytearray(builder.build()[:61])
    body = b"".join(_record(number, *record) for number, record in enumerate(records))
    head[8:12] = struct.pack(">i", 61 - 12 + len(body))
    head[23:27] = struct.pack(">i", len(records) - 1)
    head[57:61] = struct.pack(">i", len(records))
    return sealed(bytes(head) + body)


def sealed(raw: bytes) -> bytes:
    """The same batch with the checksum that its bytes have now."""
    fixed = bytearray(raw)
    struct.pack_into(">I", fixed, _CRC_AT, calc_crc32c(bytes(fixed[_CRC_FROM:])))
    return bytes(fixed)


def varint(value: int) -> bytes:
    """Kafka's zigzag varint."""
    made = bytearray()
    encode_varint(value, made.append)
    return bytes(made)


def _record(number: int, key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> bytes:
    body = b"\0" + varint(0) + varint(number) + _bytes(key) + _bytes(value) + varint(len(headers))
    body += b"".join(_bytes(name) + _bytes(content) for name, content in headers)
    return varint(len(body)) + body


def _bytes(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content


async def produce(bootstrap: str, topic: str, partition: int, raw: bytes) -> None:
    """Hand over one batch as it is. Raises what the broker says against it."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        await client._wait_on_metadata(topic)
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(required_acks=-1, timeout=10_000, topics=[(topic, [(partition, raw)])], transactional_id=None)
        response = await client.send(node, request)
        ((_, ((_, code, *_rest),)),) = response.topics
        if code:
            raise for_code(code)(f"{topic}-{partition}")
    finally:
        await client.close()
