"""Alerts as HTTP POSTs of JSON to whoever the operator names. Nothing waits for it, and it gives up after a while."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp

from trivium.core.errors import BadSetting
from trivium.settings import AlertSettings

_LOG = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
PAUSES_S: Final = (1.0, 4.0, 15.0, 60.0, 240.0)
"""Between the tries: six in all, in a little over five minutes."""
WAITING: Final = 1_000
"""Alerts that wait for a webhook that does not answer; more are given up at once."""
_AGAIN: Final = frozenset((408, 425, 429))
"""Client errors that pass by."""


class NotTaken(Exception):
    """The webhook did not take an alert. `again`: it may take it later."""

    def __init__(self, why: str, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Webhook:
    """`async with` it; `post` returns at once. With no URL it does nothing."""

    def __init__(self, settings: AlertSettings, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        """Raises BadSetting when the URL or the header is none."""
        self._url, self._headers = _url(settings.webhook), _header(settings.webhook_header)
        self._pauses_s = pauses_s
        self._waiting: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None
        self.given_up = 0
        """Alerts that never arrived."""

    async def __aenter__(self) -> Self:
        if self._url:
            self._task = asyncio.create_task(self._run(), name="alert-webhook")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self._waiting.empty():
                _LOG.warning("%d alerts were not posted before the end; the topic has them", self._waiting.qsize())

    def post(self, alert: Mapping[str, Any]) -> None:
        """Takes an alert to be posted."""
        if not self._url:
            return
        try:
            self._waiting.put_nowait(alert)
        except asyncio.QueueFull:
            self._give_up(alert, f"{WAITING} others wait already")

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            while True:
                await self._deliver(session, await self._waiting.get())

    async def _deliver(self, session: aiohttp.ClientSession, alert: Mapping[str, Any]) -> None:
        for pause_s in (*self._pauses_s, None):
            try:
                await self._send(session, alert)
                return
            except NotTaken as error:
                if pause_s is None or not error.again:
                    self._give_up(alert, str(error))
                    return
                _LOG.info("the webhook did not take an alert, again in %g s: %s", pause_s, error)
                await asyncio.sleep(pause_s)

    async def _send(self, session: aiohttp.ClientSession, alert: Mapping[str, Any]) -> None:
        """One try. A redirect is not followed: the header is for the host that was named."""
        try:
            async with session.post(self._url, json=alert, headers=self._headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotTaken(str(error) or f"no answer in {TIMEOUT_S:g} s", again=True) from error
        if not 200 <= status < 300:
            raise NotTaken(f"it answered with status {status}", again=status >= 500 or status in _AGAIN)

    def _give_up(self, alert: Mapping[str, Any], why: str) -> None:
        self.given_up += 1
        _LOG.error("an alert was not posted to the webhook, the topic has it: %s: %s", why, alert.get("text"))


def _url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise BadSetting("TRIVIUM_ALERT_WEBHOOK must be a URL like https://host/path")
    return text


def _header(text: str) -> dict[str, str]:
    """`Name: value`. The value is not in the message: it is a secret."""
    if not text:
        return {}
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not value.strip() or not name.strip().replace("-", "").isalnum() or not value.isprintable():
        raise BadSetting("TRIVIUM_ALERT_WEBHOOK_HEADER must be one header like Authorization: Bearer abc")
    return {name.strip(): value.strip()}
