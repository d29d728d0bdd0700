"""The README's table of settings, from the code: `python -m infra.settings_table [--write README.md]`."""

import argparse
import re
import sys
from dataclasses import fields
from pathlib import Path

from trivium import settings


def rows() -> list[str]:
    """One Markdown row a setting, sorted by name."""
    found: dict[str, str] = {}
    for cls in settings.ALL:
        for f in fields(cls):
            default = str(f.default) if f.default != "" else "(empty)"
            found[f.metadata["env"]] = f"| `{f.metadata['env']}` | `{default}` | {f.metadata['doc']} |"
    return [found[name] for name in sorted(found)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.settings_table", description=__doc__,
                                     epilog="example: python -m infra.settings_table --write README.md")  # fmt: skip
    parser.add_argument("--write", type=Path, help="replace the rows in this file")
    path = parser.parse_args().write
    if path is None:
        print("\n".join(rows()))
        return 0
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?:^\| `TRIVIUM_.*\n)+", "\n".join(rows()) + "\n", text, flags=re.MULTILINE), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
