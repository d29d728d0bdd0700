"""Puts questions to a Trivium mesh: over gRPC, or over Kafka.

python ask.py ask     "Where is my order?"       one question over gRPC, its whole answer
python ask.py stream  "Where is my order?"       the same, piece by piece; Ctrl-C cancels it and stops the model
python ask.py cancel  ID                         cancel a question that somebody else is asking
python ask.py publish "Question" "Question"...   questions over Kafka, each answered once

An API key is taken from TRIVIUM_KEY. Exit status: 0 answered, 1 ended without an answer, 2 no end was seen.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import grpc
from google.protobuf import json_format

from trivium.client import GatewayError, KafkaClient, TriviumClient, request
from trivium.client.kafka_client import KafkaClientOptions
from trivium.codec import terminal_to
from trivium.core.errors import BadRequest, TriviumError
from trivium.core.outcome import Terminal, TerminalKind
from trivium.core.request import Identity
from trivium.v1 import request_pb2

ANSWERED, UNANSWERED, UNKNOWN = 0, 1, 2


async def ask(options: argparse.Namespace) -> int:
    """One call, one terminal. A refused or failed request is a terminal too, not an error."""
    async with connected(options) as mesh:
        terminal = await mesh.complete(asked(options, options.id, options.question[0]), idempotent=options.durable)
    return show(terminal, options.json)


async def stream(options: argparse.Namespace) -> int:
    """Pieces as they come, then exactly one terminal. Leaving the stream early stops the model."""
    question = asked(options, options.id, options.question[0])
    async with connected(options) as mesh, aclosing(mesh.stream(question)) as events:
        async for event in events:
            if isinstance(event, Terminal):
                return show(event, options.json, shown=True)
            print(json.dumps({"delta": event}) + "\n" if options.json else event, end="", flush=True)
    raise TriviumError("the stream ended without a terminal: what came is no answer")


async def cancel(options: argparse.Namespace) -> int:
    """For who does not hold the call. It ends in the terminal `failed`, reason `cancelled`."""
    async with connected(options) as mesh:
        print(await mesh.cancel(Identity(options.tenant, options.question[0])))
    return ANSWERED


async def publish(options: argparse.Namespace) -> int:
    """The client finds each request's home, reads the replies from now on, and gives the first terminal of each. With an
    API key it signs what it publishes."""
    worst, signing = ANSWERED, KafkaClientOptions(key=os.environ.get("TRIVIUM_KEY", ""))
    async with KafkaClient(options.kafka, options.tenant, options.replies, options=signing) as mesh:
        timeout_ms = int(options.timeout * 1000) + 5_000
        pending = [
            await mesh.publish(asked(options, f"{options.id}-{number}", question), timeout_ms=timeout_ms)
            for number, question in enumerate(options.question, start=1)
        ]
        for each in asyncio.as_completed([each.future for each in pending]):
            worst = max(worst, show(await each, options.json))
        counts = {"published": len(pending), "terminals": len(pending), "repeated": mesh.duplicates}
    if options.json:
        print(json.dumps(counts))
    else:
        print("{published} published, {terminals} ended, {repeated} repetitions left out".format(**counts), file=sys.stderr)
    return worst


def connected(options: argparse.Namespace) -> TriviumClient:
    """In plain text, or over TLS to a gateway whose certificate the CA of --ca has signed."""
    credentials = grpc.ssl_channel_credentials(options.ca.read_bytes()) if options.ca else None
    key = os.environ.get("TRIVIUM_KEY", "")
    return TriviumClient(options.gateway, timeout_s=options.timeout, key=key, credentials=credentials)


def asked(options: argparse.Namespace, request_id: str, question: str) -> request_pb2.Request:
    """What both doors take."""
    timeout_ms = max(1, int(options.timeout * 1000))
    return request(options.tenant, question, id=request_id, endpoint=options.endpoint, timeout_ms=timeout_ms)


def show(terminal: Terminal, as_json: bool, shown: bool = False) -> int:
    """Print how a request ended and give the exit status. `shown`: its text was shown already."""
    if as_json:
        print(json.dumps(json_format.MessageToDict(terminal_to(terminal), preserving_proto_field_name=True)))
    else:
        if terminal.answer and not shown:
            print(terminal.answer.text)
        print(f"\n{terminal.identity.id}: {summary(terminal)}")
    return ANSWERED if terminal.kind is TerminalKind.ANSWERED else UNANSWERED


def summary(terminal: Terminal) -> str:
    """One line about the end."""
    if reason := terminal.reason:
        said = "; ".join(filter(None, (reason.message, reason.hint)))
        return f"{terminal.kind.value} ({reason.code.value}): {said}"
    took_ms, dollars = terminal.ended_ms - terminal.arrived_ms, terminal.cost_micro_dollars / 1e6
    return f"{terminal.kind.value} by {terminal.target or terminal.tier} in {took_ms} ms for ${dollars:.6f}"


def complain(error: BaseException, as_json: bool) -> None:
    """Say what went wrong, to a person or to a program."""
    told = {"status": "", "message": str(error), "reason": "", "field": ""}
    match error:
        case GatewayError():
            told |= {"status": error.code.name, "reason": error.reason, "field": error.field}
        case BadRequest():
            # The client looks at what it can know by itself, and says it as the gateway does.
            told |= {"status": "INVALID_ARGUMENT", "reason": error.reason.code.value, "field": error.reason.field}
        case asyncio.CancelledError():
            told |= {"status": "CANCELLED", "message": "interrupted"}
        case _:
            as_json = False
    print(json.dumps(told) if as_json else told["message"], file=sys.stdout if as_json else sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ask.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python ask.py stream --tenant acme --endpoint /auto "What is never written to the cache?"',
    )  # fmt: skip
    parser.add_argument("command", choices=["ask", "stream", "cancel", "publish"])
    parser.add_argument("question", nargs="+", help="what to ask, quoted; for cancel, the id")
    parser.add_argument("--gateway", default="localhost:7300", metavar="HOST:PORT")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the CA that signed its certificate; none: plain text")
    parser.add_argument("--kafka", default="localhost:9092", metavar="HOST:PORT", help="a Kafka broker (publish)")
    parser.add_argument("--replies", default="trivium.responses", help="the tenant's reply topic (publish)")
    parser.add_argument("--tenant", default="acme", help="who asks")
    parser.add_argument("--endpoint", default="/auto", help="what kind of work it is; /auto lets the mesh find out")
    parser.add_argument("--id", default=f"python-{uuid.uuid4()}", help="yours to choose; the same again is the same request")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="how long an answer may take")
    parser.add_argument("--durable", action="store_true", help="through the log: it survives the gateway (ask)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if len(options.question) > 1 and options.command != "publish":
        parser.error(f"{options.command} takes one question, {len(options.question)} were given; a question is quoted")
    return options


async def main() -> int:
    options = parse()
    commands: dict[str, Callable[[argparse.Namespace], Awaitable[int]]] = {
        "ask": ask, "stream": stream, "cancel": cancel, "publish": publish,
    }  # fmt: skip
    task = asyncio.ensure_future(commands[options.command](options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return await task
    except (TriviumError, TimeoutError, OSError, asyncio.CancelledError) as error:
        complain(error, options.json)
    return UNKNOWN


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
