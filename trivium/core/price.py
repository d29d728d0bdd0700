"""Money, exactly: integer micro-dollars, no floats.

One rounding for each attempt: the sum over all kinds of tokens in millionths of a micro-dollar, rounded half up. So the
cost of a request is the sum of what its attempts say, whoever adds it up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trivium.core.outcome import Usage
from trivium.core.policy import Policy, Prices, Target, TaskSpec, Tier
from trivium.core.prompt import answer_tokens_at, tokens_at

MILLION = 1_000_000


def cost(prices: Prices, usage: Usage) -> int:
    """Micro-dollars of one call. Cache tokens are parts of the input and are taken out of what is paid at full price."""
    plain = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    tokens = (
        plain * prices.input_per_million
        + usage.cache_read_tokens * prices.cache_read_per_million
        + usage.cache_write_tokens * prices.cache_write_per_million
        + usage.output_tokens * prices.output_per_million
        + usage.embedding_tokens * prices.embedding_per_million
    )
    return _rounded(tokens) + prices.per_request


@dataclass(frozen=True, slots=True)
class CostSplit:
    """What the cost of one execution is made of, in micro-dollars; the parts sum up to it."""

    input: int = 0
    """Without retrieved context; negative by the context's worth where a generator's own record has it as input."""
    context: int = 0
    output: int = 0
    embedding: int = 0
    vector_store: int = 0
    """Price per request of a retrieval target."""
    request: int = 0
    """Price per request of any other target."""
    parts: int = 0
    """Told by the generator's own record."""


def split(target: Target, usage: Usage, spent: int) -> CostSplit:
    """`spent` (what `cost` said of this usage, or the bill of a retrieval target and its generator) by what it went for."""
    if spent <= 0:
        return CostSplit()
    if target.tier is not Tier.RETRIEVAL:
        return _split_one(target, usage, spent)
    own = min(spent, cost(target.prices, Usage(embedding_tokens=usage.embedding_tokens)))
    store, parts = min(own, target.prices.per_request), spent - own
    context = 0
    if target.generator is not None and usage.input_tokens:
        # Of the generator's bill, at its own prices: what its input came to, and of that the share of the passages.
        bought = _split_one(target.generator, replace(usage, embedding_tokens=0, context_tokens=0), parts)
        context = bought.input * min(usage.context_tokens, usage.input_tokens) // usage.input_tokens
    return CostSplit(-context, context, embedding=own - store, vector_store=store, parts=parts)


def _split_one(target: Target, usage: Usage, spent: int) -> CostSplit:
    """One target's own prices. Each part is rounded down; what the one rounding of the whole leaves goes to the largest."""
    prices = target.prices
    plain = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    paid_input = (
        plain * prices.input_per_million
        + usage.cache_read_tokens * prices.cache_read_per_million
        + usage.cache_write_tokens * prices.cache_write_per_million
    ) // MILLION
    context = paid_input * min(usage.context_tokens, usage.input_tokens) // max(1, usage.input_tokens)
    parts = {
        "input": paid_input - context,
        "context": context,
        "output": usage.output_tokens * prices.output_per_million // MILLION,
        "embedding": usage.embedding_tokens * prices.embedding_per_million // MILLION,
        "request": prices.per_request,
    }
    parts[max(parts, key=lambda name: parts[name])] += spent - sum(parts.values())
    return CostSplit(**parts)


def worst_case(target: Target, spec: TaskSpec, prompt_tokens: int) -> int:
    """The most that one call can cost in micro-dollars: the whole prompt at the dearest input price, the longest answer, and
    for retrieval the generator's price as well."""
    paying = (target,) if target.generator is None else (target, target.generator)
    total = 0
    for payee in paying:
        prices = payee.prices
        dearest = max(prices.input_per_million, prices.cache_write_per_million, prices.cache_read_per_million)
        tokens = (
            tokens_at(target, spec, prompt_tokens) * dearest + answer_tokens_at(payee, spec) * prices.output_per_million
        )
        if payee.tier is Tier.RETRIEVAL:
            tokens += prompt_tokens * prices.embedding_per_million
        total += _rounded(tokens) + prices.per_request
    return total


def all_cloud(policy: Policy, usage: Usage) -> int:
    """Micro-dollars that the reference target would have taken for the same work; 0 without a cloud target.

    Retrieved passages and tool results are left out: the caller never sent them, and a cloud-only product would not
    have had them. So the saving that is reported is rather too small than too large."""
    target = reference(policy)
    if target is None:
        return 0
    sent, prices = max(0, usage.input_tokens - usage.context_tokens - usage.tool_tokens), target.prices
    tokens = sent * prices.input_per_million + usage.output_tokens * prices.output_per_million
    return _rounded(tokens) + prices.per_request


def reference(policy: Policy) -> Target | None:
    """The named reference target, else the dearest of the cloud; the loader names it in either case."""
    return policy.targets.get(policy.reference_target) or dearest(policy.targets.values())


def dearest(targets: Iterable[Target]) -> Target | None:
    """The cloud target with the dearest input and output together."""
    clouds = [target for target in targets if target.tier is Tier.CLOUD]
    return max(clouds, key=lambda t: (t.prices.input_per_million + t.prices.output_per_million, t.name), default=None)


def _rounded(millionths: int) -> int:
    return (millionths + MILLION // 2) // MILLION
