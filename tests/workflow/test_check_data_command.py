"""`snakemake check_data` as it is typed: it speaks every time, tells all datasets and problems, and fails only where something is wrong."""

import json

import numpy as np
from checkout import Checkout
from PIL import Image

from satsynth.randomness import numpy_stream

STANZA = {"images": "images", "labels": "masks", "classes": ["field", "road"], "patches": {"size": 32, "reduced": [16]}}


def town(folder, highest=2):
    rng = numpy_stream(0, "town")
    for part, depth in (("images", 3), ("masks", 1)):
        (folder / part).mkdir(parents=True)
        for name in "abcdef":
            pixels = rng.integers(0, 256 if depth == 3 else highest, (64, 64, depth), dtype=np.uint8)
            Image.fromarray(pixels.squeeze()).save(folder / part / f"{name}.png")


def test_check_data_tells_every_dataset_each_time_it_is_asked(tmp_path):
    checkout = Checkout(tmp_path / "satsynth")
    town(tmp_path / "data/good")
    town(tmp_path / "data/bad", highest=3)
    (tmp_path / "data/bad/images/a.png").write_bytes(b"nothing")
    (tmp_path / "data/bad/masks/z.png").symlink_to("nowhere.png")
    before = sorted(path.relative_to(tmp_path / "data") for path in (tmp_path / "data").rglob("*"))
    good = checkout.overlay("good.yaml", {"data_root": "../data", "datasets": {"good": {"root": "good", **STANZA}}})
    first = checkout.run("check_data", configs=(good,))
    assert "good: no error; 1 warning above. Page: results/check_data/good/index.html" in first and "demo" not in first
    again = checkout.run("check_data", configs=(good,))
    assert "good: no error; 1 warning above" in again and "inspect_data dataset=" not in again

    others = {"bad": {"root": "bad", **STANZA}, "gone": {"root": "gone", **STANZA}}
    bad = checkout.overlay("bad.yaml", {"datasets": others})
    said = checkout.run("check_data", configs=(good, bad), check=False)
    assert "check_data: mend bad and gone; what is wrong is told above." in said and "Traceback" not in said
    words = " ".join(said.split())
    for text in (
        "images/a.png: the file cannot be opened as an image",
        "pixels of 6 masks hold a value or colour that no class has: 2 (",
        "bad.root: '../data/bad/masks/z.png' is a link to a file that is not there.",
        "datasets.gone.root: there is no folder",
        "good: no error; 1 warning above",
    ):
        assert text in words, said
    report = json.loads((checkout.folder / "results/check_data/bad/report.json").read_text())
    assert len(report["errors"]) >= 3 and report["files"]["masks_without_image_count"] == 1
    assert before == sorted(path.relative_to(tmp_path / "data") for path in (tmp_path / "data").rglob("*"))


def test_the_demo_is_checked_where_there_is_nothing_else(tmp_path):
    checkout = Checkout(tmp_path / "satsynth")
    said = checkout.run("check_data")
    assert "demo: no error; 2 warnings above" in said
    assert checkout.planned("check_data") == {"check_data": 1}


def test_a_key_that_stands_twice_is_told_before_anything_is_read(tmp_path):
    checkout = Checkout(tmp_path / "satsynth")
    (checkout.folder / "twice.yaml").write_text("datasets:\n  town:\n    label_map: {0: field}\n    label_map: {1: field}\n")
    said = checkout.run("check_data", configs=("twice.yaml",), check=False)
    assert "datasets.town.label_map: this key stands twice in " in said and "twice.yaml, in lines 3 and 4, and YAML keeps the last." in said
    assert not (checkout.folder / "results").exists()
