"""The Dockerfile's steps by hand, since a builder of images may not be there: the wheel from what is copied, one
environment for each image with its one extra, and the image's command started, found healthy and told to stop."""

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.broker import EmbeddedBroker
from infra.local import free_ports
from tests.deploy.shipped import PORTS, ROOT, ancestry, dockerfile, image_environment
from trivium.kafka.topics import all_topics

IMAGES = ("standins", "cloud", "finetuned", "retrieval", "gateway", "router", "ledger", "budget")
INSTALL_S, START_S, DRAIN_S = 600, 90, 30
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "k8s", "grafana", "prometheus")


def copied(stage: str, to: Path) -> None:
    """COPY of a stage, as far as it comes from the repository."""
    for words in (rest.split() for rest in dockerfile()[stage].all("COPY")):
        *sources, target = words
        if words[0].startswith("--from"):
            continue
        for source in sources:
            place = to / target if len(sources) == 1 and not target.endswith("/") else to / target / Path(source).name
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to / target, ignore=LEFT_OUT, dirs_exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what the builder gets and nothing else."""
    source, out = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("wheels")
    copied("build", source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@dataclass(frozen=True, slots=True)
class Built:
    """The stage `build`: the wheel, and an environment with what all images have."""

    wheel: Path
    base: Path

    def installed(self, name: str, to: Path) -> Path:
        """Python of an environment that has the extra of one image and no more: the stage `install-NAME`."""
        shutil.copytree(self.base, to, symlinks=True, copy_function=os.link)
        pip(to, f"{self.wheel}[{name}]")
        return to / "bin/python"


def pip(environment: Path, what: str) -> None:
    """As the Dockerfile installs."""
    command = [environment / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
               "--constraint", ROOT / "constraints.txt", what]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def build(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """What all images start from. Some hundred megabytes, so not left behind."""
    base = tmp_path_factory.mktemp("base") / "venv"
    venv.create(base, with_pip=True)
    pip(base, str(wheel))
    yield Built(wheel, base)
    shutil.rmtree(base)


class Container:
    """An image's command in its own environment, with a folder of its own for a root."""

    def __init__(self, name: str, build: Built, root: Path) -> None:
        self.name, self.root = name, root
        self.python = build.installed(name, root / "venv")
        for stage in ancestry(name):
            for words in (rest.split() for rest in stage.all("COPY")):
                if words[-1].startswith("/etc/"):
                    (root / "etc").mkdir(exist_ok=True)
                    for source in words[:-1]:
                        shutil.copy(ROOT / source, root / "etc")
        (root / "app").mkdir()
        copied(name, root / "app")
        self.process: subprocess.Popen[str] | None = None

    def start(self, environ: dict[str, str]) -> None:
        command = json.loads(dockerfile()[self.name].all("CMD")[0])[1:]
        ours = image_environment(self.name) | {
            "PATH": f"{self.python.parent}:/usr/bin:/bin", "HOME": str(self.root), "TRIVIUM_HOST": "127.0.0.1",
            "TRIVIUM_POLICY": str(self.root / "etc/policy.yaml"), "TRIVIUM_DATADIR": str(self.root / "router"),
        }  # fmt: skip
        self.environ = ours | environ
        with (self.root / "log").open("w") as log:
            self.process = subprocess.Popen([self.python, *command], cwd=self.root / "app", env=self.environ,
                                            stdout=log, stderr=log, text=True)  # fmt: skip

    def said(self) -> str:
        return (self.root / "log").read_text()

    def healthy(self) -> bool:
        """The image's HEALTHCHECK."""
        check = subprocess.run([self.python, ROOT / "infra/docker/healthy.py"], env=self.environ, capture_output=True, timeout=20, check=False)
        return check.returncode == 0

    def until_healthy(self) -> None:
        assert self.process is not None
        until = time.monotonic() + START_S
        while not self.healthy():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()

    def stopped(self) -> int:
        """SIGTERM, and what it leaves with."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"{self.name} did not drain within {DRAIN_S} s: {self.said()}", pytrace=False)

    def remove(self) -> None:
        """Hundreds of megabytes of a test that went well."""
        shutil.rmtree(self.root / "venv")


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with EmbeddedBroker({topic.name: topic.partitions for topic in all_topics(["trivium.replies.globex", "trivium.replies.globex-batch"])}) as running:
        yield running.bootstrap


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_all_that_its_process_needs(name: str, build: Built, broker: str, tmp_path: Path) -> None:
    container = Container(name, build, tmp_path)
    ops, port = free_ports(2)
    environ = {"TRIVIUM_KAFKA": broker, "TRIVIUM_OPS_PORT": str(ops), "TRIVIUM_CLOUD_KEY": "stand-in"}
    if name in PORTS:
        environ[f"TRIVIUM_{name.upper()}_PORT"] = str(port)
    if name == "ledger":
        environ["TRIVIUM_LEDGER_DB"] = str(tmp_path / "ledger.db")
    if name == "standins":
        environ["HEALTH_URL"] = image_environment(name)["HEALTH_URL"]
    if name == "retrieval":
        environ["TRIVIUM_MILVUS"] = f"http://127.0.0.1:{port}"
        assert_says_that_milvus_is_not_there(container, environ)
        container.remove()
        return
    container.start(environ)
    container.until_healthy()
    assert container.stopped() == 0, container.said()
    container.remove()


def assert_says_that_milvus_is_not_there(container: Container, environ: dict[str, str]) -> None:
    """Milvus Lite is no part of the image: without a server it ends, with one sentence about it."""
    container.start(environ)
    assert container.process is not None
    assert container.process.wait(START_S) == 2, container.said()
    assert "Milvus" in container.said()
    assert "Traceback" not in container.said()


def test_the_gateway_image_makes_topics(build: Built, broker: str, tmp_path: Path) -> None:
    """What the job `topics` of compose file and chart runs."""
    container = Container("gateway", build, tmp_path)
    command = [container.python, "-m", "trivium.cli", "topics", "--policy", str(tmp_path / "etc/policy.yaml"), "--kafka", broker]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert "trivium.requests" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
