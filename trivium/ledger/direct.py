"""A report from the database itself, without a process that serves it."""

from sqlalchemy.exc import DBAPIError

from trivium.core.errors import Unreachable
from trivium.ledger.database import opened, reason_of, shown
from trivium.ledger.report import ask
from trivium.ledger.wire import lines_of, question_from
from trivium.v1 import services_pb2


def report_lines(asked: services_pb2.ReportRequest, database: str) -> list[services_pb2.ReportLine]:
    """As Ledger.Report answers. Raises BadSetting, Unreachable, BadQuestion."""
    question = question_from(asked)
    engine = opened(database, create=False)
    try:
        return lines_of(ask(engine, question))
    except DBAPIError as error:
        raise Unreachable(f"the ledger's database {shown(database)} cannot be read: {reason_of(error)}") from None
    finally:
        engine.dispose()
