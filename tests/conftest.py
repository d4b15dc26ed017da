"""What all tests share: where SATSYNTH_NO_SKIPS is set, a test that lacks an oracle or its data fails."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker a core: before torch is imported


def _refuse(report) -> None:
    hardware = "needs a CUDA device" in str(report.longrepr)  # the only thing that an install cannot bring
    if report.skipped and not hardware and os.environ.get("SATSYNTH_NO_SKIPS") and not hasattr(report, "wasxfail"):
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
