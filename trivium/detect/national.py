"""Numbers by which a state knows a person, and IBANs: forms and check digits by python-stdnum.

A form that nothing else has (letters, two check digits, its own dashes) counts wherever it stands. Bare digits with a single
check digit are also every tenth order number: they count when a word near them says what they are.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stdnum import iban
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from trivium.detect.bound import any_of


@dataclass(frozen=True, slots=True)
class _Form:
    """How a number is written, and whether what is written is one. `says`: what must stand near it; None: nothing."""

    written: re.Pattern[str]
    valid: Callable[[str], object]
    says: re.Pattern[str] | None = None

    def found(self, text: str) -> bool:
        # Most texts say none of the words: then not even the numbers are looked for.
        if self.says is not None and self.says.search(text) is None:
            return False
        return any_of(self.written.finditer(text), lambda match: self._is_one(text, match))

    def _is_one(self, text: str, match: re.Match[str]) -> bool:
        near = text[max(0, match.start() - _NEAR) : match.end() + _NEAR]
        return (self.says is None or self.says.search(near) is not None) and bool(self.valid(match[0]))


_NEAR: Final = 60
_DIGITS: Final = re.compile(r"\d")
_NO_WORD: Final = r"(?<![\w-])"
_END: Final = r"(?![\w-])"


def _written(pattern: str) -> re.Pattern[str]:
    return re.compile(_NO_WORD + pattern + _END, re.IGNORECASE)


def _says(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def _iban(text: str) -> bool:
    """Two check digits and the country's own length; not whether the bank exists."""
    # Words of four letters after it look like more of its groups.
    groups = text.split(" ")
    return any(iban.is_valid("".join(groups[:end]), check_country=False) for end in range(len(groups), 0, -1))


_FORMS: Final = (
    _Form(_written(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?"), _iban),
    _Form(_written(r"\d{3}-\d{2}-\d{4}"), ssn.is_valid),
    _Form(_written(r"\d{9}|\d{3} \d{2} \d{4}"), ssn.is_valid, _says("ssn|social security(?: number| no)?")),
    # HMRC's form; python-stdnum has none for it.
    _Form(_written(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]"), bool),
    _Form(_written(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), nhs.is_valid, _says("nhs")),
    _Form(_written(r"\d{8}-?[A-HJ-NP-TV-Z]"), dni.is_valid),
    _Form(_written(r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]"), nie.is_valid),
    _Form(_written(r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"), nir.is_valid),
    _Form(_written(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]"), codicefiscale.is_valid),
    _Form(_written(r"756\.?\d{4}\.?\d{4}\.?\d\d"), ahv.is_valid),
    _Form(_written(r"\d{3}\.\d{3}\.\d{3}-\d\d"), cpf.is_valid),
    _Form(_written(r"\d{11}"), cpf.is_valid, _says("cpf")),
    _Form(_written(r"\d{6}[-+]\d{4}|\d{8}-\d{4}"), personnummer.is_valid),
    _Form(_written(r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]"), hetu.is_valid),
    _Form(_written(r"\d{9}|\d{4}\.?\d{2}\.?\d{3}"), bsn.is_valid, _says("bsn|burgerservicenummer|sofinummer")),
    _Form(_written(r"\d{2} ?\d{3} ?\d{3} ?\d{3}"), idnr.is_valid, _says(r"steuer\S*|tax id\w*|idnr|tin|steuer-id|tax office")),
    _Form(_written(r"\d{11}"), pesel.is_valid, _says("pesel")),
    _Form(_written(r"\d{3}[ -]?\d{3}[ -]?\d{3}"), sin.is_valid, _says("sin|social insurance(?: number| no)?")),
    _Form(_written(r"\d{4}[ -]?\d{4}[ -]?\d{4}"), aadhaar.is_valid, _says("aadhaar|aadhar|uidai")),
    _Form(_written(r"\d{6} ?\d{5}"), fodselsnummer.is_valid, _says(r"f[øo]dselsnummer|personnummer|national id\w*|norwegian id")),
)


def has_national(text: str) -> bool:
    """A number of one of the states above, or an IBAN."""
    return _DIGITS.search(text) is not None and any(form.found(text) for form in _FORMS)
