"""How long a prompt is, in bytes and in estimated tokens.

Routing needs no tokenizer: English is about four bytes of UTF-8 a token, and languages that take more tokens a letter
take more bytes a letter too. The estimate is for decisions only; money is counted from what the backend reports.
"""

from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Request

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
"""Role and separators, as chat templates write them."""
EXAMPLE_BYTES = 40
"""What stands around an example (trivium/tier/prompting.py)."""


def byte_length(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def estimate_tokens(text: str) -> int:
    """A quarter of the bytes, rounded up."""
    return -(-byte_length(text) // BYTES_PER_TOKEN)


def prompt_bytes(request: Request) -> int:
    """What the caller sent: texts, tool calls and tool descriptions."""
    total = 0
    for message in request.messages:
        total += byte_length(message.text)
        for call in message.tool_calls:
            total += byte_length(call.arguments_json)
    for tool in request.tools:
        total += byte_length(tool.name) + byte_length(tool.description) + byte_length(tool.parameters_json)
    return total


def prompt_tokens(request: Request, spec: TaskSpec, size_bytes: int) -> int:
    """Estimated input tokens of a plain call: the caller's `size_bytes`, the system prompt with its examples, and the chat
    template."""
    own = byte_length(spec.system)
    if spec.examples:
        own += sum(EXAMPLE_BYTES + byte_length(e.input) + byte_length(e.output) for e in spec.examples)
    return -(-(size_bytes + own) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * (len(request.messages) + 1)


def tokens_at(target: Target, spec: TaskSpec, tokens: int) -> int:
    """Input tokens at this target: retrieval, and a model that may search, add up to the context budget."""
    grounded = target.tier is Tier.RETRIEVAL or (target.tier is Tier.FINETUNED and spec.search_documents)
    return tokens + spec.context_budget_tokens if grounded else tokens


def answer_tokens_at(target: Target, spec: TaskSpec) -> int:
    """The longest answer that may come: a longer one asked for is cut to what the target can."""
    return min(spec.max_output_tokens, target.max_output_tokens)
