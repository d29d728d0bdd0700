"""What a stand-in says: text in parts, each with the probability that it is right, turned into tokens with logprobs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from infra.standins.language import Language, Piece

LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text whose tokens are equally likely."""

    text: str
    probability: float
    """Of each of its tokens, 0..1; of all of them together when it is joint."""
    joint: bool = False
    """Whether the text was chosen as one: its first token carries the probability."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A text chosen from a closed set, with the probability of every member."""

    chosen: str
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the caller's tools."""

    name: str
    arguments: dict[str, object]
    probability: float


Speech = tuple[Part | Choice, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token, as the wires report it."""

    id: int
    text: str
    logprob: float
    alternatives: tuple[tuple[int, str, float], ...] = ()
    """Other tokens that could have stood here: id, text, logprob; the best first."""


def say(text: str, probability: float = 0.9) -> Speech:
    """A speech of one part."""
    return (Part(text, probability),)


def text_of(speech: Speech) -> str:
    """The whole text."""
    return "".join(part.text if isinstance(part, Part) else part.chosen for part in speech)


def tokens_of(language: Language, speech: Speech) -> list[Token]:
    """The tokens of a speech; joined, their texts are its text."""
    found: list[Token] = []
    for part in speech:
        match part:
            case Part(text, probability, joint):
                pieces = language.pieces(text)
                rest = 0.0 if joint else log(probability)
                logprobs = [log(probability), *([rest] * (len(pieces) - 1))]
                found.extend(Token(one.id, one.text, logprob) for one, logprob in zip(pieces, logprobs, strict=False))
            case Choice(chosen, probabilities):
                found.extend(_spell(language, chosen, probabilities))
    return found


def log(probability: float) -> float:
    """Natural logarithm, finite: probabilities are held within [1e-6, 1]."""
    return math.log(min(1.0, max(LEAST, probability)))


def logistic(x: float) -> float:
    """1 / (1 + e^-x) without overflow."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def best(probabilities: dict[str, float]) -> str:
    """The most probable; of equals the first by name."""
    return max(sorted(probabilities), key=lambda name: probabilities[name])


def _spell(language: Language, chosen: str, probabilities: dict[str, float]) -> list[Token]:
    """Tokens of a choice with their conditional probabilities: the sum of the logprobs is that of the choice.

    The probability of a token is the share, among the texts that agree so far, of those that go on with it.
    """
    spelled = {text: language.pieces(text) for text in probabilities}
    alive = list(probabilities)
    tokens: list[Token] = []
    for at, piece in enumerate(spelled[chosen]):
        shares = _next_shares(alive, spelled, probabilities, at)
        ranked = sorted(shares.values(), key=lambda share: -share[1])
        others = tuple((other.id, other.text, log(share)) for other, share in ranked if other.id != piece.id)
        tokens.append(Token(piece.id, piece.text, log(shares[piece.id][1]), others[:5]))
        alive = [text for text in alive if _piece_at(spelled[text], at).id == piece.id]
    return tokens


def _next_shares(
    alive: Sequence[str], spelled: dict[str, list[Piece]], probabilities: dict[str, float], at: int
) -> dict[int, tuple[Piece, float]]:
    total = sum(probabilities[text] for text in alive) or 1.0
    shares: dict[int, tuple[Piece, float]] = {}
    for text in alive:
        piece = _piece_at(spelled[text], at)
        shares[piece.id] = (piece, shares.get(piece.id, (piece, 0.0))[1] + probabilities[text] / total)
    return shares


def _piece_at(pieces: list[Piece], at: int) -> Piece:
    return pieces[at] if at < len(pieces) else Piece(2, "</s>")
