"""The diffs of docs/extending.md are applied to a copy of the project, and what they add is run."""

import re
import subprocess

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT, TINY, Checkout
from PIL import Image

from satsynth.pairs import Store

DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/extending.md").read_text(encoding="utf-8"), re.DOTALL)
STANZAS = {
    "datasets": {"potsdam": {"format": "potsdam", "root": "Potsdam", "patches": {"size": 32, "reduced": []}}},
    "segmenters": {"deeplab": {}},
    "generators": {"copies": {"kind": "copies", "size": 64}},
    "sources": {"copies": {"generator": "copies"}},
}
COLOURS = np.array([(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)], np.uint8)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("extended") / "satsynth")
    for diff in DIFFS:
        subprocess.run(["git", "apply", "-"], cwd=checkout.folder, input=diff, text=True, check=True)
    return checkout


def potsdam(root):
    """Two tiles of train and one of val, in the benchmark's own layout; class i fills column i."""
    for folder in ("2_Ortho_RGB", "5_Labels_all"):
        (root / folder).mkdir(parents=True)
    labels = np.arange(64).reshape(1, -1).repeat(64, 0) * 6 // 64
    for tile in ("2_10", "7_7", "2_13"):
        noise = np.random.default_rng(int(tile[-1])).integers(256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif")
        Image.fromarray(COLOURS[labels]).save(root / f"5_Labels_all/top_potsdam_{tile}_label.tif")
    return labels


def test_a_new_format_network_and_kind_run(extended):
    assert len(DIFFS) == 3
    labels = potsdam(extended.folder / "data/Potsdam")
    configs = (TINY, extended.overlay("extended.yaml", STANZAS | {"data_root": "data"}))
    base, segmented = "results/demo/64px", "results/demo/64px/segmentation/real/deeplab/seed-0/metrics.json"
    found = f"{base}/neighbours/fpn-0/copies-shard-0000/neighbours.csv"
    stores = [f"results/potsdam/32px/real/{split}" for split in ("train", "val")]
    extended.run(found, segmented, *(f"{store}/card.json" for store in stores), configs=configs)

    train, val = (Store.open(extended.folder / store) for store in stores)
    assert (len(train), len(val)) == (8, 4)
    assert np.array_equal(val.masks[0], labels[:32, :32])
    assert (extended.folder / segmented).is_file()
    # What only remembers is found out: every pair has a training patch at distance 0.
    neighbours = pd.read_csv(extended.folder / found)
    assert len(neighbours) and not neighbours[["feature_distance", "pixel_distance"]].to_numpy().any()
