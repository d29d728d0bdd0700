"""A token bucket: so many calls a second, and so many at once after a pause."""


class Bucket:
    """Begins full. Its clock is the caller's, in seconds; about half a microsecond a call."""

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = max(1, burst)
        self._tokens = float(self._burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Takes one token and returns 0; or takes none and returns after how many seconds there is one."""
        tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._per_second) if self._at else self._tokens
        self._at = now
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0.0
        self._tokens = tokens
        return (1.0 - tokens) / self._per_second
