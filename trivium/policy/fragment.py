"""A fragment: other values of some task types' prompts, to be checked with a policy before somebody puts them into it.

    tasks:
      product_question:
        context_budget_tokens: 300

It may only say what shapes a prompt; routes, prices and rights stay the policy's."""

from typing import Final

from yaml import MappingNode, Node, ScalarNode

from trivium.core.errors import BadPolicy
from trivium.core.near import hint, quoted
from trivium.policy.section import Report, Section, as_section

KEYS: Final = ("system", "examples", "output", "passages", "context_budget_tokens", "relevance_cut", "sentence_cut", "max_output_tokens")


def overlaid(root: Section, fragment: Section) -> Section:
    """The policy with the fragment's values in the place of its own. Raises BadPolicy when the fragment says more than it
    may, or names a task type that the policy has not."""
    report = fragment.report
    tasks, ours = fragment.section("tasks", required=True), root.take("tasks")
    fragment.close()
    if tasks is not None and isinstance(ours, MappingNode):
        ours = _with(ours, {name: _task(name, node, ours, tasks, report) for name, node in tasks.names()})
    if report.problems:
        raise BadPolicy(report.problems)
    return root if ours is None else Section(_with(root.node, {"tasks": ours}), root.path, root.report)


def _task(name: str, node: Node, ours: MappingNode, tasks: Section, report: Report) -> Node:
    known = {key.value: value for key, value in ours.value if isinstance(key, ScalarNode)}
    part = as_section(node, tasks.at(name), report)
    if name not in known:
        tasks.problem(name, f"the policy has no task type {quoted(name)}; {hint(name, known)}")
    if part is None or not isinstance(known.get(name), MappingNode):
        return node
    given = {key: value for key in KEYS if (value := part.take(key)) is not None}
    part.close()
    return _with(known[name], given)


def _with(node: MappingNode, values: dict[str, Node]) -> MappingNode:
    """A copy with these values; what was there keeps its place, what was not comes last."""
    left = dict(values)
    pairs = [(key, left.pop(key.value, value) if isinstance(key, ScalarNode) else value) for key, value in node.value]
    pairs += [(ScalarNode("tag:yaml.org,2002:str", key, value.start_mark, value.end_mark), value) for key, value in left.items()]
    return MappingNode(node.tag, pairs, node.start_mark, node.end_mark)
