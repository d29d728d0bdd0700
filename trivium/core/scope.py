"""Stage 5: under what an answer may be reused, if at all.

The scope's hash covers who (tenant; subject where the answers are about someone), what shapes the answer (system prompt,
form, lengths, corpus, and the targets that may write it), and the earlier turns; the last question is what is compared.
"""

from trivium.core import draw
from trivium.core.outcome import Answer, Finish, Verdict
from trivium.core.policy import CacheRule, Route, Target, TaskSpec, TaskType
from trivium.core.request import CacheUse, Request, Role
from trivium.core.slip import CacheScope, Journey


def scope_of(request: Request, spec: TaskSpec, task: TaskType, route: Route) -> CacheScope | str:
    """The scope, or in words why there is none. `spec` and `route`: the task's, or what this request makes of them."""
    rule = task.cache
    why = _uncacheable(request, rule)
    if why or rule is None:
        return why
    question = request.question
    known = task.shape and spec is task.spec and same_targets(route, task.route)
    shape = task.shape if known else shape_of(spec, route)
    parts = [request.identity.tenant, request.subject if rule.by_subject else "", shape]
    for message in request.messages[:-1]:
        parts += (message.role.value, message.text, message.tool_call_id, str(len(message.tool_calls)))
    return CacheScope(
        hash=draw.digest(parts),
        question=question,
        semantic=rule.semantic,
        read=request.cache is CacheUse.USE,
        write=True,
        ttl_s=rule.ttl_s,
        corpus=(request.corpus or rule.corpus) if rule.corpus else "",
    )


def shape_of(spec: TaskSpec, route: Route) -> str:
    """Hash of what shapes the answers: prompt, examples, form, lengths, corpus, and the targets that may write them."""
    examples = [(example.input, example.output) for example in spec.examples]
    return draw.digest((
        (spec.name, spec.system, spec.output.kind.value, spec.output.schema_json, spec.max_output_tokens, spec.temperature),
        (spec.corpus, spec.search_documents, spec.passages, spec.context_budget_tokens, spec.relevance_cut),
        [_writers(leg.target) for leg in route],
        *([examples] if examples else []),
        *([spec.sentence_cut] if spec.sentence_cut else []),
    ))  # fmt: skip


def same_targets(one: Route, other: Route) -> bool:
    """Whether two routes have the very same targets in the same order, whatever their bars."""
    if one is other:
        return True
    return len(one) == len(other) and all(a.target is b.target for a, b in zip(one, other, strict=True))


def writable(journey: Journey, answer: Answer) -> CacheScope | None:
    """The scope when this accepted answer may be written: whole, not a fallback, above its bar, built on known documents."""
    scope = journey.cache
    if scope is None or not scope.write or answer.finish is not Finish.STOP or answer.tool_calls:
        return None
    if any(attempt.verdict in (Verdict.FELL_BACK, Verdict.FAILED) for attempt in journey.attempts):
        return None
    if answer.not_found and not scope.corpus:
        return None
    return scope


def _uncacheable(request: Request, rule: CacheRule | None) -> str:
    if request.restricted:
        return "restricted requests are not cached"
    if request.cache is CacheUse.BYPASS:
        return "the caller bypasses the cache"
    if rule is None:
        return "the task type is not cached"
    if request.tools:
        return "answers that may call the caller's tools are not cached"
    if rule.by_subject and not request.subject:
        return "the answers are about someone, and no subject is given"
    if request.messages[-1].role is not Role.USER:
        return "the last turn is not the user's"
    return ""


def _writers(target: Target) -> tuple[str, ...]:
    own = ("target", target.name, target.model, target.adapter)
    return own if target.generator is None else own + _writers(target.generator)
