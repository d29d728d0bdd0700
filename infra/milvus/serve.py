"""Runs a Milvus server until SIGTERM. Executed by the interpreter of the server's own environment, which has the
package `milvus` and nothing of ours: `python serve.py FOLDER PORT HEALTH_PORT`.

The package's own program leaves the server behind when it is terminated, and takes the next port when one is in use.
"""

import signal
import sys

from milvus import MilvusServer, MilvusServerConfig  # type: ignore[import-not-found]  # of the other environment


def main(folder: str, port: int, health_port: int) -> int:
    """Starts it and passes the end on, both ways."""
    server = MilvusServer(MilvusServerConfig(data_dir=folder, proxy_port=port), wait_for_started=False)
    server.webservice_port = health_port
    server.start()
    process = server.server_proc
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return int(process.wait())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
