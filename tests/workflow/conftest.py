import shutil

import pytest
from checkout import Checkout


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny config, run to its end once; tests that change it take a `copy`."""
    checkout = Checkout(tmp_path_factory.mktemp("finished") / "satsynth")
    checkout.run()
    return checkout


@pytest.fixture
def copy(finished, tmp_path):
    """A private copy of the finished checkout, times kept."""
    shutil.copytree(finished.folder, tmp_path / "copy", copy_function=shutil.copy2, dirs_exist_ok=True)
    twin = object.__new__(Checkout)
    twin.folder = tmp_path / "copy"
    return twin
