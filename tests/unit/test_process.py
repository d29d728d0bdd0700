"""How processes start, say that they are ready, and leave: as an operator sees it."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

PROGRAM = """
import asyncio, os, sys
from trivium.core.errors import BadPolicy, Unreachable
from trivium.process import Process, run
from trivium.rpc.server import serve
from trivium.settings import GatewaySettings, read

async def main(process: Process) -> None:
    mode = process.environ.get("MODE", "")
    if mode == "no broker":
        raise Unreachable("no Kafka broker at localhost:1")
    if mode == "bad policy":
        raise BadPolicy(("policy.yaml:3: tasks: unknown", "policy.yaml:9: targets: none"))
    if mode == "bug":
        raise ZeroDivisionError("a bug")
    if mode == "stuck":
        await process.ready(port=1)
        await asyncio.Event().wait()
    settings = read(GatewaySettings, process.environ)
    await serve(process, settings.port, settings.processes, lambda server: None)

if __name__ == "__main__":
    run("gateway", main, reads=(GatewaySettings,), about="A test.")
"""

LIMIT = 30.0


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


async def started(program: Path, *args: str, **environ: str) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIVIUM_")}
    kept |= {"PYTHONPATH": os.getcwd(), "TRIVIUM_GATEWAY_PORT": "0", **environ}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, str(program), *args, env=kept, stdout=pipe, stderr=pipe)


@pytest.fixture
async def kept() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    running: list[asyncio.subprocess.Process] = []
    yield running
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def ready_line(process: asyncio.subprocess.Process) -> dict[str, object]:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        line: dict[str, object] = json.loads(await process.stdout.readline())
    return line


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TRIVIUM_GATEWAY_PROT": "1"}, "TRIVIUM_GATEWAY_PROT is not a setting; did you mean TRIVIUM_GATEWAY_PORT?"),
        ({"TRIVIUM_OPS_PORT": "x"}, "TRIVIUM_OPS_PORT must be a whole number, not 'x'"),
        ({"TRIVIUM_LOG_LEVEL": "loud"}, "TRIVIUM_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'loud'"),
        ({"TRIVIUM_OTLP": "collector"}, "TRIVIUM_OTLP must be a URL such as http://localhost:4317, not 'collector'"),
        ({"MODE": "no broker"}, "no Kafka broker at localhost:1"),
        ({"MODE": "bad policy"}, "policy.yaml:3: tasks: unknown\npolicy.yaml:9: targets: none"),
    ],
)
async def test_what_an_operator_can_mend_is_a_sentence_and_status_2(
    program: Path, environ: dict[str, str], said: str
) -> None:
    status, out, err = await ended(await started(program, **environ))
    assert (status, out, err) == (2, "", f"trivium gateway: {said}\n")


async def test_a_bug_is_status_1_with_a_sentence_at_the_end(program: Path) -> None:
    status, _, err = await ended(await started(program, MODE="bug"))
    assert status == 1
    assert err.splitlines()[-1] == "trivium gateway: ended unexpectedly: ZeroDivisionError: a bug"


async def test_help_lists_the_settings_that_the_process_reads(program: Path) -> None:
    status, out, _ = await ended(await started(program, "--help"))
    assert status == 0
    assert "TRIVIUM_GATEWAY_PORT (7300)" in out
    assert "TRIVIUM_OTLP (empty)" in out
    assert "example:" in out


async def test_it_says_where_it_listens_serves_operations_and_leaves_on_sigterm(
    program: Path, kept: list[asyncio.subprocess.Process]
) -> None:
    process = await started(program)
    kept.append(process)
    line = await ready_line(process)
    assert line["service"] == "gateway"
    async with aiohttp.ClientSession() as session:
        for path, found in (("metrics", "trivium_ready 1.0"), ("ready", "ready"), ("live", "live")):
            async with session.get(f"http://127.0.0.1:{line['ops_port']}/{path}") as answer:
                assert answer.status == 200
                assert found in await answer.text()
    process.send_signal(signal.SIGTERM)
    status, _, _ = await ended(process)
    assert status == 0


async def test_a_second_signal_ends_it_at_once(program: Path, kept: list[asyncio.subprocess.Process]) -> None:
    process = await started(program, MODE="stuck")
    kept.append(process)
    line = await ready_line(process)
    process.send_signal(signal.SIGTERM)
    async with aiohttp.ClientSession() as session, asyncio.timeout(LIMIT):
        while True:
            async with session.get(f"http://127.0.0.1:{line['ops_port']}/ready") as answer:
                if answer.status == 503:
                    break
    process.send_signal(signal.SIGTERM)
    status, _, err = await ended(process)
    assert (status, err) == (1, "trivium gateway: stopped at once by a second signal\n")


@pytest.mark.parametrize("variable", ["TRIVIUM_GATEWAY_PORT", "TRIVIUM_OPS_PORT"])
@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_port_in_use_is_a_sentence_and_status_2(program: Path, variable: str, processes: str) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = str(owner.getsockname()[1])
        environ = {variable: port, "TRIVIUM_GATEWAY_PROCESSES": processes}
        status, out, err = await ended(await started(program, **environ))
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"trivium gateway: .*127\.0\.0\.1:{port} cannot be opened: .+\n", err)


async def test_workers_share_the_port_and_a_dead_one_is_replaced_with_a_word(
    program: Path, kept: list[asyncio.subprocess.Process]
) -> None:
    process = await started(program, TRIVIUM_GATEWAY_PROCESSES="2")
    kept.append(process)
    line = await ready_line(process)
    assert line["workers"] == 2
    children = children_of(process.pid)
    assert len(children) == 2
    os.kill(children[0], signal.SIGKILL)
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(LIMIT):
        while "is back as process" not in said:
            said += (await process.stderr.readline()).decode()
    assert f"(process {children[0]}) ended with status -9; starting another" in said
    metrics = f"http://127.0.0.1:{line['ops_port']}/metrics"
    async with aiohttp.ClientSession() as session, session.get(metrics) as answer:
        text = await answer.text()
    assert 'trivium_ready{worker="0"} 1.0' in text
    assert 'trivium_ready{worker="1"} 1.0' in text
    process.send_signal(signal.SIGTERM)
    status, _, _ = await ended(process)
    assert status == 0


async def test_workers_leave_when_their_parent_is_killed(program: Path, kept: list[asyncio.subprocess.Process]) -> None:
    process = await started(program, TRIVIUM_GATEWAY_PROCESSES="2")
    kept.append(process)
    await ready_line(process)
    children = children_of(process.pid)
    process.kill()
    # The workers hold the pipes of stderr: the end of them all is its end.
    async with asyncio.timeout(LIMIT):
        await process.communicate()
        # They close their pipes a moment before they are gone.
        while [child for child in children if alive(child)]:  # noqa: ASYNC110 (nobody tells of another's child)
            await asyncio.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
