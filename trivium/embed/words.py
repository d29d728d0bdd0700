"""Token ids of a text, put together from those of its words: a tenth of the time of asking the tokenizer every time.

The vocabulary has the mark of a space only at the beginning of a token, so no merge ever crosses from one word to the
next, and the ids of "reset it" are those of "reset" and of "it". What is not plain words with single spaces between
them goes to the tokenizer as a whole.
"""

from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE: Final = "\u2581"
REMEMBERED: Final = 30_000
"""Words whose ids are kept (about 6 MB); then it begins anew."""
LONGEST: Final = 40
"""Characters of a word that is kept."""


class WordTokens:
    """The tokenizer, and the ids of words that it was asked for before. One thread."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._known: dict[str, tuple[int, ...]] = {}
        self._begins = frozenset(number for token, number in vocabulary.items() if token.startswith(SPACE))
        self._apart = not any(SPACE in token.lstrip(SPACE) for token in vocabulary)

    def ids(self, text: str) -> list[int]:
        """What the tokenizer gives for the whole text."""
        words = text.split(" ")
        try:
            return list(chain.from_iterable([self._known[word] for word in words]))
        except KeyError:
            return self._learned(text, words)

    def _learned(self, text: str, words: list[str]) -> list[int]:
        known = self._known
        if len(known) + len(words) > REMEMBERED:
            known.clear()
        new = [word for word in dict.fromkeys(words) if word not in known]
        if not self._apart or not all(map(_plain, new)):
            return self._asked(text)
        found = self._asked(" ".join(new))
        starts = [place for place, number in enumerate(found) if number in self._begins]
        if len(starts) != len(new):
            return self._asked(text)
        for word, start, end in zip(new, starts, [*starts[1:], len(found)], strict=True):
            known[word] = tuple(found[start:end])
        return list(chain.from_iterable([known[word] for word in words]))

    def _asked(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _plain(word: str) -> bool:
    """Not empty (two spaces beside each other), not long, and no mark that the tokenizer reads as its own."""
    return 0 < len(word) <= LONGEST and "<" not in word and SPACE not in word
