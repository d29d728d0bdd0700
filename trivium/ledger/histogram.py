"""Times as counts in logarithmic buckets: any number of them can be added up, and a percentile is at most 1 % off.

The bucket of v is ceil(log(v) / log(g)) with g = (1 + a) / (1 - a) and a = 0.01 (the scheme of DDSketch, Masson et al.,
VLDB 2019): every value of a bucket is within a of the one that stands for it. Zero has bucket 0, and so has less than 1.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

ERROR: Final = 0.01
"""Of a percentile, relative, at most."""
_G: Final = (1 + ERROR) / (1 - ERROR)
_LOG_G: Final = math.log(_G)
BUCKETS: Final = 2_048
"""The last one ends far beyond any time that a request may take."""
_PACKED: Final = np.dtype([("bucket", "<u2"), ("count", "<u4")])

Counts = dict[int, int]
"""Bucket -> how many."""


def bucket_of(value: int) -> int:
    """Of a time of any unit."""
    return 0 if value <= 0 else min(BUCKETS - 1, 1 + math.ceil(math.log(value) / _LOG_G - 1e-9))


def middle_of(bucket: int) -> float:
    """The value that stands for a bucket."""
    return 0.0 if bucket <= 0 else 2 * _G ** (bucket - 1) / (_G + 1)


def packed(counts: NDArray[np.int64]) -> bytes:
    """As a store keeps them: six bytes for each bucket in use."""
    used = np.nonzero(counts)[0]
    made = np.empty(len(used), dtype=_PACKED)
    made["bucket"], made["count"] = used, counts[used]
    return made.tobytes()


def changed(pack: bytes, changes: Mapping[int, int]) -> bytes:
    """Packed counts with some more, or fewer, in some buckets."""
    total = _spread([pack])
    for bucket, count in changes.items():
        total[bucket] += count
    return packed(total)


def added(packs: Iterable[bytes]) -> Counts:
    """The sum of packed counts."""
    total = _spread(packs)
    used = np.nonzero(total)[0]
    return dict(zip(used.tolist(), total[used].tolist(), strict=True))


def percentile(counts: Counts, share: float) -> float | None:
    """The value below or at which `share` (0..1) of the times lie; None without any."""
    rank = max(1, math.ceil(share * sum(counts.values())))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle_of(bucket)
    return None


def _spread(packs: Iterable[bytes]) -> NDArray[np.int64]:
    total = np.zeros(BUCKETS, dtype=np.int64)
    for pack in packs:
        read = np.frombuffer(pack, dtype=_PACKED)
        total[read["bucket"]] += read["count"]
    return total
