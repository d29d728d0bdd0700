"""Draws without randomness: a hash of what is drawn for, so that a replay of the log draws the same."""

from hashlib import blake2b


def number(*parts: str) -> int:
    """64 bits, evenly spread over different `parts`."""
    return int.from_bytes(blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def fraction(*parts: str) -> float:
    """In [0, 1)."""
    return (number(*parts) >> 11) / 9_007_199_254_740_992


def digest(value: object) -> str:
    """32 hex digits of a value whose repr says all of it (tuples, texts, numbers)."""
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
