"""Which record kills whoever reads it (the router, a tier): what one process leaves for the next, in the metadata of the group's own commits.

A process that dies cannot say on which record, and the next may run elsewhere. So the log keeps a note beside each
partition's committed offset:

    starts  how often the partition was taken over since anything that was there then was done with
    until   where it ended at the first of these
    at      the one record that is in hand, alone
    out     records that were put aside as killers: a fold must not touch them either

As long as all goes well nothing is written: a note is made when a partition is taken over with records waiting, and goes
with the commit that has passed them. After SUSPECT_AFTER takeovers without that, its records are handed out one by one,
each after a note that names it; a process that dies then has named its killer, and after DEAD_AFTER takeovers the named
record goes to the dead letter as bytes that nobody looks at. Pure.
"""

from dataclasses import dataclass, replace
from typing import Final

SUSPECT_AFTER: Final = 2
DEAD_AFTER: Final = 3
KILLED: Final = f"it was in hand when its process died, {DEAD_AFTER} times: nobody looks at its bytes any more"
_MARK: Final = "trivium"
_OUT_KEPT: Final = 50
NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one partition; see the module."""

    starts: int = 0
    until: int = 0
    at: int = NOBODY
    out: tuple[int, ...] = ()

    def text(self, committed: int) -> str:
        """For a commit of that offset: what has been passed is forgotten."""
        parts = []
        if self.starts and committed < self.until:
            parts = [f"starts={self.starts}", f"until={self.until}"]
            if self.at >= committed:
                parts.append(f"at={self.at}")
        if self.out:
            parts.append("out=" + ",".join(map(str, self.out[-_OUT_KEPT:])))
        return " ".join((_MARK, *parts)) if parts else ""

    def alive(self) -> "Note":
        """What whoever lives to see the partition go leaves: its own takeover was no death, and nothing is in hand."""
        return replace(self, starts=max(0, self.starts - 1), at=NOBODY)


@dataclass(frozen=True, slots=True)
class Taken:
    """How a partition that was taken over is read."""

    note: Note
    """What is left for whoever comes next."""
    alone_until: int = 0
    """Records below this offset are handed out one by one."""

    @property
    def killers(self) -> frozenset[int]:
        """Records that are never handed out to be read."""
        return frozenset(self.note.out)


def read(text: str) -> Note:
    """The note in a commit's metadata; an empty one when that is not ours."""
    mark, *parts = text.split(" ")
    if mark != _MARK:
        return Note()
    try:
        said = dict(part.split("=", 1) for part in parts)
        out = tuple(int(one) for one in said.get("out", "").split(",") if one)
        return Note(int(said.get("starts", 0)), int(said.get("until", 0)), int(said.get("at", NOBODY)), out)
    except ValueError:
        return Note()


def take_over(text: str, committed: int, end: int, again: bool = False) -> Taken:
    """A partition comes to this process: `text` was left beside `committed`, and its log ends at `end`. `again`: it has not
    gone since this process noted that it took it over."""
    left = read(text)
    if again and left.at == NOBODY:
        left = left.alive()
    if committed >= left.until:
        left = Note(out=left.out)
    if left.at >= committed and left.starts >= DEAD_AFTER:
        # Found. There may be another one behind it: what waits is new to us from here on.
        return Taken(Note(1, end, out=(*left.out, left.at)))
    if end <= committed:
        return Taken(Note(out=left.out))
    note = replace(left, starts=left.starts + 1, until=max(left.until, end), at=NOBODY)
    return Taken(note, note.until if left.starts >= SUSPECT_AFTER else 0)
