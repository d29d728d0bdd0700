"""TGI's native wire (text-generation-inference 3.x, router/src): parameters, their validation, and the shapes of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from infra.standins.mind import Grammar
from infra.standins.speech import Token

FinishReason = Literal["length", "eos_token", "stop_sequence"]
EOS: Final = Token(2, "</s>", -0.0005)
MOST_STOPS: Final = 4
MOST_TOP: Final = 5
UNIFORM: Final = -10.37
"""ln(1/32000): logprob of every prefill token, because nothing here models the prompt."""


class Invalid(ValueError):
    """TGI's validation error (HTTP 422, error_type `validation`)."""

    def __str__(self) -> str:
        return f"Input validation error: {self.args[0]}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes, in tokens."""

    input_tokens: int = 16_000
    total_tokens: int = 16_384
    concurrent: int = 1_024
    """Calls at once; one more is answered `overloaded`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid request of `/generate`."""

    inputs: str
    adapter: str | None
    most_tokens: int | None
    stop: tuple[str, ...]
    grammar: Grammar | None
    details: bool
    prefill: bool
    top: int
    full_text: bool


@dataclass(frozen=True, slots=True)
class Generated:
    """A generation cut to what the parameters allow."""

    tokens: tuple[Token, ...]
    """With the end token when the model ended."""
    text: str
    finish: FinishReason


def read_request(body: Mapping[str, Any], streamed: bool) -> Asked:
    """Validates as TGI does. Raises Invalid, or TypeError (a shape that does not deserialize)."""
    inputs = body.get("inputs")
    if not isinstance(inputs, str):
        raise TypeError("missing field `inputs`" if inputs is None else "inputs: invalid type, expected a string")
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise TypeError("parameters: invalid type, expected struct GenerateParameters")
    if not inputs:
        raise Invalid("`inputs` cannot be empty")
    _check_sampling(parameters)
    prefill = _of(parameters, "decoder_input_details", bool, False)
    if prefill and streamed:
        raise Invalid("`decoder_input_details` == true is not supported when streaming tokens")
    return Asked(
        inputs=_cut(inputs, _of(parameters, "truncate", int, None)),
        adapter=_of(parameters, "adapter_id", str, None),
        most_tokens=read_most(_of(parameters, "max_new_tokens", int, None)),
        stop=read_stop(_of(parameters, "stop", list, [])),
        grammar=read_grammar(parameters.get("grammar")),
        details=bool(_of(parameters, "details", bool, False)) or bool(prefill),
        prefill=bool(prefill),
        top=read_top(_of(parameters, "top_n_tokens", int, None)),
        full_text=bool(_of(parameters, "return_full_text", bool, False)),
    )


def read_most(value: int | None) -> int | None:
    """`max_new_tokens` or Invalid."""
    if value is not None and value <= 0:
        raise Invalid("`max_new_tokens` must be strictly positive")
    return value


def read_stop(value: Sequence[Any]) -> tuple[str, ...]:
    """`stop` or Invalid."""
    if len(value) > MOST_STOPS:
        raise Invalid(f"`stop` supports up to {MOST_STOPS} stop sequences. Given: {len(value)}")
    if not all(isinstance(one, str) for one in value):
        raise TypeError("stop: invalid type, expected a string")
    return tuple(one for one in value if one)


def read_top(value: int | None) -> int:
    """`top_n_tokens` or Invalid."""
    if value is not None and not 0 <= value <= MOST_TOP:
        raise Invalid(f"`top_n_tokens` must be >= 0 and <= {MOST_TOP}. Given: {value}")
    return value or 0


def read_grammar(value: object) -> Grammar | None:
    """TGI's `grammar` and `response_format`, and OpenAI's `response_format`. Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("grammar: invalid type, expected an object with `type` and `value`")
    match value.get("type"):
        case "text":
            return None
        case "regex":
            return Grammar(regex=str(value.get("value", "")))
        case "json" | "json_object" | "json_schema":
            inner = value.get("json_schema")
            schema = inner.get("schema", inner) if isinstance(inner, Mapping) else value.get("value")
            return Grammar(schema=_schema(value, schema))
        case other:
            raise TypeError(f"grammar: unknown variant `{other}`, expected one of `json`, `json_schema`, `regex`")


def check_length(limits: Limits, prompt_tokens: int, most: int | None) -> int:
    """How many tokens may be generated. Raises Invalid."""
    if prompt_tokens > limits.input_tokens:
        raise Invalid(f"`inputs` must have less than {limits.input_tokens} tokens. Given: {prompt_tokens}")
    room = limits.total_tokens - prompt_tokens
    if most is not None and most > room:
        raise Invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.total_tokens}. "
            f"Given: {prompt_tokens} `inputs` tokens and {most} `max_new_tokens`"
        )
    return room if most is None else most


def limit(tokens: Sequence[Token], most: int, stop: Sequence[str]) -> Generated:
    """Cuts a generation at the first stop sequence (which stays, as in TGI) or at so many tokens."""
    text = ""
    for at, token in enumerate(tokens):
        if at == most:
            return Generated(tuple(tokens[:at]), text, "length")
        text += token.text
        if any(one in text[-len(one) - len(token.text) :] for one in stop):
            return Generated(tuple(tokens[: at + 1]), text, "stop_sequence")
    if len(tokens) == most:
        return Generated(tuple(tokens), text, "length")
    return Generated((*tokens, EOS), text, "eos_token")


def token_shape(token: Token) -> dict[str, Any]:
    """A token as TGI writes it."""
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token is EOS}


def top_shape(token: Token, top: int) -> list[dict[str, Any]]:
    """The most likely tokens of a place, the chosen one among them."""
    others = [{"id": i, "text": t, "logprob": p, "special": False} for i, t, p in token.alternatives]
    ranked = sorted([token_shape(token), *others], key=lambda one: -float(one["logprob"]))
    return ranked[:top]


def whole_shape(asked: Asked, generated: Generated, prefill: Sequence[Any]) -> dict[str, Any]:
    """The answer of `/generate`."""
    body: dict[str, Any] = {"generated_text": (asked.inputs if asked.full_text else "") + generated.text}
    if asked.details:
        details: dict[str, Any] = {
            "finish_reason": generated.finish,
            "generated_tokens": len(generated.tokens),
            "seed": None,
            "prefill": list(prefill),
            "tokens": [token_shape(token) for token in generated.tokens],
        }
        if asked.top:
            details["top_tokens"] = [top_shape(token, asked.top) for token in generated.tokens]
        body["details"] = details
    return body


def stream_shapes(asked: Asked, generated: Generated, input_length: int) -> list[dict[str, Any]]:
    """The events of `/generate_stream`; the last carries text and details."""
    events: list[dict[str, Any]] = []
    for at, token in enumerate(generated.tokens, start=1):
        event: dict[str, Any] = {"index": at, "token": token_shape(token), "generated_text": None, "details": None}
        if asked.top:
            event["top_tokens"] = top_shape(token, asked.top)
        events.append(event)
    if events:
        events[-1]["generated_text"] = (asked.inputs if asked.full_text else "") + generated.text
        events[-1]["details"] = {
            "finish_reason": generated.finish,
            "generated_tokens": len(generated.tokens),
            "seed": None,
            "input_length": input_length,
        }
    return events


def _check_sampling(parameters: Mapping[str, Any]) -> None:
    temperature = _of(parameters, "temperature", float, None)
    if temperature is not None and temperature <= 0:
        raise Invalid("`temperature` must be strictly positive")
    top_p = _of(parameters, "top_p", float, None)
    if top_p is not None and not 0.0 < top_p < 1.0:
        raise Invalid("`top_p` must be > 0.0 and < 1.0")
    if (_of(parameters, "best_of", int, None) or 1) != 1:
        raise Invalid("`best_of` != 1 is not allowed for this endpoint")
    truncate = _of(parameters, "truncate", int, None)
    if truncate is not None and truncate <= 0:
        raise Invalid(f"`truncate` must be strictly positive and less than 16000. Given: {truncate}")


def _of(parameters: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = parameters.get(name)
    if value is None:
        return default
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise TypeError(f"parameters.{name}: invalid type: {type(value).__name__}, expected {kind.__name__}")
    return value


def _cut(inputs: str, tokens: int | None) -> str:
    """Keeps the end, as TGI does; a token is at least one character, so this never keeps too little."""
    return inputs if tokens is None else inputs[-tokens * 8 :]


def _schema(value: Mapping[str, Any], schema: object) -> Mapping[str, Any]:
    if schema is None and value.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if not isinstance(schema, Mapping):
        raise Invalid(
            "Grammar is not supported" if schema is None else "invalid grammar: expected a JSON schema object"
        )
    if "properties" not in schema:
        raise Invalid("Grammar must have a 'properties' field")
    return schema
