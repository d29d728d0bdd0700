"""Servers that outlive their command: started, found, stopped, and told apart from everything else."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.background import Server, ServerFailed, accepts, end, find, launch, refuse_used
from infra.jaeger import __main__ as jaeger
from infra.jaeger.server import Ports
from infra.jaeger.server import start as start_jaeger
from infra.local import free_ports
from infra.milvus import __main__ as milvus

LISTENS = "import socket,sys,time; s=socket.socket(); s.bind(('127.0.0.1',int(sys.argv[1]))); s.listen(); time.sleep(60)"
STUBBORN = "import signal,socket,sys,time; signal.signal(15,signal.SIG_IGN); s=socket.socket(); s.bind(('127.0.0.1',int(sys.argv[1]))); s.listen(); time.sleep(60)"


def a_server(program: str, ready: Callable[[], bool] | None = None, port: int = 0, ready_s: float = 20.0) -> Server:
    command = [sys.executable, "-c", program, str(port)]
    return Server("Toy", command, {"TOY": str(port)}, ready or (lambda: accepts("127.0.0.1", port)), ready_s, {})


def test_it_is_started_found_and_stopped(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    running = launch(tmp_path, a_server(LISTENS, port=port))
    assert find(tmp_path) == running
    assert running.settings == f"TOY={port}"
    assert end(tmp_path)
    assert not accepts("127.0.0.1", port)
    assert find(tmp_path) is None
    assert not end(tmp_path)


def test_one_that_does_not_want_to_leave_is_killed(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    launch(tmp_path, a_server(STUBBORN, port=port))
    began = time.monotonic()
    assert end(tmp_path, patience_s=0.3)
    assert time.monotonic() - began < 5
    assert not accepts("127.0.0.1", port)


def test_one_that_leaves_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="Toy left before it was ready; the disk is full .whole log"):
        launch(tmp_path, a_server("print('the disk is full')", lambda: False))
    assert find(tmp_path) is None


def test_one_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="Toy was not ready after 0 s"):
        launch(tmp_path, a_server("import time; time.sleep(60)", lambda: False, ready_s=0.3))
    assert find(tmp_path) is None


def test_a_process_of_the_same_number_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"pid": os.getpid(), "born": "1", "addresses": {}}))
    assert find(tmp_path) is None
    assert not end(tmp_path)


def test_a_port_in_use_is_named_with_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerFailed, match=rf"127.0.0.1:{port} cannot be used \(.*in use\): choose another port by --query-port"):
            refuse_used("127.0.0.1", {"--otlp-port": 0, "--query-port": port})


def test_without_go_jaeger_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    otlp, query = free_ports(2)
    with pytest.raises(ServerFailed, match=r"Jaeger is built with Go 1.25 or newer, and there is no `go` in the PATH"):
        start_jaeger(Ports(otlp, query), print, tmp_path, tmp_path)


def test_what_go_says_last_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go").write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    otlp, query = free_ports(2)
    for _ in range(2):
        with pytest.raises(ServerFailed, match="go build failed with status 1: no space left on device"):
            start_jaeger(Ports(otlp, query), print, tmp_path / "programs", tmp_path)


@pytest.mark.parametrize("program", [jaeger, milvus])
def test_the_programs_say_what_runs(program: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = program.main  # type: ignore[attr-defined]
    assert main(["status", "--folder", str(tmp_path)]) == 1
    assert "runs here: start it by `make" in capsys.readouterr().out
    assert main(["stop", "--folder", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": False}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        option = "--otlp-port" if program is jaeger else "--port"
        assert main(["start", "--folder", str(tmp_path), option, str(taken.getsockname()[1])]) == 2
    assert f"choose another port by {option}" in capsys.readouterr().err
