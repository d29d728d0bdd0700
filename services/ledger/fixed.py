"""Monthly prices, written down day by day: what they were is not in any record."""

import asyncio
import calendar
import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from services.ledger.filling import pause
from trivium.core.policy import Target
from trivium.ledger.database import locked, put, reason_of
from trivium.ledger.facts import DAY_MS
from trivium.ledger.question import EPOCH
from trivium.ledger.schema import fixed
from trivium.ledger.store import Store
from trivium.policy import PolicyFile

_LOG = logging.getLogger(__name__)
_EVERY_S: Final = 60.0


async def keep_fixed(store: Store, policies: PolicyFile, stopping: asyncio.Event) -> None:
    """The share of today, once a minute: a price that changes counts from the day of its change."""
    while not stopping.is_set():
        said = await asyncio.to_thread(policies.refresh)
        if said:
            _LOG.warning("%s", said)
        rows = shares(policies.current.targets.values(), time.time_ns() // 1_000_000 // DAY_MS)
        try:
            await asyncio.to_thread(_write, store, rows)
        except DBAPIError as error:
            _LOG.warning("the fixed prices of today are not written yet: %s", reason_of(error))
        await pause(stopping, _EVERY_S)


def shares(targets: Iterable[Target], day: int) -> list[dict[str, Any]]:
    """A day's share of each monthly price; the days of a month sum up to it exactly."""
    date = EPOCH + timedelta(days=day)
    length = calendar.monthrange(date.year, date.month)[1]
    return [
        {
            "day": day,
            "target": target.name,
            "tier": target.tier.value,
            "cost": price * date.day // length - price * (date.day - 1) // length,
        }
        for target in targets
        if (price := target.prices.fixed_per_month)
    ]


def _write(store: Store, rows: list[dict[str, Any]]) -> None:
    with store.engine.begin() as connection:
        locked(connection)
        put(connection, fixed, rows)
