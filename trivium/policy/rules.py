"""Reads `tenants`, `endpoints`, `rules` and `experiments`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from trivium.core.admit import AUTO
from trivium.core.near import hint, quoted
from trivium.core.policy import Arm, Attribute, Condition, Endpoint, Experiment, Kind, Op, Rule, Target, Tenant
from trivium.core.request import Knowledge, OutputKind, Priority, Sensitivity, Stakes
from trivium.kafka.topics import REPLIES_PREFIX, RESPONSES
from trivium.policy.section import TAG, Section, as_decimal, as_section, as_text
from trivium.policy.targets import find, read_route

NUMBERS: Final = frozenset({Attribute.TOKENS, Attribute.COMPLEXITY})
ORDERED: Final = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})
WORDS: Final[dict[Attribute, type[Enum]]] = {
    Attribute.KNOWLEDGE: Knowledge,
    Attribute.STAKES: Stakes,
    Attribute.PRIORITY: Priority,
    Attribute.SENSITIVITY: Sensitivity,
    Attribute.OUTPUT: OutputKind,
}


@dataclass(frozen=True, slots=True)
class Names:
    """What rules and endpoints may speak of."""

    targets: Mapping[str, Target]
    tasks: Collection[str]
    tenants: Collection[str]


def read_tenants(root: Section) -> dict[str, Tenant]:
    """All tenants by name. A reply topic belongs to one tenant only: who reads a topic reads all of it."""
    section = root.section("tenants", required=True)
    if section is None:
        return {}
    tenants: dict[str, Tenant] = {}
    owners: dict[str, str] = {}
    for name, node in section.names():
        part = as_section(node, section.at(name), section.report)
        if part is None:
            continue
        if "/" in name:
            section.problem(name, "a tenant's name has no `/`, because keys are tenant/id")
        part.required("reply_topics")
        topics = part.texts("reply_topics")
        for topic in topics:
            _reply_topic(part, topic, name, owners)
        corpora = frozenset(part.texts("corpora"))
        quota, detect = part.whole("requests_per_minute"), part.words("detect", Kind)
        tenants[name] = Tenant(name, topics, corpora, quota, detect, part.flag("zero_retention"))
        if part.has("reply_topics") and not topics:
            part.problem("reply_topics", "must name at least one topic")
        part.close()
    if not tenants:
        root.problem("tenants", "has no tenant")
    return tenants


def read_endpoints(root: Section, names: Names) -> dict[str, Endpoint]:
    """`name: task_type`, or `name: {task_type, target}`."""
    section = root.section("endpoints")
    if section is None:
        return {}
    endpoints: dict[str, Endpoint] = {}
    for name, node in section.names():
        if isinstance(node, ScalarNode):
            task_type = section.text(name)
            _known_task(section, name, task_type, names, also_auto=True)
            endpoints[name] = Endpoint(name, task_type)
            continue
        part = as_section(node, section.at(name), section.report)
        if part is None:
            continue
        part.required("task_type")
        task_type, target = part.text("task_type"), part.text("target")
        _known_task(part, "task_type", task_type, names, also_auto=True)
        if target and (target_node := part.take("target")) is not None:
            find(target, target_node, part.at("target"), part.report, names.targets)
        part.close()
        endpoints[name] = Endpoint(name, task_type, target)
    return endpoints


def read_rules(root: Section, names: Names) -> tuple[Rule, ...]:
    """In order; the first whose conditions all hold is taken."""
    rules: list[Rule] = []
    for node, path in root.items("rules"):
        section = as_section(node, path, root.report)
        if section is None:
            continue
        section.required("name")
        name = section.text("name")
        if name and any(rule.name == name for rule in rules):
            section.problem("name", f"{quoted(name)} is the name of another rule")
        section.required("route")
        route = read_route(section, "route", names.targets, can_wait=None)
        rules.append(Rule(name, _conditions(section, names), route))
        section.close()
    return tuple(rules)


def read_experiments(root: Section, names: Names) -> tuple[Experiment, ...]:
    """A task type is in one experiment at most."""
    experiments: list[Experiment] = []
    for node, path in root.items("experiments"):
        section = as_section(node, path, root.report)
        if section is None:
            continue
        section.required("name")
        name = section.text("name")
        if name and any(other.name == name for other in experiments):
            section.problem("name", f"{quoted(name)} is the name of another experiment")
        section.required("task_types")
        tasks = section.texts("task_types")
        for task in tasks:
            _known_task(section, "task_types", task, names)
            if any(task in other.task_types for other in experiments):
                section.problem("task_types", f"{task} is in another experiment already")
        experiments.append(Experiment(name, frozenset(tasks), _arms(section, names)))
        section.close()
    return tuple(experiments)


def _arms(section: Section, names: Names) -> tuple[Arm, ...]:
    section.required("arms")
    arms: list[Arm] = []
    for node, path in section.items("arms"):
        part = as_section(node, path, section.report)
        if part is None:
            continue
        part.required("name")
        name = part.text("name")
        if name and any(arm.name == name for arm in arms):
            part.problem("name", f"{quoted(name)} is the name of another arm")
        part.required("weight")
        arms.append(
            Arm(name, part.whole("weight", most=1_000_000), read_route(part, "route", names.targets, can_wait=None))
        )
        part.close()
    if section.has("arms") and len(arms) < 2:
        section.problem("arms", "an experiment compares at least two arms")
    if arms and not any(arm.weight for arm in arms):
        section.problem("arms", "all weights are 0, so nobody would be in any arm")
    return tuple(arms)


def _conditions(section: Section, names: Names) -> tuple[Condition, ...]:
    """All of them must hold; those that are cheap to ask and rarely hold stand first."""
    section.required("when")
    when = section.section("when")
    if when is None:
        return ()
    conditions: list[Condition] = []
    for attribute in Attribute:
        node = when.take(attribute.value)
        if node is not None:
            conditions.extend(_condition(when, attribute, node, names))
    when.close()
    if not when.node.value:
        section.problem("when", "has no condition; what always holds is the default route")
    conditions.sort(key=lambda condition: (condition.attribute in NUMBERS, condition.op is not Op.EQ))
    return tuple(conditions)


def _condition(when: Section, attribute: Attribute, node: Node, names: Names) -> list[Condition]:
    """`attribute: word`, `attribute: [words]`, or `attribute: {op: value, ...}`."""
    key = attribute.value
    if isinstance(node, SequenceNode):
        return [Condition(attribute, Op.IN, _words(when, key, attribute, names))]
    if not isinstance(node, MappingNode):
        return _single(when, key, attribute, Op.EQ, node, names)
    part = when.section(key)
    assert part is not None
    found: list[Condition] = []
    for op in Op:
        value = part.take(op.value)
        if value is None:
            continue
        if op is Op.IN:
            found.append(Condition(attribute, op, _words(part, op.value, attribute, names)))
        elif op in ORDERED and attribute not in NUMBERS:
            part.problem(op.value, f"{key} is a word and has no order; use eq or in")
        else:
            found.extend(_single(part, op.value, attribute, op, value, names))
    part.close()
    return found


def _single(section: Section, key: str, attribute: Attribute, op: Op, node: Node, names: Names) -> list[Condition]:
    path = section.at(key)
    if attribute in NUMBERS:
        number = as_decimal(node, path, section.report)
        return [] if number is None else [Condition(attribute, op, float(number))]
    if isinstance(node, ScalarNode) and node.tag == TAG + "str" and not node.value:
        return [Condition(attribute, op, "")]
    word = as_text(node, path, section.report)
    _known_word(section, key, attribute, word, names)
    return [Condition(attribute, op, word)] if word else []


def _words(section: Section, key: str, attribute: Attribute, names: Names) -> tuple[str, ...]:
    if attribute in NUMBERS:
        section.problem(key, f"{attribute.value} is a number; use lt, le, gt, ge or eq")
        return ()
    words = section.texts(key)
    for word in words:
        _known_word(section, key, attribute, word, names)
    return words


def _known_word(section: Section, key: str, attribute: Attribute, word: str, names: Names) -> None:
    known: Collection[str] = ()
    if attribute in WORDS:
        known = [w.value for w in WORDS[attribute] if w.value]
    elif attribute is Attribute.TASK_TYPE:
        known = [*names.tasks, "novel"]
    elif attribute is Attribute.TENANT:
        known = names.tenants
    if known and word and word not in known:
        section.problem(key, f"{quoted(word)} is not a word of {attribute.value}; {hint(word, known)}")


def _known_task(section: Section, key: str, name: str, names: Names, also_auto: bool = False) -> None:
    if name and name not in names.tasks and not (also_auto and name == AUTO):
        known = [*names.tasks, AUTO] if also_auto else names.tasks
        section.problem(key, f"no task type {quoted(name)}; {hint(name, known)}")


def _reply_topic(section: Section, topic: str, tenant: str, owners: dict[str, str]) -> None:
    legal = topic == RESPONSES or (topic.startswith(REPLIES_PREFIX) and len(topic) > len(REPLIES_PREFIX))
    if not legal or not topic.replace(".", "").replace("-", "").replace("_", "").isalnum() or not topic.isascii():
        section.problem("reply_topics", f"{quoted(topic)} must be {RESPONSES} or {REPLIES_PREFIX}<name>")
    owner = owners.setdefault(topic, tenant)
    if owner != tenant:
        section.problem("reply_topics", f"{topic} is {owner}'s: whoever reads a topic reads all of it")
