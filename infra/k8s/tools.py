"""What checks a deployment, built with Go into .local/deploy when it is not there: `python -m infra.k8s.tools`.

helm renders the chart, promtool reads alert rules as Prometheus does, compose-go reads docker-compose.yml as Docker
Compose does. About eight minutes on two cores without Go's build cache."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trivium.core.errors import TriviumError

FOLDER: Final = Path(".local/deploy")
_MOST_S: Final = 1_800


class ToolMissing(TriviumError):
    """A program could not be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A Go program: its module at a version, and the package in it."""

    name: str
    module: str
    version: str
    package: str


TOOLS: Final = {
    tool.name: tool
    for tool in (
        Tool("helm", "helm.sh/helm/v3", "v3.17.0", "helm.sh/helm/v3/cmd/helm"),
        Tool("promtool", "github.com/prometheus/prometheus", "v0.305.0", "github.com/prometheus/prometheus/cmd/promtool"),
        Tool("compose-go", "github.com/compose-spec/compose-go/v2", "v2.9.0", "github.com/compose-spec/compose-go/v2/cmd"),
    )
}


def built(name: str, folder: Path = FOLDER) -> Path:
    """The program, built unless this version of it is there. Raises ToolMissing."""
    tool = TOOLS[name]
    program = (folder / f"{name}-{tool.version}").absolute()
    if program.is_file():
        return program
    if shutil.which("go") is None:
        raise ToolMissing(f"{name} is built with Go 1.24 or newer, and there is no `go` in the PATH: install it from https://go.dev/dl")
    module = folder / "build" / name
    module.mkdir(parents=True, exist_ok=True)
    # As a requirement of a module of ours: `go install` refuses one whose go.mod replaces others.
    (module / "go.mod").write_text(f"module trivium/{name}\n\ngo 1.24\n\nrequire {tool.module} {tool.version}\n")
    print(f"building {name} {tool.version}", file=sys.stderr, flush=True)
    began = time.monotonic()
    fresh = program.with_suffix(f".{os.getpid()}")
    try:
        done = subprocess.run(
            ["go", "build", "-o", str(fresh), tool.package], cwd=module, text=True, capture_output=True, timeout=_MOST_S,
            env=os.environ | {"GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ToolMissing(f"{name} was not built within {_MOST_S} s") from None
    if done.returncode:
        raise ToolMissing(f"{name}: go build failed with status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    fresh.replace(program)
    print(f"built {name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return program


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.k8s.tools", description=__doc__,
                                     epilog="example: python -m infra.k8s.tools helm", formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", choices=[*TOOLS, []], help="which; default: all")
    try:
        for name in parser.parse_args().names or TOOLS:
            print(built(name))
    except ToolMissing as error:
        print(f"infra.k8s.tools: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
