"""Images and labels by patterns: what stars and wildcards fit; and one image that is the whole dataset."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from broken_sets import coco, sound
from dataset_fixtures import CFG, ids, names, pair, picture, save

from satsynth.datasets import folder, patterns, splits
from satsynth.runtime.errors import ConfigError, DataError

BLOCKS = {"by": "block", "block": 16, "val": 0.25, "seed": 0}


def fits(pattern, path):
    found = patterns.fitting(patterns.named(pattern))(path)
    return found and found.groups()


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("ortho/dop_00*.tif", "ortho/dop_00.tif", ("",)),
        ("ortho/dop_00*.tif", "ortho/dop_00_rgb.tif", ("_rgb",)),
        ("ortho/dop_{n}.tif", "ortho/dop_.tif", None),  # a wildcard has a value
        ("*/a.png", "b/c/a.png", None),  # neither spans a slash
        ("{x}.png", "b/a.png", None),
        ("t_{id}.*", "t_1.jpg", ("1",)),
        ("t_{id}", "t_1.tiff", ("1",)),
        ("t_{id}.tif*", "t_1.tiff", ("1", "f")),
        ("t_{id}.tif*", "t_1.tif", ("1", "")),
        ("t_{id}.png", "t_1.PNG", None),
        ("{a}/{a}_{b}.png", "x/x_1.png", ("x", "1")),
        ("{a}/{a}_{b}.png", "x/y_1.png", None),
        ("v1.0/{id}", "v1.0/t.1.png", ("t.1",)),
        ("K\u00f6ln_*.png", "Ko\u0308ln_7.png", ("7",)),
        ("(a|b)+{x}[0].png", "(a|b)+3[0].png", ("3",)),
    ],
)
def test_what_a_pattern_fits(pattern, path, groups):
    assert fits(pattern, path) == groups


def test_wildcards_are_told_as_they_were_written():
    assert patterns.written(patterns.wildcards(patterns.named("*/{tile}/a_*.png"))) == "* {tile} *"
    with pytest.raises(ConfigError, match=r"differ \(images: \*; labels: \{id\}\)\. Use the same"):
        folder.scenes(Path(), "train", {**CFG, "images": "images/*.png", "labels": "masks/{id}.png"})


@pytest.mark.parametrize("end", ["", ".*"])
def test_an_image_and_its_mask_may_differ_in_suffix(tmp_path, end):
    for number in range(4):
        save(tmp_path / f"images/t_{number}.jpg", picture())
        save(tmp_path / f"masks/m_{number}.png", ids())
    cfg = {"images": f"images/t_{{id}}{end}", "labels": f"masks/m_{{id}}{end}", "split": {"val": {"id": [3]}}}
    assert names(tmp_path, "train", **cfg) == ["images/t_0", "images/t_1", "images/t_2"]
    assert names(tmp_path, "val", **cfg) == ["images/t_3"]


@pytest.mark.parametrize("cfg", [{}, {"images": "images/*.png", "labels": "masks/*.png"}], ids=["folders", "patterns"])
def test_names_that_look_alike_are_pairs(tmp_path, cfg):
    """A letter with an accent as one character or as two, as macOS writes it."""
    for number in range(4):
        save(tmp_path / f"images/K\u00f6ln_{number}.png", picture())
        save(tmp_path / "masks" / unicodedata.normalize("NFD", f"K\u00f6ln_{number}.png"), ids())
    (tmp_path / "val.txt").write_text(unicodedata.normalize("NFD", "K\u00f6ln_2\n"), encoding="utf-8")
    assert len(names(tmp_path, "train", **cfg, split={"val": "val.txt"})) == 3
    assert [name[-5:] for name in names(tmp_path, "val", **cfg, split={"val": "val.txt"})] == ["\u00f6ln_2"]
    pair(tmp_path, unicodedata.normalize("NFD", "K\u00f6ln_0"))
    with pytest.raises(DataError, match="goes by the same name"):
        names(tmp_path, "train", **cfg)


def test_values_of_a_split_are_read_once_however_many_images_there_are(tmp_path, monkeypatch):
    for number in range(20):
        save(tmp_path / f"images/{number}.png", picture())
        if number < 10:
            save(tmp_path / f"masks/{number}.png", ids())
    asked = []
    monkeypatch.setattr(splits, "plain", lambda text: asked.append(text) or text)
    rule = {"train": {"n": list(range(8))}, "val": {"n": [8, 9]}}
    assert len(names(tmp_path, "train", images="images/{n}.png", labels="masks/{n}.png", split=rule)) == 8
    assert len(asked) < 5 * (10 + 20)


def test_one_image_and_its_mask_are_a_dataset_by_block(tmp_path):
    save(tmp_path / "ortho.tif", picture(64, 64))
    save(tmp_path / "labels/classes.png", ids(3, 64, 64))
    save(tmp_path / "labels/other.png", ids(3, 64, 64))
    cfg = {**CFG, "images": "ortho.tif", "labels": "labels/classes.png", "split": BLOCKS}
    (train,), (val,) = (folder.scenes(tmp_path, part, cfg) for part in ("train", "val"))
    assert train.image == tmp_path / "ortho.tif" and train.mask == val.mask == tmp_path / "labels/classes.png"
    assert (len(train.blocks), len(val.blocks)) == (12, 4) and val.blocks[0].name.startswith("ortho@")
    with pytest.raises(DataError, match=r"there is one scene only.*by: block"):
        names(tmp_path, "train", images="ortho.tif", labels="labels/classes.png")


@pytest.mark.parametrize("images", ["images/a.tif", "images/a*.tif"])
def test_one_image_under_vector_labels(tmp_path, images):
    from test_vector_labels import VECTOR, layer, ring, scene

    scene(tmp_path)
    layer(tmp_path / "town.gpkg", [(ring(0, 0, 9, 9), "road")])
    cfg = {**VECTOR, "images": images, "labels": "town.gpkg", "split": BLOCKS | {"block": 8}}
    found = [folder.scenes(tmp_path, part, cfg) for part in ("train", "val")]
    assert [scene.image.name for scenes in found for scene in scenes] == ["a.tif", "a.tif"]
    assert np.sum([len(scene.blocks) for scenes in found for scene in scenes]) > 1


def test_a_link_to_nothing_is_named(tmp_path):
    pair(tmp_path)
    (tmp_path / "images/z.tif").symlink_to("/nowhere/z.tif")
    with pytest.raises(DataError, match=r"it is a link to /nowhere/z.tif, which is missing"):
        names(tmp_path, "train", images="images/z.tif", labels="masks/a.png")


def test_a_pattern_of_images_under_annotations_is_told_as_it_was_written(tmp_path):
    sound(tmp_path)
    cfg = {**CFG, **coco(tmp_path), "images": "images/x*.png"}
    with pytest.raises(DataError, match=r"images: 6 files lie in .*/images, such as .*/images/a.png, and none fits") as error:
        folder.scenes(tmp_path, "train", cfg)
    assert error.value.subject == str(tmp_path / "images/x*.png")
    (tmp_path / "parts").mkdir()
    with pytest.raises(DataError, match=r"6 images and 0 masks. labels: no file lies in .*/parts"):
        folder.scenes(tmp_path, "train", {**cfg, "images": "images/{part}.png", "labels": "parts/{part}.json"})
