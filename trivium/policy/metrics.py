"""Reads `metrics`: which of the callers' words the bill is split by on dashboards."""

from collections.abc import Iterable
from typing import Final

from trivium.core.policy import Attribute, Rule, Shown
from trivium.policy.section import Section

MOST: Final = 100
"""Of each kind. Every pair that occurs is a time series of its own in every router and gateway."""


def read_shown(root: Section, rules: Iterable[Rule]) -> Shown:
    """The words that the file lists, and those that its rules ask for."""
    section = root.section("metrics")
    teams, user_tiers = _asked_for(rules, Attribute.TEAM), _asked_for(rules, Attribute.USER_TIER)
    if section is not None:
        teams |= _listed(section, "teams")
        user_tiers |= _listed(section, "user_tiers")
        section.close()
    return Shown(teams, user_tiers)


def _listed(section: Section, key: str) -> frozenset[str]:
    words = section.texts(key)
    if len(words) > MOST:
        section.problem(key, f"has {len(words)} words; metrics bear at most {MOST}, the rest counts as `other`")
    return frozenset(words)


def _asked_for(rules: Iterable[Rule], attribute: Attribute) -> frozenset[str]:
    values = [c.value for rule in rules for c in rule.when if c.attribute is attribute]
    words = (word for value in values for word in (value if isinstance(value, tuple) else (value,)))
    return frozenset(word for word in words if isinstance(word, str) and word)
