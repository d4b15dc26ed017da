import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))  # gallery_fixtures.py

from chromium import PROGRAM, Watched
from gallery_fixtures import write_gallery


@pytest.fixture(scope="session")
def browser():
    if not PROGRAM:
        pytest.skip("no Chromium: install Debian's package chromium (make test-browser does, as root)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # As root Chromium refuses its own sandbox; all that it opens here was written by these tests.
        yield driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])


@pytest.fixture
def opened(browser):
    """Open a page of the disk; what it logs, and every address that it asks for, is looked at when the test ends."""
    pages = []

    def open_page(path, hash="", **context):
        watched = Watched(browser, context)
        pages.append(watched)
        return watched.open(path, hash)

    yield open_page
    for watched in pages:
        watched.close()


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """60 pairs of 32 px with distances and decisions; pair 0 is a turned copy of a real patch."""
    return write_gallery(tmp_path_factory.mktemp("gallery"), decided=True, copied=True)
