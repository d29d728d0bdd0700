"""A process that starts before its broker waits for it, and says so."""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from trivium.core.errors import Unreachable
from trivium.kafka.security import Refused, arguments, unreachable
from trivium.settings import KafkaSettings

_LOG = logging.getLogger(__name__)
_PAUSE_S: Final = 1.0
_SAY_EVERY_S: Final = 30.0


async def await_broker(kafka: KafkaSettings, stopping: asyncio.Event, topics: Collection[str] = ()) -> bool:
    """True once a broker answers that has all `topics`, False when `stopping` was set first.

    Says what it waits for, and again every 30 s. Raises Unreachable when it did not come within `wait_ms` (0: never), and
    at once when the broker is there and refuses this client: waiting mends no password.
    """
    began = said = time.monotonic()
    last = ""
    while not stopping.is_set():
        error = await _tried(kafka, topics)
        if error is None:
            if last:
                _LOG.warning("what was waited for is there after %.0f s: going on", time.monotonic() - began)
            return True
        now = time.monotonic()
        if isinstance(error, Refused) or (kafka.wait_ms and now - began >= kafka.wait_ms / 1000):
            raise error
        if str(error) != last or now - said >= _SAY_EVERY_S:
            _LOG.warning("%s; waiting for it, and going on by itself once it is there (TRIVIUM_KAFKA_WAIT_MS)", error)
            last, said = str(error), now
        await _either(stopping, _PAUSE_S)
    return False


async def _tried(kafka: KafkaSettings, topics: Collection[str]) -> Unreachable | None:
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap, **arguments(kafka.bootstrap))
    limit_s = kafka.connect_timeout_ms / 1000
    try:
        async with asyncio.timeout(min(limit_s, kafka.wait_ms / 1000) if kafka.wait_ms else limit_s):
            await client.bootstrap()
            missing = sorted(set(topics) - (await client.fetch_all_metadata()).topics()) if topics else []
    except (KafkaError, OSError, TimeoutError) as error:
        return await unreachable(kafka.bootstrap, error)
    finally:
        await client.close()
    if not missing:
        return None
    more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
    return Unreachable(f"topic {missing[0]}{more} not on the broker at {kafka.bootstrap} (`trivium topics --create` makes them)")


async def _either(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
