"""Which files a path means, and what they are written in."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trivium.core.errors import TriviumError

KINDS: Final = {
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown",
    ".txt": "text", ".text": "text", ".rst": "text", ".log": "text",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".pdf": "pdf",
}  # fmt: skip
MAX_FILE_BYTES: Final = 7_500_000
"""What the retrieval service takes: below the 8 MB that a message may have."""


class NoSuchFile(TriviumError):
    """A path that does not exist, or a file of a kind that nobody reads; one sentence."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send, and the name that citations call it by."""

    path: Path
    document: str
    kind: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What the paths of a command mean. Under `prefixes` whatever is not a source was removed."""

    sources: tuple[Source, ...]
    prefixes: tuple[str, ...]


def select(paths: Iterable[Path]) -> Selection:
    """Files of known kinds; of folders, all below them that are not hidden. Raises NoSuchFile.

    A document is named by its path from the current folder, with slashes; outside of it by its folder's name and the
    path below. The same command names the same documents wherever the project lies."""
    sources: dict[str, Source] = {}
    prefixes: list[str] = []
    for path in paths:
        if path.is_dir():
            prefix = _name(path)
            prefixes.append(prefix)
            found = list(_below(path, prefix))
        else:
            found = [_one(path)]
        for source in found:
            sources.setdefault(source.document, source)
    return Selection(tuple(sources.values()), tuple(dict.fromkeys(prefixes)))


def _one(path: Path) -> Source:
    if not path.exists():
        raise NoSuchFile(f"{path} does not exist")
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise NoSuchFile(f"{path} is of a kind that is not read; known are {', '.join(sorted(KINDS))}")
    folder = _name(path.parent)
    return Source(path, folder + path.name, kind)


def _below(folder: Path, prefix: str) -> Iterator[Source]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            kind = KINDS.get(Path(name).suffix.lower())
            if kind is not None and not name.startswith("."):
                path = Path(where, name)
                yield Source(path, prefix + path.relative_to(folder).as_posix(), kind)


def _name(folder: Path) -> str:
    """Prefix of the documents in a folder: "docs/", or "" for the current one."""
    absolute = folder.resolve()
    try:
        relative = absolute.relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        relative = absolute.name
    return "" if relative in (".", "") else f"{relative}/"
