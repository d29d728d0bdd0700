"""What a failed test leaves behind must not fail another one.

A test that fails leaves what it had opened to the garbage collector; its warnings, errors here, come up in a later test
or at the end of the run, and fail that.
"""

import gc
import sys
import warnings

import pytest


class Leftovers:
    """After a failure, also one that is tried again, collects what its traceback held, without a word."""

    def __init__(self) -> None:
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Not yet: whoever tries again still holds the traceback."""
        self._failed = self._failed or report.outcome not in ("passed", "skipped")

    def pytest_runtest_logfinish(self) -> None:
        if self._failed:
            sys.last_type = sys.last_value = sys.last_traceback = None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gc.collect()
        self._failed = False


def pytest_configure(config: pytest.Config) -> None:
    """As a plugin of its own: -p tests.leftovers."""
    config.pluginmanager.register(Leftovers())
