"""The road on real imagery, at toy size: real files, real palettes, real remainders."""

import os
from pathlib import Path

import pytest
from checkout import TINY, Checkout

from satsynth.pairs import Store

DATA = os.environ.get("SATSYNTH_DATA")
# One patch in 16 and two of the five networks: the whole set is tiled by the unit tests, every network runs in test_every_network and in
# test_overfit, on this imagery too; here it is the road that counts.
GAIN = [
    {"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [0, 1], "alone": True, "controls": ["fpn_exposures"]},
    {"segmenters": ["pfsegnet"], "sources": ["cascade"], "ratios": [0, 1]},
]
BESIDE = [{"segmenters": ["fpn"], "sources": ["cascade", "cutmix"], "ratios": [0, 1], "controls": ["fpn_exposures"]}]
SPARSE = {
    "preset": "tiny",
    "experiments": {"gain": {"grid": GAIN}, "augmentations": {"grid": BESIDE}},
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
