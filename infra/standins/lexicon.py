"""Sentiment, urgency and language by word lists with margins: small, explainable, and unsure when a text is.

Sentiment follows the rules of VADER (Hutto and Gilbert, 2014) in the small: valence of words, negation within three
words turns and damps it, intensifiers and exclamation marks strengthen it.
"""

import math
import re
from typing import Final

from infra.standins.language import words

_PLEASED: Final = (
    "3 excellent fantastic amazing wonderful awesome perfect outstanding brilliant superb delighted thrilled love loved"
    " loves best|2 great good happy glad nice pleased helpful thanks thank thankful grateful appreciate appreciated enjoy"
    " enjoyed impressed satisfied recommend kind friendly beautiful fast smooth smoothly easy solved works reliable"
    " compliments congratulations|1 fine ok okay better improved like liked useful quick clear fair"
)
_DISPLEASED: Final = (
    "3 terrible horrible awful worst hate hated disgusting furious outrageous unacceptable scam fraud ridiculous useless"
    " disgrace appalling nightmare angry pathetic|2 bad poor broken disappointed disappointing annoyed annoying"
    " frustrated frustrating upset rude wrong fail failed fails failing crash crashed crashes crashing complaint complain"
    " unhappy lost damaged defective refuse rejected ignored overcharged never stolen unreliable waste|1 slow late delay"
    " delayed problem issue error missing difficult confusing expensive confused unable declined denied stuck waiting bug"
    " empty cancel twice"
)
_URGENT: Final = (
    "3 urgent urgently emergency immediately asap critical outage production breach hacked fire danger threat threatening"
    " police suicide|2 today now tonight deadline blocked locked down stopped losing tomorrow lawyer legal stolen fraud"
    " unusable hours cannot everyone nobody|1 soon quickly hurry waiting still again friday crash crashes failing wrong"
    " money charged"
)
_CALM: Final = "2 whenever eventually someday curious wondering suggestion idea thanks thank nice joke roadmap|1 please"
_NEGATIONS: Final = frozenset(
    [
        "not",
        "no",
        "never",
        "without",
        "hardly",
        "barely",
        "isn't",
        "wasn't",
        "don't",
        "doesn't",
        "didn't",
        "can't",
        "won't",
    ]
)
_STRONG: Final = frozenset(
    ["very", "really", "extremely", "absolutely", "so", "totally", "completely", "utterly", "incredibly"]
)

_STOPS: Final[dict[str, str]] = {
    "en": "the and is are was you your not have has with this that for from what how can when please my it to of in i"
    " do we where why money back want hello order thanks",
    "de": "der die das und ist nicht ich sie wir mit für auf ein eine den dem von zu haben kann wie was mein meine bitte"
    " wo warum habe hallo danke guten abend tag bestellung geld zurück",
    "fr": "le la les et est pas je vous nous avec pour sur un une des du de que qui mon ma mes bonjour merci ne ai où"
    " pourquoi comment commande j'ai c'est n'est s'il plaît",
    "es": "el la los las y es no yo usted con para por un una de que mi mis hola gracias se está cómo dónde cuándo pero"
    " pedido quiero puedo mi favor tengo",
    "it": "il lo la gli e è non io lei con per un una di che mio mia ciao grazie si sono come dove quando ho questo il"
    " ordine vorrei posso della",
    "pt": "o a os as e é não eu você com para por um uma de que meu minha olá obrigado obrigada se está como onde quando"
    " pedido quero posso mas",
    "nl": "de het een en is niet ik u wij met voor op van dat die mijn hallo bedankt hoe waar wanneer heb kan bestelling"
    " graag alstublieft waarom naar",
    "pl": "i nie jest się na do że w z to mój moja dzień dobry dziękuję jak gdzie kiedy mam proszę czy dlaczego",
    "sv": "och är inte jag ni med för på en ett det som min mitt hej tack hur var när har kan beställning vill",
}
_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
)
_SETS: Final = {code: frozenset(text.split()) for code, text in _STOPS.items()}


def _weighted(text: str) -> dict[str, float]:
    groups = (group.split() for group in text.split("|"))
    return {word: float(weight) for weight, *members in groups for word in members}


_VALENCE: Final = {**_weighted(_PLEASED), **{word: -weight for word, weight in _weighted(_DISPLEASED).items()}}
_PRESSURE: Final = {**_weighted(_URGENT), **{word: -weight for word, weight in _weighted(_CALM).items()}}


def sentiment(text: str) -> dict[str, float]:
    """Probabilities of negative, neutral and positive."""
    score = _valence(text)
    return _shares({"negative": -score, "neutral": 1.1 - 0.5 * abs(score), "positive": score})


def urgency(text: str) -> dict[str, float]:
    """Probabilities of low, medium and high."""
    score = sum(_PRESSURE.get(word, 0.0) for word in words(text))
    score += 0.7 * min(3, text.count("!")) + (1.5 if _shouts(text) else 0.0)
    return _shares({"low": 1.2 - 0.9 * score, "medium": 1.0 - 0.5 * abs(score - 2.0), "high": 0.9 * (score - 2.4)})


def language(text: str) -> dict[str, float]:
    """Probabilities of two-letter language codes."""
    seen = words(text)
    letters = sum(character.isalpha() for character in text) or 1
    evidence = {
        code: 6.0 * sum(word in known for word in seen) / math.sqrt(len(seen) + 1.0) for code, known in _SETS.items()
    }
    for code, script in _SCRIPTS:
        evidence[code] = 24.0 * len(script.findall(text)) / letters
    if evidence["ja"] > 2.0:
        evidence["zh"] = 0.0
    return _shares(evidence)


def _valence(text: str) -> float:
    total, before = 0.0, [""] * 3
    for word in words(text):
        weight = _VALENCE.get(word, 0.0)
        if weight and any(earlier.replace("’", "'") in _NEGATIONS for earlier in before):
            weight *= -0.7
        if weight and before[-1] in _STRONG:
            weight *= 1.4
        total += weight
        before = [*before[1:], word]
    return 0.8 * total * (1.0 + 0.15 * min(3, text.count("!")))


def _shouts(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return len(letters) > 12 and sum(character.isupper() for character in letters) > 0.7 * len(letters)


def _shares(evidence: dict[str, float]) -> dict[str, float]:
    most = max(evidence.values())
    raised = {name: math.exp(min(0.0, value - most)) for name, value in evidence.items()}
    total = sum(raised.values())
    return {name: value / total for name, value in raised.items()}
