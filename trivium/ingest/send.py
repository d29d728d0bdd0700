"""The client of Retrieval.Ingest: a second run only touches what changed, and removed files are forgotten.

There is no manifest: the service compares content hashes, and forgets what lies under a folder's name and was not in
the folder.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from trivium.core.errors import Unreachable
from trivium.ingest.files import MAX_FILE_BYTES, Selection, Source
from trivium.v1 import services_pb2 as pb
from trivium.v1.services_pb2_grpc import RetrievalStub

IN_FLIGHT: Final = 4
"""Documents that are sent ahead of the replies: bounds memory, hides the round trip."""
INGEST_S: Final = 3_600.0
FORGET_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file. State: added | changed | unchanged | failed."""

    document: str
    state: str
    version: str
    passages: int
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did."""

    sent: tuple[Sent, ...]
    forgotten: tuple[str, ...]

    def count(self, state: str) -> int:
        """Files that ended in this state."""
        return sum(one.state == state for one in self.sent)

    @property
    def failed(self) -> tuple[Sent, ...]:
        return tuple(one for one in self.sent if one.state == "failed")


Progress = Callable[[Sent], None]
"""Told of every file as its reply comes."""


def no_progress(_sent: Sent) -> None:
    """For callers that want only the report."""


async def ingest(
    channel: grpc.aio.Channel, tenant: str, corpus: str, selection: Selection, progress: Progress = no_progress
) -> Report:
    """Sends the selected files and forgets the removed ones. A file that fails is in the report, and the others go on.

    Raises Unreachable when the retrieval service is not there or refuses the whole run."""
    stub: Any = RetrievalStub(channel)  # type: ignore[no-untyped-call]
    try:
        sent = await _send_all(stub, tenant, corpus, selection.sources, progress)
        forgotten = await _forget_removed(stub, tenant, corpus, selection)
    except grpc.aio.AioRpcError as error:
        raise Unreachable(f"the retrieval service: {error.details() or error.code().name}") from error
    return Report(tuple(sent), tuple(forgotten))


async def _send_all(stub: Any, tenant: str, corpus: str, sources: Sequence[Source], progress: Progress) -> list[Sent]:
    sent: list[Sent] = []
    room = asyncio.Semaphore(IN_FLIGHT)
    unread: dict[str, str] = {}

    async def requests() -> AsyncIterator[pb.IngestRequest]:
        for source in sources:
            await room.acquire()
            content, problem = await asyncio.to_thread(_content, source)
            if problem:
                unread[source.document] = problem
            yield pb.IngestRequest(tenant=tenant, corpus=corpus, document=source.document, kind=source.kind, content=content)

    if not sources:
        return sent
    async for reply in stub.Ingest(requests(), timeout=INGEST_S):
        room.release()
        message = unread.get(reply.document, reply.message)
        one = Sent(reply.document, reply.state, reply.version, reply.passages, message)
        sent.append(one)
        progress(one)
    return sent


async def _forget_removed(stub: Any, tenant: str, corpus: str, selection: Selection) -> list[str]:
    forgotten: set[str] = set()
    names = [source.document for source in selection.sources]
    for prefix in selection.prefixes:
        request = pb.ForgetRequest(tenant=tenant, corpus=corpus, documents=names, all_but=True, prefix=prefix)
        forgotten.update((await stub.Forget(request, timeout=FORGET_S)).forgotten)
    return sorted(forgotten)


def _content(source: Source) -> tuple[bytes, str]:
    """The file's bytes, or no bytes (which the service refuses) and why."""
    try:
        size = source.path.stat().st_size
        if size > MAX_FILE_BYTES:
            return b"", f"the file has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}: split it"
        return source.path.read_bytes(), ""
    except OSError as error:
        return b"", f"cannot be read: {error.strerror or error}"
