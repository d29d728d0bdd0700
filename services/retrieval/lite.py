"""Starts Milvus Lite's server (lite_server.py) and ends it."""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Self

from trivium.core.errors import Unreachable

_LOG = logging.getLogger(__name__)

START_S = 25.0
STOP_S = 5.0
RESTART_PAUSE_S = 1.0


class LiteServer:
    """A Milvus Lite server in a process of its own, started again when it ends. One per folder: a second one is refused."""

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).absolute())
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def uri(self) -> str:
        """http://127.0.0.1:port; the same over restarts."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the server; 0 when it is not running."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> None:
        """Raises Unreachable when the folder is in use or is not a database."""
        self._port = await self._run()
        self._keeper = asyncio.create_task(self._keep(), name="milvus-lite")

    async def stop(self) -> None:
        """Ends the server; what was flushed or logged is on disk."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await self._end()

    async def _keep(self) -> None:
        """Starts the server again whenever it ends by itself."""
        while self._process is not None:
            status = await self._process.wait()
            _LOG.error("Milvus Lite ended with status %d; starting it again", status)
            try:
                await self._run()
            except Unreachable as error:
                _LOG.error("%s; trying again", error)
                await asyncio.sleep(RESTART_PAUSE_S)

    async def _run(self) -> int:
        # -P: this folder must not stand in the child's path, its modules would hide the library's.
        command = (sys.executable, "-P", str(Path(__file__).with_name("lite_server.py")), self._path, str(self._port))
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        try:
            async with asyncio.timeout(START_S):
                return await _said_port(self._process)
        except (TimeoutError, Unreachable) as error:
            await self._end()
            why = str(error) or f"it did not start within {START_S:g} s"
            raise Unreachable(f"Milvus Lite cannot open {self._path}: {why}") from None

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _said_port(process: Process) -> int:
    assert process.stdout is not None
    line = await process.stdout.readline()
    said = json.loads(line) if line.strip() else {"error": "it ended at once"}
    if "error" in said:
        raise Unreachable(said["error"])
    return int(said["port"])
