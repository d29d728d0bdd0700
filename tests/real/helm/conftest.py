"""The programs that check a deployment. What is missing for them is a failure in one sentence."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.k8s.tools import ToolMissing, built
from tests.deploy.shipped import CHART

KUBERNETES = "1.31"
Rendered = list[dict[str, Any]]
Render = Callable[..., Rendered]


def tool(name: str) -> Path:
    """A program of ours, built when it is not there."""
    try:
        return built(name)
    except ToolMissing as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def helm() -> Path:
    return tool("helm")


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """`render("--set", "a=b")`: the objects of `helm template`."""
    known: dict[tuple[str, ...], Rendered] = {}

    def rendered(*arguments: str) -> Rendered:
        if arguments not in known:
            command = [str(helm), "template", "shop", str(CHART), "--kube-version", f"{KUBERNETES}.0", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            known[arguments] = [one for one in yaml.safe_load_all(done.stdout) if one]
        return known[arguments]

    return rendered
