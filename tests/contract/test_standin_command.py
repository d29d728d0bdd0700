"""The stand-ins as programs: ready in one line of JSON, stopped by a signal, one sentence when a port is taken."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.standins.serving import Standin
from infra.standins.spans import SpanStore


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(90):
        line = await process.stdout.readline()
    found: dict[str, Any] = json.loads(line)
    return found


async def test_all_in_one_process(tmp_path: Path) -> None:
    process = await start("infra.standins", "--call-log-dir", str(tmp_path / "calls"))
    try:
        addresses = await ready(process)
        async with aiohttp.ClientSession() as session:
            body = {"inputs": "Task: sentiment\n\nI love it", "parameters": {"adapter_id": "support"}}
            async with session.post(addresses["tgi"] + "/generate", json=body) as response:
                assert await response.json() == {"generated_text": "positive"}
            for name, path in (("claude", "/calls"), ("spans_http", "/api/services")):
                async with session.get(addresses[name] + path) as response:
                    assert response.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            out, errors = await process.communicate()
    assert (process.returncode, out, errors) == (0, b"", b"")
    logged = [json.loads(line) for line in (tmp_path / "calls" / "tgi.jsonl").read_text().splitlines()]
    assert [(line["event"], line["n"], line["status"]) for line in logged] == [("start", 1, 0), ("end", 1, 200)]
    assert addresses["ready"] is True


@pytest.mark.parametrize("module", ["infra.standins.tgi", "infra.standins.claude"])
async def test_a_taken_port_is_one_sentence(module: str) -> None:
    async with SpanStore() as taken:
        port = _port(taken)
        process = await start(module, "--port", port)
        async with asyncio.timeout(90):
            _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in errors.decode()


async def test_a_bad_adapter_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine", "label": "a"}\n{"txt": "typo"}\n')
    process = await start("infra.standins.tgi", "--port", "0", "--adapter", f"mine={path}")
    async with asyncio.timeout(90):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert f"{path}:2: want an object with a" in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize(
    "module", ["infra.standins", "infra.standins.tgi", "infra.standins.claude", "infra.standins.spans"]
)
async def test_help_has_an_example(module: str) -> None:
    process = await start(module, "--help")
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert f"example: python -m {module}" in " ".join(out.decode().split())


def _port(standin: Standin) -> str:
    return standin.url.rpartition(":")[2]
