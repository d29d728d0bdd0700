"""Work records over which workers of this tier died (trivium/kafka/alone.py): taken one by one up to their start, with which the
rule of the three starts takes over. Until nobody is under suspicion any more their calls wait: one that kills is no proof
against the record that was just read."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from trivium.kafka.claim import Claim
from trivium.tier.job import Job
from trivium.tier.memory import AttemptKey

_LOG = logging.getLogger(__name__)
_LONG_MS: Final = 150_000


@dataclass(slots=True)
class Suspected:
    """A worker's side of it. `jobs`: what it has in hand; `emptied`: waits so many ms until that is nothing."""

    jobs: Mapping[AttemptKey, Job]
    take: Callable[[Claim], None]
    hand_back: Callable[[Job], None]
    grant: Callable[[Job], None]
    emptied: Callable[[int], Awaitable[bool]]
    waiting: list[Job] | None = field(default=None, init=False)
    """Calls that wait; None: nobody is under suspicion."""

    def keeps(self, job: Job) -> bool:
        """Whether its call has to wait."""
        if self.waiting is None:
            return False
        self.waiting.append(job)
        return True

    def let_go(self) -> None:
        """The calls may begin."""
        waiting, self.waiting = self.waiting, None
        for job in waiting or ():
            self.grant(job)

    def alone(self, claim: Claim) -> bool:
        """See Careful. What waits for its budget has been read; that it was not started has another reason than no room."""
        self.waiting = self.waiting or []
        self.take(claim)
        job = next((job for job in self.jobs.values() if claim in job.claims), None)
        if job is None or job.begun or job.money is not None:
            return True
        self.hand_back(job)
        return False

    async def finished(self) -> None:
        """See Careful."""
        self.let_go()
        while not await self.emptied(_LONG_MS):
            _LOG.warning("%d attempts have not ended; records over which workers died wait for that", len(self.jobs))
