"""`trivium prompts slim`: what a prompt can do without, measured."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trivium.cli.screen import console, dollars, json_option, print_json, print_table, progress, run, settings
from trivium.cli.tier_calls import Calls, TierCalls
from trivium.core.errors import TriviumError
from trivium.core.near import hint, quoted
from trivium.core.outcome import Outcome
from trivium.core.policy import Policy, Target, TaskType, Tier
from trivium.core.request import Sensitivity
from trivium.economy.edits import Ladder, changed, ladders, structured_form
from trivium.economy.fragment import points, shown, written
from trivium.economy.intervals import Interval, fewest
from trivium.economy.questions import Question, halves, read_questions
from trivium.economy.slimming import Search, Slimmed, Tried, weights_of
from trivium.policy import load, parse
from trivium.rpc.tls import read_dial
from trivium.settings import GatewaySettings, ProcessSettings, ToolSettings


class CannotMeasure(TriviumError):
    """What was asked for cannot be measured; one sentence says why and what is right."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One measurement, as the flags say it."""

    task: TaskType
    target: Target
    address: str
    calibration: list[Question]
    test: list[Question]
    ladders: list[Ladder]
    margin: float
    seed: int
    limit: int
    at_once: int
    tenant: str
    sensitivity: Sensitivity


@click.group()
def prompts() -> None:
    """What prompts cost, and what they can do without."""


@prompts.command(epilog="Example: trivium prompts slim product_question --questions examples/support/held_out/product_question.jsonl --out slim.yaml")
@click.argument("task")
@click.option("--questions", required=True, type=click.Path(path_type=Path), metavar="FILE.jsonl", help="Held-out questions with what is right.")
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), metavar="FILE", help="Default TRIVIUM_POLICY.")
@click.option("--with", "fragments", multiple=True, type=click.Path(path_type=Path), metavar="FRAGMENT", help="Begin from the policy with this fragment.")
@click.option("--target", "target_name", default="", help="Of the policy; default the first of the task's route.")
@click.option("--endpoint", metavar="HOST:PORT", help="The target's tier; default TRIVIUM_FINETUNED, TRIVIUM_RETRIEVAL or TRIVIUM_CLOUD.")
@click.option("--tenant", help="Who asks, and whose documents; default TRIVIUM_TENANT or acme.")
@click.option("--restricted", is_flag=True, help="The questions are restricted: no cloud target answers them.")
@click.option("--keep", multiple=True, metavar="TEXT", help="An instruction with this text in it is never dropped.")
@click.option("--structured", is_flag=True, help="Also try JSON of the expected labels or fields: the callers will see that form.")
@click.option("--margin", default=0.05, show_default=True, type=click.FloatRange(0.001, 0.5), help="Share of answers that may be lost at most.")
@click.option("--seed", default=7, show_default=True, help="Of the halves and the bootstrap.")
@click.option("--at-once", default=8, show_default=True, type=click.IntRange(1, 256), help="Calls at a time.")
@click.option("--limit", default="", metavar="DOLLARS", help="Spend at most this; the search ends before it.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Write the result as a fragment of the policy.")
@json_option
def slim(task: str, questions: Path, policy_path: Path | None, fragments: tuple[Path, ...], target_name: str, endpoint: str | None,
         tenant: str | None, restricted: bool, keep: tuple[str, ...], structured: bool, margin: float, seed: int, at_once: int,
         limit: str, out: Path | None, as_json: bool) -> int:  # fmt: skip
    """Find what the prompt of one TASK can do without, and measure what that saves.

    Retrieved context, few-shot examples and instructions are taken away on one half of the held-out questions as long as
    the answers stay right; the result is tested once on the other half. Every call is paid like any other. Nothing is
    applied: --out writes a fragment for an operator. Exit status 1 when nothing can be dropped with the answers kept.

    An instruction that guards against what no question asks looks useless here: --keep it."""
    path = policy_path or Path(settings(ProcessSettings).policy)
    policy = load(path, fragments)
    found, target = _task(policy, task), _target(policy, task, target_name)
    asked_by = tenant or settings(ToolSettings).tenant
    if asked_by not in policy.tenants:
        raise CannotMeasure(f"--tenant: the policy has no tenant {quoted(asked_by)}; {hint(asked_by, policy.tenants)}")
    calibration, test = _halves(questions, margin, seed)
    form = _form(calibration + test) if structured else None
    asked = Asked(
        found, target, endpoint or _address(target), calibration, test, ladders(found.spec, target, keep, form), margin, seed,
        _micro(limit), at_once, asked_by, Sensitivity.RESTRICTED if restricted else Sensitivity.INTERNAL,
    )  # fmt: skip
    if not asked.ladders:
        raise CannotMeasure(f"{task} at {target.name} has nothing that could be dropped: no retrieved context, no examples, one line of instructions")
    result = run(_search(asked, quiet=as_json))
    fragment = written(task, found.spec, result) if result.passed else ""
    if fragment:
        _check(path, fragments, fragment)
    if out is not None and fragment:
        _write(out, fragment)
    if as_json:
        print_json(_figures(task, target, result))
    else:
        _show(task, target, result, fragment, out)
    return 0 if result.passed else 1


def _task(policy: Policy, name: str) -> TaskType:
    if name not in policy.tasks:
        raise CannotMeasure(f"the policy has no task type {quoted(name)}; {hint(name, policy.tasks)}")
    return policy.tasks[name]


def _target(policy: Policy, task: str, name: str) -> Target:
    if not name:
        return (policy.tasks[task].route or policy.default_route)[0].target
    if name not in policy.targets:
        raise CannotMeasure(f"--target: the policy has no target {quoted(name)}; {hint(name, policy.targets)}")
    return policy.targets[name]


def _address(target: Target) -> str:
    at = settings(GatewaySettings)
    return {Tier.FINETUNED: at.finetuned, Tier.RETRIEVAL: at.retrieval, Tier.CLOUD: at.cloud}[target.tier]


def _halves(path: Path, margin: float, seed: int) -> tuple[list[Question], list[Question]]:
    """Both halves, large enough for the margin."""
    questions = read_questions(path)
    calibration, test = halves(questions, seed)
    if len(calibration) < fewest(margin):
        raise CannotMeasure(
            f"{path} has {len(questions)} questions: too few to see a loss of {margin:.1%}, even if no answer changed; "
            f"at least {2 * fewest(margin)} are needed, or a wider --margin"
        )
    return calibration, test


def _form(questions: list[Question]) -> Any:
    form = structured_form(questions)
    if form is None:
        raise CannotMeasure("--structured: every question must expect a label, or every one fields; the form is made of these")
    return form


def _micro(limit: str) -> int:
    from trivium.economy.money import USD, read_amount

    return read_amount(limit, USD, "--limit").rounded if limit else 0


async def _search(asked: Asked, quiet: bool) -> Slimmed:
    calls = Calls(asked.address, asked.target, asked.tenant, asked.task.timeout_ms, asked.at_once, asked.sensitivity)
    with progress() as bar:
        working = bar.add_task("answering with the prompt of today", total=None)

        def tell(tried: Any) -> None:
            if not quiet:
                bar.console.print(f"  {'kept   ' if tried.kept else 'refused'} {tried.name}{': ' + tried.why if tried.why else ''}", markup=False)
            bar.update(working, description="answering with less")

        async with TierCalls(calls, read_dial(os.environ), lambda: bar.advance(working)) as tier:
            search = Search(tier.ask_all, asked.calibration, asked.test, asked.margin, asked.seed, asked.limit, weights_of(asked.target), tell)
            return await search.slim(asked.task.spec, asked.ladders)


def _check(path: Path, fragments: tuple[Path, ...], fragment: str) -> None:
    """What is handed out is accepted by `trivium policy check`. BadPolicy otherwise."""
    parts = [(one.name, one.read_bytes()) for one in fragments]
    parse(path.read_bytes(), path, [*parts, ("the fragment", fragment.encode())])


def _write(out: Path, fragment: str) -> None:
    try:
        out.write_text(fragment, encoding="utf-8")
    except OSError as error:
        raise CannotMeasure(f"--out: {out} cannot be written: {error.strerror or error}") from None


def _show(task: str, target: Target, result: Slimmed, fragment: str, out: Path | None) -> None:
    tested = len(result.before.right)
    for title, tried in ((f"Tried on {result.calibration} questions", result.tried),
                         (f"Kept changes, one upon the other, on {tested} other questions", result.tested)):  # fmt: skip
        rows = [(one.name, "kept" if one.kept else "refused", f"{one.tokens:.0f}", one.pairs.lost,
                 one.pairs.won, one.why) for one in tried]  # fmt: skip
        print_table(title, ["change", "", "tokens", "lost", "won", ""], rows)
    print_table(f"{task} at {target.name}, on the {tested} other questions", ["of a question", "today", "slim", "saved (95 %)"], [
        *(_row(result, name, part) for name, part in _PARTS.items()),
        ("right answers", shown(result.before.quality), shown(result.after.quality), points(result.lost)),
    ])  # fmt: skip
    if result.stopped:
        click.echo(f"stopped early: {result.stopped}")
    click.echo(f"spent on measuring: {dollars(result.spent_micro_dollars)}; one answer of {tested} more or less is {100 / tested:.1f} points")
    click.echo(_verdict(result))
    if fragment:
        click.echo(f"written: {out}" if out else fragment)
        console().print("[dim]not in force: an operator puts it into the policy and raises the revision[/]")


_PARTS: dict[str, Any] = {
    "tokens": lambda o: o.usage.input_tokens + o.usage.output_tokens,
    "input tokens": lambda o: o.usage.input_tokens,
    "  of it context": lambda o: o.usage.context_tokens + o.usage.tool_tokens,
    "output tokens": lambda o: o.usage.output_tokens,
    "micro-dollars": lambda o: o.cost_micro_dollars,
}


def _row(result: Slimmed, name: str, part: Any) -> tuple[str, str, str, str]:
    saved = shown(result.saved_of(part)) if result.before.mean(part) else "-"
    return name, f"{result.before.mean(part):.1f}", f"{result.after.mean(part):.1f}", saved


def _verdict(result: Slimmed) -> str:
    if not result.tested:
        return "nothing can be dropped: every change lost answers or saved nothing"
    if not result.passed:
        return "nothing to apply: what the search found did not hold on the other questions, or saves nothing there"
    return f"saves {shown(result.saved)} of the tokens; not worse than today by more than {result.margin * 100:g} points"


def _figures(task: str, target: Target, result: Slimmed) -> dict[str, Any]:
    return {
        "task": task, "target": target.name, "passed": result.passed, "calibration": result.calibration, "tested": len(result.before.right),
        "margin": result.margin, "seed": result.seed, "spent_micro_dollars": result.spent_micro_dollars,
        "tokens_saved": _interval(result.saved), "cost_saved": _interval(result.saved_of(lambda o: o.cost_micro_dollars)),
        "input_saved": _interval(result.saved_of(lambda o: o.usage.input_tokens)),
        "context_saved": _interval(result.saved_of(_context)),
        "right_before": _interval(result.before.quality), "right_after": _interval(result.after.quality),
        "difference": _interval(result.lost), "changes": changed(result.before.spec, result.after.spec),
        "tried": [_tried(one) for one in result.tried], "path": [_tried(one) for one in result.tested],
    }  # fmt: skip


def _tried(one: Tried) -> dict[str, Any]:
    return {"change": one.name, "kept": one.kept, "tokens": round(one.tokens, 1), "lost": one.pairs.lost, "won": one.pairs.won}


def _context(outcome: Outcome) -> int:
    return outcome.usage.context_tokens + outcome.usage.tool_tokens


def _interval(interval: Interval) -> list[float]:
    return [round(interval.value, 4), round(interval.low, 4), round(interval.high, 4)]
