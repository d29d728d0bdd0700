"""infra/docker/Dockerfile against the repository: what it copies, installs and starts is there."""

import asyncio
import fnmatch
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from infra.docker import healthy
from tests.deploy.shipped import KNOWN, MODULES, PORTS, ROOT, Stage, ancestry, dockerfile, image_environment
from trivium.process import Process
from trivium.settings import ProcessSettings

IMAGES = ("router", "gateway", "finetuned", "retrieval", "cloud", "ledger", "standins")
STAGES = dockerfile()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def sources(stage: Stage) -> list[str]:
    """Paths of the repository that a stage copies."""
    copied = [shlex.split(rest) for rest in stage.all("COPY")]
    return [path for words in copied if not words[0].startswith("--from") for path in words[:-1]]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path go to the builder: the last line that matches decides."""
    verdict = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!")
        if not line or line.startswith("#"):
            continue
        parents = [path, *("/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1))]
        names = [pattern.removeprefix("**/")] if pattern.startswith("**/") else [pattern]
        if any(fnmatch.fnmatch(p, n) or (pattern.startswith("**/") and fnmatch.fnmatch(p.split("/")[-1], n)) for p in parents for n in names):
            verdict = line.startswith("!")
    return verdict


@pytest.mark.parametrize("name", STAGES)
def test_what_is_copied_is_there_and_goes_to_the_builder(name: str) -> None:
    for path in sources(STAGES[name]):
        assert (ROOT / path).exists(), path
        assert sent(path.rstrip("/")), f"{path} is kept back by .dockerignore"


def test_what_nobody_copies_stays_here() -> None:
    assert not any(sent(path) for path in (".git", ".venv", ".local", "tests", "docs", "trivium/__pycache__", "infra/k8s"))


def test_the_base_image_is_pinned() -> None:
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    foreign = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert foreign == {"python:${PYTHON}"}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_installs_its_own_extra_on_the_pinned_versions(name: str) -> None:
    run = " ".join(STAGES[f"install-{name}"].all("RUN"))
    assert re.findall(r"\[(\w+)\]", run) == [name]
    assert name in EXTRAS
    assert "--constraint constraints.txt" in run
    assert f"--from=install-{name} /opt/trivium /opt/trivium" in STAGES[name].all("COPY")


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_starts_its_own_process_without_a_shell(name: str) -> None:
    command = json.loads(STAGES[name].all("CMD")[0])
    assert command[:3] == ["python", "-m", MODULES[name]]
    assert importlib.util.find_spec(f"{MODULES[name]}.__main__") is not None


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_no_rights_and_no_compiler(name: str) -> None:
    chain = ancestry(name)
    assert [stage.name for stage in chain] == ["runtime", name]
    runs = " ".join(rest for stage in chain for rest in stage.all("RUN"))
    assert not re.search(r"apt-get|pip|gcc|build-essential", runs)
    user = [rest for stage in chain for rest in stage.all("USER")]
    assert user == ["10001:10001"]


@pytest.mark.parametrize("name", IMAGES)
def test_the_health_check_asks_the_port_that_is_opened(name: str) -> None:
    checks = [rest for stage in ancestry(name) for rest in stage.all("HEALTHCHECK")]
    assert len(checks) == 1
    assert json.loads(checks[0].partition("CMD ")[2]) == ["python", "/opt/healthy.py"]
    exposed = {int(port) for stage in ancestry(name) for line in stage.all("EXPOSE") for port in line.split()}
    environment = image_environment(name)
    assert int(environment["TRIVIUM_OPS_PORT"]) in exposed
    if name in PORTS:
        assert PORTS[name] in exposed
    assert {key for key in environment if key.startswith("TRIVIUM_")} <= KNOWN
    assert environment["TRIVIUM_HOST"] == "0.0.0.0"


def test_the_policy_of_the_image_is_where_its_setting_says() -> None:
    assert image_environment("router")["TRIVIUM_POLICY"] == "/etc/trivium/policy.yaml"
    assert {"examples/support/policy.yaml", "examples/support/classifier.json"} <= set(sources(STAGES["runtime"]))


def wanted(extra: str) -> list[str]:
    """What an extra asks for; it may name others of our own."""
    found: list[str] = []
    for entry in EXTRAS[extra]:
        ours = re.fullmatch(r"trivium\[([\w,]+)\]", entry)
        found += [line for name in ours[1].split(",") for line in wanted(name)] if ours else [entry]
    return found


def test_the_constraints_name_every_dependency_of_every_image() -> None:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for name in IMAGES for line in wanted(name))]
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in asked}
    assert names <= pinned


async def test_the_check_says_what_the_operations_port_says(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("cloud", {}, ProcessSettings(ops_port=0))
    await process.ready()
    port = str(process.addresses["ops_port"])
    command = [sys.executable, healthy.__file__]

    async def asked() -> int:
        environ = {"TRIVIUM_OPS_PORT": port}
        done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, timeout=20, check=False)
        return done.returncode

    assert await asked() == 0
    process.draining()
    assert await asked() == 1
    await process.close()
    assert await asked() == 1
