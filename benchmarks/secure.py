"""What locks cost: checking an API key, signing and verifying a request, and gRPC over TLS, mutual TLS and with keys.

    .venv/bin/python -m benchmarks.secure [--json] [--calls 4000]

Every way of calling is asked in turn, round after round, in one process that is caller and server; `*_ratio` is its calls a
second against plain text's, the median of the rounds.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.report import finish, print_table
from trivium.core.request import Identity
from trivium.kafka.record import Delivered
from trivium.kafka.signature import Signatures, Signer
from trivium.keys.file import KeyFile
from trivium.keys.key import digest_of, new_key, signing_of
from trivium.rpc.channels import Dial, channel, stub
from trivium.rpc.gate import Gate
from trivium.rpc.server import RpcServer, adding
from trivium.rpc.tls import read_dial, read_tls
from trivium.telemetry.metrics import Metrics
from trivium.v1 import outcome_pb2, request_pb2, services_pb2_grpc

ROUNDS: Final = 7
IN_FLIGHT: Final = 32
LOOPS: Final = 20_000
KEYS: Final = 1_000
CERTIFICATES: Final = """
import sys, trustme
ca, folder = trustme.CA(), sys.argv[1]
cert = ca.issue_cert("127.0.0.1")
ca.cert_pem.write_to_path(folder + "/ca.pem")
cert.private_key_pem.write_to_path(folder + "/key.pem")
open(folder + "/cert.pem", "wb").write(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
"""


class Instant(services_pb2_grpc.GatewayServicer):
    """Answers at once."""

    async def Complete(self, message: request_pb2.Request, context: Any) -> outcome_pb2.Terminal:
        return outcome_pb2.Terminal(kind="answered")


class Caller:
    """What a handler is given, as far as the gate looks at it."""

    def __init__(self, key: str) -> None:
        self._metadata = (("user-agent", "x"), ("traceparent", "00-1-2-3"), ("authorization", f"Bearer {key}"))

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


def keys_file(folder: Path, key: str) -> Path:
    """A file of a thousand keys; the last is the one that calls."""
    rows = [(f"key-{i}", new_key()) for i in range(KEYS - 1)] + [("shop", key)]
    lines = [
        f'- {{name: {name}, sha256: "{digest_of(k).hex()}", tenant: acme, signing: "{signing_of(k).hex()}", '
        "endpoints: [/classify], rate: {per_second: 1000000, burst: 1000000}}"
        for name, k in rows
    ]
    path = folder / "keys.yaml"
    path.write_text("\n".join(["keys:", *lines]))
    return path


def microseconds(work: Callable[[], object]) -> float:
    """Median of five runs, a call."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(LOOPS):
            work()
        took.append((time.perf_counter() - began) / LOOPS * 1e6)
    return round(statistics.median(took), 2)


def small(path: Path, key: str) -> dict[str, float]:
    """The checks alone."""
    gate, context, message = Gate(KeyFile(str(path)), Metrics()), Caller(key), request_pb2.Request(tenant="acme", endpoint="/classify")

    def entered() -> None:
        entering = gate._entered("gateway", message, context)
        try:
            entering.send(None)
        except StopIteration:
            pass

    identity, value = Identity("acme", "r1"), b"x" * 500
    signer, signatures = Signer(key), Signatures(KeyFile(str(path)), Metrics())
    record = Delivered("trivium.requests", 0, 0, 1, b"", value, signer.headers(identity, value))
    return {
        "key_check_us": microseconds(entered),
        "sign_us": microseconds(lambda: signer.headers(identity, value)),
        "verify_us": microseconds(lambda: signatures.wrong(record, identity)),
        "not_demanded_us": microseconds(lambda: signatures.wrong(record, Identity("other", "r1"))),
    }


@asynccontextmanager
async def opened(environ: Mapping[str, str], keys: Path | None, key: str) -> AsyncIterator[Any]:
    """A server and a stub that calls it."""
    gate = None if keys is None else Gate(KeyFile(str(keys)), Metrics())
    add = adding((services_pb2_grpc.add_GatewayServicer_to_server, Instant()))
    dial = Dial(read_dial(environ).credentials, key if keys is not None else "")
    async with (
        RpcServer(add, notice_ms=0, drain_ms=100, credentials=read_tls(environ).server(), gate=gate) as server,
        channel(f"127.0.0.1:{server.port}", dial) as wire,
    ):
        yield stub(services_pb2_grpc.GatewayStub, wire)


async def calls_per_s(gateway: Any, calls: int) -> float:
    """With IN_FLIGHT at once."""
    left = iter(range(calls))
    message = request_pb2.Request(tenant="acme", id="r1", endpoint="/classify", prompt="Where is my order? " * 10)

    async def caller() -> None:
        for _ in left:
            await gateway.Complete(message, timeout=10)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return calls / (time.perf_counter() - began)


async def wire(folder: Path, path: Path, key: str, calls: int) -> dict[str, list[float]]:
    """Calls a second of every way, by round."""
    files = {"TRIVIUM_TLS_CERT": "cert.pem", "TRIVIUM_TLS_KEY": "key.pem", "TRIVIUM_TLS_CA": "ca.pem"}
    tls = {name: str(folder / file) for name, file in files.items()}
    ways = {
        "plain": ({}, None), "keys": ({}, path), "tls": (tls, None),
        "mutual_tls": (tls | {"TRIVIUM_TLS_CLIENTS": "true"}, None), "mutual_tls_keys": (tls | {"TRIVIUM_TLS_CLIENTS": "true"}, path),
    }  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in ways}
    async with AsyncExitStack() as stack:
        stubs = {name: await stack.enter_async_context(opened(environ, keys, key)) for name, (environ, keys) in ways.items()}
        for number in range(ROUNDS + 1):
            for name, gateway in stubs.items():
                pace = await calls_per_s(gateway, calls)
                # The first round connects and warms up.
                if number:
                    found[name].append(pace)
    return found


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--calls", type=int, default=4_000, help="calls of a way and round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, key = Path(name), new_key()
        subprocess.run([sys.executable, "-c", CERTIFICATES, name], check=True)
        path = keys_file(folder, key)
        figures: dict[str, object] = dict(small(path, key))
        paces = uvloop.run(wire(folder, path, key, chosen.calls))
    plain = paces["plain"]
    rows = []
    for way, found in paces.items():
        ratio = statistics.median(one / other for one, other in zip(found, plain, strict=True))
        figures |= {f"{way}_calls_per_s": round(statistics.median(found)), f"{way}_ratio": round(ratio, 3)}
        rows.append({"way": way, "calls/s": round(statistics.median(found)), "ratio": ratio})
    if not chosen.json:
        print_table(f"Calls of {KEYS} keys, {IN_FLIGHT} in flight, {ROUNDS} rounds of {chosen.calls}", rows)
    finish(figures, chosen.json)


if __name__ == "__main__":
    main()
