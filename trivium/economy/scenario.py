"""A scenario file: figures for several task types, in YAML, every problem told with line and field.

    currency: AUD
    tasks:
      classify_ticket:
        volume: 180_000
        endpoint: {per_month: 800, training: 6_000, months: 12, capacity: 1_000_000}
        api: {per_request: 0.03}
        retrieval: {per_month: 200, per_request: 7350/300000}
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from yaml import ScalarNode

from trivium.core.errors import BadPolicy
from trivium.economy.breakeven import Verdict, judge
from trivium.economy.money import USD, Amount, BadFigure, currency_of, nothing, read_amount
from trivium.economy.roads import Road, road
from trivium.policy.load import root_of
from trivium.policy.section import Report, Section, as_section

T = TypeVar("T")

MOST_MONTHS: Final = 1_200
MOST_VOLUME: Final = 10**12


def read_scenario(path: Path) -> list[Verdict]:
    """The verdict of each task type in the file. Raises BadFigure with all problems, one a line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadFigure(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return parse_scenario(content, path.name)
    except BadPolicy as error:
        raise BadFigure("\n".join(error.problems)) from None


def parse_scenario(content: bytes, name: str) -> list[Verdict]:
    """Raises BadPolicy with every problem."""
    report = Report(name)
    root = root_of(content, report)
    currency = _currency(root)
    verdicts = [verdict for verdict in _tasks(root, currency) if verdict is not None]
    root.close()
    if report.problems:
        raise BadPolicy(report.problems)
    return verdicts


def _currency(root: Section) -> str:
    word = root.text("currency", USD)
    return _told(root, "currency", lambda: currency_of(word, "currency")) or USD


def _tasks(root: Section, currency: str) -> list[Verdict | None]:
    section = root.section("tasks", required=True)
    if section is None:
        return []
    parts = [(name, as_section(node, section.at(name), section.report)) for name, node in section.names()]
    if not parts:
        root.problem("tasks", "has no task type")
    return [_task(name, part, currency) for name, part in parts if part is not None]


def _task(name: str, section: Section, currency: str) -> Verdict | None:
    before = len(section.report.problems)
    section.required("volume")
    volume = section.whole("volume", 1, least=1, most=MOST_VOLUME)
    endpoint = _endpoint(section, currency)
    others = [other for key in ("api", "retrieval") if (other := _other(key, section, currency)) is not None]
    section.close()
    if not others and len(section.report.problems) == before:
        section.problem("api", "is missing: the endpoint is compared with api, retrieval or both")
    if endpoint is None or len(section.report.problems) > before:
        return None
    return judge(name, volume, endpoint, others)


def _endpoint(section: Section, currency: str) -> Road | None:
    part = section.section("endpoint", required=True)
    if part is None:
        return None
    part.required("per_month")
    fee, each, training = (_amount(part, key, currency) for key in ("per_month", "per_request", "training"))
    months, capacity = part.whole("months", 12, least=1, most=MOST_MONTHS), part.whole("capacity", 0, most=MOST_VOLUME)
    part.close()
    return road("endpoint", fee, each, training, months, capacity)


def _other(key: str, section: Section, currency: str) -> Road | None:
    part = section.section(key)
    if part is None:
        return None
    part.required("per_request")
    found = road(key, _amount(part, "per_month", currency), _amount(part, "per_request", currency))
    part.close()
    return found


def _amount(section: Section, key: str, currency: str) -> Amount:
    node = section.take(key)
    if node is None:
        return nothing(currency)
    if not isinstance(node, ScalarNode):
        section.problem(key, "must be an amount of money such as 0.03")
        return nothing(currency)
    return _told(section, key, lambda: read_amount(str(node.value), currency, key)) or nothing(currency)


def _told(section: Section, key: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except BadFigure as error:
        section.problem(key, str(error).removeprefix(f"{key}: "))
        return None
