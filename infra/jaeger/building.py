"""Jaeger from its sources: one Go program of 74 MB, built once (about 6 minutes on two cores without Go's cache)."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from infra.background import Say, ServerFailed

PACKAGE: Final = "github.com/jaegertracing/jaeger/cmd/all-in-one"
MODULE: Final = Path(__file__).parent
"""Where go.mod and go.sum are: version and content of everything that is built."""
_TELL_EVERY_S: Final = 10.0


def built(folder: Path, say: Say) -> Path:
    """The program, built into `folder` when it is not there or go.mod has changed. Raises ServerFailed."""
    program, recipe = folder / "all-in-one", folder / "build" / "go.mod"
    wanted = (MODULE / "go.mod").read_text()
    if program.is_file() and recipe.is_file() and recipe.read_text() == wanted:
        return program
    if shutil.which("go") is None:
        raise ServerFailed("Jaeger is built with Go 1.25 or newer, and there is no `go` in the PATH: install it from https://go.dev/dl")
    recipe.parent.mkdir(parents=True, exist_ok=True)
    for name in ("go.sum", "go.mod"):
        shutil.copyfile(MODULE / name, recipe.with_name(name))
    fresh = folder / f"all-in-one.{os.getpid()}"
    try:
        _build(recipe.parent, fresh, say)
        fresh.replace(program)
    except BaseException:
        recipe.unlink(missing_ok=True)
        raise
    finally:
        fresh.unlink(missing_ok=True)
    return program


def _build(module: Path, out: Path, say: Say) -> None:
    say("building Jaeger: about 6 minutes the first time, seconds when Go's build cache has it")
    # go.sum holds the hash of everything that is built, so no checksum server has to be asked.
    environ = os.environ | {"GOSUMDB": "off", "GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}
    command = ["go", "build", "-v", "-o", str(out.absolute()), PACKAGE]
    began = told = time.monotonic()
    compiled, last = 0, ""
    with subprocess.Popen(command, cwd=module, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as go:
        assert go.stderr is not None
        for line in go.stderr:
            last = line.strip() or last
            compiled += not line.startswith("go: ")
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                say(f"  {told - began:4.0f} s: {compiled:,} packages compiled, at {last}")
    if go.returncode:
        raise ServerFailed(f"go build failed with status {go.returncode}: {last}")
    say(f"built in {time.monotonic() - began:.0f} s")
