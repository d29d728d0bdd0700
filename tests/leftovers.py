"""What a failed test leaves behind must not fail another one.

A test that fails leaves what it had opened to the garbage collector; its warnings, errors here, come up in a later test
or at the end of the run, and fail that.
"""

import gc
import sys
import warnings

import pytest


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """After a failure, also one that is tried again, collect what its traceback held, without a word."""
    if report.outcome not in ("passed", "skipped"):
        sys.last_exc = sys.last_type = sys.last_value = sys.last_traceback = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
