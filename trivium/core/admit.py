"""Stage 1: whether a request may come in at all. Everything that it refuses, it refuses with what would be right.

Which work it is: at least one of `endpoint`, `task_type` and `target` is given. All three may be, when they agree: the
endpoint's task type is the task type (the endpoint `auto` agrees with any), and the endpoint's target is the target. A
target alone is answered as novel work is, by that target.
"""

import json
from dataclasses import dataclass
from typing import NoReturn

from trivium.core.errors import BadRequest
from trivium.core.near import hint, quoted
from trivium.core.outcome import Reason, ReasonCode
from trivium.core.policy import Endpoint, Policy, Target, TaskType, Tenant
from trivium.core.prompt import prompt_bytes
from trivium.core.quick import quick
from trivium.core.request import OutputKind, Request, Role

AUTO = "auto"
"""The word for a task type that the classifier says."""
LONGEST_ID = 512
HOTTEST = 2.0


@quick
@dataclass(frozen=True, slots=True)
class Admitted:
    """What a request asks for, with its names looked up. `task` is None when the classifier is to say it."""

    tenant: Tenant
    task: TaskType | None
    pinned: Target | None
    reply_topic: str
    size_bytes: int


def admit(request: Request, policy: Policy) -> Admitted:
    """Raises BadRequest with the first thing that is wrong."""
    tenant = _tenant(request, policy)
    reply_topic = _reply_topic(request, tenant)
    endpoint = _endpoint(request, policy)
    pinned = _pinned(request, endpoint, policy)
    task = _task(request, endpoint, pinned, policy)
    _corpus(request, tenant)
    _form(request)
    limit = (
        max((t.max_prompt_bytes for t in policy.tasks.values()), default=0) if task is None else task.max_prompt_bytes
    )
    size = admit_alike(request, limit, "any task type" if task is None else task.spec.name, policy)
    return Admitted(tenant, task, pinned, reply_topic, size)


def admit_alike(request: Request, limit: int, name: str, policy: Policy) -> int:
    """What is asked of every request, even when one like it (the same names, the same wishes) was admitted before: the
    size of its prompt in bytes. Raises BadRequest."""
    _id(request.identity.id)
    size = _messages(request)
    check_size(size, limit, name)
    _timeout(request, policy)
    return size


def check_size(size: int, limit: int, name: str) -> None:
    """Raises BadRequest when a prompt has more bytes than its task type takes."""
    if size > limit:
        refuse(
            ReasonCode.PROMPT_TOO_LARGE,
            f"the prompt has {size} bytes, {name} takes at most {limit}",
            "messages",
            "shorten it, or split it into several requests",
        )


def novel_task(policy: Policy) -> TaskType:
    """How work is answered that is of no task type: the policy's novel spec, never cached, with the default limits."""
    return TaskType(policy.novel_spec, policy.novel_route)


def reply_topic_of(request: Request, policy: Policy) -> str:
    """Where to tell the caller what was wrong: its own topic when it may have that, else the tenant's first, else empty."""
    tenant = policy.tenants.get(request.identity.tenant)
    if tenant is None:
        return ""
    return request.reply_to if request.reply_to in tenant.reply_topics else next(iter(tenant.reply_topics), "")


def refuse(code: ReasonCode, message: str, field: str, advice: str = "") -> NoReturn:
    raise BadRequest(Reason(code, message, field, advice))


def _tenant(request: Request, policy: Policy) -> Tenant:
    identity = request.identity
    if not identity.tenant:
        refuse(ReasonCode.MISSING_FIELD, "no tenant", "tenant", "say who asks: " + hint("", policy.tenants))
    _id(identity.id)
    tenant = policy.tenants.get(identity.tenant)
    if tenant is None:
        refuse(
            ReasonCode.UNKNOWN_TENANT,
            f"no tenant {quoted(identity.tenant)}",
            "tenant",
            "the policy lists the tenants; names are compared letter by letter",
        )
    return tenant


def _id(given: str) -> None:
    if not given:
        refuse(ReasonCode.MISSING_FIELD, "no id", "id", "choose an id; the same id is the same request")
    if len(given) > LONGEST_ID:
        refuse(ReasonCode.WRONG_SHAPE, f"the id has {len(given)} characters", "id", f"at most {LONGEST_ID}")


def _reply_topic(request: Request, tenant: Tenant) -> str:
    if not request.reply_to:
        return next(iter(tenant.reply_topics), "")
    if request.reply_to not in tenant.reply_topics:
        refuse(
            ReasonCode.BAD_REPLY_TOPIC,
            f"{quoted(request.reply_to)} is not a reply topic of {tenant.name}",
            "reply_to",
            hint(request.reply_to, tenant.reply_topics),
        )
    return request.reply_to


def _endpoint(request: Request, policy: Policy) -> Endpoint | None:
    if not request.endpoint:
        if not request.task_type and not request.target:
            refuse(
                ReasonCode.MISSING_FIELD,
                "nothing says what kind of work it is",
                "endpoint",
                "give an endpoint, a task_type or a target; " + hint("", policy.endpoints),
            )
        return None
    endpoint = policy.endpoints.get(request.endpoint)
    if endpoint is None:
        refuse(
            ReasonCode.UNKNOWN_ENDPOINT,
            f"no endpoint {quoted(request.endpoint)}",
            "endpoint",
            hint(request.endpoint, policy.endpoints),
        )
    return endpoint


def _pinned(request: Request, endpoint: Endpoint | None, policy: Policy) -> Target | None:
    fixed = endpoint.target if endpoint else ""
    name = request.target or fixed
    if not name:
        return None
    target = policy.targets.get(name)
    if target is None:
        refuse(ReasonCode.UNKNOWN_TARGET, f"no target {quoted(name)}", "target", hint(name, policy.targets))
    if fixed and name != fixed:
        refuse(
            ReasonCode.WRONG_SHAPE,
            f"endpoint {request.endpoint} is answered by {fixed}, not by {name}",
            "target",
            "leave the target out, or take another endpoint",
        )
    return target


def named_task(request: Request, endpoint: Endpoint | None) -> str:
    """The task type that a request names, itself or by its endpoint; AUTO when the classifier is to say, empty when nothing does."""
    if request.task_type not in ("", AUTO):
        return request.task_type
    return (endpoint.task_type if endpoint else "") or request.task_type


def _task(request: Request, endpoint: Endpoint | None, pinned: Target | None, policy: Policy) -> TaskType | None:
    said = endpoint.task_type if endpoint else ""
    name = named_task(request, endpoint)
    if name == AUTO:
        return None
    if not name and pinned is not None:
        return novel_task(policy)
    task = policy.tasks.get(name)
    if task is None:
        refuse(
            ReasonCode.UNKNOWN_TASK_TYPE, f"no task type {quoted(name)}", "task_type", hint(name, (AUTO, *policy.tasks))
        )
    if said not in ("", AUTO, name):
        refuse(
            ReasonCode.WRONG_SHAPE,
            f"endpoint {request.endpoint} is for {said}, not for {name}",
            "task_type",
            "leave one of the two out",
        )
    return task


def _corpus(request: Request, tenant: Tenant) -> None:
    if request.corpus and request.corpus not in tenant.corpora:
        refuse(
            ReasonCode.UNKNOWN_CORPUS,
            f"{tenant.name} has no corpus {quoted(request.corpus)}",
            "corpus",
            hint(request.corpus, tenant.corpora),
        )


def _messages(request: Request) -> int:
    """The size in bytes."""
    question = request.question
    if not question or question.isspace():
        refuse(
            ReasonCode.EMPTY_PROMPT, "nothing is asked", "messages", "a message of role user with a text, or a prompt"
        )
    if any(message.role is Role.TOOL and not message.tool_call_id for message in request.messages):
        refuse(
            ReasonCode.WRONG_SHAPE, "a tool message answers no call", "messages", "set tool_call_id to the call's id"
        )
    return prompt_bytes(request)


def _form(request: Request) -> None:
    output = request.output
    if output is not None and output.schema_json:
        if output.kind is not OutputKind.JSON:
            refuse(ReasonCode.WRONG_SHAPE, "a schema was given for text", "output.kind", "set kind to json")
        _schema(output.schema_json, "output.schema_json")
    for i, tool in enumerate(request.tools):
        if not tool.name:
            refuse(ReasonCode.MISSING_FIELD, "a tool without a name", f"tools[{i}].name", "name it")
        if tool.parameters_json:
            _schema(tool.parameters_json, f"tools[{i}].parameters_json")
    if request.temperature is not None and not 0.0 <= request.temperature <= HOTTEST:
        refuse(ReasonCode.WRONG_SHAPE, f"temperature is {request.temperature}", "temperature", f"from 0 to {HOTTEST:g}")


def _schema(text: str, field: str) -> None:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        refuse(ReasonCode.BAD_SCHEMA, f"not JSON: {message}", field, "a JSON Schema as text")
    if not isinstance(schema, dict):
        refuse(ReasonCode.BAD_SCHEMA, "not a JSON object", field, 'a JSON Schema as text, such as {"type": "object"}')


def _timeout(request: Request, policy: Policy) -> None:
    timeout = request.timeout_ms
    if timeout is not None and not 0 < timeout <= policy.max_timeout_ms:
        refuse(
            ReasonCode.BAD_TIMEOUT,
            f"timeout_ms is {timeout}",
            "timeout_ms",
            f"from 1 to {policy.max_timeout_ms}, or leave it out for the task type's own",
        )
