"""Murmur2 as Kafka's Java client computes it, so that every client finds the same partition for a key.

Source: org.apache.kafka.common.utils.Utils.murmur2 and toPositive.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF
_WORDS: Final = tuple(Struct(f"<{count}I").unpack_from for count in range(65))


def _words(data: bytes, count: int) -> tuple[int, ...]:
    if count < len(_WORDS):
        return _WORDS[count](data)
    return Struct(f"<{count}I").unpack_from(data)


def murmur2(data: bytes) -> int:
    """The 32-bit hash of `data`, unsigned (Java's int is the same bits, signed)."""
    length = len(data)
    hashed = _SEED ^ length
    for word in _words(data, length >> 2):
        word = (word * _M) & _MASK
        hashed = ((hashed * _M) & _MASK) ^ (((word ^ (word >> 24)) * _M) & _MASK)
    rest = length & 3
    if rest:
        hashed = ((hashed ^ int.from_bytes(data[-rest:], "little")) * _M) & _MASK
    hashed = ((hashed ^ (hashed >> 13)) * _M) & _MASK
    return hashed ^ (hashed >> 15)


@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions` (at least 1), as Kafka's default partitioner chooses it.

    Kept for the last keys: each step of a request asks for its own again, at 10 us each."""
    return (murmur2(key) & _POSITIVE) % partitions
