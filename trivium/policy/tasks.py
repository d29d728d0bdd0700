"""Reads `tasks`, `novel` and `default`."""

import json
from collections.abc import Mapping

from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml.constructor import SafeConstructor

from trivium.core.policy import CacheRule, Example, Kind, Leg, Route, Target, TaskSpec, TaskType, Tier
from trivium.core.request import Output, OutputKind
from trivium.core.scope import shape_of
from trivium.policy.section import Section, as_section
from trivium.policy.targets import read_route

NOVEL = "novel"
RESERVED = ("auto", NOVEL)
LARGEST_PROMPT = 3_000_000
DAY_MS = 86_400_000
DEEPEST_SCHEMA = 32
MOST_EXAMPLES = 50


def read_tasks(root: Section, targets: Mapping[str, Target], longest_ms: int) -> dict[str, TaskType]:
    """All task types by name, in the order of the file."""
    section = root.section("tasks", required=True)
    if section is None:
        return {}
    tasks: dict[str, TaskType] = {}
    for name, node in section.names():
        part = as_section(node, section.at(name), section.report)
        if part is None:
            continue
        if name in RESERVED or "/" in name:
            section.problem(
                name, f"cannot be the name of a task type ({' and '.join(RESERVED)} are taken, `/` is for endpoints)"
            )
        tasks[name] = _task(name, part, targets, longest_ms)
        part.close()
    if not tasks:
        root.problem("tasks", "has no task type")
    return tasks


def read_novel(root: Section, targets: Mapping[str, Target]) -> tuple[TaskSpec, Route]:
    """How work is answered that is near to nothing known."""
    section = root.section("novel", required=True)
    if section is None:
        return TaskSpec(NOVEL), ()
    spec = read_spec(NOVEL, section)
    section.required("route")
    route = read_route(section, "route", targets, can_wait=False)
    _needs_corpus(section, spec, route)
    section.close()
    return spec, route


def read_default(root: Section, targets: Mapping[str, Target], novel: Route) -> Route:
    """The route of what has none; that of novel work unless the file says another."""
    section = root.section("default")
    if section is None:
        return novel
    section.required("route")
    route = read_route(section, "route", targets, can_wait=None)
    section.close()
    return route or novel


def read_spec(name: str, section: Section) -> TaskSpec:
    """What shapes the answers."""
    return TaskSpec(
        name=name,
        system=section.text("system").rstrip(),
        output=_output(section),
        max_output_tokens=section.whole("max_output_tokens", 512, least=1, most=200_000),
        temperature=section.number("temperature", 0, 2),
        corpus=section.text("corpus"),
        search_documents=section.flag("search_documents"),
        passages=section.whole("passages", 3, least=1, most=50),
        context_budget_tokens=section.whole("context_budget_tokens", 600, least=32, most=200_000),
        relevance_cut=section.number("relevance_cut", 0, 1) or 0.0,
        slots=section.whole("slots", 8, least=1, most=1024),
        examples=_examples(section),
        sentence_cut=section.number("sentence_cut", 0, 1) or 0.0,
    )


def _examples(section: Section) -> tuple[Example, ...]:
    """Pairs of `input` and `output`, shown to the model with every request."""
    found: list[Example] = []
    for node, path in section.items("examples"):
        part = as_section(node, path, section.report)
        if part is None:
            continue
        if part.required("input") and part.required("output"):
            found.append(Example(part.text("input"), part.text("output")))
        part.close()
    if len(found) > MOST_EXAMPLES:
        section.problem("examples", f"are {len(found)}, at most {MOST_EXAMPLES} go with every request")
    return tuple(found)


def _task(name: str, section: Section, targets: Mapping[str, Target], longest_ms: int) -> TaskType:
    spec = read_spec(name, section)
    can_wait = section.flag("can_wait")
    route = _route(section, targets, can_wait)
    _needs_corpus(section, spec, route)
    return TaskType(
        spec=spec,
        route=route,
        weight=section.whole("weight", 1, least=1, most=1000),
        can_wait=can_wait,
        max_prompt_bytes=section.whole("max_prompt_bytes", 524_288, least=1, most=LARGEST_PROMPT),
        timeout_ms=section.whole("timeout_ms", min(30_000, longest_ms), least=1, most=longest_ms),
        cache=_cache(section, spec),
        ceiling_micro_dollars=section.micro_dollars("ceiling"),
        detect=section.words("detect", Kind),
        shape=shape_of(spec, route),
    )


def _route(section: Section, targets: Mapping[str, Target], can_wait: bool) -> Route:
    """`default` in the place of a list leaves it to the default route."""
    node = section.take("route")
    if isinstance(node, ScalarNode) and node.value == "default":
        return ()
    section.required("route")
    return read_route(section, "route", targets, can_wait)


def _needs_corpus(section: Section, spec: TaskSpec, route: Route) -> None:
    searching = [leg for leg in route if leg.target.tier is Tier.RETRIEVAL]
    if searching and not spec.corpus:
        section.problem("corpus", f"is missing: {_first(searching)} in the route searches a corpus")
    if spec.search_documents and not spec.corpus:
        section.problem("corpus", "is missing: search_documents searches a corpus")


def _first(legs: list[Leg]) -> str:
    return legs[0].target.name


def _cache(section: Section, spec: TaskSpec) -> CacheRule | None:
    """`cache: false` or nothing: not cached; `cache: true`: as the defaults have it."""
    node = section.take("cache")
    if node is None:
        return None
    if isinstance(node, ScalarNode):
        return CacheRule(corpus=spec.corpus) if section.flag("cache") else None
    part = section.section("cache")
    if part is None:
        return None
    rule = CacheRule(
        ttl_s=part.whole("ttl_s", 86_400, least=1, most=30 * 86_400),
        semantic=part.flag("semantic", True),
        by_subject=part.flag("by_subject"),
        corpus=part.text("corpus", spec.corpus),
    )
    part.close()
    return rule


def _output(section: Section) -> Output:
    """`text`, `json`, or `{kind: json, schema: ...}` with the schema as YAML or as JSON text."""
    node = section.take("output")
    if node is None or isinstance(node, ScalarNode):
        return Output(section.word("output", OutputKind, OutputKind.TEXT))
    part = section.section("output")
    if part is None:
        return Output()
    kind = part.word("kind", OutputKind, OutputKind.JSON)
    schema_node = part.take("schema")
    schema = "" if schema_node is None else _schema(part, schema_node)
    if schema and kind is not OutputKind.JSON:
        part.problem("schema", "a schema is for kind json")
    part.close()
    return Output(kind, schema)


def _schema(section: Section, node: Node) -> str:
    try:
        if _depth(node) > DEEPEST_SCHEMA:
            raise ValueError(f"it nests deeper than {DEEPEST_SCHEMA}")
        value = json.loads(node.value) if isinstance(node, ScalarNode) else _construct(node)
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, TypeError, RecursionError, YAMLError) as error:
        section.problem("schema", f"is not a JSON Schema: {error or 'it nests too deep'}")
        return ""


def _construct(node: Node) -> object:
    return SafeConstructor().construct_document(node)


def _depth(node: Node, at: int = 1) -> int:
    """Of a tree that may have aliases in it; stops counting when it is too deep."""
    if at > DEEPEST_SCHEMA:
        return at
    children: list[Node] = []
    if isinstance(node, MappingNode):
        children = [value for _, value in node.value]
    elif isinstance(node, SequenceNode):
        children = list(node.value)
    return max((_depth(child, at + 1) for child in children), default=at)
