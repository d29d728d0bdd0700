"""What may have been meant by a name that nobody knows."""

import difflib
from collections.abc import Iterable

SHOWN = 8
LONGEST = 80


def hint(name: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or the first names there are, or that there are none."""
    names = sorted(known)
    if not names:
        return "there are none"
    close = difflib.get_close_matches(name[:LONGEST], names, 1, 0.6)
    if close:
        return f"did you mean {close[0]}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "known are " + ", ".join(names[:SHOWN]) + more


def quoted(name: str) -> str:
    """A caller's word in a message: quoted, and cut when it is long."""
    return repr(name if len(name) <= LONGEST else name[:LONGEST] + "...")
