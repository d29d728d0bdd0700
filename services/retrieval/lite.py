"""Starts Milvus Lite's server (lite_server.py) and ends it."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Self

from trivium.core.errors import Unreachable

START_S = 15.0
STOP_S = 5.0


class LiteServer:
    """A Milvus Lite server in a process of its own. One process per folder: a second one is refused."""

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).absolute())
        self._process: Process | None = None
        self.uri = ""
        """http://127.0.0.1:port once started."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Raises Unreachable when the folder is in use or is not a database."""
        program = str(Path(__file__).with_name("lite_server.py"))
        # -P: this folder must not stand in the child's path, its modules would hide the library's.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", program, self._path, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        try:
            async with asyncio.timeout(START_S):
                self.uri = f"http://127.0.0.1:{await self._port(self._process)}"
        except (TimeoutError, Unreachable) as error:
            await self.stop()
            why = str(error) or f"it did not start within {START_S:g} s"
            raise Unreachable(f"Milvus Lite cannot open {self._path}: {why}") from None

    async def stop(self) -> None:
        """Ends the server; what was flushed or logged is on disk."""
        process, self._process = self._process, None
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

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @staticmethod
    async def _port(process: Process) -> int:
        assert process.stdout is not None
        line = await process.stdout.readline()
        said = json.loads(line) if line.strip() else {"error": "it ended at once"}
        if "error" in said:
            raise Unreachable(said["error"])
        return int(said["port"])
