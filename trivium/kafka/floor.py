"""The commit floor of one partition: how far may be committed when work ends out of order."""

from heapq import heappop, heappush


class Floor:
    """Knows which offsets were delivered and are not acknowledged yet; the commit never passes one of them.

    One floor lives for one assignment of one partition: after a rebalance the records come again from the
    committed offset, and a new floor takes over. Offsets may have gaps. An offset that is delivered again
    is open again, even below what was committable before: then the floor goes back, and its owner simply
    commits nothing until it has passed what it committed. All operations are O(log n) or better.
    """

    __slots__ = ("_delivered", "_next", "_open")

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._delivered: list[int] = []
        self._next: int | None = None

    @property
    def open_count(self) -> int:
        """How many offsets are delivered and not acknowledged."""
        return len(self._open)

    @property
    def next_offset(self) -> int | None:
        """One past the highest delivered offset, None before the first delivery."""
        return self._next

    def delivered(self, offset: int) -> bool:
        """`offset` was handed to a handler. False when it is open already."""
        if offset in self._open:
            return False
        self._open.add(offset)
        heappush(self._delivered, offset)
        if self._next is None or offset >= self._next:
            self._next = offset + 1
        return True

    def withdrawn(self, offset: int) -> None:
        """`offset`, the highest that was delivered, went to nobody: it is the next to be delivered."""
        self._open.discard(offset)
        self._next = offset

    def acked(self, offset: int) -> bool:
        """The effects of `offset` are in the log. False, and no change, when it was not open."""
        if offset not in self._open:
            return False
        self._open.remove(offset)
        return True

    def committable(self) -> int | None:
        """The offset to commit (the next one to read after a restart), or None when nothing was delivered."""
        delivered, still_open = self._delivered, self._open
        while delivered and delivered[0] not in still_open:
            heappop(delivered)
        return delivered[0] if delivered else self._next
