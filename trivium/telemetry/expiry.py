"""When the certificates of a process expire: a metric, and a warning a day while it is less than a week.

    async with expiries_followed(process.environ, process.metrics):
        ...
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from trivium.core.errors import BadSetting
from trivium.telemetry.metrics import Metrics

_LOG = logging.getLogger(__name__)
SETTINGS: Final = ("TRIVIUM_TLS_CERT", "TRIVIUM_TLS_CA", "TRIVIUM_KAFKA_CERT", "TRIVIUM_KAFKA_CA")
SYSTEM: Final = "system"
SOON_S: Final = 7 * 86_400
_EACH_S: Final = 60.0
_DAY_S: Final = 86_400


class Expiries:
    """The certificates that the environment names."""

    def __init__(self, environ: Mapping[str, str], metrics: Metrics) -> None:
        self._paths = {name: environ[name] for name in SETTINGS if environ.get(name, SYSTEM) not in ("", SYSTEM)}
        self._metrics = metrics
        self._read: dict[str, tuple[int, float]] = {}
        self._said_s: dict[str, float] = {}

    @property
    def any(self) -> bool:
        return bool(self._paths)

    def look(self, now_s: float) -> None:
        """Read what changed, set the metric, warn of what ends soon. `now_s`: epoch seconds."""
        for name, path in self._paths.items():
            try:
                ends_s = self._ends_s(name, path)
            except (BadSetting, OSError):
                # Whoever uses the file says what is wrong with it, and goes on with the old one.
                continue
            self._metrics.certificate(name, ends_s)
            if ends_s - now_s < SOON_S and now_s - self._said_s.get(name, 0.0) >= _DAY_S:
                self._said_s[name] = now_s
                _LOG.warning("%s: %s %s", name, path, _left(ends_s - now_s))

    def _ends_s(self, name: str, path: str) -> float:
        # Not at the top: who has no certificates needs no parser of them in memory.
        from trivium.certificates import expires_ms

        changed = Path(path).stat().st_mtime_ns
        known = self._read.get(name)
        if known is None or known[0] != changed:
            known = self._read[name] = (changed, expires_ms(name, path) / 1000)
        return known[1]


def _left(seconds: float) -> str:
    if seconds <= 0:
        return f"expired {-seconds / 3600:.0f} hours ago; renew it"
    return f"expires in {seconds / 3600:.0f} hours; renew it: it is read again without a restart"


@asynccontextmanager
async def expiries_followed(environ: Mapping[str, str], metrics: Metrics) -> AsyncIterator[None]:
    """Looks once a minute. Without certificates it does nothing."""
    expiries = Expiries(environ, metrics)
    if not expiries.any:
        yield
        return
    task = asyncio.create_task(_follow(expiries), name="certificates")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(expiries: Expiries) -> None:
    while True:
        await asyncio.to_thread(expiries.look, time.time())
        await asyncio.sleep(_EACH_S)
