"""The policy file: what it becomes, and what is said about a wrong one."""

import os
from pathlib import Path

import pytest

from trivium.core.errors import BadPolicy
from trivium.core.policy import Attribute, CacheRule, OnAmbiguous, Op, Policy, Tier
from trivium.core.request import OutputKind
from trivium.core.scope import shape_of
from trivium.policy import PolicyFile, load, parse
from trivium.policy.notes import notes

EXAMPLE = Path(__file__).parents[2] / "examples/support/policy.yaml"

GOOD = """\
revision: 4
reference_target: cloud/small
targets:
  finetuned/own:
    tier: finetuned
    model: own-7b
    adapter: tickets
    on_ambiguous: fail
    formats: [text]
    prices: {input: 0.05, output: "0.10", per_month: 350}
  retrieval/docs:
    tier: retrieval
    generator: finetuned/own
  cloud/small:
    tier: cloud
    model: small
    tools: true
    prices: {input: 1, output: 5.000001, cache_read: 0.10, per_request: 0.000002}
tenants:
  acme: {reply_topics: [trivium.responses], corpora: [docs]}
  globex: {reply_topics: [trivium.replies.globex], requests_per_minute: 60}
classifier: {path: classifier.json, bar: 0.4}
endpoints:
  /draft: draft
  /auto: auto
  /pin: {task_type: ask, target: cloud/small}
tasks:
  draft:
    can_wait: true
    weight: 3
    route:
      - {target: finetuned/own, bar: 0.7}
      - cloud/small
    ceiling: 0.02
    output: {kind: json, schema: {type: object, properties: {a: {type: string}}}}
  ask:
    route: [retrieval/docs, cloud/small]
    corpus: docs
    cache: true
  plain:
    route: default
    cache: {by_subject: true, ttl_s: 60, semantic: false}
novel:
  route: [cloud/small]
rules:
  - name: long
    when: {tokens: {gt: 100, le: 5000}, user_tier: [pro, free], stakes: high, team: ""}
    route: [cloud/small]
experiments:
  - name: trial
    task_types: [ask]
    arms: [{name: a, weight: 1}, {name: b, weight: 2, route: [cloud/small]}]
"""


def parsed(text: str) -> Policy:
    return parse(text.encode(), Path("somewhere/policy.yaml"))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(BadPolicy) as caught:
        parsed(text)
    return caught.value.problems


def test_a_file_becomes_a_policy() -> None:
    policy = parsed(GOOD)
    assert (policy.revision, policy.reference_target, len(policy.fingerprint)) == (4, "cloud/small", 32)
    own, docs = policy.targets["finetuned/own"], policy.targets["retrieval/docs"]
    assert (own.tier, own.adapter, own.on_ambiguous, own.formats) == (
        Tier.FINETUNED,
        "tickets",
        OnAmbiguous.FAIL,
        ("text",),
    )
    assert docs.generator is own
    draft, ask, plain = policy.tasks.values()
    assert [(leg.target.name, leg.bar) for leg in draft.route] == [("finetuned/own", 0.7), ("cloud/small", None)]
    assert (draft.weight, draft.can_wait, draft.ceiling_micro_dollars) == (3, True, 20_000)
    assert draft.spec.output.kind is OutputKind.JSON
    assert draft.spec.output.schema_json == '{"type":"object","properties":{"a":{"type":"string"}}}'
    assert ask.cache == CacheRule(corpus="docs")
    assert (plain.route, plain.cache) == ((), CacheRule(60, False, True))
    assert ask.shape == shape_of(ask.spec, ask.route)
    assert policy.default_route == policy.novel_route
    assert (policy.classifier.path, policy.classifier.bar) == ("somewhere/classifier.json", 0.4)
    assert policy.endpoints["/pin"].target == "cloud/small"
    assert policy.tenants["globex"].requests_per_minute == 60
    assert [(arm.name, arm.weight, len(arm.route)) for arm in policy.experiments[0].arms] == [("a", 1, 0), ("b", 2, 1)]


def test_prices_are_exact_micro_dollars() -> None:
    targets = parsed(GOOD).targets
    own, small = targets["finetuned/own"].prices, targets["cloud/small"].prices
    assert (own.input_per_million, own.output_per_million, own.fixed_per_month) == (50_000, 100_000, 350_000_000)
    assert (small.output_per_million, small.cache_read_per_million, small.per_request) == (5_000_001, 100_000, 2)
    assert small.cache_write_per_million == small.input_per_million == 1_000_000


def test_conditions_are_structured() -> None:
    when = {(c.attribute, c.op): c.value for c in parsed(GOOD).rules[0].when}
    assert when == {
        (Attribute.TOKENS, Op.GT): 100.0,
        (Attribute.TOKENS, Op.LE): 5000.0,
        (Attribute.USER_TIER, Op.IN): ("pro", "free"),
        (Attribute.STAKES, Op.EQ): "high",
        (Attribute.TEAM, Op.EQ): "",
    }


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("revision: 4", "revision: four", "1: revision: must be a whole number, not a text ('four')"),
        ("revision: 4", "revision: 0", "1: revision: is 0, must be from 1 to"),
        ("revision: 4\n", "", "1: revision: is missing"),
        ("- cloud/small\n    ceiling", "- cloud/smal\n    ceiling", "33: tasks.draft.route[1]: no target 'cloud/smal'; did you mean cloud/small?"),
        ("target: finetuned/own, bar", "target: finetuned/onw, bar", "32: tasks.draft.route[0].target: no target 'finetuned/onw'; did you mean finetuned/own?"),
        ("bar: 0.7", "bar: 1.7", "32: tasks.draft.route[0].bar: is 1.7, must be from 0 to 1"),
        ("bar: 0.7", "bra: 0.7", "32: tasks.draft.route[0].bra: is not a key here; did you mean bar?"),
        ("can_wait: true", "can_wait: maybe", "29: tasks.draft.can_wait: must be true or false, not a text ('maybe')"),
        ("can_wait: true", "can_wait: false", "32: tasks.draft.route[0].bar: the task type cannot wait for a second answer; set can_wait: true"),
        ("- cloud/small\n    ceiling", "- {target: cloud/small, bar: 0.5}\n    ceiling", "nothing follows, so a bar has no effect here"),
        ("route: [retrieval/docs, cloud/small]", "route: [cloud/small, cloud/small]", "tasks.ask.route[1]: cloud/small stands in this route already"),
        ("    route: default\n", "", "tasks.plain.route: is missing"),
        ("route: [retrieval/docs, cloud/small]", "route: []", "tasks.ask.route: must name at least one target"),
        ("    corpus: docs\n", "", "tasks.ask.corpus: is missing: retrieval/docs in the route searches a corpus"),
        ("    corpus: docs\n", "    corpus: dosc\n", "tasks.ask.corpus: no tenant has a corpus 'dosc'; did you mean docs?"),
        ("weight: 3", "weigth: 3", "30: tasks.draft.weigth: is not a key here; did you mean weight?"),
        ("weight: 3", "weight: -3", "30: tasks.draft.weight: is -3, must be from 1 to 1000"),
        ("    generator: finetuned/own\n", "", "targets.retrieval/docs.generator: is missing: a retrieval target needs another"),
        ("generator: finetuned/own", "generator: retrieval/docs", "retrieval/docs is a retrieval target itself"),
        ("    tools: true", "    generator: finetuned/own", "only a retrieval target has a generator, this one is cloud"),
        ("tier: cloud", "tier: clod", "targets.cloud/small.tier: 'clod' is not one of the words; did you mean cloud?"),
        ("tier: cloud", "tier: finetuned", "a target of tier finetuned is named finetuned/..."),
        ("    model: small\n", "", "targets.cloud/small.model: is missing"),
        ("model: own-7b", "model: 7", "targets.finetuned/own.model: must be a text, not a whole number ('7'); put it into quotes"),
        ("input: 0.05", "input: -0.05", "targets.finetuned/own.prices.input: is -0.05, a price cannot be negative"),
        ("input: 0.05", "input: 0.00000005", "finer than a millionth of a dollar"),
        ("input: 0.05", "input: 1000001", "targets.finetuned/own.prices.input: is 1000001, which is beyond all measure; at most 1,000,000 dollars"),
        ("input: 0.05", "currency: EUR", "targets.finetuned/own.prices.currency: is not a key here; known are"),
        ("input: 0.05", "input: 1 EUR", "targets.finetuned/own.prices.input: must be a number such as 0.25, not a text ('1 EUR')"),
        ("input: 0.05", "input: cheap", "targets.finetuned/own.prices.input: must be a number such as 0.25, not a text ('cheap')"),
        ("formats: [text]", "formats: [txt]", "'txt' is not a format; did you mean text?"),
        ("reference_target: cloud/small", "reference_target: cloud/big", "2: reference_target: no target 'cloud/big'"),
        ("reference_target: cloud/small", "reference_target: finetuned/own", "finetuned/own is not a cloud target"),
        ("/draft: draft", "/draft: drat", "endpoints./draft: no task type 'drat'; did you mean draft?"),
        ("task_type: ask, target: cloud/small", "task_type: ask, target: cloud/smal", "endpoints./pin.target: no target 'cloud/smal'"),
        ("globex: {reply_topics: [trivium.replies.globex]", "globex: {reply_topics: [trivium.responses]", "trivium.responses is acme's: whoever reads"),
        ("[trivium.replies.globex]", "[replies.globex]", "'replies.globex' must be trivium.responses or trivium.replies.<name>"),
        ("[trivium.replies.globex]", "[]", "tenants.globex.reply_topics: must name at least one topic"),
        ("globex: {", '"glo bex": {', "tenants.glo bex: is not a name"),
        ("globex: {", "glo/bex: {", "a tenant's name has no `/`"),
        ("globex: {", "acme: {", "tenants.acme: stands here a second time, first in line 20"),
        ("stakes: high", "stakes: hihg", "rules[0].when.stakes: 'hihg' is not a word of stakes; did you mean high?"),
        ("stakes: high", "steaks: high", "rules[0].when.steaks: is not a key here; did you mean stakes?"),
        ("stakes: high", "stakes: {gt: high}", "rules[0].when.stakes.gt: stakes is a word and has no order; use eq or in"),
        ("tokens: {gt: 100, le: 5000}", "tokens: many", "rules[0].when.tokens: must be a number"),
        ("tokens: {gt: 100, le: 5000}", "tokens: {above: 100}", "rules[0].when.tokens.above: is not a key here"),
        ("when: {tokens: {gt: 100, le: 5000}, user_tier: [pro, free], stakes: high, team: \"\"}", "when: {}", "has no condition"),
        ("{name: a, weight: 1}, ", "", "experiments[0].arms: an experiment compares at least two arms"),
        ("weight: 1}, {name: b, weight: 2", "weight: 0}, {name: b, weight: 0", "all weights are 0"),
        ("task_types: [ask]", "task_types: [asks]", "experiments[0].task_types: no task type 'asks'; did you mean ask?"),
        ("  plain:", "  novel:", "tasks.novel: cannot be the name of a task type"),
        ("schema: {type: object, properties: {a: {type: string}}}", "schema: '[1]'", "is not a JSON Schema: it is not an object"),
        ("schema: {type: object, properties: {a: {type: string}}}", "schema: '{'", "tasks.draft.output.schema: is not a JSON Schema"),
        ("tasks:\n", "task:\n", "tasks: is missing"),
        ("novel:\n  route: [cloud/small]\n", "", "novel: is missing"),
    ],
)  # fmt: skip
def test_a_problem_names_line_field_and_what_would_be_right(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(problem in line for line in found), found
    assert all(line.startswith("policy.yaml:") for line in found)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "policy.yaml:1: the file is empty"),
        (b"- a list", "policy.yaml:1: must have keys and values, not a list"),
        (b"revision: 1\n  tasks: [", "policy.yaml:2: not YAML"),
        (b"revision: 1\nx: \xff", "policy.yaml:2: not UTF-8"),
        (b"a: &a [*a]", "is not a key here"),
        (b"a: 1\n---\nb: 2", "not YAML"),
        (b"[" * 5000, "not YAML"),
    ],
)
def test_what_is_no_policy_at_all(content: bytes, problem: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        parse(content, Path("policy.yaml"))
    assert any(problem in line for line in caught.value.problems), caught.value.problems


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        GOOD.replace("revision: 4", "revision: x").replace("weight: 3", "wait: 3").replace("bar: 0.4", "bar: 4")
    )
    assert [line.split(":")[1] for line in found] == ["1", "22", "30"]


def test_a_file_that_is_not_there_is_a_bad_policy(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_the_example_is_good() -> None:
    policy = load(EXAMPLE)
    assert len(policy.tasks) >= 10
    assert {endpoint.task_type for endpoint in policy.endpoints.values()} == {*policy.tasks, "auto"}
    assert all(task.spec.system.startswith("Task: ") for task in policy.tasks.values())
    assert {target.tier for target in policy.targets.values()} == set(Tier)


# --- following a file ------------------------------------------------------------------------------------------------


def write(path: Path, text: str, stamp: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))


def test_a_changed_file_takes_force_when_it_is_good_and_newer(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    write(path, GOOD, 1)
    file = PolicyFile(path)
    assert file.refresh() is None
    write(path, GOOD.replace("revision: 4", "revision: 5"), 2)
    assert file.refresh() == "policy revision 5 is in force, after 4"
    assert file.current.revision == 5
    assert file.refresh() is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GOOD.replace("weight: 3", "weight: x"), "policy.yaml:30: tasks.draft.weight"),
        (GOOD.replace("weight: 3", "weight: 4"), "the changed file says revision 4, it must be above 4"),
        (GOOD.replace("revision: 4", "revision: 3"), "the changed file says revision 3, it must be above 4"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_file_leaves_the_old_policy_in_force_and_says_why_once(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "policy.yaml"
    write(path, GOOD, 1)
    file = PolicyFile(path)
    before = file.current
    write(path, text, 2)
    said = file.refresh()
    assert said is not None
    assert said.startswith("policy revision 4 stays in force: ")
    assert why in said
    write(path, text, 3)
    assert file.refresh() is None
    assert file.current is before


def test_a_file_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    write(path, GOOD, 1)
    file = PolicyFile(path)
    path.unlink()
    said = file.refresh()
    assert said is not None
    assert "cannot be read" in said
    write(path, GOOD.replace("revision: 4", "revision: 9"), 4)
    assert file.refresh() == "policy revision 9 is in force, after 4"


def test_notes_tell_what_may_not_be_meant() -> None:
    text = GOOD.replace("classifier: {path: classifier.json, bar: 0.4}\n", "").replace(
        "  cloud/small:", "  finetuned/idle: {tier: finetuned, model: m}\n  cloud/small:"
    )
    assert notes(parsed(text)) == (
        "restricted requests of plain are refused: every target in the route is in the cloud",
        "there is no classifier, so `auto` always takes the default route",
        "nothing routes to finetuned/idle; only a pinned request reaches it",
        "no prices stand for finetuned/idle: its calls cost nothing in every bill, and under every budget",
    )


def test_the_words_of_metrics_are_those_listed_and_those_that_rules_ask_for() -> None:
    rule = "\nrules:\n  - {name: r, when: {team: [care, ops], user_tier: gold}, route: [cloud/small]}\n"
    bare = GOOD.split("\nrules:")[0]
    policy = parse(f"{bare}{rule}metrics: {{teams: [sales], user_tiers: [free]}}\n".encode(), EXAMPLE)
    assert policy.shown.teams == {"care", "ops", "sales"}
    assert policy.shown.user_tiers == {"gold", "free"}
    too_many = "[" + ", ".join(f"t{i}" for i in range(101)) + "]"
    with pytest.raises(BadPolicy, match=r"metrics\.teams: has 101 words; metrics bear at most 100"):
        parse(f"{bare}\nmetrics: {{teams: {too_many}}}\n".encode(), EXAMPLE)
