"""The Jaeger server: started on given ports, spans kept in memory."""

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.background import Running, Say, Server, ServerFailed, accepts, find, launch, refuse_used
from infra.jaeger.building import built

FOLDER: Final = Path(".local/jaeger")
OTLP_PORT: Final = 4317
QUERY_PORT: Final = 16686
MOST_TRACES: Final = 50_000
READY_S: Final = 30.0
_OTHERS: Final = (
    "--admin.http.host-port",
    "--collector.grpc-server.host-port",
    "--collector.http-server.host-port",
    "--collector.otlp.http.host-port",
    "--query.grpc-server.host-port",
)
"""Doors that nobody here uses: on ports that the kernel chooses."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens."""

    otlp: int = OTLP_PORT
    query: int = QUERY_PORT
    host: str = "127.0.0.1"
    most_traces: int = MOST_TRACES
    """Traces in memory; the oldest go first."""


def start(ports: Ports, say: Say, programs: Path = FOLDER, run: Path = FOLDER) -> Running:
    """Builds Jaeger into `programs` when needed and starts it; its log and run.json are in `run`. Raises ServerFailed."""
    if (running := find(run)) is not None:
        raise ServerFailed(f"Jaeger runs already (process {running.pid}): {running.settings}; stop it by `make jaeger-stop`")
    refuse_used(ports.host, {"--otlp-port": ports.otlp, "--query-port": ports.query})
    program = built(programs, say)
    query = f"http://{ports.host}:{ports.query}"
    command = [
        str(program.absolute()),
        f"--collector.otlp.grpc.host-port={ports.host}:{ports.otlp}",
        f"--query.http-server.host-port={ports.host}:{ports.query}",
        f"--memory.max-traces={ports.most_traces}",
        *(f"{option}={ports.host}:0" for option in _OTHERS),
    ]
    addresses = {"TRIVIUM_OTLP": f"http://{ports.host}:{ports.otlp}", "TRIVIUM_TRACES": query}
    environ = {"SPAN_STORAGE_TYPE": "memory"}
    return launch(run, Server("Jaeger", command, addresses, lambda: _ready(ports, query), READY_S, environ))


def _ready(ports: Ports, query: str) -> bool:
    if not accepts(ports.host, ports.otlp):
        return False
    try:
        with urllib.request.urlopen(f"{query}/api/services", timeout=2) as reply:
            return "data" in json.load(reply)
    except (OSError, ValueError):
        return False
