"""A router that dies at once, as by kill -9, over any request whose bytes have the word KILLER: `python -m tests.faults.poison.deadly`.

It stands for whatever a record may do to a process below Python: a crash of a library, all memory taken."""

import asyncio
import os
import signal

import uvloop

from streams import fold, inbox, router
from streams.__main__ import main
from streams.inbox import RequestIn
from trivium.kafka.record import Delivered
from trivium.process import run
from trivium.settings import KafkaSettings, KeySettings, RouterSettings


def read_request(record: Delivered) -> RequestIn:
    """As the router's own, but mortal."""
    if b"KILLER" in (record.value or b"") and not record.unreadable:
        os.kill(os.getpid(), signal.SIGKILL)
    return inbox.read_request(record)


if __name__ == "__main__":
    for module in (router, fold):
        module.read_request = read_request  # type: ignore[attr-defined]
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    run("router", main, reads=(KafkaSettings, RouterSettings, KeySettings), about="A router for a test.")
