"""A report as people read it."""

from collections.abc import Callable, Sequence
from typing import Final

from trivium.cli.screen import console, dollars, print_table
from trivium.v1.services_pb2 import ReportLine

Column = tuple[str, Callable[[ReportLine], object]]


def _ms(value: float, known: bool) -> str:
    return f"{value:,.0f} ms" if known else "-"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


COST: Final[tuple[Column, ...]] = (
    ("requests", lambda r: r.requests),
    ("cost", lambda r: dollars(r.cost)),
    ("all-cloud", lambda r: dollars(r.all_cloud)),
    ("saved", lambda r: _share(r.all_cloud - r.cost, r.all_cloud)),
    ("p50", lambda r: _ms(r.duration_p50_ms, r.HasField("duration_p50_ms"))),
    ("p95", lambda r: _ms(r.duration_p95_ms, r.HasField("duration_p95_ms"))),
    ("input", lambda r: r.input_tokens),
    ("output", lambda r: r.output_tokens),
    ("attempts", lambda r: r.attempts),
)
PATIENCE: Final[tuple[Column, ...]] = (
    ("requests", lambda r: r.patient),
    ("missed", lambda r: r.missed),
    ("batch attempts", lambda r: r.batched),
    ("saved", lambda r: dollars(r.batch_saved)),
    ("cost of all", lambda r: dollars(r.cost)),
    ("without it", lambda r: dollars(r.cost + r.batch_saved)),
)
OPEN: Final[tuple[Column, ...]] = (
    ("not settled", lambda r: r.open_attempts),
    ("at most", lambda r: dollars(r.open_cost)),
    ("not known", lambda r: r.open_unbounded),
)
SPLIT: Final[tuple[Column, ...]] = (
    ("cost", lambda r: dollars(r.cost)),
    ("input", lambda r: dollars(r.cost_input)),
    ("context", lambda r: dollars(r.cost_context)),
    ("output", lambda r: dollars(r.cost_output)),
    ("embedding", lambda r: dollars(r.cost_embedding)),
    ("vector store", lambda r: dollars(r.cost_vector_store)),
    ("per request", lambda r: dollars(r.cost_request + r.cost_unsplit)),
)
TOKENS: Final[tuple[Column, ...]] = (
    ("input", lambda r: r.input_tokens),
    ("of it context", lambda r: r.context_tokens),
    ("of it tools", lambda r: r.tool_tokens),
    ("cache read", lambda r: r.cache_read_tokens),
    ("cache written", lambda r: r.cache_write_tokens),
    ("output", lambda r: r.output_tokens),
    ("embedding", lambda r: r.embedding_tokens),
)
TIMES: Final[tuple[Column, ...]] = (
    ("answered", lambda r: r.answered),
    ("from cache", lambda r: r.cached),
    ("p50", lambda r: _ms(r.duration_p50_ms, r.HasField("duration_p50_ms"))),
    ("p95", lambda r: _ms(r.duration_p95_ms, r.HasField("duration_p95_ms"))),
    ("TTFT p50", lambda r: _ms(r.ttft_p50_ms, r.HasField("ttft_p50_ms"))),
    ("TTFT p95", lambda r: _ms(r.ttft_p95_ms, r.HasField("ttft_p95_ms"))),
    ("TPOT p50", lambda r: f"{r.tpot_p50_us / 1000:,.2f} ms" if r.HasField("tpot_p50_us") else "-"),
    ("TPOT p95", lambda r: f"{r.tpot_p95_us / 1000:,.2f} ms" if r.HasField("tpot_p95_us") else "-"),
)
OUTCOMES: Final[tuple[Column, ...]] = (
    ("requests", lambda r: r.requests),
    ("feedback", lambda r: r.judged),
    ("resolved", lambda r: r.resolved),
    ("not", lambda r: r.unresolved),
    ("score", lambda r: f"{r.mean_score:.2f}" if r.HasField("mean_score") else "-"),
    ("corrected", lambda r: r.corrected),
    ("corrections", lambda r: dollars(r.correction_cost)),
    ("cost of a success", lambda r: dollars(r.cost_of_success) if r.HasField("cost_of_success") else "-"),
)
TABLES: Final[dict[str, tuple[str, tuple[Column, ...]]]] = {
    "cost": ("Cost", COST),
    "split": ("What it went for", SPLIT),
    "tokens": ("Tokens", TOKENS),
    "times": ("Times of answered requests", TIMES),
    "outcomes": ("What came of it", OUTCOMES),
    "patience": ("What patience saved", PATIENCE),
    "open": ("Begun and never settled", OPEN),
}


def print_report(by: Sequence[str], found: Sequence[ReportLine], columns: str) -> None:
    """One table, or all, and what there is to say about the whole."""
    total = found[-1]
    for name, (title, chosen) in TABLES.items():
        if columns == name or (columns == "all" and _worth_it(name, total)):
            rows = [(*_group(by, line), *(cell(line) for _, cell in chosen)) for line in found]
            print_table(title, [*(by or ("",)), *(head for head, _ in chosen)], rows)
    for note in notes(total, len(found) - 1):
        console().print(note, markup=False, soft_wrap=True)


def _group(by: Sequence[str], line: ReportLine) -> tuple[str, ...]:
    if line.total:
        return ("total", *[""] * (len(by) - 1))
    return tuple(value or "-" for value in line.group) or ("all",)


def notes(total: ReportLine, count: int) -> list[str]:
    """Sentences about the whole that no column holds."""
    made = []
    if not count:
        made.append("Nothing was counted in this span.")
    if total.fixed:
        made.append(f"Fixed prices of these days: {dollars(total.fixed)}, beside the cost; with them {dollars(total.cost + total.fixed)}.")
    if total.strays:
        made.append(f"{total.strays:,} outcomes came after another one had won; their {dollars(total.stray_cost)} are in the cost.")
    if total.open_attempts:
        made.append(f"{total.open_attempts:,} attempts were begun and have not settled: under way, or broken off, and then maybe paid. {_at_most(total)}")
    if total.unpriced:
        made.append(f"{total.unpriced:,} attempts used tokens and cost nothing: their target has no prices in the policy.")
    if total.cost_unsplit:
        made.append(f"{dollars(total.cost_unsplit)} were written down without saying what for.")
    if total.waiting_feedback:
        made.append(f"Feedback that waits for a request which the ledger does not know: {total.waiting_feedback:,}.")
    return made


def _worth_it(name: str, total: ReportLine) -> bool:
    """Whether a table says anything."""
    if name == "open":
        return bool(total.open_attempts or total.open_unbounded)
    return name != "patience" or bool(total.patient or total.batched)


def _at_most(total: ReportLine) -> str:
    """What the executions that never settled may have cost, a generator's own ones included."""
    if not total.open_unbounded:
        return f"They cost {dollars(total.open_cost)} at most, as it was reserved."
    if not total.open_cost:
        return "What they cost at most is not known: no budget held."
    return f"Those under a budget cost {dollars(total.open_cost)} at most, as it was reserved; of {total.open_unbounded:,} it is not known."
