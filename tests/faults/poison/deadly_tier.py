"""A tier that dies at once, as by kill -9, over some work: `python -m tests.faults.poison.deadly_tier`.

Over a record whose bytes have the word KILLER while it reads it, before anything in the log tells of that; over one that asks for
DEADLY in the midst of its call."""

import os
import signal

from benchmarks.instant_tier import Instant
from trivium.core.outcome import Outcome, Reason
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.kafka.record import Delivered
from trivium.kafka.security import read_kafka
from trivium.ports import Emit, emit_nothing
from trivium.process import Process, run
from trivium.settings import CloudSettings, KafkaSettings, TierSettings, read
from trivium.tier import reading, worker
from trivium.tier.run import run_tier
from trivium.v1 import journey_pb2


def mortal(record: Delivered) -> tuple[journey_pb2.Work, Work] | Reason:
    """As the worker's own."""
    if b"KILLER" in (record.value or b"") and not record.unreadable:
        os.kill(os.getpid(), signal.SIGKILL)
    return reading.read(record)


class Deadly(Instant):
    """Answers at once, but for some."""

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        if "DEADLY" in work.request.question:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().answer(work, emit)


async def main(process: Process) -> None:
    """See services/cloud."""
    kafka, tier = read_kafka(process.environ), read(TierSettings, process.environ)
    await run_tier(process, Tier.CLOUD, Deadly(), kafka, tier, 0)


if __name__ == "__main__":
    worker.read = mortal  # type: ignore[attr-defined]
    run("cloud", main, reads=(CloudSettings, KafkaSettings, TierSettings), about="A tier for a test.")
