"""Ledger.Report over the store."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from trivium.core.outcome import Reason, ReasonCode
from trivium.ledger.database import reason_of
from trivium.ledger.question import BadQuestion
from trivium.ledger.report import ask
from trivium.ledger.wire import lines_of, question_from
from trivium.rpc.guard import refuse
from trivium.v1 import services_pb2, services_pb2_grpc

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 4


class LedgerServicer(services_pb2_grpc.LedgerServicer):
    """Reports, a few at a time: each takes a connection of the database and a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def Report(self, asked: services_pb2.ReportRequest, context: Any) -> AsyncIterator[services_pb2.ReportLine]:
        """INVALID_ARGUMENT for a wrong question, UNAVAILABLE while the database is away."""
        try:
            question = question_from(asked)
            async with self._turns:
                report = await asyncio.to_thread(ask, self._engine, question)
                lines = await asyncio.to_thread(lines_of, report)
        except BadQuestion as error:
            await refuse(context, Reason(ReasonCode.WRONG_SHAPE, str(error), error.field))
        except DBAPIError as error:
            _LOG.warning("a report could not be made: %s", reason_of(error))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the ledger's database is away; ask again later")
        for line in lines:
            yield line
