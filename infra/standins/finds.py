"""Finding facts in a message: order numbers, addresses, amounts, dates, products, names. Patterns and cues, no model."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

SURE: Final = 0.97
LIKELY: Final = 0.85
GUESS: Final = 0.6


@dataclass(frozen=True, slots=True)
class Fact:
    """Something found, with the probability that it is what was asked for."""

    value: str
    probability: float


_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL: Final = re.compile(r"https?://[^\s<>\"')\]]+")
_PHONE: Final = re.compile(r"(?<![\w.])\+?\d[\d\s()/-]{6,}\d(?![\w.])")
_ORDER: Final = re.compile(
    r"\b(?:order|purchase|booking|reservation)\s*(?:number|no\.?|id|nr\.?)?\s*(?:is|was|:)?\s*#?\s*([A-Z]{0,4}-?\d[\w-]*)",
    re.IGNORECASE,
)
_HASH: Final = re.compile(r"#\s?([A-Z]{0,4}-?\d[\w-]*)")
_PREFIXED: Final = re.compile(r"\b[A-Z]{1,5}-\d{3,}\b")
_INVOICE: Final = re.compile(
    r"\b(?:invoice|receipt|credit note|payment)\s*(?:number|no\.?|id)?\s*:?\s*#?\s*([A-Z]{0,4}-?\d[\w-]*)",
    re.IGNORECASE,
)
_TRACKING: Final = re.compile(
    r"\b(?:tracking|shipment|parcel)\s*(?:number|no\.?|code|id)?\s*(?:is|:)?\s*#?\s*([A-Z0-9][A-Z0-9-]{5,})",
    re.IGNORECASE,
)
_ERROR: Final = re.compile(
    r"\b(?:error(?:\s+code)?|code)\s*:?\s*([A-Z]{0,4}-?\d{2,5})\b|\b([A-Z]{1,4}-\d{3,5})\b", re.IGNORECASE
)
_VERSION: Final = re.compile(r"\b(?:version|v)\.?\s*(\d+(?:\.\d+)+)\b|\b(\d+\.\d+\.\d+)\b", re.IGNORECASE)
_MONEY: Final = re.compile(
    r"(?:([$€£¥])\s?(\d[\d,]*(?:\.\d+)?))|(?:(\d[\d,]*(?:[.,]\d{1,2})?)\s?([€£$]|(?:euros?|eur|dollars?|usd|pounds?|gbp|chf)\b))",
    re.IGNORECASE,
)
_MONTHS: Final = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DATE: Final = re.compile(
    r"\b(\d{4})-(\d{2})-(\d{2})\b"
    rf"|\b(\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?({'|'.join(month[:3] + '[a-z]*' for month in _MONTHS)})\.?(?:,?\s+(\d{{4}}))?\b"
    rf"|\b({'|'.join(month[:3] + '[a-z]*' for month in _MONTHS)})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?\b"
    r"|\b(\d{1,2})[./](\d{1,2})[./](\d{4})\b",
    re.IGNORECASE,
)
_NAME: Final = re.compile(
    r"\b(?i:my name is|this is|i am|i'm)\s+([A-Z][\w'-]+(?:\s+[A-Z][\w'-]+)?)"
    r"|(?i:regards|sincerely|thanks|thank you|cheers|best)[,!.]?\s*\n+\s*([A-Z][\w'-]+(?:\s+[A-Z][\w'-]+)?)",
)
_QUANTITY: Final = re.compile(
    r"\b(\d{1,4})\s*(?:x|pcs|pieces|items?|units?|seats?|copies|tickets?|people|users?)\b", re.IGNORECASE
)
_PRODUCT: Final = re.compile(
    r"\b(?:the|my|a|an|your|this|our|ordered|bought|received|returning|return)\s+((?:[a-z0-9-]+\s+){0,2}?"
    r"(?:headphones|headset|jacket|blender|lamp|sofa|shoes|phone|laptop|tablet|charger|keyboard|mouse|monitor|desk|chair"
    r"|watch|camera|printer|router|sensor|hub|thermostat|bike|book|course|ticket|plan|subscription|app|speaker|cable"
    r"|backpack|kettle|toaster|mixer|dress|shirt|table|vacuum|drone|console|mattress|grinder|machine|licence|license))\b",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"[\"“']([A-Z0-9][^\"”'\n]{2,50})[\"”']")
_BRANDED: Final = re.compile(r"(?<![.!?]\s)(?<!^)\b([A-Z][a-z]+(?:\s[A-Z0-9][\w-]*)+)")
_CURRENCIES: Final = {
    "$": "USD",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "eur": "EUR",
    "usd": "USD",
    "gbp": "GBP",
    "chf": "CHF",
}


def _plain(pattern: re.Pattern[str], probability: float) -> Callable[[str], list[Fact]]:
    def find(text: str) -> list[Fact]:
        groups = (found.groups() or (found.group(0),) for found in pattern.finditer(text))
        return [Fact(next(group for group in one if group).strip(), probability) for one in groups]

    return find


def orders(text: str) -> list[Fact]:
    """Order numbers: after the word, else after a hash, else letters, a hyphen and digits."""
    return _plain(_ORDER, SURE)(text) or _plain(_HASH, LIKELY)(text) or _plain(_PREFIXED, LIKELY)(text)


def amounts(text: str) -> list[Fact]:
    """Amounts of money as plain decimals, "1,200.50" -> "1200.50"."""
    return [Fact(_decimal(one.group(2) or one.group(3)), SURE) for one in _MONEY.finditer(text)]


def currencies(text: str) -> list[Fact]:
    """ISO codes of the currencies of amounts."""
    signs = ((one.group(1) or one.group(4)).lower() for one in _MONEY.finditer(text))
    named = {"euro": "EUR", "doll": "USD", "poun": "GBP"}
    return [Fact(_CURRENCIES.get(sign) or named.get(sign[:4], sign.upper()), SURE) for sign in signs]


def dates(text: str) -> list[Fact]:
    """Dates as ISO 8601, "--MM-DD" when the year is not said (ISO 8601:2000, truncated)."""
    return [Fact(_iso(found.groups()), LIKELY) for found in _DATE.finditer(text)]


def numbers(text: str) -> list[Fact]:
    """Plain numbers in reading order."""
    return [Fact(_decimal(found), GUESS) for found in re.findall(r"(?<![\w-])\d[\d,]*(?:\.\d+)?(?![\w-])", text)]


def products(text: str) -> list[Fact]:
    """Things bought: known nouns with what describes them, quoted names, capitalised names."""
    return _plain(_PRODUCT, LIKELY)(text) or _plain(_QUOTED, GUESS)(text) or _plain(_BRANDED, GUESS)(text)


FINDERS: Final[tuple[tuple[tuple[str, ...], Callable[[str], list[Fact]]], ...]] = (
    (("email", "e_mail"), _plain(_EMAIL, SURE)),
    (("url", "link", "website"), _plain(_URL, SURE)),
    (("phone", "telephone", "mobile"), _plain(_PHONE, LIKELY)),
    (("invoice", "receipt"), _plain(_INVOICE, SURE)),
    (("tracking", "shipment"), _plain(_TRACKING, SURE)),
    (("currency",), currencies),
    (("amount", "price", "total", "cost", "refund_sum", "money", "charge", "paid"), amounts),
    (("order", "booking", "purchase_id"), orders),
    (("date", "day", "deadline", "when"), dates),
    (("error", "code"), _plain(_ERROR, LIKELY)),
    (("version",), _plain(_VERSION, SURE)),
    (("quantity", "count", "seats", "items_number", "how_many"), _plain(_QUANTITY, LIKELY)),
    (("product", "item", "article", "device"), products),
    (("name", "customer", "person"), _plain(_NAME, LIKELY)),
)
"""Parts of a field's name -> what to look for; the first that fits."""


def finder(name: str) -> Callable[[str], list[Fact]] | None:
    """What to look for in a field of this name, or None."""
    lowered = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(" ", "_")
    return next((find for parts, find in FINDERS if any(part in lowered for part in parts)), None)


def first(facts: Sequence[Fact]) -> Fact | None:
    """The first fact, surer when all agree."""
    if not facts:
        return None
    agreed = len({fact.value for fact in facts}) == 1
    return facts[0] if agreed else Fact(facts[0].value, facts[0].probability * 0.8)


def _decimal(written: str) -> str:
    if re.fullmatch(r"\d+,\d{1,2}", written):
        return written.replace(",", ".")
    return written.replace(",", "")


def _iso(groups: tuple[str | None, ...]) -> str:
    year, month, day = groups[0], groups[1], groups[2]
    if groups[4]:
        day, month, year = groups[3], _month(groups[4]), groups[5]
    elif groups[6]:
        month, day, year = _month(groups[6]), groups[7], groups[8]
    elif groups[9]:
        day, month, year = groups[9], groups[10], groups[11]
    return f"{year or '-'}-{int(month or 0):02d}-{int(day or 0):02d}"


def _month(name: str) -> str:
    return str(next(at for at, month in enumerate(_MONTHS, start=1) if month.startswith(name.lower()[:3])))
