"""Reads `patience`, and what targets say of it: `batch`, `batch_prices`, `off_peak`."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Final

from trivium.core.patience import CALLS
from trivium.core.policy import Patience, Prices, Target, Tier, Window
from trivium.policy.section import Section, as_section

_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_HALF: Final = 2


def read_patience(root: Section, targets: Mapping[str, Target], longest_ms: int) -> Patience | None:
    """None when no target takes batch work: then nothing ever waits."""
    priced, windows = _patient_targets(root, targets)
    section = root.section("patience")
    if section is None:
        section_given, said = False, Patience(priced, windows)
    else:
        section_given = True
        said = Patience(
            targets=priced,
            windows=windows,
            min_slack_ms=section.whole("min_slack_ms", most=longest_ms),
            call_ms=section.whole("call_ms", Patience().call_ms, least=1, most=longest_ms),
            timeout_ms=section.whole("timeout_ms", most=longest_ms),
        )
        section.close()
        _fits(section, said)
    least = (CALLS + 1) * said.call_ms
    if priced and least > longest_ms:
        root.problem(
            "max_timeout_ms", f"is {longest_ms}, but batch work needs {least} ms before a deadline (three times patience.call_ms): raise it"
        )
    if section_given and not priced:
        root.problem("patience", "no target takes batch work: say `batch: true` or `off_peak: 22:00-06:00` of one")
    return said if priced else None


def _fits(section: Section, said: Patience) -> None:
    least = (CALLS + 1) * said.call_ms
    for key, value in (("min_slack_ms", said.min_slack_ms), ("timeout_ms", said.timeout_ms)):
        if value and value < least:
            section.problem(key, f"is {value}, but batch work needs {least} ms before a deadline, three times call_ms")


def _patient_targets(root: Section, targets: Mapping[str, Target]) -> tuple[dict[str, Target], dict[str, Window]]:
    priced: dict[str, Target] = {}
    windows: dict[str, Window] = {}
    section = root.section("targets")
    if section is None:
        return priced, windows
    for name, node in section.names():
        part = as_section(node, section.at(name), section.report) if name in targets else None
        if part is None:
            continue
        target = targets[name]
        window = _window(part, target)
        if window is not None:
            windows[name] = window
        if _batch(part, target) or window is not None:
            priced[name] = _priced(target, _batch_prices(part, target))
    return priced, windows


def _batch(section: Section, target: Target) -> bool:
    batch = section.flag("batch")
    if batch and target.tier is not Tier.CLOUD:
        section.problem("batch", "only a cloud target takes batches; work of the own hardware waits for its `off_peak` hours")
        return False
    if section.has("batch_prices") and not batch:
        section.problem("batch_prices", "say `batch: true` as well")
    return batch


def _batch_prices(section: Section, target: Target) -> Prices:
    """As the file says; half of a cloud target's own where it says nothing."""
    if target.tier is not Tier.CLOUD:
        return target.prices
    own = {one.name: getattr(target.prices, one.name) for one in fields(Prices)}
    half = {name: value // _HALF for name, value in own.items() if name != "fixed_per_month"}
    part = section.section("batch_prices")
    if part is None:
        return Prices(**half)
    full = part.micro_dollars("input", half["input_per_million"])
    prices = Prices(
        input_per_million=full,
        output_per_million=part.micro_dollars("output", half["output_per_million"]),
        cache_read_per_million=part.micro_dollars("cache_read", half["cache_read_per_million"]),
        cache_write_per_million=part.micro_dollars("cache_write", half["cache_write_per_million"]),
        per_request=part.micro_dollars("per_request", half["per_request"]),
    )
    part.close()
    return prices


def _priced(target: Target, prices: Prices) -> Target:
    return replace(target, prices=prices)


def _window(section: Section, target: Target) -> Window | None:
    text = section.text("off_peak")
    if not text:
        return None
    if target.tier is not Tier.FINETUNED:
        section.problem("off_peak", f"is for the own hardware (tier finetuned), this target is {target.tier.value}")
        return None
    found = _WINDOW.match(text)
    if found is None:
        section.problem("off_peak", "must be hours of UTC in quotes, such as \"22:00-06:00\"")
        return None
    hours = [int(part) for part in found.groups()]
    since, until = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if since == until:
        section.problem("off_peak", "begins when it ends; a window is shorter than a day")
        return None
    return Window(since, until)
