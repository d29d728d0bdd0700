"""Which record kills whoever reads it (the router, a tier): what one process leaves for the next, in the metadata of the group's own commits.

A process that dies cannot say on which record, and the next may run elsewhere. So the log keeps a note beside each
partition's committed offset:

    starts  how often the partition was taken over since anything that was there then was done with
    until   where it ended at the first of these
    at      the one record that is in hand, alone
    from to the portion that is in hand: from this offset to before that one
    out     records that were put aside as killers: a fold must not touch them either

As long as all goes well nothing is written: a note is made when a partition is taken over with records waiting, and goes
with the commit that has passed them. After that, what waits is handed out in portions, each after a note that names it:

    first death   nobody is named, and whoever comes next hands out in portions of PORTION
    second death  a portion is named: the next one hands out its records one by one, and the others in portions
    third death   a record is named: it goes to the dead letter as bytes that nobody looks at

A tier, in which a portion waits for the calls of the one before, hands out one by one, and not before two deaths. Pure.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

DEAD_AFTER: Final = 3
PORTION: Final = 64
"""Records. A note costs a round trip to the broker, 3 to 20 ms: what waits behind a router, some 1,500 records, is handed out in less
than a second, and the portion with a killer in it in about one more."""
KILLED: Final = f"it was in hand when its process died, {DEAD_AFTER} times: nobody looks at its bytes any more"
_MARK: Final = "trivium"
_OUT_KEPT: Final = 50
NOBODY: Final = -1


class Manner(Enum):
    """How suspects are handed out. The value: after how many deaths."""

    PORTIONS = 1
    SINGLY = 2


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one partition; see the module."""

    starts: int = 0
    until: int = 0
    at: int = NOBODY
    to: int = 0
    """End of the portion that begins at `at`; 0: that is one record."""
    out: tuple[int, ...] = ()

    def naming(self, first: int, end: int) -> "Note":
        """With these records in hand."""
        return replace(self, at=first, to=end if end > first + 1 else 0)

    def naming_no_record(self) -> "Note":
        """Without the record that was in hand. A portion stays: nothing is said of it but that it is handed out one by one."""
        return self if self.to else replace(self, at=NOBODY)

    def text(self, committed: int) -> str:
        """For a commit of that offset: what has been passed is forgotten."""
        parts = []
        if self.starts and committed < self.until:
            parts = [f"starts={self.starts}", f"until={self.until}", *self._in_hand(committed)]
        if self.out:
            parts.append("out=" + ",".join(map(str, self.out[-_OUT_KEPT:])))
        return " ".join((_MARK, *parts)) if parts else ""

    def _in_hand(self, committed: int) -> list[str]:
        if self.to:
            return [f"from={self.at}", f"to={self.to}"] if self.to > committed else []
        return [f"at={self.at}"] if self.at >= committed else []

    def alive(self) -> "Note":
        """What whoever lives to see the partition go leaves: its own takeover was no death, and nothing is in hand."""
        return replace(self.naming_no_record(), starts=max(0, self.starts - 1))


@dataclass(frozen=True, slots=True)
class Taken:
    """How a partition that was taken over is read."""

    note: Note
    """What is left for whoever comes next."""
    careful_until: int = 0
    """Records below this offset are handed out in portions, each of which is named before."""
    singly: tuple[int, int] = (0, 0)
    """From this offset to before that one a portion is one record."""

    @property
    def killers(self) -> frozenset[int]:
        """Records that are never handed out to be read."""
        return frozenset(self.note.out)

    def portion(self, offset: int) -> int:
        """End of the portion that begins at this offset; not beyond `offset` when there is no need to name anybody any more."""
        first, end = self.singly
        if first <= offset < end:
            return min(offset + 1, self.careful_until)
        return min(offset + PORTION, self.careful_until, first if offset < first else self.careful_until)


def read(text: str) -> Note:
    """The note in a commit's metadata; an empty one when that is not ours."""
    mark, *parts = text.split(" ")
    if mark != _MARK:
        return Note()
    try:
        said = dict(part.split("=", 1) for part in parts)
        out = tuple(int(one) for one in said.get("out", "").split(",") if one)
        at, to = int(said.get("from", said.get("at", NOBODY))), int(said.get("to", 0))
        return Note(int(said.get("starts", 0)), int(said.get("until", 0)), at, to, out)
    except ValueError:
        return Note()


def take_over(text: str, committed: int, end: int, again: bool = False, manner: Manner = Manner.PORTIONS) -> Taken:
    """A partition comes to this process: `text` was left beside `committed`, and its log ends at `end`. `again`: it has not
    gone since this process noted that it took it over."""
    left = read(text)
    if again and (left.at == NOBODY or left.to):
        left = left.alive()
    if committed >= left.until:
        left = Note(out=left.out)
    if not left.to and left.at >= committed and left.starts >= DEAD_AFTER:
        # Found. There may be another one behind it: what waits is new to us from here on.
        return Taken(Note(1, end, out=(*left.out, left.at)))
    if end <= committed:
        return Taken(Note(out=left.out))
    note = replace(left.naming_no_record(), starts=left.starts + 1, until=max(left.until, end))
    return Taken(note, note.until if left.starts >= manner.value else 0, _singly(left, note.until, manner))


def _singly(left: Note, until: int, manner: Manner) -> tuple[int, int]:
    if manner is Manner.SINGLY:
        return 0, until
    return (left.at, left.to or left.at + 1) if left.at != NOBODY else (0, 0)
