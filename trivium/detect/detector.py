"""The detector behind `detect` of the policy; loads its libraries (extra `detect`) when a text is first looked at."""

from collections.abc import Callable

from trivium.core.detect import Kinds
from trivium.core.errors import BadSetting
from trivium.core.policy import Kind, Policy

Finder = Callable[[str], bool]


class Detector:
    """Says which kinds are in a text. It fails closed: without its libraries it raises, it never says that nothing is there."""

    def __init__(self) -> None:
        self._finders: dict[Kind, Finder] = {}

    def __call__(self, text: str, kinds: Kinds) -> Kinds:
        """Those of `kinds` that are in `text`; tens of microseconds a kilobyte, more when it holds numbers. Raises BadSetting
        without its libraries."""
        if not self._finders:
            self._finders = _finders()
        return frozenset([kind for kind in kinds if self._finders[kind](text)])


def open_detector(policy: Policy) -> Detector:
    """Raises BadSetting when the policy asks for what is not installed."""
    detector = Detector()
    if policy.detects:
        detector("", frozenset(Kind))
    return detector


def _finders() -> dict[Kind, Finder]:
    try:
        from trivium.detect.national import has_national
        from trivium.detect.phone import has_phone
        from trivium.detect.plain import has_card, has_email
    except ImportError as error:
        raise BadSetting(f"`detect` of the policy needs {error.name}: pip install 'trivium[detect]'") from None
    return {Kind.CARD: has_card, Kind.EMAIL: has_email, Kind.PHONE: has_phone, Kind.NATIONAL: has_national}
