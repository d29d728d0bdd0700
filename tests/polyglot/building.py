"""The examples in other languages, built from protos/ with their own tools as their READMEs say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "examples"
LANGUAGES: Final = ("go", "java", "node", "python")
_TIMEOUT_S: Final = 900


class CannotBuild(Exception):
    """A tool is missing or refused; the message says which, and what it said last."""


@dataclass(frozen=True, slots=True)
class Example:
    """A built example: `command` runs it from anywhere."""

    language: str
    command: tuple[str, ...]

    @property
    def start_s(self) -> float:
        """More than it takes until its first call is made, on a machine that is busy."""
        return 6.0 if self.language == "java" else 2.0

    def timeout(self, seconds: float) -> str:
        """A time as this program takes it."""
        return f"{seconds}s" if self.language == "go" else str(seconds)


def build(language: str) -> Example:
    """Generate and build. Raises CannotBuild."""
    return Example(language, _BUILDERS[language](EXAMPLES / language))


def _go(folder: Path) -> tuple[str, ...]:
    _run(folder, ("go", "generate", "./..."), PROTOC=f"{sys.executable} -m grpc_tools.protoc")
    _run(folder, ("go", "vet", "./..."))
    _run(folder, ("go", "build", "-o", "bin/ask", "."))
    return (str(folder / "bin/ask"),)


def _java(folder: Path) -> tuple[str, ...]:
    _run(folder, ("mvn", "--batch-mode", "--quiet", "package"), MAVEN_OPTS="-Xmx512m")
    # A command that lives for a second is not worth compiling.
    return ("java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-jar", str(folder / "target/ask.jar"))


def _node(folder: Path) -> tuple[str, ...]:
    _run(folder, ("npm", "ci", "--no-fund", "--no-audit", "--loglevel=error"))
    return ("node", str(folder / "ask.js"))


def _python(folder: Path) -> tuple[str, ...]:
    return (sys.executable, str(folder / "ask.py"))


_BUILDERS: Final[dict[str, Callable[[Path], tuple[str, ...]]]] = {
    "go": _go, "java": _java, "node": _node, "python": _python,
}  # fmt: skip


def _run(folder: Path, command: Sequence[str], **environ: str) -> None:
    if shutil.which(command[0]) is None:
        raise CannotBuild(f"{folder.name}: {command[0]} is not installed")
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environ, text=True, timeout=_TIMEOUT_S, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-20:])
        raise CannotBuild(f"{folder.name}: {' '.join(command)} left with status {done.returncode}\n{said}")
