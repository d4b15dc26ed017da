"""Every network can learn real pairs by heart: what cannot fit 16 of them has a fault in its graph, its loss or its recipe."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from presets import ROOT, preset

from satsynth.datasets import folder as reader
from satsynth.datasets.tiling import patches
from satsynth.pairs import StoreWriter
from satsynth.plan import slices
from satsynth.plan.closure import declares, registered
from satsynth.plan.config import resolve
from satsynth.plan.stanzas import NETWORKS
from satsynth.segmentation.prediction import evaluate
from satsynth.segmentation.training import train

DATA = os.environ.get("SATSYNTH_DATA")
SIZE, PAIRS, CLASSES, A_CLASS = 64, 16, 5, 3
# Steps that are enough with the demo's recipe; the paper's networks differ in how fast they learn.
STEPS = {"pspnet": 180, "segformer": 180, "fpn": 260, "unet": 180, "farseg": 220, "pfsegnet": 100, "segdiff": 700}


def candidates(cfg):
    """Patches that at least two classes fill to a fifth or more, as (length of all outlines, image, mask, scene, row, column)."""
    decoder = reader.labels(cfg)
    for scene in reader.scenes(Path(DATA) / "dubai_mbrsc", "train", cfg)[::3]:
        for _, row, column, image, mask in patches(scene, decoder, cfg):
            pixels = np.bincount(mask.ravel(), minlength=256)
            if not pixels[CLASSES:].any() and (pixels > 0.2 * mask.size).sum() >= 2 and (pixels[pixels > 0] > 0.02 * mask.size).all():
                outlines = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
                yield outlines, image, mask, scene.name, row, column


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """16 patches of 64 px of real imagery with the shortest outlines, so that a map of stride 8 can draw them; three at least a class."""
    stanza = yaml.safe_load((ROOT / "configs/dubai.yaml").read_text())["datasets"]
    resolved = resolve({"preset": "dubai", "run": [], "datasets": stanza}, preset("dubai"))["datasets"]["dubai"]
    cfg = slices.tiles(resolved, "train") | {"size": SIZE, "stride": SIZE, "remainder": "drop"}
    found = sorted(candidates(cfg), key=lambda entry: (entry[0], *entry[3:]))
    chosen = {}
    for label in range(CLASSES):
        filled = [number for number, entry in enumerate(found) if (entry[2] == label).mean() > 0.2 and number not in chosen]
        chosen |= dict.fromkeys(filled[:A_CLASS])
    chosen |= dict.fromkeys([number for number in range(len(found)) if number not in chosen][: PAIRS - len(chosen)])
    folder = tmp_path_factory.mktemp("pairs") / "train"
    with StoreWriter(folder, size=SIZE, classes=CLASSES) as writer:
        for number in chosen:
            _, image, mask, scene, row, column = found[number]
            writer.append(image, mask, scene=scene, row=row, column=column)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="SATSYNTH_DATA is not set: no real imagery")
@pytest.mark.parametrize("network", [name for name in registered(NETWORKS) if not declares(NETWORKS, name, "NEEDS")])
def test_a_network_learns_sixteen_real_pairs_by_heart(network, store, tmp_path):
    stanza = {"training": {"steps": STEPS[network]}}
    cfg = resolve({"preset": "demo", "run": [], "segmenters": {network: stanza}}, preset("demo"))["segmenters"][network]
    files = {"weights": tmp_path / "weights.safetensors", "card": tmp_path / "card.json"}
    train([store], [], slices.segmenter(cfg), 0, **files, history=tmp_path / "history.csv", work=tmp_path / "work", device="cpu")
    outputs = {"metrics": tmp_path / "metrics.json", "confusion": tmp_path / "confusion.npy"}
    found = evaluate(*files.values(), store, **outputs, device="cpu", **slices.evaluation(cfg))
    assert found["miou"] >= 0.9 and not found["absent"]
