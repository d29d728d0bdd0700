"""`python -m streams`: the router as a process of its own."""

import asyncio
import logging

import uvloop

from streams.app import make
from trivium.kafka.security import read_kafka
from trivium.kafka.topics import OUTCOMES, REQUESTS
from trivium.kafka.waiting import await_broker
from trivium.process import Process, run
from trivium.settings import KafkaSettings, KeySettings, RouterSettings


async def main(process: Process) -> None:
    """Run until told to stop, or until the router cannot go on. Raises what an operator should read."""
    quiet = max(logging.WARNING, logging.getLogger().level) if process.settings.log_level != "DEBUG" else logging.DEBUG
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(quiet)
    app, crew = make(process)
    stopping = asyncio.create_task(process.stopping.wait(), name="stopping")
    try:
        if not await await_broker(read_kafka(process.environ), process.stopping, (REQUESTS, OUTCOMES)):
            return
        await crew.check()
        await app.start()
        await crew.working()
        await process.ready()
        assert crew.broken is not None
        await asyncio.wait((stopping, crew.broken), return_when=asyncio.FIRST_COMPLETED)
        process.draining()
        if crew.broken.done():
            crew.broken.result()
    finally:
        stopping.cancel()
        await app.stop()


if __name__ == "__main__":
    # Faust's consumer has a thread with a loop of its own, made by the policy.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    run("router", main, reads=(KafkaSettings, RouterSettings, KeySettings), about="Decides every request and carries every outcome on.")
