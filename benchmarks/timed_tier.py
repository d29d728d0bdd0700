"""A tier process whose backend takes as long as the task says: `slow` two seconds, everything else 100 ms. Used by
benchmarks.fairness."""

import asyncio
from typing import Final

from benchmarks.instant_tier import ANSWER, USAGE
from trivium.core.outcome import Outcome
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.kafka.security import read_kafka
from trivium.ports import Emit, emit_nothing
from trivium.process import Process, run
from trivium.settings import FinetunedSettings, KafkaSettings, TierSettings, read
from trivium.tier.meter import Meter
from trivium.tier.run import run_tier

SLOW_S: Final = 2.0
QUICK_S: Final = 0.1


class Timed:
    """A generator that sleeps."""

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """The same answer for every work, after its time."""
        meter = Meter(work, emit)
        meter.usage = USAGE
        await asyncio.sleep(SLOW_S if work.task.name == "slow" else QUICK_S)
        return meter.answered(ANSWER)


async def main(process: Process) -> None:
    """Run the whole tier around it."""
    kafka, tier = read_kafka(process.environ), read(TierSettings, process.environ)
    await run_tier(process, Tier.FINETUNED, Timed(), kafka, tier, read(FinetunedSettings, process.environ).port)


if __name__ == "__main__":
    run("finetuned", main, reads=(FinetunedSettings, KafkaSettings, TierSettings), about="A tier that takes its time.")
