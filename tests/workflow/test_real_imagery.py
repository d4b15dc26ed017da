"""The road on real imagery, at toy size: real files, real palettes, real remainders."""

import os
from pathlib import Path

import pytest
from checkout import TINY, Checkout

from satsynth.pairs import Store

DATA = os.environ.get("SATSYNTH_DATA")
# One patch in 16: the whole set is tiled by the unit tests, here it is the road that counts.
SPARSE = {
    "preset": "tiny",
    "datasets": {"dubai": {"patches": {"size": 64, "reduced": [32], "stride": 512, "remainder": {"train": "drop", "val": "drop"}}}},
}


@pytest.mark.skipif(not DATA, reason="SATSYNTH_DATA is not set: no real imagery")
def test_the_whole_road_runs_on_dubai(tmp_path):
    checkout = Checkout(tmp_path / "satsynth")
    checkout.run(configs=(TINY, "configs/dubai.yaml", checkout.overlay("sparse.yaml", SPARSE)), SATSYNTH_DATA=DATA)
    train = Store.open(checkout.folder / "results/dubai/64px/real/train", verify=True)
    assert train.classes == 5 and train.card["scenes"] == 56 and len(train) > 100
    page = (checkout.folder / "results/report/index.html").read_text()
    assert "constant class (land)" in page and "Licence of dubai: CC0" in page
    assert not (checkout.folder / "results/demo").exists()
    assert not list(Path(DATA).glob("**/*.partial"))
