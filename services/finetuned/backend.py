"""What the engine asks of a model server, whichever wire it speaks."""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from trivium.core.outcome import Finish, Usage
from trivium.core.prompt import TOKENS_PER_MESSAGE, estimate_tokens
from trivium.core.request import Message, Output, ToolCall, ToolSpec
from trivium.tier.meter import Meter


@dataclass(frozen=True, slots=True)
class Prompt:
    """One call of the model. `adapter`: LoRA adapter, empty for the base model; `tools`: the model may call these."""

    model: str
    adapter: str
    system: str
    turns: tuple[Message, ...]
    output: Output
    tools: tuple[ToolSpec, ...]
    most_tokens: int
    temperature: float | None

    def estimate(self) -> int:
        """Input tokens, roughly, for a server that does not say."""
        turns = sum(estimate_tokens(turn.text) + TOKENS_PER_MESSAGE for turn in self.turns)
        tools = sum(estimate_tokens(tool.description + tool.parameters_json) for tool in self.tools)
        return estimate_tokens(self.system) + turns + tools


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer and its natural log probability; special tokens are left out."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call gave. No tokens: the server tells no probabilities."""

    text: str
    finish: Finish
    model: str
    tokens: tuple[Token, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


class Round:
    """The collecting of one call's stream. Its usage is added to the meter in every case: what was not reported is
    estimated."""

    def __init__(self, prompt: Prompt, meter: Meter, held_back: bool) -> None:
        """`held_back`: the text may not be shown before it was checked."""
        self.prompt = prompt
        self.tokens: list[Token] = []
        self.pieces: list[str] = []
        self._meter = meter
        self._held_back = held_back
        self._before = meter.usage
        self._count = 0
        self._reported: Usage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        usage = self._reported
        if usage is None:
            # A server that refused has taken nothing.
            begun = self._count > 0 or kind is None
            usage = Usage(self.prompt.estimate(), self._count) if begun else Usage()
        self._meter.usage = self._before + usage

    @property
    def begun(self) -> bool:
        """Something of the answer came."""
        return self._count > 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def piece(self, text: str, logprob: float | None = None) -> None:
        """A token came."""
        self._count += 1
        if logprob is not None and text:
            self.tokens.append(Token(text, logprob))
        if text:
            self.pieces.append(text)
        self._meter.token("" if self._held_back else text)

    def report(self, input_tokens: int | None, output_tokens: int) -> None:
        """The server's own count."""
        known = self.prompt.estimate() if input_tokens is None else input_tokens
        self._reported = replace(Usage(), input_tokens=known, output_tokens=output_tokens)


class Backend(Protocol):
    """A model server. `provider` is its name in traces: huggingface or openai."""

    provider: str

    async def generate(self, prompt: Prompt, meter: Meter, held_back: bool) -> Reply:
        """One call, streamed inside. Raises VendorFault; what it cost is in the meter."""
        ...

    async def close(self) -> None: ...
