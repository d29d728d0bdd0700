"""The rules of the house, executed: sizes, names, purity, who imports a vendor, generated code, the settings table."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.generate import generate
from infra.settings_table import rows

ROOT = Path(__file__).parents[2]
PACKAGES = ("trivium", "services", "streams", "infra", "benchmarks")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "util", "helper"}
IMPURE = {"time", "random", "os", "logging", "asyncio", "threading", "secrets", "uuid", "socket", "datetime", "subprocess"}

KERNEL = {
    "alerts", "budget", "cache", "certificates", "claude", "classifier", "cli", "client", "codec", "core", "crash", "detect", "economy", "embed", "facts", "ingest", "insight", "kafka", "keys", "ledger", "policy", "ports",
    "process", "pulse", "rpc", "settings", "telemetry", "tier", "v1",
}  # fmt: skip
"""Every module of the kernel has a place here and in the design; a new one must be given one."""

VENDORS = {
    "anthropic": {"trivium/claude/api.py"},
    "huggingface_hub": {"services/finetuned/tgi.py"},
    "openai": {"services/finetuned/compatible.py", "benchmarks/quality.py", "benchmarks/tool_choice.py"},
    "pymilvus": {"services/retrieval/"},
    "milvus_lite": {"services/retrieval/"},
    "faust": {"streams/"},
    "confluent_kafka": {"infra/broker.py"},
    "wordllama": {"trivium/embed/"},
    "usearch": {"trivium/cache/"},
    "phonenumbers": {"trivium/detect/"},
    "stdnum": {"trivium/detect/"},
    "sqlalchemy": {"trivium/ledger/", "services/ledger/"},
    "sklearn": {"trivium/classifier/", "trivium/cache/", "benchmarks/"},
}
"""Who may import a vendor's package: a module, or a folder whose one noun it is."""


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (p for p in sorted((ROOT / package).rglob("*.py")) if "trivium/v1" not in p.as_posix())


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


SOURCES = list(modules())


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], ids=named)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_names_say_what_a_module_is_for(path: Path) -> None:
    assert not FORBIDDEN_NAMES & {path.stem, path.parent.name}


@pytest.mark.parametrize("path", [p for p in SOURCES if "trivium/core/" in named(p)], ids=named)
def test_the_core_is_pure(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        assert name.startswith("trivium.core") or (top in sys.stdlib_module_names and top not in IMPURE), name


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_one_importer_per_vendor(path: Path) -> None:
    for name in imports(path):
        allowed = VENDORS.get(name.split(".")[0])
        assert allowed is None or any(named(path) == a or (a.endswith("/") and named(path).startswith(a)) for a in allowed), name


def test_every_kernel_module_has_its_place() -> None:
    found = {p.stem for p in (ROOT / "trivium").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert found - {"__init__"} == KERNEL


def test_every_importable_folder_is_a_package() -> None:
    assert not [named(p) for p in SOURCES if not (p.parent / "__init__.py").exists()]


def test_generated_code_is_what_the_protos_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    generated = generate(tmp_path)
    assert {p.name for p in generated} == {p.name for p in (ROOT / "trivium/v1").glob("*_pb2*")}
    for path in generated:
        assert path.read_text() == (ROOT / "trivium/v1" / path.name).read_text(), f"{path.name}: run make proto"


def test_import_rules_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_lists_every_setting() -> None:
    written = re.findall(r"^\| `TRIVIUM_.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert written == rows(), "run python -m infra.settings_table --write README.md"


def test_no_unfinished_marks() -> None:
    mark = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK", "NotImplemented" + "Error")))
    assert not [named(p) for p in SOURCES if mark.search(p.read_text())]
