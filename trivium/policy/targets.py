"""Reads `targets` and routes over them."""

from collections.abc import Mapping
from dataclasses import replace

from yaml import Node, ScalarNode

from trivium.core.near import hint, quoted
from trivium.core.policy import Leg, OnAmbiguous, Prices, Route, Target, Tier
from trivium.core.request import OutputKind
from trivium.policy.section import Report, Section, as_section, as_text

LONGEST_ROUTE = 6
PATIENT_KEYS = ("batch", "batch_prices", "off_peak")
"""Read by trivium/policy/patience.py."""


def read_targets(root: Section) -> dict[str, Target]:
    """All targets by name, in the order of the file, generators resolved."""
    section = root.section("targets", required=True)
    if section is None:
        return {}
    targets: dict[str, Target] = {}
    generators: dict[str, tuple[str, Section]] = {}
    for name, node in section.names():
        part = as_section(node, section.at(name), section.report)
        if part is not None:
            targets[name] = _target(name, part)
            generators[name] = (part.text("generator"), part)
            for key in PATIENT_KEYS:
                part.take(key)
            part.close()
    if not targets:
        root.problem("targets", "has no target; nothing could be answered")
    return {name: _with_generator(target, *generators[name], targets) for name, target in targets.items()}


def read_route(section: Section, key: str, targets: Mapping[str, Target], can_wait: bool | None) -> Route:
    """A list of target names, or of `{target, bar}`. `can_wait` None: the route serves task types of both kinds."""
    legs: list[Leg] = []
    items = section.items(key)
    for i, (node, path) in enumerate(items):
        leg = _leg(node, path, section.report, targets)
        if leg is None:
            continue
        if any(leg.target.name == other.target.name for other in legs):
            section.report.problem(node, path, f"{leg.target.name} stands in this route already")
            continue
        if leg.bar is not None and i == len(items) - 1:
            section.report.problem(node, f"{path}.bar", "nothing follows, so a bar has no effect here; leave it out")
        elif leg.bar is not None and can_wait is False:
            section.report.problem(
                node, f"{path}.bar", "the task type cannot wait for a second answer; set can_wait: true"
            )
        legs.append(leg)
    if section.has(key) and not items:
        section.problem(key, "must name at least one target")
    if len(legs) > LONGEST_ROUTE:
        section.problem(key, f"has {len(legs)} targets, at most {LONGEST_ROUTE} fit into a deadline")
    return tuple(legs)


def _leg(node: Node, path: str, report: Report, targets: Mapping[str, Target]) -> Leg | None:
    if isinstance(node, ScalarNode):
        target = find(as_text(node, path, report), node, path, report, targets)
        return None if target is None else Leg(target)
    section = as_section(node, path, report)
    if section is None:
        return None
    bar = section.number("bar", 0, 1)
    target = None
    if section.required("target"):
        name_node = section.take("target")
        assert name_node is not None
        target = find(section.text("target"), name_node, section.at("target"), report, targets)
    section.close()
    return None if target is None else Leg(target, bar)


def find(name: str, node: Node, path: str, report: Report, targets: Mapping[str, Target]) -> Target | None:
    """A target by name; a problem with what may have been meant when there is none."""
    if name and name not in targets:
        report.problem(node, path, f"no target {quoted(name)}; {hint(name, targets)}")
    return targets.get(name)


def _target(name: str, section: Section) -> Target:
    section.required("tier")
    tier = section.word("tier", Tier, Tier.FINETUNED)
    if section.has("tier") and section.text("tier") and not name.startswith(f"{tier.value}/"):
        section.problem(
            "tier", f"a target of tier {tier.value} is named {tier.value}/..., so that everybody sees where it is"
        )
    if tier is not Tier.RETRIEVAL:
        section.required("model")
    return Target(
        name=name,
        tier=tier,
        model=section.text("model"),
        adapter=section.text("adapter"),
        prices=_prices(section.section("prices")),
        context_window=section.whole("context_window", 8192, least=64),
        max_output_tokens=section.whole("max_output_tokens", 1024, least=1),
        formats=_formats(section),
        tools=section.flag("tools"),
        on_ambiguous=section.word("on_ambiguous", OnAmbiguous, OnAmbiguous.RETRY),
        streams=section.flag("streams", True),
    )


def _formats(section: Section) -> tuple[str, ...]:
    known = [kind.value for kind in OutputKind]
    formats = section.texts("formats")
    for text in formats:
        if text not in known:
            section.problem("formats", f"{quoted(text)} is not a format; {hint(text, known)}")
    return tuple(text for text in formats if text in known) or tuple(known)


def _prices(section: Section | None) -> Prices:
    """Dollars: for a million tokens of a kind, for a request, for a month. What is not said of cached input costs as input."""
    if section is None:
        return Prices()
    full = section.micro_dollars("input")
    prices = Prices(
        input_per_million=full,
        output_per_million=section.micro_dollars("output"),
        cache_read_per_million=section.micro_dollars("cache_read", full),
        cache_write_per_million=section.micro_dollars("cache_write", full),
        embedding_per_million=section.micro_dollars("embedding"),
        per_request=section.micro_dollars("per_request"),
        fixed_per_month=section.micro_dollars("per_month"),
    )
    section.close()
    return prices


def _with_generator(target: Target, name: str, section: Section, targets: Mapping[str, Target]) -> Target:
    if target.tier is not Tier.RETRIEVAL:
        if name:
            section.problem("generator", f"only a retrieval target has a generator, this one is {target.tier.value}")
        return target
    if not name:
        section.problem("generator", "is missing: a retrieval target needs another target to write its answers")
        return target
    node = section.take("generator")
    assert node is not None
    generator = find(name, node, section.at("generator"), section.report, targets)
    if generator is not None and generator.tier is Tier.RETRIEVAL:
        section.problem("generator", f"{name} is a retrieval target itself; name one that writes")
        return target
    return replace(target, generator=generator)
