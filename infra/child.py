"""Becomes a part of the mesh that ends with the process that started it: `python -I -S infra/child.py PARENT module arguments`.

A program of its own and not a function between fork and exec: such a function makes Python fork for real, and then gRPC wakes
its threads in the child, whose descriptors are being closed: now and then the child was aborted before it began
(https://github.com/grpc/grpc/issues/43055).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, *order = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *order])
