"""The store of the settings, waited for when its database is not there yet."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from services.ledger.filling import pause
from trivium.core.errors import BadSetting, Unreachable
from trivium.ledger.database import opened, url_of
from trivium.ledger.store import Store
from trivium.settings import LedgerSettings

_LOG = logging.getLogger(__name__)
_PAUSE_S: Final = 2.0


async def open_store(settings: LedgerSettings, stopping: asyncio.Event) -> Store | None:
    """None when told to stop before the database was there. Raises BadSetting for what waiting does not mend."""
    database, said = _with_password(settings), ""
    while not stopping.is_set():
        try:
            return Store(await asyncio.to_thread(opened, database))
        except Unreachable as error:
            if str(error) != said:
                said = str(error)
                _LOG.warning("%s; waiting for it", said)
            await pause(stopping, _PAUSE_S)
    return None


def _with_password(settings: LedgerSettings) -> str:
    if not settings.password_file:
        return settings.database
    try:
        password = Path(settings.password_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"TRIVIUM_LEDGER_DB_PASSWORD_FILE: {settings.password_file} cannot be read: {error}") from None
    url = make_url(url_of(settings.database))
    if url.password:
        raise BadSetting("only one of a password in TRIVIUM_LEDGER_DB and TRIVIUM_LEDGER_DB_PASSWORD_FILE can be set")
    return url.set(password=password).render_as_string(hide_password=False)
