"""The process trivium-finetuned: `python -m services.finetuned`."""

from contextlib import AsyncExitStack
from typing import Final

from services.finetuned.backend import Backend
from services.finetuned.engine import Engine
from services.finetuned.search import Search
from trivium.core.errors import BadSetting
from trivium.core.policy import Tier
from trivium.kafka.security import read_kafka
from trivium.process import Process, run
from trivium.rpc.renewed import renewed_channel
from trivium.settings import FinetunedSettings, KafkaSettings, KeySettings, TierSettings, TlsSettings, read
from trivium.tier.run import run_tier

_WIRES: Final = ("tgi", "openai")


def backend(settings: FinetunedSettings) -> Backend:
    """The model server that the settings name. BadSetting on a wire that does not exist."""
    # Only the client that is used is loaded: the other one costs half a second and 30 MB.
    if settings.wire == "tgi":
        from services.finetuned.tgi import Tgi

        return Tgi(settings.url, settings.key)
    if settings.wire == "openai":
        from services.finetuned.compatible import Compatible

        return Compatible(settings.url, settings.key)
    raise BadSetting(f"TRIVIUM_FINETUNED_WIRE must be {' or '.join(_WIRES)}, not {settings.wire!r}")


async def main(process: Process) -> None:
    """Answer by the fine-tuned model until told to stop."""
    settings = read(FinetunedSettings, process.environ)
    kafka, tier = read_kafka(process.environ), read(TierSettings, process.environ)
    async with AsyncExitStack() as stack:
        server = backend(settings)
        stack.push_async_callback(server.close)
        search = Search(renewed_channel(settings.search, process.environ), process.tracer)
        stack.push_async_callback(search.close)
        engine = Engine(server, search, process.tracer if process.tracing.enabled else None)
        await run_tier(process, Tier.FINETUNED, engine, kafka, tier, settings.port)


if __name__ == "__main__":
    run(
        "finetuned",
        main,
        reads=(FinetunedSettings, KafkaSettings, TierSettings, TlsSettings, KeySettings),
        about="The fine-tuned tier: answers by a model of your own, behind TGI or any OpenAI-compatible server.",
    )
