"""The process trivium-ledger: `python -m services.ledger [--rebuild]`."""

import asyncio
import logging
import sys
from functools import partial

from services.ledger.filling import Filling
from services.ledger.fixed import keep_fixed
from services.ledger.opening import open_store
from services.ledger.servicer import LedgerServicer
from trivium.kafka.security import read_kafka
from trivium.kafka.waiting import await_broker
from trivium.ledger.facts import TOPICS
from trivium.policy import PolicyFile
from trivium.process import Process, run
from trivium.rpc.server import adding, opened
from trivium.settings import KafkaSettings, KeySettings, LedgerSettings, TlsSettings, read
from trivium.v1.services_pb2_grpc import add_LedgerServicer_to_server

_LOG = logging.getLogger(__name__)


async def main(process: Process, rebuild: bool = False) -> None:
    """Count what the topics say and answer reports until told to stop. `rebuild`: empty the store, fill it, leave."""
    settings, kafka = read(LedgerSettings, process.environ), read_kafka(process.environ)
    policies = PolicyFile(process.settings.policy)
    store = await open_store(settings, process.stopping)
    if store is None:
        return
    try:
        if not await await_broker(kafka, process.stopping, TOPICS):
            return
        filling = Filling(store, kafka, process.instance, process.metrics, process.stopping, max(1, settings.batch))
        if rebuild:
            await asyncio.to_thread(store.clear)
            _LOG.warning("the ledger was filled again from %d records", await filling.until_now())
            return
        servicer = LedgerServicer(store.engine)
        door = opened(process, settings.port, adding((add_LedgerServicer_to_server, servicer)))
        async with door, asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_fixed(store, policies, process.stopping))
            tasks.create_task(filling.run())
    finally:
        store.engine.dispose()


if __name__ == "__main__":
    rebuilding = "--rebuild" in sys.argv[1:]
    run(
        "ledger",
        partial(main, rebuild=rebuilding),
        reads=(LedgerSettings, KafkaSettings, TlsSettings, KeySettings),
        about="The ledger's store: attempts, ledger and feedback into SQL, and reports over them. With --rebuild it empties the "
        "store, fills it again from the topics and leaves.",
        argv=[word for word in sys.argv[1:] if word != "--rebuild"],
    )
