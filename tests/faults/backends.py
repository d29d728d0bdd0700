"""Both vendors of the fault harness: `python -m tests.faults.backends --folder DIR --seed 7` prints their addresses as JSON.

They are the stand-ins (infra/standins), whose answers repeat the mark of the prompt, and whose call log is one write(2) a
call: what was called stays known whatever dies. `POST /control` makes them hang, cut, fail or slow down (infra/standins/faults.py)."""

import argparse
import json
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

from infra.standins.calls import CallLog, Entry
from infra.standins.claude import ClaudeStandin
from infra.standins.command import serve, until_stopped
from infra.standins.faults import Pace
from infra.standins.mind import Mind, Wanted
from infra.standins.prompts import Prompt
from infra.standins.speech import Call, Speech, say
from infra.standins.tgi import TgiStandin
from tests.faults.marks import UNSURE, mark_of, marked

SURE, DOUBTFUL = 0.95, 0.2


class EchoMind(Mind):
    """Answers with the mark of the prompt. Questions with passages are answered from them, as ever."""

    def answer(self, prompt: Prompt, wanted: Wanted) -> Speech | Call:
        """See Mind."""
        mark = mark_of(prompt.text)
        if not mark or prompt.has_passages:
            return super().answer(prompt, wanted)
        return say(f"Answered for {marked(mark)}", DOUBTFUL if UNSURE in prompt.text else SURE)


class MarkedCalls(CallLog):
    """A line a call as it arrives and one as it ends, each written at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(None)
        self._sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def start(self, route: str, model: str, stream: bool, prompt: str, headers: dict[str, str]) -> Entry:
        """See CallLog."""
        entry = super().start(route, model, stream, prompt, headers)
        self._say({"n": entry.n, "mark": mark_of(prompt), "model": model, "at_ms": entry.at_ms})
        return entry

    def end(self, entry: Entry, status: int, took_ms: float) -> None:
        """See CallLog."""
        super().end(entry, status, took_ms)
        self._say({"n": entry.n, "status": status, "fault": entry.fault, "ended_ms": time.time_ns() // 1_000_000})

    def _say(self, what: dict[str, object]) -> None:
        os.write(self._sink, json.dumps(what).encode() + b"\n")


async def run(folder: Path, seed: int, ttft_ms: float) -> None:
    """Serve until told to stop."""
    mind = EchoMind.train()
    async with AsyncExitStack() as stack:
        tgi = TgiStandin(pace=Pace(ttft_ms), mind=mind)
        claude = ClaudeStandin(pace=Pace(ttft_ms * 2), mind=mind)
        for standin, name in ((tgi, "tgi"), (claude, "claude")):
            standin.calls = MarkedCalls(folder / f"calls-{name}.jsonl")
            standin.faults.seed = seed
            await stack.enter_async_context(standin)
        print(json.dumps({"tgi": tgi.url, "claude": claude.url}), flush=True)
        await until_stopped()


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.backends", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where calls-tgi.jsonl and calls-claude.jsonl go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=60.0, help="of TGI; the cloud takes twice as long")
    chosen = parser.parse_args()
    serve(run(chosen.folder, chosen.seed, chosen.ttft_ms))


if __name__ == "__main__":
    main()
