"""The error tree. Inside, errors are raised; at a boundary they become values (a Reason, a Fault, a status).

TriviumError
+-- BadRequest           the caller's record is wrong; carries the Reason that the caller is told
|   +-- Undecodable      not even an identity could be read: dead letter only
+-- BadPolicy            policy.yaml is wrong: every problem with line and field
+-- BadSetting           a TRIVIUM_ variable is wrong or unknown
+-- VendorFault          a backend did not answer; carries the Fault
+-- Unreachable          a broker, port or peer is not there
"""

from trivium.core.outcome import Fault, Reason
from trivium.core.request import Identity


class TriviumError(Exception):
    """Root of everything that Trivium raises on purpose."""


class BadRequest(TriviumError):
    """The request cannot be accepted; `reason` says what, where, and what is right."""

    def __init__(self, reason: Reason, identity: Identity | None = None) -> None:
        super().__init__(reason.message)
        self.reason = reason
        self.identity = identity
        """Who can be told; None when it could not be read."""


class Undecodable(BadRequest):
    """The record has no readable identity, so nobody can be answered."""


class BadPolicy(TriviumError):
    """The policy file as a whole is refused; `problems` are lines like `policy.yaml:12: tasks.draft.route: ...`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BadSetting(TriviumError):
    """One sentence about a TRIVIUM_ variable."""


class VendorFault(TriviumError):
    """A call of a backend ended without a whole answer; `fault` goes into the outcome.

    `cost_known` usage may have been spent before the fault; the tier adds it from the stream."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.kind.value}: {fault.message}")
        self.fault = fault


class Unreachable(TriviumError):
    """A server that must be there is not; the message is one sentence for an operator."""


class BatchRefused(TriviumError):
    """Nothing of a batch was taken. `again`: the same batch may be taken later."""

    def __init__(self, fault: Fault, again: bool) -> None:
        super().__init__(f"{fault.kind.value}: {fault.message}")
        self.fault = fault
        self.again = again


class BatchUnsure(TriviumError):
    """Nobody knows whether a batch was taken."""


class BatchGone(TriviumError):
    """A batch is not there, or no longer."""
