"""What no stand-in can prove: that a model is less sure where it is wrong, calls a tool when it should, and cites what it
read. Figures are printed (pytest -s); the bars are low, they tell a working way from a broken one."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.finetuned.search import SPEC
from services.retrieval.engine import Engine as Retrieval
from tests.real.llm.conftest import Model
from trivium.core.outcome import Answer
from trivium.core.policy import Target, TaskSpec, Tier
from trivium.core.request import Output, OutputKind, ToolSpec
from trivium.core.slip import Work
from trivium.ports import Passage, Retrieved

EXAMPLES = Path("examples/support")
AT_ONCE = 4
TICKETS, QUESTIONS = 40, 40

LOOK = ToolSpec("find_in_documents", SPEC.description, SPEC.parameters_json)
ANSWERING = TaskSpec("troubleshoot", system="You help customers. Look into the documents when they may know.", temperature=0)
SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": ["string", "null"]}, "urgency": {"enum": ["low", "high"]}},
    "required": ["order_id", "urgency"],
    "additionalProperties": False,
}
EXTRACT = TaskSpec("extract", system="Take the order out of the message.", output=Output(OutputKind.JSON, json.dumps(SCHEMA)))

PASSAGES = (
    Passage("terms.md", "2.1 Refunds", "v1", "A refund is paid within 14 days of the return of the goods.", 0.9, 14),
    Passage("terms.md", "3.2 Shipping", "v1", "Parcels above 30 kg are sent by a carrier and need an appointment.", 0.8, 14),
    Passage("privacy.md", "1 Storage", "v1", "Call recordings are kept for 90 days and then erased.", 0.7, 12),
)
CITED = (
    ("Within how many days is a refund paid?", 1, "14"),
    ("How are parcels above 30 kg sent?", 2, "carrier"),
    ("For how long are call recordings kept?", 3, "90"),
    ("What happens to call recordings after 90 days?", 3, "erased"),
    ("Do I need an appointment for a parcel of 40 kg?", 2, "appointment"),
)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text().splitlines()]


def spread(found: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """`count` of them, evenly over the file."""
    return [found[at * len(found) // count] for at in range(min(count, len(found)))]


async def all_of(asked: Iterable[Any]) -> list[Any]:
    """Await them, a few at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(awaitable: Any) -> Any:
        async with room:
            return await awaitable

    return list(await asyncio.gather(*map(one, asked)))


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """How often a right answer is surer than a wrong one; ties count half."""
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return wins / (len(right) * len(wrong))


async def test_an_answer_is_streamed_and_counted(model: Model) -> None:
    pieces: list[str] = []
    work = model.work("Name three colours.", TaskSpec("general", system="Answer in one short sentence.", temperature=0))
    outcome = await model.generator.answer(work, pieces.append)
    assert isinstance(outcome.result, Answer), outcome.result
    assert "".join(pieces) == outcome.result.text != ""
    assert len(pieces) > 2
    assert outcome.usage.input_tokens > 0
    assert outcome.usage.output_tokens > 0
    assert outcome.ttft_ms is not None


async def test_confidence_is_lower_where_the_model_is_wrong(model: Model) -> None:
    tickets = spread(rows("tickets.jsonl"), TICKETS)
    labels = sorted({row["label"] for row in rows("tickets.jsonl")})
    system = f"Which kind of message is this? Answer with one label alone.\nLabels: {', '.join(labels)}"
    task = TaskSpec("classify_ticket", system=system, max_output_tokens=16, temperature=0)
    answers = await all_of(model.answer(row["text"], task) for row in tickets)
    if model.wire == "anthropic":
        assert {answer.confidence for answer in answers} == {None}, "Anthropic's API gives no log probabilities"
        return
    assert all(answer.confidence is not None for answer in answers), "the server gives no log probabilities"
    judged = [(a.text.strip().rstrip(".").lower() == row["label"], a.confidence) for a, row in zip(answers, tickets, strict=True)]
    right, wrong = [sure for good, sure in judged if good], [sure for good, sure in judged if not good]
    accuracy, apart = len(right) / len(judged), auroc(right, wrong) if right and wrong else 1.0
    print(f"\naccuracy {accuracy:.2f} on {len(judged)} tickets, {len(labels)} labels; AUROC of confidence {apart:.2f}")
    assert accuracy > 3 / len(labels)
    assert apart > 0.55


async def test_a_tool_is_called_when_the_documents_are_needed(model: Model) -> None:
    questions = spread([row for row in rows("needs_documents.jsonl") if row["held_out"]], QUESTIONS)
    answers = await all_of(model.answer(row["text"], ANSWERING, tools=(LOOK,)) for row in questions)
    called = [bool(answer.tool_calls) for answer in answers]
    needed = [row["needs"] for row in questions]
    both = sum(c and n for c, n in zip(called, needed, strict=True))
    precision, recall = both / max(1, sum(called)), both / sum(needed)
    print(f"\ntool choice on {len(questions)} questions: precision {precision:.2f}, recall {recall:.2f}")
    assert all(set(json.loads(call.arguments_json)) == {"query"} for a in answers for call in a.tool_calls)
    assert precision > 0.6
    assert recall > 0.6


async def test_an_answer_cites_the_passage_that_says_it(model: Model) -> None:
    engine, task, target = grounded(model)
    cited = 0
    for question, number, word in CITED:
        outcome = await engine.answer(_at(model, question, task, target))
        assert isinstance(outcome.result, Answer), outcome.result
        numbers = {citation.number for citation in outcome.result.citations}
        cited += number in numbers and word in outcome.result.text.lower()
        print(f"\n{question} {outcome.result.text!r} cites {sorted(numbers)}, passage {number} says it")
    assert cited >= len(CITED) - 1


async def test_what_no_passage_says_is_not_found(model: Model) -> None:
    engine, task, target = grounded(model)
    outcome = await engine.answer(_at(model, "Who won the football match in May?", task, target))
    assert isinstance(outcome.result, Answer), outcome.result
    assert outcome.result.not_found, outcome.result.text


async def test_json_fits_its_schema(model: Model) -> None:
    texts = ("Order 4711 is broken, it is urgent!", "No hurry at all, just a question on order A-17.", "Hello, how are you?")
    for answer in await all_of(model.answer(text, EXTRACT) for text in texts):
        assert set(json.loads(answer.text)) == {"order_id", "urgency"}


class Shelf:
    """A retriever that always finds the same three passages."""

    async def retrieve(
        self, tenant: str, corpus: str, query: str, limit: int, budget_tokens: int, relevance_cut: float
    ) -> Retrieved:
        return Retrieved(PASSAGES)


def grounded(model: Model) -> tuple[Retrieval, TaskSpec, Target]:
    """The retrieval tier's engine over these passages, with the model to write."""
    task = TaskSpec("product_question", system="Answer a question about the terms.", corpus="docs", temperature=0)
    target = Target("retrieval/docs", Tier.RETRIEVAL, "docs", generator=model.target)
    return Retrieval(Shelf(), {model.target.tier: model.generator}), task, target


def _at(model: Model, question: str, task: TaskSpec, target: Target) -> Work:
    return replace(model.work(question, task), target=target)
