"""Batches of a few KB that unpack to more than any producer packs: never unpacked, put aside, and nobody beside them is lost."""

import gzip
import struct
import tracemalloc

import cramjam
import pytest
from aiokafka.codec import snappy_encode

from tests.raw_records import batch, sealed
from tests.unit.test_guard import fetched
from trivium.kafka.guard import Unreadable
from trivium.kafka.unpacked import MOST_UNPACKED, any_too_large, is_too_large

MIB = 1_048_576
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
ZSTD_BLOCK = 131_072


def zstd_bomb(blocks: int) -> bytes:
    """RFC 8878: a frame of blocks that each say one byte 128 KiB times, in four bytes."""
    said = struct.pack("<I", 1 << 1 | ZSTD_BLOCK << 3)[:3] + b"\0"
    last = struct.pack("<I", 1 | 1 << 1 | ZSTD_BLOCK << 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + said * (blocks - 1) + last


BOMBS = {
    "gzip": (GZIP, gzip.compress(bytes(MIB), 9) * 256),
    "zstd": (ZSTD, zstd_bomb(2_048)),
    "lz4": (LZ4, bytes(cramjam.lz4.compress(bytes(MOST_UNPACKED + MIB)))),
    "snappy, lying": (SNAPPY, b"\xff\xff\xff\xff\x0f" + b"\0" * 100),
    "snappy, in blocks": (SNAPPY, snappy_encode(b"")[:16] + (struct.pack(">i", 6) + b"\xff\xff\xff\xff\x0f\0") * 2),
}


def of(codec: int, packed: bytes, offset: int = 0) -> bytes:
    """A batch of one record with these packed bytes."""
    head = bytearray(batch([(b"k", b"v", [])])[:61])
    head[:8] = struct.pack(">q", offset)
    head[8:12] = struct.pack(">i", 61 - 12 + len(packed))
    head[22] |= codec
    return sealed(bytes(head) + packed)


def sound(codec: int, offset: int, value: bytes) -> bytes:
    body = batch([(b"k", value, [])])[61:]
    encode = {GZIP: gzip.compress, SNAPPY: snappy_encode, LZ4: cramjam.lz4.compress, ZSTD: cramjam.zstd.compress}
    return of(codec, bytes(encode[codec](body)), offset)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_put_aside_as_the_bytes_that_came_and_its_neighbours_are_read(name: str) -> None:
    codec, packed = BOMBS[name]
    assert any_too_large(of(codec, packed))
    raw = sound(codec, 0, b"before") + of(codec, packed, 1) + sound(codec, 2, b"after")
    tracemalloc.start()
    found, position = fetched(raw)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.value for one in found if not isinstance(one, Unreadable)] == [b"before", b"after"]
    (aside,) = (one for one in found if isinstance(one, Unreadable))
    assert (aside.offset, aside.value, position) == (1, of(codec, packed, 1), 3)
    assert f"more than {MOST_UNPACKED} bytes" in aside.why
    assert most < 2 * MOST_UNPACKED


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_producers_pack_is_no_bomb(codec: int) -> None:
    value = bytes(4 * MIB)
    raw = sound(codec, 0, value)
    assert not any_too_large(raw)
    found, _ = fetched(raw)
    assert [one.value for one in found] == [value]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD, 7])
def test_what_is_no_such_thing_is_left_to_whoever_unpacks_it(codec: int) -> None:
    assert not is_too_large(codec, b"\x28\xb5\x2f\xfd no frame" * 30_000)
