"""Which kinds of personal data are looked for in a request, and what finding one means: the request is restricted.

The looking itself is an adapter's (trivium/detect); doors ask it before `begin`, so that everything after sees a restricted request.
"""

from collections.abc import Callable

from trivium.core.admit import AUTO, named_task
from trivium.core.policy import Kind, Policy
from trivium.core.quick import replace
from trivium.core.request import Request, Sensitivity

Kinds = frozenset[Kind]
Look = Callable[[str, Kinds], Kinds]
"""Those of the kinds that are in the text."""


def nothing_found(_text: str, _kinds: Kinds) -> Kinds:
    """A mesh without a detector."""
    return frozenset()


def wanted(request: Request, policy: Policy) -> Kinds:
    """What is looked for: what the tenant asks for, and the task type. One that the classifier is yet to say may be any."""
    if not policy.detects or request.restricted:
        return frozenset()
    tenant = policy.tenants.get(request.identity.tenant)
    kinds = tenant.detect if tenant is not None else frozenset()
    name = named_task(request, policy.endpoints.get(request.endpoint))
    if name == AUTO:
        return kinds.union(*(task.detect for task in policy.tasks.values()))
    task = policy.tasks.get(name)
    return kinds if task is None else kinds | task.detect


def examined(request: Request, policy: Policy, look: Look) -> tuple[Request, tuple[str, ...]]:
    """The request, restricted when something was found, and what: words, never the text."""
    kinds = wanted(request, policy)
    if not kinds:
        return request, ()
    found = look("\n".join(_texts(request)), kinds)
    if not found:
        return request, ()
    return replace(request, sensitivity=Sensitivity.RESTRICTED), tuple(sorted(kind.value for kind in found))


def _texts(request: Request) -> list[str]:
    """All that a model is given to read: every turn, and the arguments of calls."""
    return [
        part for message in request.messages for part in (message.text, *(call.arguments_json for call in message.tool_calls))
    ]
