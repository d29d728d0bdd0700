"""The Generator of the fine-tuned tier: one model call, or a few when the model wants to search the documents."""

import asyncio
import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from opentelemetry.trace import Tracer

from services.finetuned.backend import Backend, Prompt, Reply
from services.finetuned.confidence import confidence
from services.finetuned.search import NAME, SPEC, Found, Search
from trivium.core.budget_worst import SEARCH_ROUNDS, SEARCHES_A_ROUND
from trivium.core.errors import VendorFault
from trivium.core.outcome import Answer, Citation, Fault, FaultKind, Finish, Outcome, ToolUse
from trivium.core.request import Message, OutputKind, Role, ToolCall
from trivium.core.slip import Work
from trivium.ports import Emit, emit_nothing
from trivium.tier import prompting, spans
from trivium.tier.form import parse_schema, unfenced, wrong_form
from trivium.tier.meter import Meter, now_ms

_LOG = logging.getLogger(__name__)
_TOO_MANY: Final = f"Not done: at most {SEARCHES_A_ROUND} searches at once. Answer with what the others found."
_CITED: Final = re.compile(r"\[(\d{1,3})\]")


class Engine:
    """Answers by a backend; `search` None: the tool is never offered."""

    def __init__(self, backend: Backend, search: Search | None = None, tracer: Tracer | None = None) -> None:
        self._backend = backend
        self._search = search
        self._tracer = tracer

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        """One outcome for every work; raises only CancelledError."""
        meter = Meter(work, emit)
        try:
            async with asyncio.timeout((work.deadline_ms - now_ms()) / 1000):
                return meter.answered(await self._converse(work, meter))
        except VendorFault as error:
            fault = error.fault
        except TimeoutError:
            fault = Fault(FaultKind.OVERDUE, "no answer in time")
        except Exception as error:
            _LOG.exception("a call of %s failed", work.target.name)
            fault = Fault(FaultKind.INTERNAL, f"the fine-tuned tier failed: {type(error).__name__}")
        return meter.faulted(fault)

    async def _converse(self, work: Work, meter: Meter) -> Answer:
        """Rounds until the model answers; in the last one it may not search any more."""
        prompt = self._prompt(work)
        found: list[Found] = []
        said: list[str] = []
        for _ in range(SEARCH_ROUNDS):
            reply = await self._ask(work, prompt, meter)
            searches = [call for call in reply.tool_calls if call.name == NAME]
            if not searches or len(searches) < len(reply.tool_calls):
                break
            said.append(reply.text)
            # What it may cost at most was reserved before the call (trivium/core/budget_worst.py).
            results = [await self._run(work, call, found, meter) for call in searches[:SEARCHES_A_ROUND]]
            results += [Message(Role.TOOL, _TOO_MANY, tool_call_id=call.id) for call in searches[SEARCHES_A_ROUND:]]
            asked = Message(Role.ASSISTANT, reply.text, reply.tool_calls)
            prompt = replace(prompt, turns=(*prompt.turns, asked, *results))
        else:
            reply = await self._ask(work, self._without_search(prompt), meter)
        return await self._finish(work, prompt, replace(reply, text="".join((*said, reply.text))), found, meter)

    async def _finish(self, work: Work, prompt: Prompt, reply: Reply, found: list[Found], meter: Meter) -> Answer:
        """The answer in its form. Tools and grammar exclude each other, so a form that was missed is asked for again,
        with the grammar and without tools."""
        output = prompt.output
        text = reply.text
        if output.kind is OutputKind.JSON and not reply.tool_calls:
            text = unfenced(text)
            problem = wrong_form(text, output)
            if problem and prompt.tools:
                reply = await self._ask(work, replace(prompt, tools=()), meter)
                text = unfenced(reply.text)
                problem = wrong_form(text, output)
            if problem:
                raise VendorFault(Fault(FaultKind.INVALID, problem))
            meter.show(text)
        passages = [passage for one in found for passage in one.passages]
        sources = tuple(Citation(p.document, p.section, p.version, n) for n, p in enumerate(passages, 1))
        cited = {int(number) for number in _CITED.findall(text)}
        return Answer(
            text=text,
            tool_calls=tuple(call for call in reply.tool_calls if call.name != NAME),
            citations=tuple(source for source in sources if source.number in cited),
            confidence=0.0 if reply.finish is Finish.REFUSAL else confidence(reply.tokens, output),
            finish=reply.finish,
            model=reply.model,
            not_found=bool(found) and not passages,
            sources=sources,
        )

    async def _ask(self, work: Work, prompt: Prompt, meter: Meter) -> Reply:
        with spans.chat(self._tracer, work, self._backend.provider) as span:
            before = meter.usage
            reply = await self._backend.generate(prompt, meter, held_back=prompt.output.kind is OutputKind.JSON)
            spans.note_reply(span, before, meter.usage, reply.model, reply.finish.value)
            return reply

    async def _run(self, work: Work, call: ToolCall, found: list[Found], meter: Meter) -> Message:
        """Execute one search; its passages go on counting where the last ones ended."""
        if self._search is None:
            raise AssertionError("the tool was not offered")
        first_number = sum(len(one.passages) for one in found) + 1
        result = await self._search.run(work, call, first_number, work.deadline_ms - now_ms())
        found.append(result)
        usage = meter.usage
        meter.usage = replace(
            usage,
            tool_tokens=usage.tool_tokens + result.use.tokens,
            embedding_tokens=usage.embedding_tokens + result.embedding_tokens,
        )
        meter.tools = (_sum(one.use for one in found),)
        return Message(Role.TOOL, result.text, tool_call_id=call.id)

    def _prompt(self, work: Work) -> Prompt:
        output = prompting.output_of(work)
        system = prompting.static_system(work, ask_for_json=not parse_schema(output.schema_json))
        own = prompting.callers_system(work)
        tools = work.request.tools if work.target.tools else ()
        if self._search is not None and work.task.search_documents:
            tools = (SPEC, *(tool for tool in tools if tool.name != NAME))
        return Prompt(
            model=work.target.model,
            adapter=work.target.adapter,
            system=f"{system}\n\n{own}" if own else system,
            turns=prompting.turns(work),
            output=output,
            tools=tools,
            most_tokens=prompting.most_output_tokens(work),
            temperature=prompting.temperature_of(work),
        )

    @staticmethod
    def _without_search(prompt: Prompt) -> Prompt:
        return replace(prompt, tools=tuple(tool for tool in prompt.tools if tool.name != NAME))


def _sum(uses: Iterable[ToolUse]) -> ToolUse:
    """All calls of the tool as one use."""
    every = list(uses)
    return ToolUse(
        NAME,
        calls=sum(use.calls for use in every),
        tokens=sum(use.tokens for use in every),
        cost_micro_dollars=sum(use.cost_micro_dollars for use in every),
        duration_ms=sum(use.duration_ms for use in every),
    )
