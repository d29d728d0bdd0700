"""A tier process whose backend answers at once: what is left is Trivium's own work. Used by benchmarks.path."""

from trivium.core.outcome import Answer, Outcome, Usage
from trivium.core.policy import Tier
from trivium.core.slip import Work
from trivium.kafka.security import read_kafka
from trivium.ports import Emit, emit_nothing
from trivium.process import Process, run
from trivium.settings import FinetunedSettings, KafkaSettings, TierSettings, read
from trivium.tier.meter import now_ms
from trivium.tier.run import run_tier

ANSWER = Answer("Thank you for your message. Your parcel is on its way and will be with you tomorrow.", confidence=0.9)
USAGE = Usage(input_tokens=60, output_tokens=20)


class Instant:
    """A generator without a model."""

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """The same answer for every work."""
        at_ms = now_ms()
        return Outcome(
            work.request.identity, work.attempt, work.target.name, ANSWER, USAGE, 12, at_ms, at_ms, ttft_ms=0, tpot_us=0
        )


async def main(process: Process) -> None:
    """Run the whole tier around it."""
    kafka, tier = read_kafka(process.environ), read(TierSettings, process.environ)
    await run_tier(process, Tier.FINETUNED, Instant(), kafka, tier, read(FinetunedSettings, process.environ).port)


if __name__ == "__main__":
    run("finetuned", main, reads=(FinetunedSettings, KafkaSettings, TierSettings), about="A tier that answers at once.")
