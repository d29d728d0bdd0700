"""The Faust app of the router.

    faust -A streams.app worker --without-web     Faust's own worker, settings from TRIVIUM_ variables
    python -m streams                             the same on uvloop, with one JSON line when it is ready

`app` is made when it is first asked for, so that importing this module reads nothing and starts nothing.
"""

import os
import sys
from typing import Any, NoReturn

import faust

from streams.resources import Knowledge
from streams.transport import AppOptions, build_app
from streams.worker import Crew, CrewBoot, WorkerOptions, agent_of
from trivium.core.errors import TriviumError
from trivium.kafka.claim import static_name
from trivium.kafka.security import read_kafka
from trivium.policy import PolicyFile
from trivium.process import Process
from trivium.settings import KeySettings, ProcessSettings, RouterSettings, read


def make(process: Process, under_faust: bool = False) -> tuple[faust.App, Crew]:
    """The app of one router process, with its crew. Raises BadSetting and BadPolicy."""
    kafka, router = read_kafka(process.environ), read(RouterSettings, process.environ)
    app = build_app(
        AppOptions(
            bootstrap=kafka.bootstrap,
            instance_id=static_name(kafka, process.settings.instance),
            fetch_max_wait_ms=kafka.fetch_max_wait_ms,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_ms=kafka.heartbeat_ms,
            datadir=router.datadir,
            crash=process.crash,
        )
    )
    knowledge = Knowledge(PolicyFile(process.settings.policy), kafka, router, process.metrics, read(KeySettings, process.environ).keys)
    crew = Crew(app, process, knowledge, WorkerOptions(kafka, router, under_faust))
    app.boot_strategy = CrewBoot(app, crew)
    agent_of(app, crew)
    return app, crew


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = found = _from_environment()
    return found


def _from_environment() -> faust.App:
    try:
        process = Process("router", dict(os.environ), read(ProcessSettings, os.environ))
        process.tuned = True
        return make(process, under_faust=True)[0]
    except TriviumError as error:
        _leave(str(error))


def _leave(sentence: str) -> NoReturn:
    print(f"trivium router: {sentence}", file=sys.stderr, flush=True)
    sys.exit(2)
