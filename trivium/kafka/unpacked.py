"""How much a compressed batch unpacks to, found out without unpacking it into memory.

A broker's limit (max.message.bytes) is for compressed bytes, and aiokafka unpacks a batch whole, twice over, before it looks at any
record of it: 8 KB of zstd can be 256 MB, 4 MB of gzip 4 GB. The producers of this mesh and those of Java, librdkafka and aiokafka
limit a batch before it is compressed, by 1 MB where nobody says otherwise: what is larger than MOST_UNPACKED comes from none of them.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import cramjam

MOST_UNPACKED: Final = 64 * 1_048_576
"""Bytes. A batch of more is not unpacked."""

_START: Final = struct.Struct(">qi")
_HEADER_BYTES: Final = 61
_MAGIC_AT: Final = 16
_CODEC_AT: Final = 22
_CODEC_BITS: Final = 0x07
_STEP: Final = 1_048_576
_GZIP: Final = 31
"""zlib's window bits for a gzip header."""
_MOST_RATIO: Final = {1: 1_040, 2: 0, 3: 256, 4: 32_800}
"""How much smaller a codec can make bytes (gzip, snappy, lz4, zstd): what is smaller by more need not be looked at. Snappy's sizes
stand in its bytes, and whoever unpacks it takes that much memory first, whatever it really is."""
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEAD_BYTES: Final = 16


def any_too_large(fetched: bytes) -> bool:
    """Whether one of the batches (magic 2) of a fetch unpacks to more than MOST_UNPACKED. Nearly free for what is not compressed."""
    raw = memoryview(fetched)
    return any(is_too_large(codec, packed) for codec, packed in _compressed(raw))


def is_too_large(codec: int, packed: bytes | memoryview) -> bool:
    """Whether these bytes, packed by Kafka's codec of this number, unpack to more than MOST_UNPACKED. False for what is no such
    thing: unpacking that fails, as it does for whoever tries."""
    packed = memoryview(packed)
    ratio = _MOST_RATIO.get(codec)
    if ratio is None or (ratio and len(packed) * ratio <= MOST_UNPACKED):
        return False
    try:
        return _size(codec, packed) > MOST_UNPACKED
    except (ValueError, struct.error, zlib.error, cramjam.DecompressionError):
        return False


def _compressed(raw: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + _HEADER_BYTES <= len(raw):
        _, length = _START.unpack_from(raw, at)
        end = at + _START.size + length
        if length <= 0 or end > len(raw):
            return
        if (codec := raw[at + _CODEC_AT] & _CODEC_BITS) and raw[at + _MAGIC_AT] >= 2:
            yield codec, raw[at + _HEADER_BYTES : end]
        at = end


def _size(codec: int, packed: memoryview) -> int:
    """Its size unpacked, or more than MOST_UNPACKED when it is more than that."""
    match codec:
        case 1:
            return _of_gzip(packed)
        case 2:
            return _of_snappy(packed)
        case 3:
            return _that_fits(cramjam.lz4.decompress_into, packed)
        case _:
            return _that_fits(cramjam.zstd.decompress_into, packed)


def _of_gzip(packed: memoryview) -> int:
    total, left = 0, bytes(packed)
    while left and total <= MOST_UNPACKED:
        member = zlib.decompressobj(_GZIP)
        while not member.eof and total <= MOST_UNPACKED:
            piece = member.decompress(left, _STEP)
            left = member.unconsumed_tail
            total += len(piece)
            if not piece and not left:
                break
        left = member.unused_data if member.eof else b""
    return total


def _of_snappy(packed: memoryview) -> int:
    if bytes(packed[: len(_XERIAL)]) != _XERIAL:
        return int(cramjam.snappy.decompress_raw_len(packed))
    total, at = 0, _XERIAL_HEAD_BYTES
    while at < len(packed):
        (length,) = struct.unpack_from(">i", packed, at)
        if length <= 0:
            break
        total += int(cramjam.snappy.decompress_raw_len(packed[at + 4 : at + 4 + length]))
        at += 4 + length
    return total


def _that_fits(unpack: Callable[[memoryview, bytearray], int], packed: memoryview) -> int:
    """These have no way to say a size but to unpack: into a place that ends. Pages of it that nobody writes to take no memory."""
    place = bytearray(MOST_UNPACKED)
    try:
        return int(unpack(packed, place))
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            return MOST_UNPACKED + 1
        raise
