"""`trivium ask`: one question over gRPC, its answer as it comes."""

import os
import sys
import uuid
from typing import Any

import click
import grpc
from google.protobuf import json_format
from rich.markup import escape

from trivium.cli.screen import console, dollars, json_option, print_json, run, settings
from trivium.codec import terminal_from
from trivium.core.errors import Unreachable
from trivium.core.outcome import Terminal, TerminalKind
from trivium.rpc.channels import channel
from trivium.rpc.tls import handshake_trouble, read_dial
from trivium.settings import ToolSettings
from trivium.v1 import outcome_pb2, request_pb2
from trivium.v1.services_pb2_grpc import GatewayStub


@click.command(epilog="Example: trivium ask 'What is never cached?' --endpoint /auto")
@click.argument("prompt")
@click.option("--endpoint", default="/auto", show_default=True, help="What kind of work it is; /auto lets the classifier say.")
@click.option("--target", default="", help="Pin one target, for example cloud/small.")
@click.option("--sensitivity", default="", help="public, internal or restricted.")
@click.option("--subject", default="", help="Whose data it is about.")
@click.option("--cache", "cache_use", default="", help="use, bypass or refresh.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds until the terminal.")
@click.option("--id", "request_id", default="", help="Request id; default a new one.")
@click.option("--tenant", help="Who asks; default TRIVIUM_TENANT or acme.")
@click.option("--gateway", metavar="HOST:PORT", help="Default TRIVIUM_GATEWAY.")
@json_option
def ask(prompt: str, endpoint: str, target: str, sensitivity: str, subject: str, cache_use: str, timeout_s: float,
        request_id: str, tenant: str | None, gateway: str | None, as_json: bool) -> int:  # fmt: skip
    """Ask one question and see the answer as it comes. Exit status 1 when it was not answered."""
    tool = settings(ToolSettings, gateway=gateway, tenant=tenant)
    request = request_pb2.Request(
        tenant=tool.tenant, id=request_id or f"ask-{uuid.uuid4().hex[:10]}", prompt=prompt, endpoint=endpoint, target=target,
        sensitivity=sensitivity, subject=subject, cache=cache_use, timeout_ms=max(1, int(timeout_s * 1000)),
    )  # fmt: skip
    terminal = run(_stream(tool.endpoint, request, timeout_s + 2, show=not as_json))
    if as_json:
        print_json(json_format.MessageToDict(terminal, preserving_proto_field_name=True))
    else:
        _print_end(terminal_from(terminal))
    return 0 if terminal.kind == TerminalKind.ANSWERED.value else 1


async def _stream(address: str, request: request_pb2.Request, timeout_s: float, show: bool) -> outcome_pb2.Terminal:
    terminal: outcome_pb2.Terminal | None = None
    dial = read_dial(os.environ)
    try:
        async with channel(address, dial) as open_channel:
            stub: Any = GatewayStub(open_channel)  # type: ignore[no-untyped-call]
            async for event in stub.CompleteStream(request, timeout=timeout_s):
                if event.WhichOneof("event") == "terminal":
                    terminal = event.terminal
                elif show:
                    sys.stdout.write(event.delta)
                    sys.stdout.flush()
    except grpc.aio.AioRpcError as error:
        said = error.details() or error.code().name
        raise Unreachable(f"the gateway at {address}: {handshake_trouble(said, dial) or said}") from None
    if terminal is None:
        raise Unreachable(f"the gateway at {address} ended the stream without a terminal: nothing was answered")
    return terminal


def _print_end(terminal: Terminal) -> None:
    out = console()
    out.print()
    for c in terminal.answer.citations if terminal.answer else ():
        out.print(f"  [{c.number}] {c.document} > {c.section}, version {c.version}", markup=False)
    if terminal.reason is not None:
        why = f"{terminal.reason.message}. {terminal.reason.hint}".rstrip(". ")
        out.print(f"[red]{terminal.kind.value}[/] ({terminal.reason.code.value}): {escape(why)}")
    came = f"cache, {terminal.cache.kind}, made for {terminal.cache.made_for}" if terminal.cache else terminal.target or "nobody"
    facts = [came, terminal.task_type, dollars(terminal.cost_micro_dollars), f"{terminal.ended_ms - terminal.arrived_ms} ms"]
    if terminal.answer and terminal.answer.confidence is not None:
        facts.append(f"confidence {terminal.answer.confidence:.2f}")
    out.print("[dim]" + escape(" | ".join(f for f in facts if f)) + f" | trivium why {terminal.identity.id}[/]", soft_wrap=True)
