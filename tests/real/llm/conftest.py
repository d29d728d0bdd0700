"""A real model: `--llm=URL`, and nothing else will do."""

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from services.finetuned.compatible import Compatible
from services.finetuned.engine import Engine
from trivium.claude.api import Claude
from trivium.core.outcome import Answer
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.slip import Work
from trivium.ports import Generator
from trivium.settings import CloudSettings
from trivium.tier.meter import now_ms

_ANSWER_MS = 120_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which model."""
    parser.addoption("--llm", default="", metavar="URL", help="base URL of a server with a real model behind it")
    parser.addoption("--llm-wire", default="openai", choices=["openai", "anthropic"], help="which wire it speaks")
    parser.addoption("--llm-model", default="", metavar="NAME", help="default: the first that the server lists")
    parser.addoption("--llm-key", default="none", metavar="KEY", help="its API key")


@dataclass(frozen=True, slots=True)
class Model:
    """A real model behind the tier's own engine."""

    generator: Generator
    target: Target
    wire: str

    def work(self, text: str, task: TaskSpec, **more: object) -> Work:
        """One question."""
        request = replace(Request(Identity("acme", "1"), (Message(Role.USER, text),)), **more)  # type: ignore[arg-type]
        return Work(request, 1, self.target, task, now_ms() + _ANSWER_MS)

    async def answer(self, text: str, task: TaskSpec, pieces: list[str] | None = None, **more: object) -> Answer:
        """Its answer; a fault fails the test with the fault's words."""
        emit = ([] if pieces is None else pieces).append
        result = (await self.generator.answer(self.work(text, task, **more), emit)).result
        assert isinstance(result, Answer), f"{result.kind.value}: {result.message}"
        return result


@pytest.fixture
async def model(request: pytest.FixtureRequest) -> AsyncIterator[Model]:
    url, wire = str(request.config.getoption("llm")), str(request.config.getoption("llm_wire"))
    key = str(request.config.getoption("llm_key"))
    if not url:
        pytest.fail("these tests ask a real model: give its server, --llm=http://host:8000/v1", pytrace=False)
    name = str(request.config.getoption("llm_model")) or _first_model(url, key)
    async with AsyncExitStack() as stack:
        if wire == "anthropic":
            claude = await stack.enter_async_context(Claude(CloudSettings(key=key, url=url)))
            yield Model(claude, Target("cloud/real", Tier.CLOUD, name, tools=True), wire)
            return
        backend = Compatible(url, key)
        stack.push_async_callback(backend.close)
        yield Model(Engine(backend), Target("finetuned/real", Tier.FINETUNED, name, tools=True), wire)


def _first_model(url: str, key: str) -> str:
    base = url.rstrip("/").removesuffix("/v1")
    asked = urllib.request.Request(f"{base}/v1/models", headers={"authorization": f"Bearer {key}", "x-api-key": key})
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return str(json.load(reply)["data"][0]["id"])
    except (OSError, ValueError, LookupError) as error:
        pytest.fail(f"{base}/v1/models names no model ({error}): give one, --llm-model=NAME", pytrace=False)
