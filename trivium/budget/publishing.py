"""The policy's budgets are told to the whole mesh: whoever loads a policy writes them to trivium.budget, where those that pay read
them. Several processes do; a rule that stands there already is not written again."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Self

from aiokafka.errors import KafkaError

from trivium.codec.budgets import RULES_KEY, budget_record_from, rules_to
from trivium.core.budget import DAY_MS, Rules
from trivium.core.errors import Unreachable
from trivium.core.policy import Policy
from trivium.facts import Policies
from trivium.kafka import topics
from trivium.kafka.producer import Producer
from trivium.kafka.reader import ReaderOptions, end_offsets, read_tail
from trivium.kafka.record import Record

_LOG = logging.getLogger(__name__)

FRESH_MS: Final = 7 * DAY_MS
"""Rules that are older are written again, long before the topic forgets them (33 days)."""
LOOK_S: Final = 1.0
AGAIN_S: Final = 1_800.0
"""How often the log is looked at although the policy has not changed. A process that had not reloaded yet may have written older
rules over newer ones; readers pass them over, and the newer ones stand there again before compaction."""
LATER_S: Final = 10.0
"""After a start with a policy without budgets: nothing hangs on it."""
_PATIENCE_MS: Final = 10_000
_RETRY_MOST_S: Final = 60.0
_POLL_RECORDS: Final = 200
"""At once: a large topic is read beside the work."""
_HEADERS: Final = (
    (topics.HEADER_CONTENT_TYPE, b"application/protobuf"),
    (topics.HEADER_SCHEMA, b"trivium.v1.BudgetRecord"),
)


def rules_of(policy: Policy, at_ms: int) -> Rules:
    """What is published of a policy."""
    return Rules(policy.revision, tuple(policy.budgets.values()), at_ms)


def is_due(ours: Rules, last: Rules | None, last_ms: int, now_ms: int) -> bool:
    """Whether `ours` is to be written. `last`: the last rules in the log, and when the broker got them (epoch ms)."""
    if last is None or not last.budgets:
        return bool(ours.budgets) and (last is None or last.revision < ours.revision)
    if last.revision != ours.revision:
        return last.revision < ours.revision
    return last.budgets == ours.budgets and now_ms - last_ms > FRESH_MS


class RulesPublisher:
    """Owned by a process that follows a policy file: `run`, or `async with`, for as long as it lives."""

    def __init__(
        self,
        policies: Policies,
        producer: Producer,
        bootstrap: str,
        instance: str,
        fetch_max_wait_ms: int = 10,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`instance`: who writes, for the broker's log."""
        self._policies, self._producer, self._bootstrap = policies, producer, bootstrap
        self._options = ReaderOptions(
            client_id=f"{instance}-rules", fetch_max_wait_ms=fetch_max_wait_ms, max_poll_records=_POLL_RECORDS
        )
        self._now_ms = now_ms
        self._told: Policy | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Runs it beside the work, until the end."""
        self._task = asyncio.create_task(self.run(), name="budget-rules")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> None:
        """Publishes what is due at the start, after each reload, and now and then. Never raises but CancelledError: a broker
        that is away is asked again, less and less often."""
        pause_s, looked_s = LOOK_S, time.monotonic()
        if not self._policies.current.budgets:
            self._told = self._policies.current
            looked_s += LATER_S - AGAIN_S
        while True:
            policy = self._policies.current
            if policy is not self._told or time.monotonic() - looked_s >= AGAIN_S:
                try:
                    await self.publish(policy)
                    self._told, pause_s, looked_s = policy, LOOK_S, time.monotonic()
                except (Unreachable, KafkaError, OSError) as error:
                    pause_s = min(2 * pause_s, _RETRY_MOST_S)
                    _LOG.warning("the budgets of policy revision %d are not published yet: %s", policy.revision, error)
            await asyncio.sleep(pause_s)

    async def publish(self, policy: Policy) -> bool:
        """Writes the budgets of a policy unless the log has them. Raises Unreachable and KafkaError."""
        ours = rules_of(policy, self._now_ms())
        last, last_ms = await self._last()
        if last is not None and last.budgets != ours.budgets and last.revision >= ours.revision:
            _LOG.warning(
                "the budgets in force are those of policy revision %d, not those of revision %d here: give the policy a "
                "revision above %d", last.revision, ours.revision, last.revision,
            )  # fmt: skip
        if not is_due(ours, last, last_ms, ours.at_ms):
            return False
        value = rules_to(ours).SerializeToString()
        await self._producer.publish(Record(topics.BUDGET, RULES_KEY, value, _HEADERS, partition=0), _PATIENCE_MS)
        _LOG.info("the %d budgets of policy revision %d are published", len(ours.budgets), ours.revision)
        return True

    async def _last(self) -> tuple[Rules | None, int]:
        """The last rules that can be read, and the broker's time of them."""
        ends = await end_offsets(self._bootstrap, topics.BUDGET, self._options)
        found: tuple[Rules | None, int] = (None, 0)
        if not ends.get(0):
            return found
        async for record in read_tail(self._bootstrap, topics.BUDGET, 0, {0: ends[0]}, self._options):
            if record.key != RULES_KEY:
                continue
            rules = budget_record_from(record.value)
            if isinstance(rules, Rules):
                found = rules, record.timestamp_ms
        return found
