"""The process trivium-cloud: `python -m services.cloud`."""

from trivium.core.policy import Tier
from trivium.kafka.security import read_kafka
from trivium.process import Process, run
from trivium.settings import CloudSettings, KafkaSettings, KeySettings, TierSettings, TlsSettings, read
from trivium.tier.run import run_tier


async def main(process: Process) -> None:
    """Answer by Anthropic's API until told to stop."""
    settings = read(CloudSettings, process.environ)
    kafka, tier = read_kafka(process.environ), read(TierSettings, process.environ)
    tracer = process.tracer if process.tracing.enabled else None
    # Here: the vendor's SDK takes seconds to load, and a wrong setting is told at once.
    from trivium.claude.api import Claude

    async with Claude(settings, tracer) as claude:
        await run_tier(process, Tier.CLOUD, claude, kafka, tier, settings.port)


if __name__ == "__main__":
    run(
        "cloud",
        main,
        reads=(CloudSettings, KafkaSettings, TierSettings, TlsSettings, KeySettings),
        about="The cloud tier: answers by the Anthropic API. Never sees a restricted request.",
    )
