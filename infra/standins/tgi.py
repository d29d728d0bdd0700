"""A stand-in for TGI: its wire over a really trained small classifier, an extractive reader and a few rules.

It serves `/generate`, `/generate_stream`, `/v1/chat/completions`, `/v1/models`, `/info` and `/health`; adapters are
`tickets` (a classifier of support tickets) and `support` (everything else a support desk asks; also the base model).
What prompts may ask is in `prompts.py`, how to make it fail in `faults.py`, both in README.md.

An unknown adapter is an error here. (The real server answers it with the base model and says nothing;
`--unknown-adapter base` does the same.)
"""

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from aiohttp import web

from infra.standins.command import common_options, run, serve
from infra.standins.faults import Pace
from infra.standins.fill import BadSchema
from infra.standins.mind import Mind, Wanted
from infra.standins.prompts import Prompt, read_flat, read_prompt
from infra.standins.serving import Served, Standin, read_json, sse
from infra.standins.speech import Call, Speech, tokens_of
from infra.standins.tgi_chat import ChatAsked, chunks, read_chat, text_prompt, whole_chat
from infra.standins.tgi_wire import (
    UNIFORM,
    Asked,
    Generated,
    Invalid,
    Limits,
    check_length,
    limit,
    read_request,
    stream_shapes,
    whole_shape,
)

MODEL: Final = "support-7b"
FAILURES: Final[dict[str, tuple[int, str, str]]] = {
    "overloaded": (429, "Model is overloaded", "overloaded"),
    "rate_limited": (429, "Rate limit exceeded", "rate_limited"),
    "unavailable": (503, "unhealthy", "healthcheck"),
    "generation": (424, "Request failed during generation: Server error: stand-in was told to fail", "generation"),
    "bad_request": (422, "Input validation error: stand-in was told to fail", "validation"),
    "unauthorized": (401, "Authentication required", "unauthorized"),
}
"""Fault -> status, error, error_type."""


class TgiStandin(Standin):
    """The server, for use in process: `async with TgiStandin(port=0) as standin: standin.url`."""

    vendor = "tgi; not a language model"

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        call_log: Path | None = None,
        pace: Pace | None = None,
        mind: Mind | None = None,
        limits: Limits | None = None,
        unknown_adapter: Literal["error", "base"] = "error",
        model: str = MODEL,
    ) -> None:
        super().__init__(port, host, call_log, pace)
        self.mind = mind or Mind.train()
        self.limits = limits or Limits()
        self._lenient = unknown_adapter == "base"
        self._model = model
        self._running = 0

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/generate", self._generate),
            web.post("/generate_stream", self._generate),
            web.post("/", self._compat),
            web.post("/v1/chat/completions", self._chat),
            web.get("/v1/models", self._models),
            web.get("/info", self._info),
            web.get("/health", self._health),
        ]

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body, wrong = read_json(await request.text())
        return await self._native(request, body, wrong, request.path == "/generate_stream")

    async def _compat(self, request: web.Request) -> web.StreamResponse:
        body, wrong = read_json(await request.text())
        return await self._native(request, body, wrong, body.get("stream") is True)

    async def _native(self, request: web.Request, body: dict[str, Any], wrong: str, stream: bool) -> web.StreamResponse:
        parameters = body.get("parameters")
        adapter = str(parameters.get("adapter_id") or "") if isinstance(parameters, dict) else ""
        async with self.logged(request, adapter, stream, str(body.get("inputs", ""))) as served:
            if wrong:
                return _plain(served, 400, wrong)
            await served.suffer()
            if (failure := self._fail(served)) is not None:
                return failure
            try:
                asked = read_request(body, stream)
                generated, prompt_tokens = self._make(asked)
            except TypeError as error:
                return _plain(served, 422, f"Failed to deserialize the JSON body into the target type: {error}")
            except (Invalid, BadSchema) as error:
                return _error(served, 422, str(error), "validation")
            return await self._send(served, asked, generated, prompt_tokens)

    def _make(self, asked: Asked) -> tuple[Generated, int]:
        prompt_tokens = self.mind.language.count(asked.inputs) + 1
        most = check_length(self.limits, prompt_tokens, asked.most_tokens)
        wanted = Wanted(adapter=self._adapter(asked.adapter), grammar=asked.grammar)
        said = self.mind.answer(read_flat(asked.inputs), wanted)
        assert not isinstance(said, Call), "a call needs tools, and this route has none"
        return limit(tokens_of(self.mind.language, said), most, asked.stop), prompt_tokens

    async def _send(self, served: Served, asked: Asked, generated: Generated, prompt_tokens: int) -> web.StreamResponse:
        served.entry.prompt_tokens, served.entry.output_tokens = prompt_tokens, len(generated.tokens)
        with self._slot():
            if served.entry.stream:
                events = [sse(event, space="") for event in stream_shapes(asked, generated, prompt_tokens)]
                return await served.stream(b"", events[:-1], events[-1], _trouble(served))
            await served.paced(len(generated.tokens))
            prefill = self._prefill(asked.inputs) if asked.prefill else []
            body = whole_shape(asked, generated, prefill)
            headers = {"x-prompt-tokens": str(prompt_tokens), "x-generated-tokens": str(len(generated.tokens))}
            return await served.send_whole(served.json(body, headers={"x-compute-type": "cpu+standin", **headers}))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, wrong = read_json(await request.text())
        stream = body.get("stream") is True
        async with self.logged(request, str(body.get("model", "")), stream, str(body.get("messages", ""))) as served:
            if wrong:
                return _plain(served, 400, wrong)
            await served.suffer()
            if (failure := self._fail(served)) is not None:
                return failure
            try:
                asked = read_chat(body, ("tgi", self._model))
                return await self._talk(served, asked)
            except (TypeError, Invalid, BadSchema) as error:
                return _error(served, 422, str(error), "validation")

    async def _talk(self, served: Served, asked: ChatAsked) -> web.StreamResponse:
        prompt_tokens = self.mind.language.count(text_prompt(asked)) + 1
        most = check_length(self.limits, prompt_tokens, asked.most_tokens)
        wanted = Wanted(self._adapter(asked.adapter), asked.grammar, asked.tools, asked.tool_choice)
        said = self._say(read_prompt(asked.turns), wanted)
        spoken: Generated | Call
        if isinstance(said, Call):
            spoken, generated = said, self.mind.language.count(f"{said.name}{said.arguments}")
        else:
            spoken = limit(tokens_of(self.mind.language, said), most, asked.stop)
            generated = len(spoken.tokens)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": generated,
            "total_tokens": prompt_tokens + generated,
        }
        served.entry.prompt_tokens, served.entry.output_tokens = prompt_tokens, generated
        head = {"id": f"chatcmpl-{uuid.uuid4().hex[:24]}", "created": int(time.time())}
        with self._slot():
            if asked.stream:
                events, closing = chunks(asked, spoken, head, usage)
                last = b"".join(sse(event) for event in closing) + b"data: [DONE]\n\n"
                return await served.stream(b"", [sse(event) for event in events], last, _trouble(served))
            await served.paced(generated)
            return await served.send_whole(served.json(whole_chat(asked, spoken, head, usage)))

    def _say(self, prompt: Prompt, wanted: Wanted) -> Speech | Call:
        return self.mind.answer(prompt, wanted)

    def _adapter(self, name: str | None) -> str | None:
        if self.mind.knows(name):
            return name
        if self._lenient:
            return None
        loaded = ", ".join(["support", *self.mind.adapters])
        raise Invalid(f"adapter `{name}` is not loaded. Loaded: {loaded}")

    def _fail(self, served: Served) -> web.Response | None:
        """The answer that the fault demands instead of a generation, if any strikes before the first token."""
        if self._running >= self.limits.concurrent:
            return _error(served, 429, "Model is overloaded", "overloaded")
        if served.kind == "refuse":
            served.break_off()
        if not served.early or served.kind not in FAILURES:
            return None
        status, message, kind = FAILURES[served.kind]
        if served.entry.stream and served.kind in ("overloaded", "generation", "bad_request"):
            return _in_band(served)
        retry = {"retry-after": str(served.fault.retry_after_s)} if served.fault and status in (429, 503) else {}
        return _error(served, status, message, kind, retry)

    def _slot(self) -> "_Slot":
        return _Slot(self)

    def _prefill(self, inputs: str) -> list[dict[str, Any]]:
        start = {"id": 1, "text": "<s>", "logprob": None}
        pieces = self.mind.language.pieces(inputs)
        return [start, *({"id": piece.id, "text": piece.text, "logprob": UNIFORM} for piece in pieces)]

    async def _models(self, request: web.Request) -> web.Response:
        names = [self._model, "support", *self.mind.adapters]
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "trivium-standin"} for name in names]
        return web.json_response({"object": "list", "data": models})

    async def _info(self, request: web.Request) -> web.Response:
        accuracy = {name: round(head.accuracy, 4) for name, head in self.mind.adapters.items()}
        return web.json_response(
            {
                "model_id": self._model,
                "model_sha": None,
                "model_pipeline_tag": "text-generation",
                "max_concurrent_requests": self.limits.concurrent,
                "max_best_of": 1,
                "max_stop_sequences": 4,
                "max_input_tokens": self.limits.input_tokens,
                "max_total_tokens": self.limits.total_tokens,
                "validation_workers": 1,
                "max_client_batch_size": 1,
                "router": "text-generation-router",
                "version": "3.3.6-standin",
                "standin": {"adapters": ["support", *self.mind.adapters], "leave_one_out_accuracy": accuracy},
            }
        )

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()


class _Slot:
    """Counts a running generation."""

    def __init__(self, server: TgiStandin) -> None:
        self._server = server

    def __enter__(self) -> None:
        self._server._running += 1

    def __exit__(self, *error: object) -> None:
        self._server._running -= 1


def _error(served: Served, status: int, message: str, kind: str, headers: dict[str, str] | None = None) -> web.Response:
    return served.json({"error": message, "error_type": kind}, status, headers)


def _plain(served: Served, status: int, message: str) -> web.Response:
    served.status = status
    return web.Response(text=message, status=status)


def _in_band(served: Served) -> web.Response:
    """TGI reports errors of a streamed call inside the stream, after HTTP 200."""
    served.status = 200
    return web.Response(body=_trouble(served), content_type="text/event-stream")


def _trouble(served: Served) -> bytes:
    _, message, kind = FAILURES.get(served.kind, FAILURES["generation"])
    return sse({"error": message, "error_type": kind}, space="")


def main() -> None:
    """`python -m infra.standins.tgi`."""
    parser = common_options("tgi", "A stand-in for TGI: its wire over a small trained classifier and a reader.", 8080)
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="classifier adapter from JSONL of text, label",
    )
    parser.add_argument(
        "--unknown-adapter", choices=("error", "base"), default="error", help="as the real server: base"
    )
    parser.add_argument("--max-concurrent", type=int, default=Limits().concurrent, help="calls at once")
    parser.add_argument("--model", default=MODEL, help="name of the base model (default: %(default)s)")
    options = parser.parse_args()
    try:
        files = {name: Path(path) for name, _, path in (one.partition("=") for one in options.adapter)} or None
        mind = Mind.train(files)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    standin = TgiStandin(
        options.port,
        options.host,
        options.call_log,
        Pace(options.ttft_ms, options.tpot_ms),
        mind,
        Limits(concurrent=options.max_concurrent),
        options.unknown_adapter,
        options.model,
    )
    serve(run(parser, standin))


if __name__ == "__main__":
    main()
