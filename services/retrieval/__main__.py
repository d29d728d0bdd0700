"""The process trivium-retrieval: `python -m services.retrieval`."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.retrieval.announcer import LogAnnouncer
from services.retrieval.embedding import Embedding, Remote, bundled
from services.retrieval.engine import Engine
from services.retrieval.generators import RemoteTier
from services.retrieval.library import Library
from services.retrieval.opening import is_server, opened_store
from services.retrieval.servicer import Servicer
from trivium.core.errors import BadSetting, Unreachable, VendorFault
from trivium.core.policy import Tier
from trivium.embed.remote import RemoteEmbedder
from trivium.kafka.producer import Producer, ProducerOptions
from trivium.kafka.security import read_kafka
from trivium.kafka.topics import DOCUMENTS
from trivium.kafka.waiting import await_broker
from trivium.process import Process, run
from trivium.rpc.renewed import renewed_channel
from trivium.rpc.server import adding
from trivium.rpc.workers import supervise
from trivium.settings import KafkaSettings, KeySettings, RetrievalSettings, TierSettings, TlsSettings, read
from trivium.tier.run import run_tier
from trivium.v1.services_pb2_grpc import add_RetrievalServicer_to_server

_LOG = logging.getLogger(__name__)


async def main(process: Process) -> None:
    """Answer from documents until told to stop."""
    settings, kafka = read(RetrievalSettings, process.environ), read_kafka(process.environ)
    tier = read(TierSettings, process.environ)
    if tier.processes > 1 and not is_server(settings.milvus):
        raise BadSetting("TRIVIUM_TIER_PROCESSES must be 1 with Milvus Lite, which one process owns; name a server in TRIVIUM_MILVUS")
    if tier.processes > 1 and process.worker is None:
        await supervise(process, settings.port, tier.processes)
        return
    if not await await_broker(kafka, process.stopping, (DOCUMENTS,)):
        return
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(_library(process, settings, kafka))
        generators = {
            where: RemoteTier(await stack.enter_async_context(renewed_channel(address, process.environ)), process.tracer)
            for where, address in ((Tier.FINETUNED, settings.generator), (Tier.CLOUD, settings.generator_cloud))
        }
        engine = Engine(library, generators, process.tracer)
        retrieval = adding((add_RetrievalServicer_to_server, Servicer(library, process.tracer)))
        await run_tier(process, Tier.RETRIEVAL, engine, kafka, tier, settings.port, retrieval)


@asynccontextmanager
async def _library(process: Process, settings: RetrievalSettings, kafka: KafkaSettings) -> AsyncIterator[Library]:
    options = ProducerOptions(
        client_id=f"{process.instance}-documents",
        max_record_bytes=kafka.max_message_bytes,
        start_timeout_ms=kafka.connect_timeout_ms,
    )
    async with (
        Producer(kafka.bootstrap, options) as producer,
        _embedding(settings.embedder) as embedding,
        opened_store(settings.milvus, settings.milvus_token, embedding) as store,
    ):
        library = Library(store, embedding, LogAnnouncer(producer))
        if not is_server(settings.milvus):
            # Its broker is likely the embedded one, whose topics ended with the last run.
            _LOG.info("%d documents announced", await _announced(library))
        yield library


async def _announced(library: Library) -> int:
    try:
        return await library.announce_all()
    except VendorFault as error:
        raise Unreachable(f"the documents could not be announced: {error.fault.message}") from error


@asynccontextmanager
async def _embedding(url: str) -> AsyncIterator[Embedding]:
    if not url:
        yield bundled()
        return
    async with Remote(RemoteEmbedder(url)) as remote:
        yield remote


if __name__ == "__main__":
    run(
        "retrieval",
        main,
        reads=(RetrievalSettings, KafkaSettings, TierSettings, TlsSettings, KeySettings),
        about="The retrieval tier: answers from documents in Milvus, and takes documents in.",
    )
