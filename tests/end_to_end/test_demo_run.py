"""The embedded demo as a user runs it. After `make run` there is nothing left to do, so these tests cost seconds; else they run it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from presets import read
from scipy.spatial.distance import jensenshannon

from satsynth.pairs import open_view
from satsynth.runtime.files import read_json, sha256

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
MARGIN = 5.0  # points of mIoU by which D' alone must beat the constant class: label and image belong together


@pytest.fixture(scope="module")
def demo():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all", "--resources", "gpu=4"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    table = pd.read_csv(RESULTS / "tables/gain.csv")
    return table[table["segmenter"] == "fpn"]


def test_image_and_label_belong_together(demo):
    constant = demo.loc[demo["arm"] == "constant", "miou_pct"].item()
    alone = demo.loc[demo["arm"] == "synthetic", "miou_pct"].item()
    real = demo.loc[demo["arm"] == "real", "miou_pct"].item()
    assert alone > constant + MARGIN
    assert real > constant + MARGIN


def test_every_arm_got_the_same_steps_and_the_control_the_same_real_exposures(demo):
    rows = demo.set_index("arm")
    assert rows.loc["real", "steps"] == rows.loc["union", "steps"] == rows.loc["synthetic", "steps"]
    assert rows.loc["control", "real_exposures"] == rows.loc["union", "real_exposures"]
    assert rows.loc["real", "real_exposures"] == 2 * rows.loc["union", "real_exposures"]


def test_three_networks_and_two_augmentations_are_compared(demo):
    gain, compared = (pd.read_csv(RESULTS / f"tables/{name}.csv") for name in ("gain", "augmentations"))
    floor = gain.loc[gain["arm"] == "constant", "miou_pct"].max()
    for network in ("fpn", "pspnet", "segformer"):
        arms = gain[gain["segmenter"] == network].set_index("arm")
        assert arms.loc["real", "n"] == arms.loc["union", "n"] == 3 and arms.loc["real", "steps"] == arms.loc["union", "steps"]
        assert arms.loc["real", "miou_pct"] > floor + MARGIN and arms.loc["union", "miou_pct"] > floor + MARGIN
    made = compared[compared["arm"] == "union"].set_index("source")
    assert set(made.index) == {"cascade", "cutout", "copy_paste"}
    assert (made["miou_pct"] > floor + MARGIN).all() and made["steps"].nunique() == 1


def stores():
    real = open_view([RESULTS / "demo/64px/real/train"])
    synthetic = open_view(sorted(RESULTS.glob("demo/64px/cascade/shard-*")))
    return real, synthetic


def agreement(masks):
    """Share of neighbouring pixels with the same label: about 0.9 in real masks, 1/K in noise."""
    return np.mean([(masks[:, 1:] == masks[:, :-1]).mean(), (masks[:, :, 1:] == masks[:, :, :-1]).mean()])


def test_synthetic_pairs_are_no_noise(demo):
    real, synthetic = stores()
    assert len(synthetic) == len(real)
    real_images, real_masks = real.gather(range(len(real)))
    images, masks = synthetic.gather(range(len(synthetic)))
    assert agreement(masks) > 0.85 < agreement(real_masks)
    roughness = [np.abs(np.diff(part.astype(float), axis=2)).mean() for part in (images, real_images)]
    assert roughness[0] < 1.5 * roughness[1]
    assert 0.5 * real_images.std() < images.std() < 1.5 * real_images.std()


def test_synthetic_classes_come_about_as_often_as_real_ones(demo):
    real, synthetic = stores()
    shares = [np.bincount(view.gather(range(len(view)))[1].ravel(), minlength=7)[:7] for view in (real, synthetic)]
    assert jensenshannon(*shares, base=2) < 0.3
    index = pd.concat(store.index for store in synthetic.stores)
    assert index["invalid"].mean() < 0.01
    assert index["index"].tolist() == list(range(len(real)))


def test_synthetic_images_have_the_colours_of_their_labels(demo):
    """Fields, trees and soil: the mean colour is nearest to the real one of the same class.

    Water is left out: lakes and woods of this world share their dark tones on purpose, and their means lie too close together.
    """
    real, synthetic = stores()
    means = []
    for view in (real, synthetic):
        images, masks = view.gather(range(len(view)))
        means.append(np.stack([images[masks == label].mean(0) for label in range(3)]))
    distance = np.linalg.norm(means[1][:, None] - means[0][None], axis=-1)
    assert distance.argmin(1).tolist() == [0, 1, 2]


def test_the_report_shows_every_table_and_figure_and_says_what_came_out(demo):
    page = (RESULTS / "report/index.html").read_text()
    config = read("config.yaml")
    names = config["run"]
    for name in names:
        shown = (f'id="table-{name}"', f'id="figure-{name}"', f"exports/{name}/README.md")
        assert sum(part in page for part in shown) == 1 and (shown[2] in page) == (name in config["exports"])
    assert page.count("data:image/png;base64,") == sum((RESULTS / f"figures/{name}.png").is_file() for name in names) >= 8
    assert not re.search(r"(src|href)=\"https?://", page)
    for kind in ("csv", "md", "tex"):
        assert (RESULTS / f"tables/gain.{kind}").stat().st_size > 200
    for path in RESULTS.glob("figures/*.png"):
        assert path.with_suffix(".pdf").stat().st_size > 1000


def test_cards_chain_content_hashes_from_data_to_scores(demo):
    generator = read_json(RESULTS / "demo/generators/satsynth/card.json")
    shard = read_json(RESULTS / "demo/64px/cascade/shard-0000/card.json")
    assert shard["source"]["weights"][0] == generator["weights_sha256"]
    assert sha256(RESULTS / "demo/32px/real/train/card.json") in str(generator["data"])
    run = RESULTS / "demo/64px/segmentation/real+cascade-r1/fpn/seed-0"
    shards = sorted(RESULTS.glob("demo/64px/cascade/shard-*/card.json"))
    assert read_json(run / "card.json")["data"]["synthetic"] == [sha256(path) for path in shards]
    assert read_json(run / "metrics.json")["confusion_sha256"] == sha256(run / "confusion.npy")


def test_a_complete_demo_has_nothing_to_do(demo):
    done = subprocess.run([sys.executable, "-m", "snakemake", "-n", "--cores", "all"], cwd=ROOT, capture_output=True, text=True)
    assert "Nothing to be done" in done.stdout + done.stderr
