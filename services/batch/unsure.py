"""Finding a batch again of which nobody noted whether it was submitted.

The vendor's list does not say what is in a batch; its results do, and they come when it has ended. So a batch of ours is one that
was made since then, has as many requests, belongs to no other batch that we know, and whose results bear our names.
"""

from typing import Final

from services.batch.book import Batch, Book, is_of
from trivium.core.errors import BatchGone
from trivium.ports import BatchVendor, VendorBatch

_CLOCKS_MS: Final = 300_000
"""The vendor's clock and ours may differ by so much."""


async def found_again(batch: Batch, book: Book, vendor: BatchVendor, wait_ms: int, now_ms: int) -> str | None:
    """The vendor's name of it; empty: it is not there; None: it cannot be said yet. Raises VendorFault."""
    known = {other.vendor_id for other in book.batches.values() if other.vendor_id}
    perhaps = False
    for one in await vendor.recent(batch.submitting_ms - _CLOCKS_MS):
        if one.id in known or one.requests != batch.requests:
            continue
        if not one.ended:
            perhaps = True
        elif await _is_ours(one, batch, vendor):
            return one.id
    # A submission that was under way when its process died may still come to be.
    return None if perhaps or now_ms - batch.submitting_ms < wait_ms else ""


async def _is_ours(one: VendorBatch, batch: Batch, vendor: BatchVendor) -> bool:
    try:
        async for name, _ in vendor.results(one.id, lambda _name: None, batch.begun_ms):
            return is_of(name, batch.key)
    except BatchGone:
        return False  # Its results are no longer kept.
    return False
