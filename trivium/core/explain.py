"""A decision in words: what each stage said, what each attempt came to, what it cost."""

from collections.abc import Iterator

from trivium.core.decision import Decision
from trivium.core.outcome import Attempt, FaultKind, Terminal, TerminalKind, Verdict

VERDICTS = {
    Verdict.OPEN: "is still open",
    Verdict.ACCEPTED: "accepted",
    Verdict.ESCALATED: "not good enough, up",
    Verdict.FELL_BACK: "no answer, on to the next",
    Verdict.FAILED: "no answer, and nothing was left",
}

OVER_BUDGET = {Verdict.FELL_BACK: "on to what costs less", Verdict.FAILED: "and nothing else was asked"}


def explain(decision: Decision, terminal: Terminal) -> tuple[str, ...]:
    """Lines for a terminal screen, from what the ledger keeps: neither prompt nor answer text is needed."""
    return (
        _headline(terminal),
        f"decided by policy revision {decision.policy_revision}"
        + (f", task type {decision.task_type}" if decision.task_type else "")
        + (f", about {decision.prompt_tokens} tokens of prompt" if decision.prompt_tokens else ""),
        *(f"  {line.stage}: {line.text}" for line in decision.lines),
        *(f"  forbidden by {taken.by.value}: {taken.target}: {taken.why}" for taken in decision.forbidden),
        *_attempts(terminal),
        *(
            f"  near in the cache, refused: {r.why} (similarity {r.similarity:.2f})"
            for r in terminal.refused_candidates
        ),
        *_money(terminal),
    )


def dollars(micro: int) -> str:
    """Exact: 1234 -> $0.001234."""
    sign = "-" if micro < 0 else ""
    return f"{sign}${abs(micro) // 1_000_000}.{abs(micro) % 1_000_000:06d}"


def plain_dollars(micro: int) -> str:
    """Exact, without the zeros that nobody reads: 250000000 -> $250.00, 1234 -> $0.001234."""
    whole, rest = dollars(micro).split(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"


def _headline(terminal: Terminal) -> str:
    took = terminal.ended_ms - terminal.arrived_ms
    if terminal.kind is TerminalKind.ANSWERED:
        where = f"from the cache, made for {terminal.cache.made_for}" if terminal.cache else f"by {terminal.target}"
        return f"{terminal.identity}: answered {where}, after {took} ms"
    reason = terminal.reason
    if reason is None:
        return f"{terminal.identity}: {terminal.kind.value} after {took} ms"
    field = f" in {reason.field}" if reason.field else ""
    advice = f" ({reason.hint})" if reason.hint else ""
    return f"{terminal.identity}: {terminal.kind.value} after {took} ms, {reason.code.value}{field}: {reason.message}{advice}"


def _attempts(terminal: Terminal) -> Iterator[str]:
    for attempt in terminal.attempts:
        yield f"  attempt {attempt.number} at {attempt.target}: {_result(attempt)}; {_spent(attempt)}"
        for use in attempt.tool_uses:
            yield f"    tool {use.name}: {use.calls} calls, {use.tokens} tokens, {dollars(use.cost_micro_dollars)}, {use.duration_ms} ms"


def _result(attempt: Attempt) -> str:
    said = VERDICTS[attempt.verdict]
    if attempt.fault is not None and attempt.fault.kind is FaultKind.OVER_BUDGET:
        return f"not called, {attempt.fault.message or 'a budget has too little left'}; {OVER_BUDGET.get(attempt.verdict, said)}"
    if attempt.fault is not None:
        return (
            f"{attempt.fault.kind.value}"
            + (f" ({attempt.fault.message})" if attempt.fault.message else "")
            + f", {said}"
        )
    sure = "" if attempt.confidence is None else f", confidence {attempt.confidence:.2f}"
    return said + sure + (f", {attempt.why}" if attempt.why else "")


def _spent(attempt: Attempt) -> str:
    usage = attempt.usage
    parts = [f"{attempt.duration_ms} ms", f"{usage.input_tokens} tokens in", f"{usage.output_tokens} out"]
    if usage.context_tokens:
        parts.append(f"{usage.context_tokens} of them retrieved")
    return ", ".join([*parts, dollars(attempt.cost_micro_dollars)])


def _money(terminal: Terminal) -> Iterator[str]:
    spared = terminal.all_cloud_micro_dollars - terminal.cost_micro_dollars
    yield f"cost {dollars(terminal.cost_micro_dollars)}" + (
        f"; all in the cloud {dollars(terminal.all_cloud_micro_dollars)}, so {dollars(spared)} "
        + ("were saved" if spared >= 0 else "more were paid")
        if terminal.all_cloud_micro_dollars
        else ""
    )
