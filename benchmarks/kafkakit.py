"""What every Kafka benchmark needs: a broker process, topics filled quickly, and a clock around an event."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from trivium.kafka.outbox import Outbox
from trivium.kafka.producer import Producer
from trivium.kafka.record import Record

_FILL_MS = 60_000


@contextmanager
def broker(topics: Mapping[str, int], kafka: str | None) -> Iterator[str]:
    """The bootstrap servers of `kafka` when given (its topics must exist), else of an embedded broker process."""
    if kafka is not None:
        yield kafka
        return
    command = [sys.executable, "-m", "infra.broker"]
    for name, partitions in topics.items():
        command += ["--topic", f"{name}:{partitions}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield json.loads(line)["bootstrap"]
        finally:
            process.terminate()


async def fill(bootstrap: str, records: Iterable[Record]) -> int:
    """Produce `records` and wait until the broker has them; returns how many."""
    count = 0

    def refused(record: Record, error: BaseException) -> Sequence[Record]:
        raise ValueError(f"{record.topic} refused a benchmark record: {error}")

    async with Producer(bootstrap) as producer, Outbox(producer, refused) as outbox:
        stage = list(records)
        count = len(stage)
        outbox.put([stage], lambda: None)
        if not await outbox.drain(_FILL_MS):
            raise TimeoutError(f"{bootstrap} did not take {count} records in {_FILL_MS // 1000} s")
    return count
