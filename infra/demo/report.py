"""The report of a run, for people."""

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from infra.demo.requests import Asked
from infra.demo.tally import TIERS, Tally, percentile
from trivium.cli.screen import dollars
from trivium.core.outcome import Terminal, Verdict
from trivium.core.policy import Policy

ROADS = (*TIERS, "cache")


def print_report(console: Console, tally: Tally, asked: list[Asked], policy: Policy) -> None:
    """Everything but the trace, top down: who answered, what it cost, what was saved, what went wrong."""
    console.rule("[bold]What the mesh did")
    console.print(_roads(tally))
    console.print(_money(tally, policy))
    console.print(_events(tally))
    console.print(_kinds(tally, asked))
    questions = {str(one.identity): one.question for one in asked if one.identity}
    _print_refused_candidates(console, tally, questions)
    _print_letters(console, tally)
    _print_cited(console, tally, questions)


def verdict(tally: Tally) -> str:
    """The last line: whether the promise was kept."""
    if tally.whole:
        return f"[green]Every one of {len(tally.expected)} identities got exactly one terminal; " \
               f"{len(tally.unreadable)} unreadable records are in the dead letter topic.[/]"  # fmt: skip
    return f"[red]{len(tally.missing)} missing, {tally.duplicates} twice: {', '.join(tally.missing[:10])}[/]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _roads(tally: Tally) -> Table:
    table = _table("Answered by", "tier", "requests", "share of model answers", "cost", "p50 ms", "p95 ms", "TTFT p50 ms")
    by_tier, shares = tally.by_tier(), tally.shares()
    for tier in ROADS:
        terminals = by_tier.get(tier, [])
        times = tally.durations(terminals)
        ttft = sorted(t.ttft_ms for t in terminals if t.ttft_ms is not None)
        share = f"{shares[tier]:.1%}" if tier in shares else "-"
        cost = dollars(sum(t.cost_micro_dollars for t in terminals))
        table.add_row(tier, str(len(terminals)), share, cost, str(percentile(times, 0.5)), str(percentile(times, 0.95)),
                      str(percentile(ttft, 0.5)) if ttft else "-")  # fmt: skip
    return table


def _money(tally: Tally, policy: Policy) -> Table:
    cost, all_cloud = tally.cost(), tally.all_cloud()
    usage = [t.usage for t in tally.terminals.values()]
    table = _table("Money (stand-ins count real tokens at the policy's prices)", "", "")
    table.add_row("this run", dollars(cost))
    table.add_row(f"all of it on {policy.reference_target}", dollars(all_cloud))
    table.add_row("saved", f"{1 - cost / all_cloud:.1%}" if all_cloud else "-")
    table.add_row("fixed a month, beside it", dollars(sum(t.prices.fixed_per_month for t in policy.targets.values())))
    table.add_row("input tokens", f"{sum(u.input_tokens for u in usage):,}")
    table.add_row("  of it retrieved context", f"{sum(u.context_tokens for u in usage):,}")
    table.add_row("  of it tool results", f"{sum(u.tool_tokens for u in usage):,}")
    table.add_row("output tokens", f"{sum(u.output_tokens for u in usage):,}")
    return table


def _events(tally: Tally) -> Table:
    table = _table("On the way", "", "")
    hits = tally.by_tier().get("cache", [])
    exact = sum(t.cache is not None and t.cache.kind == "exact" for t in hits)
    verdicts = tally.verdicts()
    table.add_row("cache hits, exact", str(exact))
    table.add_row("cache hits, semantic", str(len(hits) - exact))
    table.add_row("cache candidates refused", str(sum(len(t.refused_candidates) for t in tally.terminals.values())))
    table.add_row("fallbacks (no answer came)", str(verdicts[Verdict.FELL_BACK]))
    table.add_row("escalations (answer below its bar)", str(verdicts[Verdict.ESCALATED]))
    for kind, count in sorted(tally.kinds().items()):
        table.add_row(f"terminals: {kind}", str(count))
    table.add_row("dead letters", str(len(tally.letters)))
    return table


def _kinds(tally: Tally, asked: Iterable[Asked]) -> Table:
    table = _table("By kind of request", "kind", "asked", *ROADS, "not answered")
    rows: dict[str, Counter[str]] = {}
    for one in asked:
        row = rows.setdefault(one.kind, Counter())
        row["asked"] += 1
        terminal = tally.terminals.get(one.identity) if one.identity else None
        row[terminal.tier if terminal and terminal.tier else "not answered"] += 1
    for kind, row in rows.items():
        table.add_row(kind, *(str(row[column]) for column in ("asked", *ROADS, "not answered")))
    return table


def _print_refused_candidates(console: Console, tally: Tally, questions: Mapping[str, str]) -> None:
    found = [(t, c) for t in tally.terminals.values() for c in t.refused_candidates]
    nearest = sorted(found, key=lambda pair: -pair[1].similarity)[:6]
    if nearest:
        table = _table("The nearest cached questions that were refused", "asked", "cached", "similarity", "score", "why not")
        for t, c in nearest:
            table.add_row(questions.get(str(t.identity), ""), c.question, f"{c.similarity:.2f}", f"{c.score:.2f}", c.why)
        console.print(table)


def _print_letters(console: Console, tally: Tally) -> None:
    if not tally.letters:
        return
    table = _table("Dead letters", "reason", "where", "what was wrong", "what would be right")
    for letter in tally.letters.values():
        table.add_row(letter.reason.code, letter.reason.field or letter.id, letter.reason.message[:90], letter.reason.hint[:60])
    console.print(table)


def cited(tally: Tally) -> Terminal | None:
    """The surest answer with a citation."""
    found = [t for t in tally.by_tier().get("retrieval", []) if t.answer and t.answer.citations]
    return max(found, key=lambda t: (t.answer and t.answer.confidence) or 0.0, default=None)


def _print_cited(console: Console, tally: Tally, questions: Mapping[str, str]) -> None:
    terminal = cited(tally)
    if terminal is None or terminal.answer is None:
        return
    console.print("[bold]One cited answer")
    console.print(f"  asked     {questions.get(str(terminal.identity), '')}", markup=False)
    console.print(f"  answered  {terminal.answer.text}", markup=False)
    for c in terminal.answer.citations:
        console.print(f"  [{c.number}]       {c.document} > {c.section}, version {c.version}", markup=False)
    console.print(f"  confidence {terminal.answer.confidence or 0:.2f}, {dollars(terminal.cost_micro_dollars)}\n", markup=False)
