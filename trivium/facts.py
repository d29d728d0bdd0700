"""The facts that a decision is made on, gathered for both doors: health, classifier, cache and quota.

    facts = FactSource(policies, pulses, cache, classify)
    step = begin(request, policy, facts.at(now_ms, tenant), arrival)
    step = advance(journey, outcome, policy, facts.later(now_ms))
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from trivium.core.decision import Classification
from trivium.core.detect import Look, examined, nothing_found
from trivium.core.policy import Policy
from trivium.core.request import Request
from trivium.core.slip import CacheHit, CacheMiss, CacheScope, Facts, TargetFacts, unclassified
from trivium.ports import AnswerCache, Embedder, Vector

_SECONDS: Final = 60


class Policies(Protocol):
    """The policy file, as it stands."""

    @property
    def current(self) -> Policy: ...


class Pulses(Protocol):
    """What the targets say about themselves."""

    def facts(self, now_ms: int) -> Mapping[str, TargetFacts]: ...


class NoPulses:
    """A mesh without pulses: every target is up."""

    def facts(self, _now_ms: int) -> Mapping[str, TargetFacts]:
        return {}


class NoCache:
    """A mesh without a cache."""

    def lookup(self, _scope: CacheScope, _now_ms: int) -> CacheHit | CacheMiss:
        return CacheMiss()


class SharedEmbedder:
    """An embedder that remembers the text it saw last, so that classifier and cache share one embedding a request."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._text: str | None = None
        self._vector: Vector | None = None

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def leading(self) -> int:
        """How many first dimensions find neighbours nearly as well as all."""
        return int(getattr(self._embedder, "leading", self._embedder.dimensions))

    def embed(self, text: str) -> Vector:
        """The vector of `text`; not to be changed by the caller."""
        if self._vector is None or text != self._text:
            self._text, self._vector = text, self._embedder.embed(text)
        return self._vector

    def embed_many(self, texts: Sequence[str]) -> Vector:
        return self._embedder.embed_many(texts)


class Quota:
    """Requests of each tenant in the last minute, in buckets of a second of the given clock."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[deque[list[int]], list[int]]] = {}

    def over(self, tenant: str, per_minute: int, now_ms: int) -> bool:
        """Counts one request, and says whether the tenant now has more than `per_minute` (0: no quota).

        A clock that goes back a little (two partitions, read one after the other) counts into the newest second."""
        if not per_minute:
            return False
        buckets, total = self._counts.setdefault(tenant, (deque(), [0]))
        second = now_ms // 1000
        if not buckets or buckets[-1][0] < second:
            buckets.append([second, 0])
        buckets[-1][1] += 1
        total[0] += 1
        while buckets[0][0] <= buckets[-1][0] - _SECONDS:
            total[0] -= buckets.popleft()[1]
        return total[0] > per_minute


class RetryBudget:
    """Retry tokens shared by all journeys of a process: each that ends leaves its own fifth of one, a second attempt at the
    same target takes a whole one. So retries are at most a fifth of the load, whatever the trouble is."""

    def __init__(self, most: float = 10.0) -> None:
        """`most`: what may be saved up in good times; 0: no retries out of the shared budget."""
        self._most = most
        self.tokens = 0.0

    def add(self, tokens: float) -> None:
        """Deposit, or take when negative."""
        self.tokens = min(self._most, max(0.0, self.tokens + tokens))


class FactSource:
    """Makes Facts. One a process, used by one event loop."""

    def __init__(
        self,
        policies: Policies,
        pulses: Pulses | None = None,
        cache: AnswerCache | None = None,
        classify: Callable[[str], Classification | None] = unclassified,
        quota: Quota | None = None,
        look: Look = nothing_found,
    ) -> None:
        self._look = look
        self._policies = policies
        self._pulses: Pulses = NoPulses() if pulses is None else pulses
        self._cache: AnswerCache = NoCache() if cache is None else cache
        self._classify = classify
        self._quota = Quota() if quota is None else quota
        self._newest_ms = 0
        self.share = 1.0
        """Of all requests, those that come here: a router has that of its home partitions, and so much of each quota."""

    def examined(self, request: Request) -> tuple[Request, tuple[str, ...]]:
        """Before `begin`: the request, restricted when it holds what its tenant or task type has looked for, and what it was.
        Costs nothing when the policy asks for nothing."""
        policy = self._policies.current
        return examined(request, policy, self._look) if policy.detects else (request, ())

    def at(self, now_ms: int, tenant: str) -> Facts:
        """For `begin`. Counts one request against the tenant's quota."""
        known = self._policies.current.tenants.get(tenant)
        over = known is not None and self._quota.over(tenant, math.ceil(known.requests_per_minute * self.share), now_ms)
        cache = self._cache
        return Facts(
            now_ms, self._targets(now_ms), self._classify, lambda scope: cache.lookup(scope, now_ms), over_quota=over
        )

    def later(self, now_ms: int) -> Facts:
        """For `advance` and `cancel`: the request was counted, classified and looked up when it began."""
        return Facts(now_ms, self._targets(now_ms))

    def _targets(self, now_ms: int) -> Mapping[str, TargetFacts]:
        # Partitions are read one after the other, so their times go to and fro; the pulses are of now in any case.
        self._newest_ms = max(self._newest_ms, now_ms)
        return self._pulses.facts(self._newest_ms)
