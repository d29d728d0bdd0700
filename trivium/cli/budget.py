"""`trivium budget`: what each budget has, what is spent, who holds the rest, and when it runs out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from trivium.cli.log import everything
from trivium.cli.screen import console, json_option, kafka_option, print_json, print_table, run, settings
from trivium.codec.budgets import budget_record_from
from trivium.core.budget import Key, Rules, period_end_ms, period_of, rule_name
from trivium.core.budget_fold import Account, Share, State
from trivium.core.explain import plain_dollars
from trivium.core.forecast import is_current, percent_of, runs_out_ms, standing_of
from trivium.core.near import hint, quoted
from trivium.core.policy import EACH, Budget, Period
from trivium.kafka.topics import BUDGET
from trivium.settings import KafkaSettings

MOST = 50
LABELS = ("tenant", "team", "application", "use_case", "end_user")
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Line:
    """One budget in one period, as of `now_ms`."""

    key: Key
    rule: Budget | None
    share: Share
    accounts: tuple[Account, ...]
    now_ms: int

    @property
    def percent(self) -> int:
        return percent_of(self.share.limit, self.share.spent)

    @property
    def used_up(self) -> bool:
        return self.rule is not None and self.share.spent >= self.share.limit

    @property
    def runs_out(self) -> int | None:
        return None if self.rule is None else runs_out_ms(standing_of(self.key, self.rule, self.share.spent), self.now_ms)

    @property
    def open(self) -> tuple[Account, ...]:
        """The accounts of those that still pay."""
        return tuple(account for account in self.accounts if not account.closed)


@click.command(epilog="Example: trivium budget acme-month --json")
@click.argument("name", required=False)
@click.option("--past", is_flag=True, help="Also days and months that are over, as long as the topic keeps them.")
@click.option("--most", default=MOST, show_default=True, metavar="N", help="How many are shown, those nearest to their end first; 0: all.")
@kafka_option
@json_option
def budget(name: str | None, past: bool, most: int, kafka: str | None, as_json: bool) -> int:
    """Every budget by what the log says: limit, spent, reserved, free, and when it runs out at the pace of its period.

    NAME is a budget of the policy, or one of its parts ("each-team/acme/support"): then its holders are shown too. Exit status 1
    when a budget that is shown is used up, or none is named so."""
    at = settings(KafkaSettings, kafka=kafka)
    state = run(_folded(at))
    now_ms = time.time_ns() // 1_000_000
    lines = sorted(_lines(state, name, past, now_ms), key=lambda line: (-line.percent, line.key))
    if name and not lines:
        click.echo(f"no budget {quoted(name)}; {hint(name, sorted({*state.rules, *(key[0] for key in state.pots)}))}", err=True)
        return 1
    if as_json:
        for line in lines:
            print_json(_record(line))
    else:
        _print(lines, most, bool(name), state)
    return int(any(line.used_up for line in lines))


async def _folded(kafka: KafkaSettings) -> State:
    state = State()
    async for record in everything(kafka, BUDGET):
        if record.partition:
            continue
        told = budget_record_from(record.value)
        if isinstance(told, Rules):
            state.take_rules(told, record.timestamp_ms)
        elif told is not None:
            state.take_account(told, record.timestamp_ms)
    return state


def _lines(state: State, name: str | None, past: bool, now_ms: int) -> Iterator[Line]:
    """What the fold knows, and budgets that nobody has paid from yet."""
    keys = {*state.pots, *((rule.name, period_of(rule.period, now_ms)) for rule in state.rules.values() if not _split(rule))}
    for key in keys:
        rule = state.rules.get(rule_name(key[0]))
        if (name and name not in (key[0], rule_name(key[0]))) or not (past or is_current(key[1], now_ms)):
            continue
        if rule is not None and _split(rule) != ("/" in key[0]):
            rule = None
        pot = state.pots.get(key)
        accounts = () if pot is None else tuple(pot.accounts.values())
        yield Line(key, rule, state.share(key), accounts, now_ms)


def _split(rule: Budget) -> bool:
    return any(getattr(rule, label) == EACH for label in LABELS)


def _print(lines: list[Line], most: int, holders: bool, state: State) -> None:
    if not state.rules and not lines:
        console().print("No budgets: the policy names none, or no router or gateway has read it yet (docs/policy.md).")
        return
    shown = lines[:most] if most else lines
    head = ["budget", "period", "kind", "limit", "spent", "reserved", "free", "used", "runs out", "holders"]
    print_table("Budgets", head, [_cells(line) for line in shown])
    if len(lines) > len(shown):
        console().print(f"{len(lines) - len(shown)} more are further from their end; --most 0 shows all.")
    unused = [rule.name for rule in state.rules.values() if _split(rule) and not any(rule_name(line.key[0]) == rule.name for line in lines)]
    if unused and not holders:
        console().print(f"Nobody has paid from {', '.join(unused)} yet.")
    if holders:
        head = ["budget", "holder", "has", "spent", "state", "last told"]
        print_table("Holders", head, [_held(line, account) for line in shown for account in line.accounts])


def _cells(line: Line) -> tuple[object, ...]:
    share = line.share
    kind = "no rule any more" if line.rule is None else "hard" if line.rule.hard else "soft"
    limit, free = (plain_dollars(share.limit), plain_dollars(share.free)) if line.rule is not None else ("-", "-")
    used = f"{line.percent} %" if line.rule is not None else "-"
    return (*line.key, kind, limit, plain_dollars(share.spent), plain_dollars(share.reserved), free, used, _when(line), len(line.open))


def _when(line: Line) -> str:
    """Of a month the day, of a day the time by UTC."""
    at_ms = line.runs_out
    if line.used_up:
        return "used up"
    if at_ms is None or line.rule is None:
        return "-"
    if line.rule.period is Period.MONTH:
        return period_of(Period.DAY, at_ms)
    minute = at_ms // _MINUTE_MS % 1_440
    return f"{minute // 60:02}:{minute % 60:02} UTC"


def _held(line: Line, account: Account) -> tuple[object, ...]:
    last = account.last
    seconds = max(0, line.now_ms - last.at_ms) // 1000
    closed = f"closed by {last.by}" if account.closed else "open"
    return line.key[0], last.holder, plain_dollars(account.most), plain_dollars(account.spent), closed, f"{seconds} s ago"


def _record(line: Line) -> dict[str, Any]:
    share, rule = line.share, line.rule
    return {
        "budget": line.key[0],
        "period": line.key[1],
        "period_ends_ms": period_end_ms(line.key[1]),
        "hard": None if rule is None else rule.hard,
        "over": None if rule is None else rule.over.value,
        "limit_micro_dollars": None if rule is None else share.limit,
        "spent_micro_dollars": share.spent,
        "reserved_micro_dollars": share.reserved,
        "free_micro_dollars": None if rule is None else share.free,
        "percent": None if rule is None else line.percent,
        "runs_out_ms": line.runs_out,
        "holders": [
            {
                "holder": account.last.holder,
                "has_micro_dollars": account.most,
                "spent_micro_dollars": account.spent,
                "closed": account.closed,
                "at_ms": account.last.at_ms,
            }
            for account in line.accounts
        ],
    }
