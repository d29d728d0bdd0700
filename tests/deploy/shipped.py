"""What is shipped for running the mesh elsewhere, read once: compose file, Dockerfile, chart, settings."""

import json
import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from trivium import settings

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "infra/k8s/trivium"
PROCESSES: Final = ("router", "gateway", "finetuned", "retrieval", "cloud")
COMPONENTS: Final = (*PROCESSES, "ledger", "budget")
"""What the chart runs for long; ledger and budget have no group, so nothing scales them."""
BATCHES: Final = ("batch-cloud", "batch-finetuned")
"""What the chart runs when it is told to: one process of patient work for each tier, in the tier's image."""
MODULES: Final = {
    "router": "streams", **{name: f"services.{name}" for name in (*COMPONENTS[1:],)}, "standins": "infra.standins",
}  # fmt: skip
PORTS: Final = {
    "gateway": settings.GatewaySettings.__dataclass_fields__["port"].default,
    "finetuned": settings.FinetunedSettings.__dataclass_fields__["port"].default,
    "retrieval": settings.RetrievalSettings.__dataclass_fields__["port"].default,
    "cloud": settings.CloudSettings.__dataclass_fields__["port"].default,
    "ledger": settings.LedgerSettings.__dataclass_fields__["port"].default,
}
KNOWN: Final = {f.metadata["env"] for cls in settings.ALL for f in fields(cls)}
SECRETS: Final = {f.metadata["env"] for cls in settings.ALL for f in fields(cls) if not f.repr}

_VARIABLE: Final = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


@cache
def compose() -> dict[str, Any]:
    """docker-compose.yml as it is written, merges resolved and nothing filled in."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())  # type: ignore[no-any-return]


def filled(text: str, environ: dict[str, str]) -> str:
    """`${NAME:-default}` as compose fills it in."""
    return _VARIABLE.sub(lambda m: environ.get(m[1]) or m[2] or "", text)


def environment(service: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a compose service for somebody with `environ` in the shell."""
    return {name: filled(str(value), environ or {}) for name, value in compose()["services"][service].get("environment", {}).items()}


def env_file(name: str) -> dict[str, str]:
    """infra/docker/<name>.env"""
    lines = (ROOT / f"infra/docker/{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of a Dockerfile."""

    word: str
    rest: str


@dataclass(frozen=True, slots=True)
class Stage:
    """FROM `base` AS `name`, and what follows."""

    name: str
    base: str
    steps: tuple[Step, ...]

    def all(self, word: str) -> list[str]:
        return [step.rest for step in self.steps if step.word == word]


@cache
def dockerfile() -> dict[str, Stage]:
    """The stages of infra/docker/Dockerfile by name."""
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found: dict[str, Stage] = {}
    for part in re.split(r"^FROM ", joined, flags=re.MULTILINE)[1:]:
        head, *lines = [line for line in part.splitlines() if line.strip()]
        base, _, name = head.partition(" AS ")
        found[name] = Stage(name, base, tuple(Step(*line.split(" ", 1)) for line in lines))
    return found


def ancestry(name: str) -> list[Stage]:
    """A stage and those that it stands on, the last first."""
    stage = dockerfile().get(name)
    return [] if stage is None else [*ancestry(stage.base), stage]


def image_environment(name: str) -> dict[str, str]:
    """ENV of an image."""
    pairs = " ".join(line for stage in ancestry(name) for line in stage.all("ENV"))
    return dict(pair.split("=", 1) for pair in pairs.split())


@cache
def templates() -> dict[str, str]:
    """The chart's templates by file name."""
    return {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}


@cache
def values() -> dict[str, Any]:
    """values.yaml of the chart."""
    return yaml.safe_load((CHART / "values.yaml").read_text())  # type: ignore[no-any-return]


def own(component: str) -> dict[str, Any]:
    """The values of one component of the chart."""
    found = values()["batch"][component.removeprefix("batch-")] if component in BATCHES else values()[component]
    return found  # type: ignore[no-any-return]


def image(component: str) -> str:
    """The stage of the Dockerfile that a component of the chart runs in."""
    return "gateway" if component == "topics" else component.removeprefix("batch-")


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))}


@cache
def alerts() -> list[dict[str, Any]]:
    """Every rule."""
    groups = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]
