"""Which work may wait, for what, and how long.

Batch work costs less, or goes to hours in which nobody else needs the hardware. It is worth it only while a normal call still
fits afterwards, whatever becomes of the batch:

    now ............ until ........ attempt's deadline ........ deadline
        may wait            |  call_ms  |            call_ms

At `until` the work is pulled back; when even that did not happen (nobody runs the batches), its attempt is overdue one call later,
and a normal call still fits into what is left.
"""

from typing import Final

from trivium.core.policy import Patience, Policy, Target, Window
from trivium.core.request import Priority, Request
from trivium.core.slip import Wait

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * HOUR_MS
CALLS: Final = 2
"""Normal calls that must fit after the pull-back: one that is lost, and one that is made."""


def waits(
    request: Request, target: Target, policy: Policy, now_ms: int, deadline_ms: int, asks: bool = False
) -> tuple[Target, Wait] | str | None:
    """The target with its batch prices, and how long work for it may wait. A text: why a request that asks to be batch work
    is not. None: it does not ask. `asks`: whatever its priority is."""
    patience = policy.patience
    if patience is None:
        return None
    asks = asks or request.priority is Priority.BATCH
    slack = patience.min_slack_ms
    left = deadline_ms - now_ms
    if not asks and (request.priority is not Priority.NORMAL or not slack or left < slack):
        return None
    why = _forbidden(request, target, policy)
    if why:
        return why if asks else None
    least = (CALLS + 1) * patience.call_ms
    if left < least:
        return f"{left} ms are left, batch work needs {least}" if asks else None
    return _window(patience, target, now_ms, deadline_ms - CALLS * patience.call_ms, asks)


def batch_timeout_ms(request: Request, policy: Policy, own_ms: int) -> int:
    """The timeout of a request that names none and whose caller does not wait."""
    patience = policy.patience
    if patience is None or not patience.timeout_ms or request.priority is not Priority.BATCH:
        return own_ms
    return max(own_ms, patience.timeout_ms)


def attempt_deadline(deadline_ms: int, policy: Policy) -> int:
    """Epoch ms, one normal call before the request's own."""
    assert policy.patience is not None
    return deadline_ms - policy.patience.call_ms


def opens_ms(window: Window, now_ms: int) -> int:
    """When the window opens next, epoch ms; `now_ms` when it is open."""
    minute = now_ms % DAY_MS // MINUTE_MS
    since, until = window.since_min, window.until_min
    is_open = since <= minute < until if since < until else minute >= since or minute < until
    if is_open:
        return now_ms
    midnight = now_ms - now_ms % DAY_MS
    today = midnight + since * MINUTE_MS
    return today if today > now_ms else today + DAY_MS


def words(target: str, wait: Wait, now_ms: int) -> str:
    """The line that a decision says of it."""
    until = f"pulled back to a normal call after {wait.until_ms - now_ms} ms at the latest"
    if wait.from_ms:
        return f"{target} is left until off-peak hours begin in {wait.from_ms - now_ms} ms, {until}"
    return f"{target} gets it as batch work, {until}"


def _forbidden(request: Request, target: Target, policy: Policy) -> str:
    assert policy.patience is not None
    if target.name not in policy.patience.targets:
        return f"{target.name} takes no batch work"
    tenant = policy.tenants.get(request.identity.tenant)
    if tenant is None or tenant.zero_retention:
        return "nothing of this tenant may be kept, so it is no batch work"
    return ""


def _window(
    patience: Patience, target: Target, now_ms: int, until_ms: int, asks: bool
) -> tuple[Target, Wait] | str | None:
    priced = patience.targets[target.name]
    window = patience.windows.get(target.name)
    if window is None:
        return priced, Wait(0, until_ms, target.prices)
    opens = opens_ms(window, now_ms)
    if opens == now_ms:
        return "off-peak hours are now" if asks else None
    if opens >= until_ms:
        return "off-peak hours begin too late for it" if asks else None
    return priced, Wait(opens, until_ms, target.prices)
