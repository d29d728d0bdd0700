"""Whoever publishes chooses how its records are compressed: all of Kafka's ways must be readable."""

import pytest
from aiokafka import AIOKafkaProducer

from infra.broker import EmbeddedBroker
from trivium.kafka.reader import end_offsets, read_tail
from trivium.kafka.topics import REQUESTS


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_compressed_record_is_read(codec: str) -> None:
    value = b"a text that repeats itself, " * 50
    with EmbeddedBroker({REQUESTS: 1}) as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=codec)
        await producer.start()
        try:
            await producer.send_and_wait(REQUESTS, value)
        finally:
            await producer.stop()
        until = await end_offsets(broker.bootstrap, REQUESTS)
        assert [record.value async for record in read_tail(broker.bootstrap, REQUESTS, 0, until)] == [value]
