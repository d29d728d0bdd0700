"""Phone numbers: by phonenumbers (Google's libphonenumber), which knows every country's plan.

A number with + is one wherever it stands. Without it, digits are one of many things: they count when they are written as a
number of a region is, in groups, or when a word before them says that one can call.
"""

import re
from typing import Final

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

from trivium.detect.bound import any_of

REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "CH", "IN", "AU")
"""Whose national forms are known. More find more and mistake more."""
_ENOUGH: Final = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")
_INTERNATIONAL: Final = re.compile(r"(?:\+|(?<![\d.,])00)[ (]{0,2}[1-9][\d ().\/-]{5,20}\d")
_NATIONAL: Final = re.compile(r"(?<![\w.,/:+#$€£-])(?:\(0?\d{2,4}\)[ ]?)?\d[\d ()./-]{5,16}\d(?![\w/:%]|[.,]\d|-\d)")
_SAYS: Final = re.compile(
    r"(?:phone|mobile|cell|tel|telephone|number|call|ring|reach|text|sms|whatsapp|fax|dial|handy|telefon|rufnummer|"
    r"anrufen|t[ée]l[ée]phone|portable|m[óo]vil|tel[ée]fono|telefono|cellulare|telefoon)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_NOT: Final = re.compile(
    r"(?:order|ticket|invoice|tracking|parcel|reference|ref|case|serial|part|model|version|sku|id|article|room|booking|"
    r"confirmation|error|code|isbn|account|customer|policy|transaction|batch|item|meter|nhs|ssn|sin|bsn|pesel|cpf|iban|aadhaar)\b[^\d\n]{0,20}$",
    re.IGNORECASE,
)
_BEFORE: Final = 48
_GROUPED: Final = re.compile(r"\(\d{2,4}\)[ ]?\d{3,4}[ -]?\d{3,4}|\d{3}[-.]\d{3}[-.]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,4}|0\d(?:[ .]\d\d){4}")


def has_phone(text: str) -> bool:
    """A number that some country's plan allows."""
    if _ENOUGH.search(text) is None:
        return False
    return any_of(_INTERNATIONAL.finditer(text), _international) or any_of(
        _NATIONAL.finditer(text), lambda found: _national(text, found)
    )


def _international(found: re.Match[str]) -> bool:
    plain = re.sub(r"^00[ (]*", "+", found[0])
    return next(iter(PhoneNumberMatcher(plain, None, leniency=Leniency.VALID)), None) is not None


def _national(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    if _NOT.search(before) is not None:
        return False
    if _GROUPED.fullmatch(found[0]) is None and _SAYS.search(before) is None:
        return False
    return any(_valid(found[0], region) for region in REGIONS)


def _valid(number: str, region: str) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(number, region)))
    except phonenumbers.NumberParseException:
        return False
