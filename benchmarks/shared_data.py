"""Reads the public data sets of ../shared/data, or says clearly what is missing."""

import csv
import sys
from pathlib import Path
from typing import Final

DEFAULT: Final = Path("../shared/data")


def read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of one CSV file. Exits with 2 and a sentence when it is absent."""
    path = folder / name
    if not path.is_file():
        print(
            f"{path} is absent: this benchmark needs the public data sets; say where they are with --data",
            file=sys.stderr,
        )
        raise SystemExit(2)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def progress(text: str) -> None:
    """One line on standard error, so that standard output stays a report."""
    print(text, file=sys.stderr, flush=True)
