"""The gRPC service `Retrieval`: search, ingest, forget."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry.trace import Tracer

from services.retrieval.library import Ingested, Library
from services.retrieval.store import Name
from trivium.core.errors import VendorFault
from trivium.ports import Passage, Retrieved
from trivium.rpc.spans import Attributes, metadata_of, serving
from trivium.telemetry.names import CORPUS, PASSAGES, SPAN_RETRIEVE, TENANT
from trivium.v1 import services_pb2 as pb
from trivium.v1.services_pb2_grpc import RetrievalServicer

Context = grpc.aio.ServicerContext[Any, Any]


class Servicer(RetrievalServicer):
    """Speaks protobuf to a Library. What the caller did wrong is INVALID_ARGUMENT, a store that is away UNAVAILABLE."""

    def __init__(self, library: Library, tracer: Tracer) -> None:
        self._library = library
        self._tracer = tracer

    async def Retrieve(self, request: pb.RetrieveRequest, context: Context) -> pb.RetrieveReply:
        """Passages for one question, within the caller's deadline."""
        about: Attributes = {TENANT: request.tenant, CORPUS: request.corpus}
        with serving(self._tracer, SPAN_RETRIEVE, metadata_of(context), about) as span:
            try:
                async with asyncio.timeout(context.time_remaining()):
                    found = await self._library.retrieve(
                        request.tenant, request.corpus, request.query,
                        request.limit, request.budget_tokens, request.relevance_cut,
                    )  # fmt: skip
            except VendorFault as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, error.fault.message)
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed during the search")
            span.set_attribute(PASSAGES, len(found.passages))
            return reply_of(found)

    async def Ingest(self, requests: AsyncIterator[pb.IngestRequest], context: Context) -> AsyncIterator[pb.IngestReply]:
        """One reply for each document, in order; one that cannot be read does not stop the others."""
        try:
            async for request in requests:
                name = Name(request.tenant, request.corpus, request.document)
                yield ingested_of(await self._library.ingest(name, request.kind, request.content))
            await self._library.seal()
        except VendorFault as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.fault.message)

    async def Forget(self, request: pb.ForgetRequest, context: Context) -> pb.ForgetReply:
        """Names of the documents that were there and are gone."""
        try:
            gone = await self._library.forget(
                request.tenant, request.corpus, list(request.documents), request.all_but, request.prefix
            )
        except VendorFault as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.fault.message)
        return pb.ForgetReply(forgotten=gone)


def reply_of(found: Retrieved) -> pb.RetrieveReply:
    """What was found, on the wire."""
    return pb.RetrieveReply(
        passages=[passage_of(one) for one in found.passages],
        left_out=found.left_out,
        mode=found.mode,
        embedding_tokens=found.embedding_tokens,
        corpus_epoch=found.corpus_epoch,
    )


def passage_of(one: Passage) -> pb.Passage:
    """One passage on the wire."""
    return pb.Passage(
        document=one.document, section=one.section, version=one.version, text=one.text, score=one.score, tokens=one.tokens
    )


def ingested_of(done: Ingested) -> pb.IngestReply:
    """What became of a document, on the wire."""
    return pb.IngestReply(
        document=done.document, version=done.version, state=done.state.value, passages=done.passages, message=done.message
    )
