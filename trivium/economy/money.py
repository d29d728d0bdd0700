"""Amounts of one currency, exactly: fractions of a millionth, rounded half up once, when somebody looks at them.

A currency is a label: amounts of two currencies are never added, because nobody here knows a rate of exchange."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from trivium.core.errors import TriviumError
from trivium.core.near import hint, quoted

MICRO: Final = 1_000_000
LARGEST: Final = 10**15
"""Of a unit of money: more in one amount is a slip of the finger."""
USD: Final = "USD"
"""What policies and the ledger count in."""

SIGNS: Final = {
    "US$": USD, "AU$": "AUD", "A$": "AUD", "CA$": "CAD", "C$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "R$": "BRL",
    "$": USD, "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW",
}  # fmt: skip
"""What people write instead of a code. A dollar sign alone is the United States'."""

CODES: Final = frozenset(
    ["AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY", "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG"]
)
"""ISO 4217, what is in use."""

_WRITTEN: Final = re.compile(
    r"\s*(?P<minus>-?)\s*(?P<before>[A-Za-z]{0,3}[^\w\s.,/+-]?)\s*(?P<again>-?)(?P<number>\d[\d_,]*(?:\.\d+)?|\.\d+)"
    r"(?:\s*/\s*(?P<per>\d[\d_,]*))?\s*(?P<after>[A-Za-z]{0,3}[^\w\s.,/+-]?)\s*\Z"
)


class BadFigure(TriviumError):
    """A figure that nothing can be computed from; one sentence: what, where, what is right."""


class MixedCurrencies(BadFigure):
    """Amounts of two currencies met."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Millionths of a unit of money, exact, and the currency's code."""

    micro: Fraction
    currency: str

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.micro + self._same(other).micro, self.currency)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.micro - self._same(other).micro, self.currency)

    def __mul__(self, factor: int | Fraction) -> "Amount":
        return Amount(self.micro * factor, self.currency)

    def __truediv__(self, parts: int) -> "Amount":
        return Amount(self.micro / parts, self.currency)

    def __lt__(self, other: "Amount") -> bool:
        return self.micro < self._same(other).micro

    def __le__(self, other: "Amount") -> bool:
        return self.micro <= self._same(other).micro

    @property
    def rounded(self) -> int:
        """Whole millionths, half up."""
        return (self.micro + Fraction(1, 2)).__floor__()

    @property
    def units(self) -> int | float:
        """For JSON: whole units of money as a whole number, else to the millionth."""
        whole, rest = divmod(self.rounded, MICRO)
        return whole if not rest else self.rounded / MICRO

    def _same(self, other: "Amount") -> "Amount":
        if other.currency != self.currency:
            raise MixedCurrencies(
                f"amounts in {self.currency} and {other.currency} cannot be added or compared: there is no rate of exchange "
                f"here; give all of them in one currency"
            )
        return other

    def __str__(self) -> str:
        """As people read it: two digits after the point, up to six for what is below a unit."""
        micro = abs(self.rounded)
        cents = (micro + 5_000) // 10_000
        digits = f"{cents // 100:,}.{cents % 100:02}" if micro >= MICRO or not micro % 10_000 else f"0.{micro:06}".rstrip("0")
        return f"{'-' if self.rounded < 0 else ''}{sign_of(self.currency)}{digits}"


def nothing(currency: str) -> Amount:
    """No money."""
    return Amount(Fraction(0), currency)


def total(amounts: Iterable[Amount], currency: str) -> Amount:
    """The sum; MixedCurrencies when one is of another currency."""
    found = nothing(currency)
    for one in amounts:
        found += one
    return found


def sign_of(currency: str) -> str:
    """`$`, `AU$`, or the code and a space."""
    if currency == USD:
        return "$"
    return next((sign for sign, code in SIGNS.items() if code == currency), f"{currency} ")


def currency_of(word: str, where: str) -> str:
    """The code that a word or sign means. BadFigure when nobody uses it."""
    code = SIGNS.get(word.upper(), word.upper())
    if code not in CODES:
        raise BadFigure(f"{where}: {quoted(word)} is no currency in use; {hint(code, [*CODES])}; write a code such as USD, AUD or EUR")
    return code


def read_amount(text: str, currency: str, where: str) -> Amount:
    """`0.03`, `9,000`, `AU$0.03`, `0.03 AUD`, or `7200/300000`: so much for so many. Raises BadFigure; MixedCurrencies when
    the text names another currency than `currency`."""
    found = _WRITTEN.match(text)
    if found is None:
        raise BadFigure(f"{where}: {quoted(text)} is no amount of money; write 0.03, 9,000, AU$0.03, or 7200/300000 for so much for so many")
    written = found["before"] or found["after"]
    if found["before"] and found["after"]:
        raise BadFigure(f"{where}: {quoted(text)} names its currency twice")
    if written and (own := currency_of(written, where)) != currency:
        raise MixedCurrencies(f"{where}: {quoted(text)} is in {own}, the other figures are in {currency}; there is no rate of exchange here")
    if found["minus"] or found["again"]:
        raise BadFigure(f"{where}: is {text.strip()}, a price cannot be negative")
    per = int(_digits(found["per"] or "1"))
    if per == 0:
        raise BadFigure(f"{where}: {quoted(text)} divides by nothing")
    amount = Fraction(_digits(found["number"])) / per
    if amount > LARGEST:
        raise BadFigure(f"{where}: {quoted(text)} is more money than there is")
    return Amount(amount * MICRO, currency)


def _digits(text: str) -> str:
    return text.replace("_", "").replace(",", "")
