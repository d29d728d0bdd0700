"""A vendor's usage export against the ledger: by day and model, ours, theirs, the difference, and what it may come from.

Anthropic's console exports two files, known by their columns: usage (tokens by day and model version) and cost (dollars by
day, model and kind of token). Columns of any other vendor are named by the caller."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from trivium.core.errors import TriviumError
from trivium.core.near import hint

TOKENS: Final = ("input", "cache_write", "cache_read", "output")
FIELDS: Final = ("day", "model", *TOKENS, "cost")
"""What a column of an export can be. `input` is without what was read from or written to the vendor's prompt cache."""
_USAGE: Final[Mapping[str, Sequence[str]]] = {
    "day": ("usage_date_utc",),
    "model": ("model_version",),
    "input": ("usage_input_tokens_no_cache",),
    "cache_write": ("usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"),
    "cache_read": ("usage_input_tokens_cache_read",),
    "output": ("usage_output_tokens",),
}
_COST: Final[Mapping[str, Sequence[str]]] = {"day": ("usage_date_utc",), "model": ("model",), "cost": ("cost_usd",)}
_CURRENCY: Final = re.compile("currency", re.IGNORECASE)
_SNAPSHOT: Final = re.compile(r"-\d{8}$")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOSE: Final = 0.005
"""Half a per cent: roundings of vendors, and of the ends of days."""


class BadInvoice(TriviumError):
    """The file is not an export that can be compared; the message names line and column."""


@dataclass(slots=True)
class Amounts:
    """Tokens by kind, micro-dollars, and what else is known of a day and model. None: the source does not say."""

    tokens: dict[str, int] | None = None
    cost: int | None = None
    open_attempts: int = 0
    faults: int = 0
    batch: bool = False

    def add(self, tokens: Mapping[str, int] | None, cost: int | None) -> None:
        """More of the same."""
        if tokens is not None:
            known = self.tokens or dict.fromkeys(TOKENS, 0)
            self.tokens = {name: known[name] + tokens.get(name, 0) for name in TOKENS}
        if cost is not None:
            self.cost = (self.cost or 0) + cost


Bill = dict[tuple[str, str], Amounts]
"""By day (2026-11-21) and model."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One day and model."""

    day: str
    model: str
    ours: Amounts
    theirs: Amounts
    reasons: tuple[str, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to explain."""
        return not self.reasons


def read_invoice(path: Path, mapping: Mapping[str, str]) -> Bill:
    """The bill of an export. `mapping`: field -> column, for what is not Anthropic's. Raises BadInvoice."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInvoice(f"{path} cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines())
    columns = _columns(path, reader.fieldnames or (), mapping)
    bill: Bill = defaultdict(Amounts)
    for row in reader:
        place = f"{path}:{reader.line_num}"
        if "cost" in columns:
            _check_currency(row, place)
        key = _day(row, columns, place), same_model(_text(row, columns["model"][0], place))
        amounts = bill[key]
        counted: dict[str, int] = {name: _tokens(row, columns[name], place) for name in TOKENS if name in columns}
        amounts.add(counted or None, _dollars(row, columns["cost"][0], place) if "cost" in columns else None)
        amounts.batch = amounts.batch or (row.get("usage_type") or "").startswith("batch")
    if not bill:
        raise BadInvoice(f"{path} has no lines below its header")
    return dict(bill)


def same_model(name: str) -> str:
    """`Claude Haiku 4.5`, `claude-haiku-4-5` and `claude-haiku-4-5-20251001` are one model."""
    return _SNAPSHOT.sub("", name.strip().lower().replace(" ", "-").replace(".", "-"))


def compared(ours: Bill, theirs: Bill) -> list[Difference]:
    """Every day and model of either, in order; days that the invoice does not reach are left out."""
    first, last = min(day for day, _ in theirs), max(day for day, _ in theirs)
    keys = sorted({*theirs, *(key for key in ours if first <= key[0] <= last)})
    made = []
    for key in keys:
        mine, his = ours.get(key), theirs.get(key)
        made.append(Difference(*key, mine or Amounts(), his or Amounts(), tuple(_reasons(mine, his))))
    return made


def _reasons(ours: Amounts | None, theirs: Amounts | None) -> Iterator[str]:
    if ours is None:
        yield "missing here: another caller of the same account, or records that were not counted (yet)"
        return
    if theirs is None:
        yield "missing there: another account or workspace, or not billed yet"
        return
    more, less = _direction(ours, theirs)
    if not (more or less):
        return
    if more and ours.open_attempts:
        yield f"ambiguous spend: {ours.open_attempts:,} attempts were begun and never settled, and may have been billed"
    if more and ours.faults:
        yield f"{ours.faults:,} attempts ended in a fault: a vendor bills what it had read and written until then"
    if theirs.batch:
        yield "the export has batch usage, at half price"
    if _tokens_agree(ours, theirs):
        yield "the tokens agree: the policy's prices are not the vendor's"
    if more and not (ours.open_attempts or ours.faults) and not _tokens_agree(ours, theirs):
        yield "another caller of the same account, or records that were not counted (yet)"
    if less and not theirs.batch and not _tokens_agree(ours, theirs):
        yield "another account or workspace has a part of it, or the export ends within the day"


def _direction(ours: Amounts, theirs: Amounts) -> tuple[bool, bool]:
    """Whether theirs has more than ours of anything that both say, and less."""
    pairs = []
    if ours.tokens is not None and theirs.tokens is not None:
        pairs += [(ours.tokens[name], theirs.tokens[name]) for name in TOKENS]
    if ours.cost is not None and theirs.cost is not None:
        pairs.append((ours.cost, theirs.cost))
    apart = [(mine, his) for mine, his in pairs if abs(his - mine) > _CLOSE * max(mine, his)]
    return any(his > mine for mine, his in apart), any(his < mine for mine, his in apart)


def _tokens_agree(ours: Amounts, theirs: Amounts) -> bool:
    if ours.tokens is None or theirs.tokens is None:
        return False
    pairs = ((ours.tokens[name], theirs.tokens[name]) for name in TOKENS)
    return all(abs(his - mine) <= _CLOSE * max(mine, his) for mine, his in pairs)


def _columns(path: Path, there: Sequence[str], mapping: Mapping[str, str]) -> dict[str, Sequence[str]]:
    for name, column in mapping.items():
        if name not in FIELDS:
            raise BadInvoice(f"--map {name}={column}: {name!r} is none of {', '.join(FIELDS)}; {hint(name, FIELDS)}")
        if column not in there:
            raise BadInvoice(f"{path} has no column {column!r}; {hint(column, there)}")
    known = next((form for form in (_USAGE, _COST) if all(column in there for names in form.values() for column in names)), {})
    columns = {**known, **{name: (column,) for name, column in mapping.items()}}
    missing = [name for name in ("day", "model") if name not in columns]
    if missing or not ({*TOKENS, "cost"} & columns.keys()):
        lacks = f"a column for {missing[0]}" if missing else "columns with tokens or cost"
        raise BadInvoice(
            f"{path} is not one of Anthropic's exports and lacks {lacks}; name its columns: --map day=... --map model=... "
            f"--map cost=... (it has {', '.join(there) or 'none'})"
        )
    return columns


def _text(row: Mapping[str, str | None], column: str, place: str) -> str:
    text = (row.get(column) or "").strip()
    if not text:
        raise BadInvoice(f"{place}: the column {column} is empty")
    return text


def _day(row: Mapping[str, str | None], columns: Mapping[str, Sequence[str]], place: str) -> str:
    text = _text(row, columns["day"][0], place)
    found = _DAY.match(text)
    if found is None:
        raise BadInvoice(f"{place}: {columns['day'][0]} is {text!r}; it must begin with a day like 2026-11-21")
    return found.group()


def _tokens(row: Mapping[str, str | None], columns: Iterable[str], place: str) -> int:
    total = 0
    for column in columns:
        text = (row.get(column) or "0").replace(",", "").strip()
        if not text.isdigit():
            raise BadInvoice(f"{place}: {column} is {text!r}; it must be a whole number of tokens")
        total += int(text)
    return total


def _check_currency(row: Mapping[str, str | None], place: str) -> None:
    for column, text in row.items():
        said = (text or "").strip() if isinstance(text, str) and _CURRENCY.search(column or "") else ""
        if said and said.upper() not in ("USD", "$", "US$"):
            raise BadInvoice(f"{place}: {column} is {said!r}; the ledger counts in US dollars, and there is no rate of exchange here")


def _dollars(row: Mapping[str, str | None], column: str, place: str) -> int:
    text = (row.get(column) or "0").replace(",", "").removeprefix("$").strip()
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise BadInvoice(f"{place}: {column} is {text!r}; it must be US dollars, like 12.34") from None
    if not amount.is_finite():
        raise BadInvoice(f"{place}: {column} is {text!r}; it must be US dollars, like 12.34")
    # Credits are negative, and counted.
    return int((amount * 1_000_000).to_integral_value())
