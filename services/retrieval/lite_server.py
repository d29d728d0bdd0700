"""A Milvus Lite server as a program of its own: it shares no interpreter lock with the service that asks it.

Prints one JSON line, {"port": n} or {"error": "..."}, and lives until its standard input ends, which it does when the
parent is gone, however it went. Milvus Lite itself would run in threads of the process that opens the file.
"""

import json
import signal
import sys
import time
from pathlib import Path

from milvus_lite.adapter.grpc.server import start_server_in_thread
from milvus_lite.exceptions import DataDirLockedError

LOCK_PATIENCE_S = 2.0
"""A process that was killed a moment ago may still hold the folder."""


def main(folder: str, port: int = 0) -> int:
    """Serves `folder` on the loopback interface; port 0 is any free one."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    try:
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        server, database, port = _start(folder, port)
    except Exception as error:
        print(json.dumps({"error": _sentence(error)}), flush=True)
        return 1
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.buffer.read()
    server.stop(grace=1).wait()
    database.close()
    return 0


def _start(folder: str, port: int):  # type: ignore[no-untyped-def]  # milvus_lite has no types
    until = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return start_server_in_thread(folder, host="127.0.0.1", port=port)
        except DataDirLockedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _sentence(error: Exception) -> str:
    if isinstance(error, DataDirLockedError):
        return "another process has it open"
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
