import os
import shutil

import pytest
from checkout import Checkout
from filelock import FileLock


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny config, run to its end once, for all workers together; tests that change it take a `copy`."""
    own = tmp_path_factory.mktemp("finished") / "satsynth"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        checkout = Checkout(own)
        checkout.run()
        return checkout
    shared = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(shared.with_suffix(".lock")):  # a worker that needs it meanwhile waits
        if not (shared / "done").exists():
            shutil.rmtree(shared, ignore_errors=True)  # what failed in another worker fails here, too: nothing is left to resume
            Checkout(shared / "satsynth").run()
            (shared / "done").touch()
    return Checkout.opened(shared / "satsynth").copied(own)


@pytest.fixture
def copy(finished, tmp_path):
    """A private copy of the finished checkout, times kept."""
    return finished.copied(tmp_path / "copy")
