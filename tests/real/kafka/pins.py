"""What a pin says when the library does not do any more what we work around."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def pinned(bug: str, workaround: str) -> Iterator[None]:
    """Around what shows the bug: whatever fails inside names the workaround that can go."""
    try:
        yield
    except (AssertionError, TimeoutError, pytest.fail.Exception) as error:
        raise AssertionError(f"{bug} is mended: the workaround in {workaround} can go ({error or type(error).__name__})") from error
