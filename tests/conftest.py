"""What all tests share: nothing may be skipped where SATSYNTH_NO_SKIPS is set."""

import os

import pytest


def _refuse(report) -> None:
    if report.skipped and os.environ.get("SATSYNTH_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but SATSYNTH_NO_SKIPS is set: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    _refuse(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    outcome = yield
    _refuse(outcome.get_result())
