"""A stand-in for Anthropic's API: messages (streamed or not), tools, prompt caching, batches, errors on command.

It serves `/v1/messages`, `/v1/messages/count_tokens`, `/v1/messages/batches` and `/v1/models`. Any key will
do, but there must be one: `x-api-key`, or `Authorization: Bearer`, which is what the SDK 2.11 sends. Every answer carries the header `x-standin` and the field `standin`; free text says it too.
How to make it fail is in `faults.py`; `refuse` is answered with the stop reason `refusal`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from infra.standins import claude_batches
from infra.standins.claude_batches import Batches
from infra.standins.claude_content import compose, raw_prompt, refusal
from infra.standins.claude_wire import (
    Asked,
    Content,
    ErrorType,
    Refused,
    error_event,
    error_shape,
    events_of,
    message_shape,
    read_request,
)
from infra.standins.command import common_options, run, serve
from infra.standins.faults import Pace
from infra.standins.fill import BadSchema
from infra.standins.mind import Mind
from infra.standins.prefixes import LEAST_TOKENS, Prefixes
from infra.standins.serving import Served, Standin, read_json

FAILURES: Final[dict[str, tuple[int, ErrorType, str]]] = {
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit"),
    "unavailable": (503, "api_error", "Service temporarily unavailable"),
    "generation": (500, "api_error", "Internal server error"),
    "bad_request": (400, "invalid_request_error", "stand-in was told to refuse this request"),
    "unauthorized": (401, "authentication_error", "invalid x-api-key"),
}
MODELS: Final = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5")
MOST_LISTED: Final = 1_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ClaudeStandin(Standin):
    """The server, for use in process: `async with ClaudeStandin(port=0) as standin: standin.url`."""

    vendor = "claude; not a language model"

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        call_log: Path | None = None,
        pace: Pace | None = None,
        mind: Mind | None = None,
        cache_least_tokens: int = LEAST_TOKENS,
        batch_delay_ms: float = 0.0,
    ) -> None:
        super().__init__(port, host, call_log, pace)
        self.mind = mind or Mind.train()
        self._prefixes = Prefixes(self.mind.language.count, cache_least_tokens)
        self.faults.batch["delay_ms"] = batch_delay_ms
        self._batches = Batches(self._batched, self.faults)

    def routes(self) -> Sequence[web.RouteDef]:
        batches = "/v1/messages/batches"
        return [
            web.post("/v1/messages", self._messages),
            web.post("/v1/messages/count_tokens", _guarded(self._count)),
            web.post(batches, _guarded(self._create_batch)),
            web.get(batches, _guarded(self._list_batches)),
            web.get(batches + "/{name}", _guarded(self._get_batch)),
            web.get(batches + "/{name}/results", _guarded(self._results)),
            web.post(batches + "/{name}/cancel", _guarded(self._cancel_batch)),
            web.get("/v1/models", _guarded(self._models)),
        ]

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body, wrong = read_json(await request.text())
        stream = body.get("stream") is True
        async with self.logged(request, str(body.get("model", "")), stream, raw_prompt(body)) as served:
            try:
                _admit(request, wrong)
                await served.suffer()
                _fail(served)
                return await self._send(served, read_request(body))
            except BadSchema as error:
                return _refused(served, Refused(f"output_config.format.schema: {error}"))
            except Refused as error:
                return _refused(served, error)

    async def _send(self, served: Served, asked: Asked) -> web.StreamResponse:
        content = refusal() if served.kind == "refuse" else compose(self.mind, asked)
        message = self._message(asked, content)
        usage = message["usage"]
        served.entry.prompt_tokens = _prompt_tokens(usage)
        served.entry.output_tokens = content.output_tokens
        if asked.stream:
            first, groups, last = events_of(message, content)
            return await served.stream(first, groups, last, _trouble(served))
        await served.paced(content.output_tokens)
        return await served.send_whole(served.json(message, headers={"request-id": f"req_{message['id']}"}))

    def _message(self, asked: Asked, content: Content) -> dict[str, Any]:
        usage = self._prefixes.bill(asked.model, asked.blocks).usage()
        return message_shape(asked.model, content, usage)

    def _batched(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one item of a batch; it counts as a call and may draw a fault."""
        entry = self.calls.start(
            "/v1/messages/batches/item", str(params.get("model", "")), False, raw_prompt(params), {}
        )
        fault = self.faults.draw(entry.n, raw_prompt(params))
        entry.fault = fault.kind if fault else ""
        try:
            if fault and fault.kind in FAILURES:
                status, kind, text = FAILURES[fault.kind]
                raise Refused(text, kind, status)
            asked = read_request(params)
            message = self._message(asked, compose(self.mind, asked))
        except (Refused, BadSchema) as error:
            refused = error if isinstance(error, Refused) else Refused(str(error))
            self.calls.end(entry, refused.status, 0.0)
            return {"type": "errored", "error": error_shape(refused.kind, str(refused))}
        message["usage"]["service_tier"] = "batch"
        entry.half_price = True
        entry.prompt_tokens = _prompt_tokens(message["usage"])
        entry.output_tokens = message["usage"]["output_tokens"]
        self.calls.end(entry, 200, 0.0)
        return {"type": "succeeded", "message": message}

    async def _count(self, request: web.Request) -> web.Response:
        body, wrong = read_json(await request.text())
        _admit(request, wrong)
        asked = read_request({"max_tokens": 1, **body})
        return web.json_response({"input_tokens": sum(self.mind.language.count(block.text) for block in asked.blocks)})

    async def _create_batch(self, request: web.Request) -> web.Response:
        body, wrong = read_json(await request.text())
        _admit(request, wrong)
        if self.faults.next_batch("refuse"):
            status, kind, message = FAILURES["overloaded"]
            raise Refused(message, kind, status)
        batch = self._batches.create(body)
        if self.faults.next_batch("lose") and request.transport is not None:
            request.transport.abort()
        return web.json_response(claude_batches.shape(batch, _base(request)))

    async def _get_batch(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["name"])
        return web.json_response(claude_batches.shape(batch, _base(request)))

    async def _list_batches(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST_LISTED:
            raise Refused(f"limit: Input should be from 1 to {MOST_LISTED}")
        batches, more = self._batches.page(request.query.get("after_id", ""), int(limit))
        found = [claude_batches.shape(batch, _base(request)) for batch in batches]
        ends = {"first_id": found[0]["id"] if found else None, "last_id": found[-1]["id"] if found else None}
        return web.json_response({"data": found, "has_more": more, **ends})

    async def _results(self, request: web.Request) -> web.Response:
        text = claude_batches.lines(self._batches.get(request.match_info["name"]))
        return web.Response(text=text, content_type="application/x-jsonl")

    async def _cancel_batch(self, request: web.Request) -> web.Response:
        batch = self._batches.cancel(request.match_info["name"])
        return web.json_response(claude_batches.shape(batch, _base(request)))

    async def _models(self, request: web.Request) -> web.Response:
        made = "2025-01-01T00:00:00Z"
        data = [
            {"id": name, "type": "model", "display_name": f"{name} (stand-in)", "created_at": made} for name in MODELS
        ]
        return web.json_response({"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})


def _prompt_tokens(usage: Mapping[str, Any]) -> int:
    return sum(usage[f"{kind}input_tokens"] for kind in ("", "cache_creation_", "cache_read_"))


def _guarded(handler: Handler) -> Handler:
    """Asks for a key and turns refusals into answers."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            _admit(request, "")
            return await handler(request)
        except Refused as error:
            return web.json_response(error_shape(error.kind, str(error)), status=error.status)

    return guarded


def _admit(request: web.Request, wrong: str) -> None:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer").strip()
    if not request.headers.get("x-api-key") and not bearer:
        raise Refused("x-api-key header is required", "authentication_error", 401)
    if not request.headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")
    if wrong:
        raise Refused(wrong)


def _fail(served: Served) -> None:
    """Raises Refused for a fault that strikes before the first token."""
    if served.early and served.kind in FAILURES:
        status, kind, message = FAILURES[served.kind]
        raise Refused(message, kind, status)


def _refused(served: Served, error: Refused) -> web.Response:
    body = error_shape(error.kind, str(error))
    headers = {"request-id": body["request_id"]}
    if error.status in (429, 503, 529) and served.fault:
        headers["retry-after"] = str(served.fault.retry_after_s)
    return served.json(body, error.status, headers)


def _trouble(served: Served) -> bytes:
    _, kind, message = FAILURES.get(served.kind, FAILURES["overloaded"])
    return error_event(kind, message)


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def main() -> None:
    """`python -m infra.standins.claude`."""
    parser = common_options("claude", "A stand-in for Anthropic's API: computed answers, errors on command.", 8081)
    parser.add_argument("--cache-least-tokens", type=int, default=LEAST_TOKENS, help="shortest prefix that is cached")
    parser.add_argument("--batch-delay-ms", type=float, default=0.0, help="how long a batch takes")
    options = parser.parse_args()
    standin = ClaudeStandin(
        options.port,
        options.host,
        options.call_log,
        Pace(options.ttft_ms, options.tpot_ms),
        cache_least_tokens=options.cache_least_tokens,
        batch_delay_ms=options.batch_delay_ms,
    )
    serve(run(parser, standin))


if __name__ == "__main__":
    main()
