"""Reading the mesh's topics from the command line."""

import time
from collections.abc import AsyncIterator

from trivium.codec import decision_from, terminal_from
from trivium.core.decision import Decision
from trivium.core.errors import TriviumError
from trivium.core.outcome import Terminal
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.record import Delivered
from trivium.kafka.topics import LEDGER
from trivium.settings import KafkaSettings
from trivium.v1 import records_pb2


class NotInTheLog(TriviumError):
    """Nothing of that name is in the topics any more, or yet."""


async def everything(kafka: KafkaSettings, topic: str, since_ms: int = 0) -> AsyncIterator[Delivered]:
    """Every record of a topic since an instant, up to what is there now."""
    options = ReaderOptions("trivium-cli", fetch_max_wait_ms=kafka.fetch_max_wait_ms)
    until = await end_offsets(kafka.bootstrap, topic, options)
    async for record in read_tail(kafka.bootstrap, topic, since_ms, until, options):
        yield record


async def ledger_records(kafka: KafkaSettings, since_ms: int = 0) -> AsyncIterator[records_pb2.LedgerRecord]:
    """What the ledger says of requests: terminals and strays. A record that cannot be read is a bug of a writer: it raises."""
    async for record in everything(kafka, LEDGER, since_ms):
        entry = records_pb2.LedgerRecord.FromString(record.value or b"")
        if entry.role != "erasure":
            yield entry


async def find_terminal(
    kafka: KafkaSettings, request_id: str, tenant: str
) -> tuple[Terminal, Decision, records_pb2.LedgerRecord]:
    """The newest ledger record of a request. NotInTheLog when there is none."""
    found: records_pb2.LedgerRecord | None = None
    async for record in ledger_records(kafka):
        if record.role == "terminal" and record.terminal.identity.id == request_id and record.terminal.identity.tenant == tenant:
            found = record
    if found is None:
        raise NotInTheLog(f"no request {request_id!r} of tenant {tenant!r} in the ledger (another tenant? --tenant)")
    return terminal_from(found.terminal), decision_from(found.decision), found


def since(text: str | None) -> int:
    """Epoch ms of `2h`, `30m`, `7d` ago; 0 for everything. ValueError for anything else."""
    if not text:
        return 0
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(text[-1:])
    if unit is None or not text[:-1].isdigit():
        raise ValueError(f"{text!r} is not a span like 30m, 2h or 7d")
    return int((time.time() - int(text[:-1]) * unit) * 1000)
