"""The words that a text is looked up by: one normalisation for what is stored and for what is asked.

Stemming and stop words are done here and not by the server's analyzer, so that Milvus Lite, standalone and cluster of
any version split a text alike. A section number becomes one word of its own (`3.2` is `section3x2`), because every
analyzer would take it apart, and because a question that names a section must find it.
"""

import re
from collections.abc import Sequence
from typing import Final

from trivium.core.question import stem


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS: Final = _words(
    "a about after all also am an and any are as at be because been before being but by can could did do does doing "
    "done down for from get gets give got had has have having he her here hers him his how i if in into is it its "
    "just know let like may me might more most my need no not now of off on once one only or other our ours out over "
    "please say says she should so some such tell than that the their them then there these they this those to too "
    "under up us use using very want was we were what when where which while who whom why will with would you your"
)
"""Words that carry no topic. Negations count among them: a passage about "not refunded" is about refunds."""

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_ASKED_SECTION: Final = re.compile(
    r"(?:\b(?:sections?|chapters?|clauses?|paragraphs?|articles?|appendix|parts?|sec\.)\s+|§+\s*)"
    r"([a-z]?\d+(?:\.\d+)*|[a-z](?:\.\d+)+)\b",
    re.IGNORECASE,
)
_BARE_SECTION: Final = re.compile(r"(?<![\w.])(\d+(?:\.\d+)+)(?![\w.])")
_TITLE_NUMBER: Final = re.compile(
    r"^\s*(?:(?:section|chapter|clause|article|appendix|part)\s+|§+\s*)?([A-Za-z]?\d+(?:\.\d+)*|[A-Z](?:\.\d+)+)(?=[.):]?(?:\s|$)|:)",
    re.IGNORECASE,
)


def words_of(text: str) -> list[str]:
    """Stemmed content words in reading order, lower case, repeats kept."""
    found = (match.group().replace("’", "'").casefold() for match in _WORD.finditer(text))
    bare = (word.split("'", 1)[0] for word in found)
    return [stem(word) for word in bare if word not in STOP_WORDS and (len(word) > 1 or word.isdigit() or not word.isascii())]


def section_word(number: str) -> str:
    """The word that a section number is stored and asked by: "3.2" -> "section3x2"."""
    return "section" + number.strip(".").casefold().replace(".", "x")


def title_number(title: str) -> str:
    """The number that a heading begins with ("3.2" of "3.2 Limits", "4" of "Chapter 4: Rules"), or ""."""
    match = _TITLE_NUMBER.match(title)
    return match.group(1) if match else ""


def section_numbers(section: str) -> tuple[str, ...]:
    """The numbers in a passage's section, outermost first: "3 Limits > 3.2 Retries" -> ("3", "3.2")."""
    return tuple(number.casefold() for title in section.split(" > ") if (number := title_number(title)))


def named_sections(question: str) -> tuple[str, ...]:
    """The section numbers that a question names: "what does section 3.2 say" -> ("3.2",)."""
    return tuple(dict.fromkeys(match.group(1) for match in _ASKED_SECTION.finditer(question)))


def without_sections(question: str) -> str:
    """The question without the sections that it names."""
    return _ASKED_SECTION.sub(" ", question)


def lookup_text(title: str, path: Sequence[str], text: str) -> str:
    """What BM25 sees of a passage: its section's words twice, for they say what it is about, and its own."""
    numbers = [section_word(number) for heading in path if (number := title_number(heading))]
    headings = words_of(" ".join(path))
    return " ".join([*words_of(title), *headings, *headings, *numbers, *numbers, *words_of(text)])


def lookup_query(question: str) -> str:
    """What BM25 is asked. Empty when the question has no content words."""
    bare = (match.group(1) for match in _BARE_SECTION.finditer(question))
    numbers = dict.fromkeys((*named_sections(question), *bare))
    return " ".join([*words_of(question), *map(section_word, numbers)])
