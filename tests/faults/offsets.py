"""Looks at what the groups have committed while a run goes on (commits.jsonl), and whether anything is left to do."""

import asyncio
import json
import time
from pathlib import Path
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.spans import GROUP
from trivium.core.policy import Tier
from trivium.kafka.topics import OUTCOMES, REQUESTS, lanes

GROUPS: Final = {GROUP: (REQUESTS, OUTCOMES), **{f"trivium-{tier.value}": lanes(tier) for tier in Tier}}
_EVERY_S: Final = 0.5


class Offsets:
    """`async with Offsets(...)` looks twice a second."""

    def __init__(self, kafka: str, path: Path) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=kafka, client_id="faults-offsets")
        self._consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="faults-ends", enable_auto_commit=False)
        self._path = path
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._admin.start()
        await self._consumer.start()
        self._task = asyncio.create_task(self._watch(), name="offsets")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()
        await self._admin.close()

    async def lag(self) -> int:
        """Records that no group has committed; those of topics that nobody read from yet count whole."""
        committed, wanted = await self._committed(), list[TopicPartition]()
        for topics in GROUPS.values():
            for topic in topics:
                # Asking for its partitions makes the client know the topic.
                await self._consumer._client.add_topic(topic)
                wanted += [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic) or ()]
        ends = await self._consumer.end_offsets(wanted)
        return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())

    async def _committed(self) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = {}
        for group in GROUPS:
            told = await self._admin.list_consumer_group_offsets(group)
            found |= {partition: meta.offset for partition, meta in told.items() if meta.offset >= 0}
        return found

    async def _watch(self) -> None:
        with self._path.open("a") as file:
            while True:
                try:
                    async with asyncio.timeout(90):
                        committed = await self._committed()
                except (KafkaError, OSError, TimeoutError):
                    await asyncio.sleep(_EVERY_S)
                    continue
                # After the answer: whatever was committed by then has its effects in the log by then.
                line = {"at_ms": time.time_ns() // 1_000_000, "offsets": {f"{p.topic}/{p.partition}": o for p, o in committed.items()}}
                file.write(json.dumps(line) + "\n")
                file.flush()
                await asyncio.sleep(_EVERY_S)
