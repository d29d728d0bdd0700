"""A policy file that is followed: read again when it changes, and never replaced by a worse one."""

import hashlib
from pathlib import Path

from trivium.core.errors import BadPolicy
from trivium.core.policy import Policy
from trivium.policy.load import load, parse


class PolicyFile:
    """`current` is one whole policy at any moment; readers take it once per request. Not for several threads to refresh."""

    def __init__(self, path: str | Path) -> None:
        """Raises BadPolicy: a process does not start without a policy."""
        self._path = Path(path)
        self._stamp = self._stat()
        self._current = load(self._path)
        self._seen = self._current.fingerprint

    @property
    def current(self) -> Policy:
        return self._current

    def refresh(self) -> str | None:
        """Looks whether the file has changed; cheap when it has not. What happened, in words: a new revision in force, or why the
        old one stays. The same bad content is reported once."""
        stamp = self._stat()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            content = self._path.read_bytes()
        except OSError as error:
            return self._kept(f"{self._path} cannot be read: {error.strerror or error}")
        fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()
        if fingerprint == self._seen:
            return None
        self._seen = fingerprint
        return None if fingerprint == self._current.fingerprint else self._take(content)

    def _take(self, content: bytes) -> str:
        try:
            policy = parse(content, self._path)
        except BadPolicy as error:
            return self._kept("; ".join(error.problems))
        if policy.revision <= self._current.revision:
            return self._kept(
                f"the changed file says revision {policy.revision}, it must be above {self._current.revision}"
            )
        before, self._current = self._current, policy
        return f"policy revision {policy.revision} is in force, after {before.revision}"

    def _kept(self, why: str) -> str:
        return f"policy revision {self._current.revision} stays in force: {why}"

    def _stat(self) -> tuple[int, int, int]:
        """Changes when the file is written or replaced; zeros while it is away."""
        try:
            stat = self._path.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
