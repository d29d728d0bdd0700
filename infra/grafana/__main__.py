"""Writes infra/grafana/dashboards/*.json: `python -m infra.grafana`. A test holds that they are what this writes."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from infra.grafana.boards import BOARDS

FOLDER: Final = Path(__file__).parent / "dashboards"


def texts() -> dict[str, str]:
    """File name -> content."""
    return {f"{name}.json": json.dumps(make(), indent=1, ensure_ascii=False) + "\n" for name, make in BOARDS.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.grafana", description=__doc__, epilog="example: python -m infra.grafana"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write (default: %(default)s)")
    folder = parser.parse_args().folder
    for name, text in texts().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
