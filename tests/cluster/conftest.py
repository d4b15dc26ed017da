import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))  # checkout.py

from checkout import Checkout
from one_machine_slurm import OneMachineSlurm, hindrance
from submission import CONFIGS, OVERLAY, Submission


@pytest.fixture(scope="session")
def slurm():
    if reason := hindrance():
        pytest.skip(f"no SLURM: {reason}")
    # Not below pytest's own folder, which other users, munge's for one, may not enter.
    with tempfile.TemporaryDirectory(prefix="satsynth-slurm-") as folder:
        cluster = OneMachineSlurm(Path(folder)).start()
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The same config run on this machine alone: what every table must be equal to."""
    checkout = Checkout(tmp_path_factory.mktemp("undisturbed") / "satsynth")
    checkout.overlay(CONFIGS[1], OVERLAY)
    checkout.run(configs=CONFIGS)
    return checkout


@pytest.fixture
def untrained(slurm, undisturbed, tmp_path):
    """A checkout with all data and no trained segmenter, whose jobs go to SLURM."""
    folder = tmp_path / "satsynth"
    shutil.copytree(undisturbed.folder, folder, copy_function=shutil.copy2)
    for part in ("demo/64px/segmentation", "tables", "report", "state/train_segmenter", "state/evaluate_segmenter", "state/tabulate_runs"):
        shutil.rmtree(folder / "results" / part)
    return Submission(folder)
