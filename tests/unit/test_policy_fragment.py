"""Few-shot examples of a task type, and fragments that are checked with a policy."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.test_policy import EXAMPLE, GOOD, problems
from trivium.cli.app import trivium
from trivium.codec.journey import spec_from, spec_to
from trivium.core.errors import BadPolicy
from trivium.core.policy import Example, Policy, Target, TaskSpec, Tier
from trivium.core.prompt import prompt_tokens
from trivium.core.request import Identity, Message, Request, Role
from trivium.core.scope import shape_of
from trivium.core.slip import Work
from trivium.policy import load, parse
from trivium.tier.prompting import static_system

SHOWN = (Example("My parcel is late", "delivery"), Example("Charged twice", "billing"))
SPEC = TaskSpec("classify", system="Say which team.", examples=SHOWN)
REQUEST = Request(Identity("acme", "1"), (Message(Role.USER, "Where is it?"),))


def overlaid(fragment: str) -> Policy:
    return parse(GOOD.encode(), Path("policy.yaml"), [("slim.yaml", fragment.encode())])


def test_examples_are_read_travel_and_are_shown() -> None:
    text = GOOD.replace("  plain:\n", "  plain:\n    examples: [{input: Charged twice, output: billing}]\n", 1)
    assert parse(text.encode(), Path("p.yaml")).tasks["plain"].spec.examples == (Example("Charged twice", "billing"),)
    assert spec_from(spec_to(SPEC)) == SPEC
    said = static_system(Work(REQUEST, 1, Target("cloud/a", Tier.CLOUD, "a"), SPEC, 0), ask_for_json=True)
    assert said.startswith("Task: classify\nSay which team.\n<example>\nMessage: My parcel is late\nAnswer: delivery\n</example>")


def test_examples_are_part_of_the_scope_and_of_the_estimate() -> None:
    bare = replace(SPEC, examples=())
    assert len({shape_of(bare, ()), shape_of(SPEC, ()), shape_of(replace(SPEC, examples=SHOWN[:1]), ())}) == 3
    more = prompt_tokens(REQUEST, SPEC, 12) - prompt_tokens(REQUEST, bare, 12)
    assert more == sum(len(f"<example>\nMessage: {e.input}\nAnswer: {e.output}\n</example>\n") for e in SHOWN) // 4


@pytest.mark.parametrize(
    ("examples", "told"),
    [
        ("[{input: a}]", "tasks.plain.examples[0].output: is missing"),
        ("[{input: a, output: b, label: c}]", "tasks.plain.examples[0].label: is not a key here"),
        ("[a]", "tasks.plain.examples[0]: must have keys and values"),
        ("[" + ",".join(["{input: a, output: b}"] * 51) + "]", "tasks.plain.examples: are 51, at most 50"),
    ],
)
def test_wrong_examples_are_told(examples: str, told: str) -> None:
    assert any(told in line for line in problems(GOOD.replace("  plain:\n", f"  plain:\n    examples: {examples}\n", 1)))


def test_a_fragment_stands_in_the_place_of_the_policys_own() -> None:
    before = parse(GOOD.encode(), Path("policy.yaml"))
    after = overlaid("tasks:\n  ask: {passages: 1, relevance_cut: 0.4, system: Short.}\n  plain: {examples: []}\n")
    spec = after.tasks["ask"].spec
    assert (spec.passages, spec.relevance_cut, spec.system, spec.corpus) == (1, 0.4, "Short.", "docs")
    assert after.tasks["ask"].route == before.tasks["ask"].route
    assert after.tasks["draft"] == before.tasks["draft"]
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("fragment", "told"),
    [
        ("tasks:\n  ask:\n    passages: 0\n", "slim.yaml:3: tasks.ask.passages: is 0, must be from 1 to 50"),
        ("tasks:\n  aks: {passages: 1}\n", "slim.yaml:2: tasks.aks: the policy has no task type 'aks'; did you mean ask?"),
        ("tasks:\n  ask: {route: [cloud/small]}\n", "slim.yaml:2: tasks.ask.route: is not a key here"),
        ("revision: 9\ntasks: {}\n", "slim.yaml:1: revision: is not a key here"),
        ("tasks: [ask]\n", "slim.yaml:1: tasks: must have keys and values"),
        ("", "slim.yaml:1: the file is empty"),
    ],
)
def test_a_fragment_that_says_too_much_is_refused(fragment: str, told: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        overlaid(fragment)
    assert any(line.startswith(told) for line in caught.value.problems), caught.value.problems


def test_the_command_checks_a_policy_with_a_fragment(tmp_path: Path) -> None:
    good, bad = tmp_path / "slim.yaml", tmp_path / "bad.yaml"
    good.write_text("tasks:\n  how_to: {context_budget_tokens: 300}\n")
    bad.write_text("tasks:\n  how_to: {context_budget_tokens: 3}\n")
    assert load(EXAMPLE, [good]).tasks["how_to"].spec.context_budget_tokens == 300
    said = CliRunner().invoke(trivium, ["policy", "check", str(EXAMPLE), "--with", str(good)], standalone_mode=False)
    assert (said.return_value, "good" in said.output) == (0, True)
    said = CliRunner().invoke(trivium, ["policy", "check", str(EXAMPLE), "--with", str(bad)], standalone_mode=False)
    assert (said.return_value, "bad.yaml:2: tasks.how_to.context_budget_tokens: is 3" in said.output) == (1, True)
