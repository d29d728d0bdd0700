"""Prompt economy: intervals, held-out questions, what can be dropped, and the search over it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from trivium.core.outcome import Answer, Citation, Outcome, Usage
from trivium.core.policy import Example, Prices, Target, TaskSpec, Tier
from trivium.core.request import Identity, Output, OutputKind
from trivium.economy.edits import ladders, structured_form, units, without_units
from trivium.economy.fragment import written
from trivium.economy.intervals import Pairs, difference, fewest, not_worse, pairs_of, saved_share, wilson
from trivium.economy.questions import BadQuestions, Question, halves, is_right, read_questions
from trivium.economy.slimming import TOO_DEAR, Run, Search, Slimmed, Tried, weights_of

OWN = Target("finetuned/own", Tier.FINETUNED, "own")
DOCS = Target("retrieval/docs", Tier.RETRIEVAL, "hybrid", generator=OWN)
SYSTEM = "Task: classify\nSay which team. Answer with the label\nalone.\nLabels: a, b\nNever swear."
SPEC = TaskSpec("classify", system=SYSTEM, examples=(Example("long " * 20, "a"), Example("short", "b")))
QUESTIONS = [Question(f"question {i}", label="ab"[i % 2]) for i in range(160)]
HELD_OUT = Path(__file__).parents[2] / "examples/support/held_out"


class Model:
    """Answers rightly as long as `needs` says so of the spec and the number of the question; tokens are characters."""

    def __init__(self, needs: dict[str, int]) -> None:
        self.needs = needs
        """Text that must stand in the prompt -> of how many questions one depends on it."""
        self.calls = 0

    async def __call__(self, spec: TaskSpec, questions: Sequence[Question]) -> list[Outcome]:
        self.calls += len(questions)
        return [self.answer(spec, question) for question in questions]

    def answer(self, spec: TaskSpec, question: Question) -> Outcome:
        said = f"{spec.system} {spec.examples} passages={spec.passages}; budget={spec.context_budget_tokens}; cut={spec.relevance_cut}"
        number = int(question.text.rsplit(" ", 1)[1])
        wrong = any(text not in said and number % every == 0 for text, every in self.needs.items())
        context = spec.passages * spec.context_budget_tokens // 100 if spec.corpus else 0
        usage = Usage(len(spec.system) + sum(len(e.input) for e in spec.examples) + context, 1, context_tokens=context)
        return Outcome(Identity("acme", "1"), 1, "t", Answer("wrong" if wrong else question.label), usage, 10, 0, 0)


async def slimmed(model: Model, spec: TaskSpec = SPEC, target: Target = OWN, keep: tuple[str, ...] = (), limit: int = 0,
                  margin: float = 0.05) -> Slimmed:  # fmt: skip
    calibration, test = halves(QUESTIONS, seed=7)
    return await Search(model, calibration, test, margin=margin, seed=7, limit_micro_dollars=limit).slim(spec, ladders(spec, target, keep, None))


def names(tried: Sequence[Tried], kept: bool) -> list[str]:
    return [one.name for one in tried if one.kept is kept]


async def test_what_changes_no_answer_goes_and_what_does_stays() -> None:
    result = await slimmed(Model({"Labels: a, b": 3, "short": 2}))
    assert result.passed
    assert result.after.spec.system == "Task: classify\nLabels: a, b"
    assert [e.input for e in result.after.spec.examples] == ["short"]
    assert (result.pairs.lost, result.before.quality.value) == (0, 1.0)
    assert result.saved.low > 0.5
    assert names(result.tried, False) == ["all examples", "example 'short'", "all other instructions", "instruction 'Labels: a, b'"]


async def test_instructions_that_are_kept_are_not_tried() -> None:
    result = await slimmed(Model({}), keep=("never", "labels"))
    assert result.after.spec.system == "Task: classify\nLabels: a, b\nNever swear."
    assert result.after.spec.examples == ()


async def test_nothing_goes_when_everything_matters() -> None:
    every = dict.fromkeys(("Say which team.", "Answer with the label alone.", "Labels:", "Never swear", "long", "short"), 2)
    result = await slimmed(Model(every), replace(SPEC, system=SYSTEM.replace("\nalone", " alone")))
    assert (result.passed, result.tested, result.after) == (False, (), result.before)


async def test_what_was_only_lucky_in_the_search_is_found_out() -> None:
    calibration, test = halves(QUESTIONS, seed=7)
    test_only = {int(q.text.split()[1]) for q in test}

    class Unlucky(Model):
        def answer(self, spec: TaskSpec, question: Question) -> Outcome:
            lost = "Never swear" not in spec.system and int(question.text.split()[1]) in test_only
            return replace(super().answer(spec, question), **({"result": Answer("wrong")} if lost else {}))

    result = await slimmed(Unlucky({}))
    assert names(result.tried, True) == ["all examples", "all other instructions"]
    assert names(result.tested, True) == ["all examples"]
    assert result.passed
    assert result.after.spec == replace(SPEC, examples=())
    assert len(calibration) + len(test) == len(QUESTIONS)


async def test_context_is_trimmed_as_far_as_the_answers_allow() -> None:
    spec = TaskSpec("ask", system="Task: ask", corpus="docs", passages=3, context_budget_tokens=600)
    result = await slimmed(Model({"passages=2;": 2}), replace(spec, passages=2), DOCS)
    assert (result.after.spec.passages, result.after.spec.context_budget_tokens) == (2, 150)
    assert result.saved_of(lambda o: o.usage.context_tokens).value == 0.75
    assert not ladders(replace(spec, search_documents=False), OWN, (), None)


async def test_a_change_that_loses_more_than_it_saves_is_not_the_result() -> None:
    _, test = halves(QUESTIONS, seed=7)
    lost = {int(q.text.split()[1]) for q in test[:1]}

    class Dear(Model):
        def answer(self, spec: TaskSpec, question: Question) -> Outcome:
            wrong = "x" not in spec.system and int(question.text.split()[1]) in lost
            return replace(super().answer(spec, question), **({"result": Answer("wrong")} if wrong else {}))

    spec = TaskSpec("classify", system="Task: classify\nx", examples=(Example("long " * 400, "a"),))
    result = await slimmed(Dear({}), spec, margin=0.1)
    assert [(one.kept, one.worse, one.why) for one in result.tested] == [(True, False, ""), (False, False, TOO_DEAR)]
    assert (result.passed, result.after.spec.system, result.after.spec.examples) == (True, spec.system, ())


async def test_the_limit_of_money_ends_the_search_early() -> None:
    unlimited, limited = Model({}), Model({})
    assert (await slimmed(unlimited)).stopped == ""
    result = await slimmed(limited, limit=80 * 10 * 4)
    assert "limit" in result.stopped
    assert limited.calls < unlimited.calls
    assert result.spent_micro_dollars <= 80 * 10 * 4


def test_tokens_weigh_what_they_cost() -> None:
    usage = Usage(100, 10)
    assert weights_of(OWN).of(usage) == 110
    priced = replace(OWN, prices=Prices(input_per_million=1, output_per_million=5))
    assert weights_of(replace(DOCS, generator=priced)).of(usage) == 150


def test_a_result_becomes_a_fragment() -> None:
    model = Model({})
    outcomes = tuple(model.answer(SPEC, question) for question in QUESTIONS)
    form = Output(OutputKind.JSON, '{"type":"object"}')
    slim = replace(SPEC, system="Task: classify\nShort.", examples=(), passages=1, output=form)
    right = (True,) * len(QUESTIONS)
    result = Slimmed(Run(SPEC, outcomes, right), Run(slim, outcomes, right), (), (), 80, 0.05, 7, 0)
    text = written("classify", SPEC, result)
    assert yaml.safe_load(text) == {"tasks": {"classify": {
        "system": "Task: classify\nShort.\n", "passages": 1, "examples": [], "output": {"kind": "json", "schema": {"type": "object"}},
    }}}  # fmt: skip
    assert "system: |\n" in text
    assert "Not in force" in text


def test_wilson_and_newcombe_as_published() -> None:
    assert [round(x, 4) for x in (wilson(81, 263).low, wilson(81, 263).high)] == [0.2553, 0.3662]
    assert (wilson(0, 20).low, round(wilson(0, 20).high, 4), wilson(0, 0).high) == (0.0, 0.1611, 1.0)
    # Newcombe 1998, table III, method 10: 36 and 12, 2 and 0.
    found, mirrored = difference(Pairs(both=36, lost=2, won=12, neither=0)), difference(Pairs(both=36, lost=12, won=2, neither=0))
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.2, 0.0569, 0.3404)
    assert (round(mirrored.low, 9), round(mirrored.high, 9)) == (-round(found.high, 9), -round(found.low, 9))


def test_no_change_is_told_from_a_loss_only_with_enough_questions() -> None:
    n = fewest(0.05)
    assert not_worse(Pairs(n, 0, 0, 0), 0.05)
    assert not not_worse(Pairs(n - 1, 0, 0, 0), 0.05)
    assert not not_worse(Pairs(95, 5, 0, 0), 0.05)
    assert pairs_of([True, True, False, False], [True, False, True, False]) == Pairs(1, 1, 1, 1)


def test_saved_tokens_with_a_seed() -> None:
    before, after = [100, 200, 300] * 20, [80, 100, 250] * 20
    one = saved_share(before, after, seed=3, rounds=300)
    assert one == saved_share(before, after, seed=3, rounds=300)
    assert one.low < one.value < one.high
    assert round(one.value, 6) == round(1 - 430 / 600, 6)
    assert saved_share([], [], 1).value == 0.0


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (Question("q", label="billing"), Answer(" Billing. "), True),
        (Question("q", label="billing"), Answer('{"label": "billing"}'), True),
        (Question("q", label="billing"), Answer('{"team": "billing"}'), True),
        (Question("q", label="billing"), Answer('{"a": "billing", "b": "x"}'), False),
        (Question("q", label="billing"), Answer("billing or refund"), False),
        (Question("q", fields=(("id", "44"), ("mail", None))), Answer('{"id": 44, "mail": null}'), True),
        (Question("q", fields=(("id", "44"),)), Answer('{"id": null}'), False),
        (Question("q", fields=(("id", "44"),)), Answer("44"), False),
        (Question("q", contains=("half", "30 s")), Answer("More than Half within  30 S."), True),
        (Question("q", contains=("half", "31 s")), Answer("half, 30 s"), False),
        (Question("q", cites=("docs/a.md",)), Answer("x", citations=(Citation("docs/a.md", "", "1", 1),)), True),
        (Question("q", cites=("docs/a.md",)), Answer("x"), False),
        (Question("q", not_found=True), Answer("x", not_found=True), True),
        (Question("q"), Answer("As  before"), True),
        (Question("q"), Answer("another"), False),
        (Question("q", label="a"), None, False),
    ],
)
def test_what_counts_as_right(question: Question, answer: Answer | None, right: bool) -> None:
    assert is_right(question, answer, Answer("as before.")) is right


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "q.jsonl:2: is not JSON"),
        ('{"label": "a"}', 'q.jsonl:2: must be an object with a "text"'),
        ('{"text": "x", "lable": "a"}', "'lable' is not a key here; did you mean label?"),
        ('{"text": "x", "label": "a", "cites": ["d"]}', "says twice what is right, by label and by cites"),
        ('{"text": "x", "label": ""}', "label must be a text"),
        ('{"text": "x", "contains": "word"}', "contains must be a list of texts"),
        ('{"text": "x", "fields": []}', "fields must be an object"),
        ('{"text": "x", "not_found": false}', "not_found can only be true"),
        ('{"text": "good", "label": "b"}', "the same text stands in it more than once"),
    ],
)
def test_wrong_questions_are_told_with_their_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"text": "good", "label": "a"}\n' + line + "\n")
    with pytest.raises(BadQuestions) as caught:
        read_questions(path)
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["classify_ticket", "product_question"])
def test_the_shipped_questions_are_enough_for_five_points(name: str) -> None:
    questions = read_questions(HELD_OUT / f"{name}.jsonl")
    assert len(questions) // 2 >= fewest(0.05)
    assert all(question.judged_by_itself for question in questions)


def test_held_out_tickets_are_not_what_the_stand_in_learned() -> None:
    learned = {json.loads(line)["text"] for line in (HELD_OUT.parent / "tickets.jsonl").read_text().splitlines()}
    assert learned.isdisjoint(question.text for question in read_questions(HELD_OUT / "classify_ticket.jsonl"))


def test_instructions_are_sentences_and_the_first_line_stays() -> None:
    assert units(SYSTEM) == ["Say which team.", "Answer with the label alone.", "Labels: a, b", "Never swear."]
    assert without_units(SYSTEM, ["Say which team.", "Never swear."]) == "Task: classify\nAnswer with the label alone.\nLabels: a, b"
    assert without_units(SYSTEM, units(SYSTEM)) == "Task: classify"


def test_a_form_is_made_of_what_is_expected() -> None:
    form = structured_form([Question("x", label="b"), Question("y", label="a")])
    assert form is not None
    assert json.loads(form.schema_json)["properties"] == {"label": {"enum": ["a", "b"]}}
    assert structured_form([Question("x", label="b"), Question("y")]) is None
    fields = structured_form([Question("x", fields=(("id", "1"),))])
    assert fields is not None
    assert json.loads(fields.schema_json)["required"] == ["id"]
    assert [ladder.rungs[0].name for ladder in ladders(SPEC, OWN, (), form)][-1] == "structured output"
