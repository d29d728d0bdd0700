"""The most that ONE execution of an attempt can cost, whatever its tokenizer makes of the text: reserved before the call.

A token of text is at least one byte of UTF-8, so the bytes of all that is sent bound its tokens. Models also read what no
caller wrote: roles and separators of each message, the frame of each tool, a preamble when there are tools or a grammar.
For these stand the constants below; they are several times what the Anthropic API and the chat templates of open models were seen
to add (a message 3 to 7 tokens; Anthropic's preamble for tools 313 to 804, https://docs.anthropic.com/en/docs/build-with-claude/tool-use).

Each execution answers for itself: a retrieval attempt for its search, the generator's call for its own (decision 0016).
"""

from typing import Final

from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.price import MILLION
from trivium.core.prompt import BYTES_PER_TOKEN, EXAMPLE_BYTES, byte_length
from trivium.core.request import OutputKind, Request
from trivium.core.slip import Work

MESSAGE_TOKENS: Final = 16
"""Around each message: its role, separators, ids of tool calls."""
TOOL_TOKENS: Final = 64
"""Around each tool that is offered, called or answered."""
CALL_TOKENS: Final = 512
"""Of every call: the beginning of a conversation, our own lines about the task and the form of the answer."""
PREAMBLE_TOKENS: Final = 2_048
"""Once when there are tools, once when there is a grammar."""
JSON_GROWS: Final = 3
"""JSON is written anew on its way: indented, or with letters that are not ASCII by their numbers."""
SEARCH_ROUNDS: Final = 2
"""How often a fine-tuned model may ask for searches before it must answer."""
SEARCHES_A_ROUND: Final = 4
"""How many of them in one reply are done; of the others it is told that they are too many."""
QUERY_BYTES: Final = 8_000
"""Of one search: 2,000 letters."""
PASSAGE_BYTES: Final = 1_024
"""Around a passage: number, document, section."""
_GROUNDED: Final = (3, 600)
"""Passages, and tokens of them, when a task type names none (services/retrieval/relevance.py)."""


def worst_case(work: Work) -> int:
    """Micro-dollars, rounded up. Prices that are missing or negative count as nothing: so does the cost of the call."""
    target, task, request = work.target, work.task, work.request
    if target.tier is Tier.RETRIEVAL:
        return _paid(target.prices, 0, 0, byte_length(request.question))
    said, answer = input_tokens(request, task), most_answer_tokens(request, task, target)
    calls, added, embedded = 1, 0, 0
    if target.tier is Tier.FINETUNED:
        # Turn marks in what a caller wrote are broken up by a letter each (services/finetuned/template.py).
        said += sum(message.text.count("<|") for message in request.messages)
        searches = task.search_documents
        if (request.output or task.output).kind is OutputKind.JSON and (searches or request.tools):
            # Tools and grammar exclude each other: a form that was missed is asked for again.
            calls += 1
        if searches:
            calls += SEARCH_ROUNDS
            round_ = 2 * answer + SEARCHES_A_ROUND * (TOOL_TOKENS + _found_bytes(task))
            # Every round is sent again with all that follow it.
            added = round_ * sum(min(at, SEARCH_ROUNDS) for at in range(calls)) + calls * (PREAMBLE_TOKENS + TOOL_TOKENS)
            embedded = SEARCH_ROUNDS * SEARCHES_A_ROUND * QUERY_BYTES
    return _paid(target.prices, calls * said + added, calls * answer, embedded)


def input_tokens(request: Request, task: TaskSpec) -> int:
    """At most so many tokens does one call read: all that is sent, by its bytes, and what stands around it."""
    total = CALL_TOKENS + byte_length(task.name) + byte_length(task.system)
    for message in request.messages:
        total += MESSAGE_TOKENS + byte_length(message.text) + byte_length(message.tool_call_id)
        for call in message.tool_calls:
            total += TOOL_TOKENS + byte_length(call.id) + byte_length(call.name) + JSON_GROWS * byte_length(call.arguments_json)
    for example in task.examples:
        total += EXAMPLE_BYTES + byte_length(example.input) + byte_length(example.output)
    if request.tools:
        total += PREAMBLE_TOKENS
        for tool in request.tools:
            total += TOOL_TOKENS + byte_length(tool.name) + byte_length(tool.description)
            total += JSON_GROWS * byte_length(tool.parameters_json)
    output = request.output or task.output
    if output.kind is OutputKind.JSON:
        # In the prompt as it is, and once more as the grammar.
        total += PREAMBLE_TOKENS + (1 + JSON_GROWS) * byte_length(output.schema_json)
    return total


def most_answer_tokens(request: Request, task: TaskSpec, target: Target) -> int:
    """How long the answer of one call may get: the request's wish or the task type's, never more than the target gives."""
    return max(1, min(request.max_output_tokens or task.max_output_tokens, target.max_output_tokens))


def _found_bytes(task: TaskSpec) -> int:
    passages, tokens = task.passages or _GROUNDED[0], task.context_budget_tokens or _GROUNDED[1]
    return tokens * BYTES_PER_TOKEN + passages * PASSAGE_BYTES + PASSAGE_BYTES


def _paid(prices: Prices, read: int, written: int, embedded: int) -> int:
    dearest = max(prices.input_per_million, prices.cache_write_per_million, prices.cache_read_per_million, 0)
    tokens = read * dearest + written * max(0, prices.output_per_million) + embedded * max(0, prices.embedding_per_million)
    return -(-tokens // MILLION) + max(0, prices.per_request)
