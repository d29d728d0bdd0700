"""Java and Maven on this machine, and the jars of a Kafka node: fetched once, kept in .local/kafka."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trivium.core.errors import TriviumError

POM: Final = Path(__file__).with_name("pom.xml")
HOME: Final = Path(".local/kafka")
"""Below the top of the checkout; git ignores it."""
OLDEST_JAVA: Final = 17
_FETCH_S: Final = 900
_EVERY: Final = 5

Say = Callable[[str], None]


class KafkaFailed(TriviumError):
    """Kafka could not be fetched, started or stopped; the message says why, and what to do."""


def version() -> str:
    """The version of Kafka that the pom names."""
    found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)</version>", POM.read_text())
    assert found is not None, POM
    return found[1]


def java() -> str:
    """The Java program: JAVA_HOME's, else the path's. KafkaFailed when there is none, or an older one than 17."""
    home = os.environ.get("JAVA_HOME", "")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None or not Path(program).exists():
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "there is no program `java` on the path"
        raise KafkaFailed(f"Kafka {version()} needs Java {OLDEST_JAVA} or newer, and {where}: install a JRE, or set JAVA_HOME")
    said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None:
        raise KafkaFailed(f"{program} -version does not say which Java it is: {said.strip()[:200] or 'it says nothing'}")
    if int(found[1]) < OLDEST_JAVA:
        raise KafkaFailed(f"Kafka {version()} needs Java {OLDEST_JAVA} or newer, and {program} is Java {found[1]}: set JAVA_HOME")
    return program


def class_path(say: Say, home: Path = HOME) -> str:
    """The jars of one Kafka node, fetched when they are not there. KafkaFailed when Maven is missing or fails."""
    lib = home / f"lib-{version()}"
    if not lib.is_dir():
        _fetch(lib, say)
    return f"{POM.parent}{os.pathsep}{lib.resolve()}/*"


def _fetch(lib: Path, say: Say) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaFailed(f"Kafka {version()} is fetched by Maven, and there is no program `mvn` on the path: install Maven 3.8 or newer")
    say(f"fetching Kafka {version()} by Maven, once (45 files, 43 MB)")
    lib.parent.mkdir(parents=True, exist_ok=True)
    unfinished = lib.with_name(f"{lib.name}.{os.getpid()}")
    order = [maven, "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    order.append(f"-DoutputDirectory={unfinished.resolve()}")
    try:
        _run(order, say)
        # At once, so that a fetch that was cut off is never taken for a whole one.
        if not lib.is_dir():
            unfinished.rename(lib)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run(order: list[str], say: Say) -> None:
    errors: list[str] = []
    files = 0
    with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as maven:
        assert maven.stdout is not None
        for line in maven.stdout:
            if "Copying " in line or "Downloaded from" in line:
                files += 1
                if files % _EVERY == 0:
                    say(f"  {files} files")
            elif line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
        status = maven.wait(_FETCH_S)
    if status:
        why = next((e for e in errors if e), "it said no reason")
        raise KafkaFailed(f"Maven could not fetch Kafka (status {status}): {why[:400]}")


def to_stderr(sentence: str) -> None:
    """Where progress goes, so that standard output stays data."""
    print(sentence, file=sys.stderr, flush=True)
