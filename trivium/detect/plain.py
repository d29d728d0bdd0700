"""Cards and e-mail addresses: their forms say enough."""

import re
from typing import Final

from stdnum import luhn

from trivium.detect.bound import any_of

_CARD: Final = re.compile(r"(?<![\w.+-])[2-6](?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_BRANDS: Final = re.compile(
    r"""
    4(?:\d{12}|\d{15}|\d{18})\Z                                            # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}\Z     # Mastercard
    | 3[47]\d{13}\Z                                                        # American Express
    | (?:30[0-5]|309|36\d|3[89]\d)\d{11}(?:\d\d)?\Z                         # Diners Club
    | 35(?:2[89]|[3-8]\d)\d{12}\Z                                          # JCB
    | (?:6011|64[4-9]\d|65\d\d|62\d\d|60\d\d)\d{12,15}\Z                    # Discover, UnionPay, RuPay
    | (?:50|5[6-9]|6[37])\d{10,17}\Z                                        # Maestro
    """,
    re.VERBOSE,
)
"""By first digits and length; ranges as in ISO/IEC 7812 issuer tables."""
_GROUPS: Final = re.compile(r"\d+(?:([ -])\d+(?:\1\d+)*)?")
_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9](?:[\w.%+'-]{0,62}[\w%+-])?(?:@|\s?(?:\(at\)|\[at\])\s?)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.|\s?(?:\(dot\)|\[dot\])\s?)){1,8}[A-Za-z]{2,24}(?![\w@])",
)


def has_card(text: str) -> bool:
    """A number of a card's length and brand that passes Luhn's check, written in one piece or in groups."""
    return any_of(_CARD.finditer(text), lambda found: _is_card(found[0]))


def _is_card(found: str) -> bool:
    digits = re.sub(r"\D", "", found)
    if _BRANDS.match(digits) is None or _GROUPS.fullmatch(found) is None:
        return False
    groups = re.split(r"[ -]", found)
    if len(groups) > 1 and (len(groups) > 5 or min(map(len, groups)) < 3):
        return False
    return len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def has_email(text: str) -> bool:
    """An address, also with (at) and (dot)."""
    if "@" not in text and "at" not in text:
        return False
    return _EMAIL.search(text) is not None
