"""The retrieval tier's one function: find passages, have an answer written from them, check what it cites."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from opentelemetry.trace import NoOpTracer, SpanKind, Tracer

from services.retrieval.grounding import checked, grounded_work, not_found
from services.retrieval.trimming import trimmed
from trivium.core.errors import BadRequest, VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Usage
from trivium.core.policy import Tier
from trivium.core.price import cost
from trivium.core.prompt import estimate_tokens
from trivium.core.slip import Work
from trivium.ports import Emit, Generator, Passage, Retrieved, Retriever, emit_nothing
from trivium.telemetry.names import CORPUS, PASSAGES, SPAN_RETRIEVE
from trivium.tier.meter import Meter, now_ms

RESERVE_MS: Final = 20
"""Of the attempt's time, kept for checking the answer and sending it back."""


class _Stop(Exception):
    """The attempt ends here."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(kind, message)


class Engine:
    """Implements the port Generator for targets of the retrieval tier."""

    def __init__(self, retriever: Retriever, generators: Mapping[Tier, Generator], tracer: Tracer | None = None) -> None:
        self._retriever = retriever
        self._generators = generators
        self._tracer = tracer or NoOpTracer()

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """Never raises but CancelledError. No relevant passage: `not_found`, and no generator is asked or paid."""
        meter = Meter(work, emit)
        try:
            generator = self._generator(work)
            found = await self._find(work)
            meter.usage = Usage(embedding_tokens=found.embedding_tokens)
            if not found.passages:
                return meter.answered(not_found(work))
            return await self._write(work, meter, found, generator)
        except _Stop as stop:
            return meter.faulted(stop.fault)
        except BadRequest as error:
            return meter.faulted(Fault(FaultKind.REJECTED, error.reason.message))
        except VendorFault as error:
            return meter.faulted(error.fault)

    def _generator(self, work: Work) -> Generator:
        """Who writes. A restricted request never goes to the cloud, whatever the policy said."""
        target = work.target.generator
        if target is None:
            raise _Stop(FaultKind.REJECTED, f"the target {work.target.name} names no generator")
        if target.tier is Tier.CLOUD and work.request.restricted:
            raise _Stop(FaultKind.FORBIDDEN, f"a restricted request may not be answered by {target.name}")
        generator = self._generators.get(target.tier)
        if generator is None:
            raise _Stop(FaultKind.REJECTED, f"{target.name} cannot write for {work.target.name}")
        return generator

    async def _find(self, work: Work) -> Retrieved:
        request, task = work.request, work.task
        corpus = request.corpus or task.corpus
        if not corpus:
            raise _Stop(FaultKind.REJECTED, f"neither the request nor the task type {task.name} names a corpus")
        left_s = (work.deadline_ms - now_ms()) / 1000
        try:
            with self._tracer.start_as_current_span(SPAN_RETRIEVE, kind=SpanKind.CLIENT, attributes={CORPUS: corpus}) as span:
                async with asyncio.timeout(left_s):
                    found = await self._retriever.retrieve(
                        request.identity.tenant, corpus, request.question,
                        task.passages, task.context_budget_tokens, task.relevance_cut,
                    )  # fmt: skip
                span.set_attribute(PASSAGES, len(found.passages))
                if task.sentence_cut:
                    found = replace(found, passages=trimmed(request.question, found.passages, task.sentence_cut))
        except TimeoutError:
            raise _Stop(FaultKind.OVERDUE, "the deadline passed during the search for passages") from None
        return found

    async def _write(self, work: Work, meter: Meter, found: Retrieved, generator: Generator) -> Outcome:
        asked = grounded_work(work, found.passages, work.deadline_ms - RESERVE_MS)
        written = await generator.answer(asked, meter.token)
        result = written.result
        if isinstance(result, Answer):
            result = checked(result, work, found.passages)
        return _settled(work, meter, found, written, result)


def _settled(work: Work, meter: Meter, found: Retrieved, written: Outcome, result: Answer | Fault) -> Outcome:
    """One outcome of two bills: what the search cost and what the generator says that it cost."""
    own = Usage(embedding_tokens=found.embedding_tokens)
    usage = written.usage + own
    if written.usage.input_tokens:
        usage = replace(usage, context_tokens=min(context_tokens(found.passages), written.usage.input_tokens))
    meter.usage = own
    mine = meter.answered(result) if isinstance(result, Answer) else meter.faulted(result)
    return replace(
        mine,
        usage=usage,
        cost_micro_dollars=cost(work.target.prices, own) + written.cost_micro_dollars,
        ttft_ms=mine.ttft_ms if mine.ttft_ms is not None else written.ttft_ms,
        tpot_us=written.tpot_us,
        tool_uses=written.tool_uses,
    )


def context_tokens(passages: tuple[Passage, ...]) -> int:
    """Tokens of the input that the passages are, labels included; estimated, for no backend counts them apart."""
    return sum(one.tokens + estimate_tokens(f"[1] ({one.document}, {one.section}) ") for one in passages)
