"""All stand-ins in one process: `python -m infra.standins --tgi-port 0 --claude-port 0`.

They share one set of vectors and heads, so together they take little more memory than one. A line of JSON with the
addresses says that they are ready.
"""

import argparse
import json
from contextlib import AsyncExitStack
from pathlib import Path

from infra.standins.claude import ClaudeStandin
from infra.standins.command import serve, until_stopped
from infra.standins.faults import Pace
from infra.standins.mind import Mind
from infra.standins.serving import CannotListen
from infra.standins.spans import SpanStore
from infra.standins.tgi import TgiStandin

COMMAND = "python -m infra.standins"


def _options() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="The stand-ins for TGI and Anthropic and a span store, in one process.",
        epilog=f"example: {COMMAND} --tgi-port 8080 --claude-port 8081 --call-log-dir /tmp/calls",
    )
    for name in ("tgi", "claude", "spans-otlp", "spans-http"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="default: %(default)s, any free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--ttft-ms", type=float, default=0.0, help="delay to the first token, of both models")
    parser.add_argument("--tpot-ms", type=float, default=0.0, help="delay from each token to the next")
    parser.add_argument("--call-log-dir", type=Path, metavar="DIR", help="write tgi.jsonl and claude.jsonl there")
    return parser, parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    mind = Mind.train()
    logs: Path | None = options.call_log_dir
    host, ttft, tpot = options.host, options.ttft_ms, options.tpot_ms
    tgi = TgiStandin(options.tgi_port, host, logs and logs / "tgi.jsonl", Pace(ttft, tpot), mind)
    claude = ClaudeStandin(options.claude_port, host, logs and logs / "claude.jsonl", Pace(ttft, tpot), mind)
    spans = SpanStore(options.spans_otlp_port, options.spans_http_port, host)
    async with AsyncExitStack() as stack:
        for standin in (tgi, claude, spans):
            await stack.enter_async_context(standin)
        addresses = {"tgi": tgi.url, "claude": claude.url, "spans_otlp": spans.otlp, "spans_http": spans.url}
        print(json.dumps({"ready": True, **addresses}), flush=True)
        await until_stopped()


def main() -> None:
    """Serves until SIGINT or SIGTERM; exits with 1 when a port is taken."""
    parser, options = _options()
    try:
        if options.call_log_dir is not None:
            options.call_log_dir.mkdir(parents=True, exist_ok=True)
        serve(_serve(options))
    except (CannotListen, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
