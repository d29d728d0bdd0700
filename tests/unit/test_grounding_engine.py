"""The retrieval tier's answers: who writes them, what they cost, and what is said when nothing was found."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from services.retrieval.engine import Engine, context_tokens
from services.retrieval.grounding import NOT_FOUND, NOT_FOUND_CONFIDENCE, UNGROUNDED_CONFIDENCE
from trivium.core.errors import BadRequest, VendorFault
from trivium.core.outcome import Answer, Fault, FaultKind, Outcome, Reason, ReasonCode, Usage
from trivium.core.policy import Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Message, Request, Role, Sensitivity
from trivium.core.slip import Work
from trivium.ports import Emit, Generator, Passage, Retrieved, emit_nothing
from trivium.tier.meter import now_ms

SMALL = Target("finetuned/support", Tier.FINETUNED, "small")
CLOUD = Target("cloud/small", Tier.CLOUD, "sonnet")
TARGET = Target("retrieval/docs", Tier.RETRIEVAL, "docs", prices=Prices(per_request=50, embedding_per_million=1_000_000), generator=SMALL)
PASSAGES = (Passage("help.md", "2.1 Cards", "v1", "The refund takes five days.", 0.8, 9),)


class Shelf:
    """A retriever of one corpus."""

    def __init__(self, found: Retrieved | Exception | None = None, wait_s: float = 0.0) -> None:
        self.found = found or Retrieved(PASSAGES, left_out=2, embedding_tokens=7)
        self.wait_s = wait_s
        self.asked: list[tuple[str, str, str, int, int, float]] = []

    async def retrieve(
        self, tenant: str, corpus: str, query: str, limit: int, budget_tokens: int, relevance_cut: float
    ) -> Retrieved:
        self.asked.append((tenant, corpus, query, limit, budget_tokens, relevance_cut))
        await asyncio.sleep(self.wait_s)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Writer:
    """A generator that says what it is told to."""

    def __init__(self, result: Answer | Fault | None = None) -> None:
        self.result = result or Answer("Five days [1].", confidence=0.9, model="small-7b")
        self.asked: list[Work] = []

    async def answer(self, work: Work, emit: Emit = emit_nothing) -> Outcome:
        self.asked.append(work)
        if isinstance(self.result, Answer):
            for piece in self.result.text.split(" "):
                emit(piece)
        usage = Usage(input_tokens=200, output_tokens=5)
        return Outcome(work.request.identity, work.attempt, work.target.name, self.result, usage, cost_micro_dollars=30, tpot_us=400)


def work(**changes: object) -> Work:
    request = Request(Identity("acme", "1"), (Message(Role.USER, "How long do refunds take?"),))
    task = TaskSpec("ask_docs", corpus="help", passages=2, context_budget_tokens=300, relevance_cut=0.25)
    return replace(Work(request, 1, TARGET, task, now_ms() + 5_000), **changes)  # type: ignore[arg-type]


def both(writer: Generator) -> Mapping[Tier, Generator]:
    return {Tier.FINETUNED: writer, Tier.CLOUD: writer}


def answered(outcome: Outcome) -> Answer:
    assert isinstance(outcome.result, Answer), outcome.result
    return outcome.result


def fault(outcome: Outcome) -> Fault:
    assert isinstance(outcome.result, Fault), outcome.result
    return outcome.result


async def test_the_answer_is_written_from_the_passages_and_cites_them() -> None:
    shelf, writer = Shelf(), Writer()
    outcome = await Engine(shelf, both(writer)).answer(work())
    answer = answered(outcome)
    assert shelf.asked == [("acme", "help", "How long do refunds take?", 2, 300, 0.25)]
    assert "The refund takes five days." in writer.asked[0].request.question
    assert (answer.text, answer.confidence) == ("Five days [1].", 0.9)
    assert [(c.document, c.section, c.version, c.number) for c in answer.citations] == [("help.md", "2.1 Cards", "v1", 1)]
    assert answer.sources == answer.citations


async def test_the_outcome_is_the_retrieval_targets_with_both_bills() -> None:
    outcome = await Engine(Shelf(), both(Writer())).answer(work())
    assert (outcome.target, outcome.attempt, outcome.identity) == ("retrieval/docs", 1, Identity("acme", "1"))
    assert outcome.usage == Usage(200, 5, context_tokens=context_tokens(PASSAGES), embedding_tokens=7)
    assert outcome.cost_micro_dollars == 50 + 7 + 30
    assert outcome.tpot_us == 400
    assert outcome.ttft_ms is not None


async def test_only_relevant_sentences_go_into_the_prompt_when_the_task_says_so() -> None:
    long = Passage("help.md", "2.1 Cards", "v1", "We like cards. The refund takes five days. Cards are blue. Ask us anything.", 0.8, 20)
    shelf, writer = Shelf(Retrieved((long,), embedding_tokens=7)), Writer()
    outcome = await Engine(shelf, both(writer)).answer(work(task=replace(work().task, sentence_cut=0.5)))
    asked = writer.asked[0].request.question
    assert ("The refund takes five days." in asked, "Cards are blue" in asked) == (True, False)
    assert 0 < outcome.usage.context_tokens < context_tokens((long,))
    assert [c.document for c in answered(outcome).citations] == ["help.md"]


async def test_tokens_come_as_they_are_written() -> None:
    seen: list[str] = []
    await Engine(Shelf(), both(Writer())).answer(work(), seen.append)
    assert seen == ["Five", "days", "[1]."]


async def test_the_generator_gets_less_time_than_the_attempt_has() -> None:
    writer, asked = Writer(), work()
    await Engine(Shelf(), both(writer)).answer(asked)
    assert asked.deadline_ms - 100 < writer.asked[0].deadline_ms < asked.deadline_ms


async def test_without_relevant_passages_nobody_is_asked_or_paid() -> None:
    writer = Writer()
    outcome = await Engine(Shelf(Retrieved((), left_out=9, embedding_tokens=7)), both(writer)).answer(work())
    answer = answered(outcome)
    assert writer.asked == []
    assert (answer.text, answer.not_found, answer.confidence, answer.sources) == (NOT_FOUND, True, NOT_FOUND_CONFIDENCE, ())
    assert outcome.cost_micro_dollars == 57
    assert outcome.usage == Usage(embedding_tokens=7)


async def test_an_answer_without_grounds_is_not_trusted() -> None:
    answer = answered(await Engine(Shelf(), both(Writer(Answer("Five days.", confidence=0.99)))).answer(work()))
    assert answer.confidence == UNGROUNDED_CONFIDENCE
    assert answer.citations == ()


async def test_a_restricted_request_is_never_written_by_the_cloud() -> None:
    shelf, writer = Shelf(), Writer()
    request = replace(work().request, sensitivity=Sensitivity.RESTRICTED)
    outcome = await Engine(shelf, both(writer)).answer(work(request=request, target=replace(TARGET, generator=CLOUD)))
    assert fault(outcome).kind is FaultKind.FORBIDDEN
    assert (shelf.asked, writer.asked, outcome.cost_micro_dollars) == ([], [], 0)
    local = await Engine(shelf, both(writer)).answer(work(request=request))
    assert answered(local).citations


async def test_a_cloud_generator_writes_what_is_not_restricted() -> None:
    cloud, local = Writer(), Writer()
    await Engine(Shelf(), {Tier.FINETUNED: local, Tier.CLOUD: cloud}).answer(work(target=replace(TARGET, generator=CLOUD)))
    assert (len(cloud.asked), len(local.asked)) == (1, 0)
    assert cloud.asked[0].target == CLOUD


@pytest.mark.parametrize("generator", [None, Target("retrieval/other", Tier.RETRIEVAL, "x")])
async def test_a_target_that_nobody_writes_for_is_rejected(generator: Target | None) -> None:
    outcome = await Engine(Shelf(), both(Writer())).answer(work(target=replace(TARGET, generator=generator)))
    assert fault(outcome).kind is FaultKind.REJECTED
    assert "retrieval/docs" in fault(outcome).message


async def test_an_unknown_corpus_is_rejected_with_its_name() -> None:
    refused = BadRequest(Reason(ReasonCode.UNKNOWN_CORPUS, "the corpus 'x' of tenant 'acme' has no documents"))
    outcome = await Engine(Shelf(refused), both(Writer())).answer(work())
    assert fault(outcome) == Fault(FaultKind.REJECTED, "the corpus 'x' of tenant 'acme' has no documents")


async def test_the_requests_own_corpus_comes_first_and_one_is_needed() -> None:
    shelf = Shelf()
    await Engine(shelf, both(Writer())).answer(work(request=replace(work().request, corpus="mine")))
    outcome = await Engine(shelf, both(Writer())).answer(work(task=TaskSpec("ask_docs")))
    assert [asked[1] for asked in shelf.asked] == ["mine"]
    assert fault(outcome).kind is FaultKind.REJECTED


async def test_a_store_that_is_away_and_one_that_is_slow_are_faults() -> None:
    away = VendorFault(Fault(FaultKind.UNAVAILABLE, "Milvus did not answer in 5000 ms"))
    assert fault(await Engine(Shelf(away), both(Writer())).answer(work())).kind is FaultKind.UNAVAILABLE
    slow = await Engine(Shelf(wait_s=30), both(Writer())).answer(work(deadline_ms=now_ms() + 30))
    assert fault(slow).kind is FaultKind.OVERDUE


async def test_the_generators_fault_is_the_attempts_and_its_cost_stays() -> None:
    outcome = await Engine(Shelf(), both(Writer(Fault(FaultKind.CUT, "the stream ended")))).answer(work())
    assert fault(outcome).kind is FaultKind.CUT
    assert outcome.cost_micro_dollars == 87
