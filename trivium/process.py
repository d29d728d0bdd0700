"""How every process of the mesh starts, says that it is ready, and leaves.

    async def main(process: Process) -> None:
        settings = read(CloudSettings, process.environ)
        ...
        await process.ready(port=server.port)
        await process.stopping.wait()

    if __name__ == "__main__":
        run("cloud", main, reads=(CloudSettings, KafkaSettings), about="Answers from Anthropic.")

One line of JSON on stdout says where the process listens: {"service": "cloud", "port": 7303, "ops_port": 41233}.
What an operator can mend (a wrong setting, a bad policy, a port in use, a broker that is not there) is one sentence on
stderr and exit status 2. SIGTERM and SIGINT set `stopping`; a second one stops at once.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, NoReturn

import uvloop
from opentelemetry.trace import Tracer

from trivium.core.errors import BadSetting, TriviumError
from trivium.crash import read_crash
from trivium.kafka.quiet import Seldom
from trivium.settings import ProcessSettings, read, refuse_unknown
from trivium.telemetry.expiry import expiries_followed
from trivium.telemetry.metrics import Metrics
from trivium.telemetry.ops_server import OpsServer
from trivium.telemetry.tracing import Tracing, start

_LOG = logging.getLogger(__name__)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_EXIT_TOLD: Final = 2
_EXIT_CRASHED: Final = 1
GC_EVERY: Final = (100_000, 20, 50)
"""Python's own thresholds (700, 10, 10) took a quarter of the gateway's time under load: modules and settings that live
for ever were looked through again and again. A pending request is some 30 objects, so 100,000 of them let 3,000 requests come
and go before what waits is looked through."""

Collect = Callable[[], Awaitable[bytes]]


class Process:
    """What a process knows about itself. Made by `run`; tests make one themselves."""

    def __init__(
        self,
        service: str,
        environ: Mapping[str, str],
        settings: ProcessSettings,
        worker: int | None = None,
        shared_port: int | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.service = service
        self.environ = environ
        self.settings = settings
        self.worker = worker
        """Number of this worker among those that share a port (trivium/rpc/workers.py); None: not one of them."""
        self.shared_port = shared_port
        """The port that these workers share."""
        self.instance = _instance(service, settings, worker)
        self.stopping = asyncio.Event()
        """Set by SIGTERM or SIGINT: finish what was begun, then return."""
        self.metrics = Metrics()
        self.tracing = tracing or start(
            f"trivium-{service}", self.instance, settings.otlp, ratio=settings.trace_ratio, headers=settings.otlp_headers
        )
        self.crash = read_crash(settings.crash_at)
        """Where this process kills itself; None in all but tests of failure."""
        self.tuned = False
        """Whether this process is its interpreter's only purpose (`run` says so): the collector then leaves what is
        there at the start alone."""
        self.addresses: Mapping[str, object] = {}
        """The line that `ready` printed."""
        self.up = asyncio.Event()
        """Set once it has."""
        self._ready = False
        self._ops: OpsServer | None = None

    @property
    def tracer(self) -> Tracer:
        """For spans; a no-op when TRIVIUM_OTLP is not set."""
        return self.tracing.tracer

    @property
    def is_ready(self) -> bool:
        """What /ready says."""
        return self._ready and not self.stopping.is_set()

    async def ready(self, collect: Collect | None = None, **addresses: object) -> None:
        """Open the operations port and print the line that says where this process listens.

        `collect` replaces what /metrics answers (a parent of workers gives theirs). Call it again to print nothing
        and only set ready. Raises Unreachable when the operations port is taken.
        """
        self._set_ready(True)
        if self._ops is not None:
            return
        if self.tuned:
            gc.collect()
            gc.freeze()
        port = self.settings.ops_port if self.worker is None else 0
        self._ops = OpsServer(collect or self._collect, lambda: self.is_ready, self.settings.host, port)
        await self._ops.start()
        line = {"service": self.service, **addresses, "ops_port": self._ops.port}
        print(json.dumps(line), flush=True)
        self.addresses = line
        self.up.set()

    def draining(self) -> None:
        """/ready answers 503 from now on."""
        self._set_ready(False)

    async def close(self) -> None:
        """Close the operations port. `run` calls it."""
        self._set_ready(False)
        if self._ops is not None:
            await self._ops.stop()
            self._ops = None

    async def _collect(self) -> bytes:
        self.metrics.tasks(len(asyncio.all_tasks()))
        return self.metrics.render()

    def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        self.metrics.ready(ready)


Main = Callable[[Process], Coroutine[Any, Any, None]]


def run(
    service: str,
    main: Main,
    *,
    reads: Sequence[type] = (),
    about: str = "",
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> NoReturn:
    """Run `main` until it returns, then exit. `reads`: settings classes that `--help` lists beside ProcessSettings."""
    chosen = _parser(service, about, reads).parse_args(sys.argv[1:] if argv is None else argv)
    environ = dict(os.environ if environ is None else environ)
    try:
        refuse_unknown(environ)
        settings = _settings(environ)
        code = uvloop.run(_live(main, lambda: Process(service, environ, settings, chosen.worker, chosen.port)))
    except TriviumError as error:
        _tell(service, str(error))
        code = _EXIT_TOLD
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)


async def _live(main: Main, make: Callable[[], Process]) -> int:
    process = make()
    service = process.service
    gc.set_threshold(*GC_EVERY)
    process.tuned = True
    _heed_signals(process)
    try:
        async with expiries_followed(process.environ, process.metrics):
            await main(process)
    except asyncio.CancelledError:
        _tell(service, "stopped at once by a second signal")
        return _EXIT_CRASHED
    except TriviumError:
        raise
    except Exception as error:
        _LOG.exception("%s ended unexpectedly", service)
        _tell(service, f"ended unexpectedly: {type(error).__name__}: {error}")
        return _EXIT_CRASHED
    finally:
        await process.close()
        process.tracing.close()
    return 0


def _heed_signals(process: Process) -> None:
    work = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        if process.stopping.is_set() and work is not None:
            work.cancel()
        process.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    if process.worker is not None:
        # The parent holds the other end: when it dies, this ends too.
        loop.add_reader(sys.stdin.fileno(), _orphaned, process, loop)


def _orphaned(process: Process, loop: asyncio.AbstractEventLoop) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        process.stopping.set()


def _settings(environ: Mapping[str, str]) -> ProcessSettings:
    settings = read(ProcessSettings, environ)
    if settings.log_level not in _LEVELS:
        raise BadSetting(f"TRIVIUM_LOG_LEVEL must be one of {', '.join(_LEVELS)}, not {settings.log_level!r}")
    logging.basicConfig(
        level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # aiokafka builds its DEBUG records whatever our level is, and its INFO is one line a rebalance and client; that of an
    # HTTP client is one line a call. That a broker is not there is said by whoever needed it.
    quiet = max(logging.getLevelName(settings.log_level), logging.WARNING)
    for name in ("aiokafka", "httpx", "httpx2"):
        logging.getLogger(name).setLevel(quiet)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    logging.getLogger("aiokafka").addFilter(lambda record: not str(record.msg).startswith("Unable connect to"))
    return settings


def _tell(service: str, sentence: str) -> None:
    print(f"trivium {service}: {sentence}", file=sys.stderr, flush=True)


def _instance(service: str, settings: ProcessSettings, worker: int | None) -> str:
    if not settings.instance:
        return f"{service}-{socket.gethostname()}-{os.getpid()}"
    return settings.instance if worker is None else f"{settings.instance}-{worker}"


def _parser(service: str, about: str, reads: Sequence[type]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(service),
        description=about or f"The process trivium-{service}. It is configured by environment variables alone.",
        epilog=_help(service, reads),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Given by a parent to the workers that share its port.
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=None, help=argparse.SUPPRESS)
    return parser


def _program(service: str) -> str:
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec is not None else f"services.{service}"
    return f"python -m {module}"


def _help(service: str, reads: Sequence[type]) -> str:
    lines = ["settings (default): meaning"]
    for f in (f for cls in (*reads, ProcessSettings) for f in fields(cls)):
        default = f.default if f.default != "" else "empty"
        lines.append(f"  {f.metadata['env']} ({default}): {f.metadata['doc']}")
    return "\n".join([*lines, "", "example:", f"  TRIVIUM_KAFKA=localhost:9092 {_program(service)}"])
