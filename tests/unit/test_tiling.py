"""Patches: the grid and its arithmetic, reduced sizes, stores written in one pass, and the cut into fit and held."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satsynth.datasets import fit_held, folder, openearthmap, rasters, tiling
from satsynth.pairs import IGNORE, Store
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import ConfigError, DataError

DATA = os.environ.get("SATSYNTH_DATA")
real = pytest.mark.skipif(not DATA, reason="SATSYNTH_DATA is not set: no real imagery to tile")
CFG = {
    "images": "images",
    "labels": "masks",
    "class_count": 3,
    "label_map": None,
    "ignore": 255,
    "unknown": "error",
    "split": {"train": "all.txt", "val": "none.txt"},
    "size": 16,
    "stride": 16,
    "remainder": "shift",
    "max_ignore": 1.0,
    "resize": None,
    "max_pixels": 500_000_000,
    "bands": None,
    "scale": None,
}


def write(root, **sizes):
    """Scenes of the given (height, width) in the folder layout; returns their arrays."""
    made = {}
    for name, (height, width) in sizes.items():
        rng = numpy_stream(0, name)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = rng.integers(0, 3, (height, width), dtype=np.uint8)
        for kind, array in (("images", image), ("masks", mask)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / kind / f"{name}.png")
        made[name] = (image, mask)
    (root / "all.txt").write_text("\n".join(sizes))
    return made


def tiled(root, *sizes, **changes):
    cfg = {**CFG, **changes}
    folders = {size: root / f"{size}px" for size in sizes or (16,)}
    tiling.tile("folder", root, "train", cfg, folders)
    return [Store.open(path, verify=True) for path in folders.values()]


# The grid.


def test_counts_of_the_paper():
    for remainder in tiling.REMAINDERS:
        assert len(tiling.windows(1024, 1024, 256, 256, remainder)) == 16
    assert 2522 * len(tiling.windows(1024, 1024, 256, 256, "shift")) == 40_352
    assert 1669 * len(tiling.windows(1024, 1024, 256, 256, "pad")) == 26_704


def test_windows_by_hand():
    assert tiling.starts(600, 256, 256, "shift") == [0, 256, 344]
    assert tiling.starts(600, 256, 256, "pad") == [0, 256, 512]
    assert tiling.starts(600, 256, 256, "drop") == [0, 256]
    assert tiling.starts(100, 10, 60, "pad") == tiling.starts(100, 10, 60, "drop") == [0, 60]
    assert tiling.starts(512, 256, 256, "shift") == [0, 256]
    assert tiling.starts(100, 256, 256, "shift") == tiling.starts(100, 256, 256, "pad") == [0]
    assert tiling.starts(100, 256, 256, "drop") == []
    assert tiling.starts(2000, 896, 512, "shift") == [0, 512, 1024, 1104]
    assert tiling.windows(20, 30, 16, 16, "pad") == [(0, 0), (0, 16), (16, 0), (16, 16)]


@pytest.mark.parametrize("side", [1, 15, 16, 17, 31, 32, 33, 47, 100])
@pytest.mark.parametrize("stride", [5, 8, 16])
def test_grid_properties(side, stride):
    for remainder in tiling.REMAINDERS:
        covered = np.zeros(side + 32, int)
        first = tiling.starts(side, 16, stride, remainder)
        for start in first:
            covered[start : start + 16] += 1
        assert len(set(first)) == len(first) == len(tiling.windows(side, 16, 16, stride, remainder)) * (len(first) > 0)
        if remainder != "drop":
            assert covered[:side].all()
        if remainder != "pad":
            assert not covered[max(side, 16) :].any()
        if remainder == "pad" and stride == 16:
            assert covered[:side].max() == 1


def test_grid_refuses_nonsense():
    with pytest.raises(ConfigError, match="is unknown"):
        tiling.starts(10, 4, 4, "wrap")
    with pytest.raises(ConfigError, match="must be positive"):
        tiling.starts(10, 4, 0, "pad")


# Reduced sizes.


@pytest.mark.parametrize("factor", [2, 4])
def test_area_mean_is_exact(factor):
    image = numpy_stream(0, "mean").integers(0, 256, (16, 24, 3), dtype=np.uint8)
    blocks = image.reshape(16 // factor, factor, 24 // factor, factor, 3).astype(float)
    np.testing.assert_array_equal(tiling.area_mean(image, factor), np.floor(blocks.mean((1, 3)) + 0.5))


def test_area_mean_of_white_does_not_overflow():
    assert (tiling.area_mean(np.full((32, 32, 3), 255, np.uint8), 32) == 255).all()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_majority_against_counting(factor):
    mask = numpy_stream(0, "votes").choice(np.array([0, 1, 2, 7, IGNORE], np.uint8), (12, 24))
    reduced = tiling.majority(mask, factor)
    for row, column in np.ndindex(reduced.shape):
        block = mask[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert reduced[row, column] == np.bincount(block.ravel()).argmax()


def test_majority_ties_go_to_the_lowest_id_and_codes_are_not_averaged():
    assert tiling.majority(np.array([[3, 1], [1, 3]], np.uint8), 2) == 1
    assert tiling.majority(np.array([[IGNORE, 2], [2, IGNORE]], np.uint8), 2) == 2
    assert tiling.majority(np.array([[IGNORE, 2], [1, IGNORE]], np.uint8), 2) == IGNORE


# Stores.


def test_both_sizes_hold_the_same_rows(tmp_path):
    made = write(tmp_path, b=(40, 33), a=(16, 16))
    full, half = tiled(tmp_path, 16, 8)
    assert full.index.equals(half.index) and list(full.index["scene"]) == ["a"] + ["b"] * 9
    for row, (scene, top, left) in enumerate(zip(full.index["scene"], full.index["row"], full.index["column"])):
        image, mask = (array[top : top + 16, left : left + 16] for array in made[scene])
        np.testing.assert_array_equal(full.images[row], image)
        np.testing.assert_array_equal(full.masks[row], mask)
        np.testing.assert_array_equal(half.images[row], tiling.area_mean(image, 2))
        np.testing.assert_array_equal(half.masks[row], tiling.majority(mask, 2))
    facts = {"split": "train", "scenes": 2, "patch": 16, "stride": 16, "remainder": "shift", "classes": 3}
    assert {key: half.card[key] for key in facts} == facts and (full.card["size"], half.card["size"]) == (16, 8)


def test_pad_counts_no_pixel_twice_and_pads_with_ignore(tmp_path):
    made = write(tmp_path, a=(20, 33), b=(5, 7))
    (store,) = tiled(tmp_path, remainder="pad")
    assert len(store) == 2 * 3 + 1
    expected = sum(np.bincount(mask.ravel(), minlength=3) for _, mask in made.values())
    assert store.card["class_pixels"] == expected.tolist()
    assert store.card["ignore_pixels"] == 7 * 256 - expected.sum()
    image, mask = store.images[-1], store.masks[-1]
    np.testing.assert_array_equal(image[:5, :7], made["b"][0])
    assert not image[5:].any() and not image[:, 7:].any() and (mask[5:] == IGNORE).all() and (mask[:, 7:] == IGNORE).all()


def test_overlapping_windows_read_each_row_once(tmp_path, monkeypatch):
    made = write(tmp_path, a=(50, 40))
    rows = []
    read = rasters.Raster.read

    def counting(self, top, bottom, bands):
        rows.extend((self.path.parent.name, row) for row in range(top, bottom))
        return read(self, top, bottom, bands)

    monkeypatch.setattr(rasters.Raster, "read", counting)
    (store,) = tiled(tmp_path, stride=6)
    assert len(rows) == len(set(rows)) == 100
    for row, (top, left) in enumerate(zip(store.index["row"], store.index["column"])):
        np.testing.assert_array_equal(store.masks[row], made["a"][1][top : top + 16, left : left + 16])


def test_max_ignore_drops_patches(tmp_path):
    write(tmp_path, a=(16, 64))
    mask = np.zeros((16, 64), np.uint8)
    mask[:8, 16:32], mask[:9, 32:48], mask[:, 48:] = IGNORE, IGNORE, IGNORE
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    assert list(tiled(tmp_path, max_ignore=0.5)[0].index["column"]) == [0, 16]
    assert list(tiled(tmp_path, max_ignore=0.0)[0].index["column"]) == [0]
    assert len(tiled(tmp_path)[0]) == 4


def test_drop_still_reads_the_whole_file(tmp_path):
    write(tmp_path, a=(20, 16))
    mask = np.zeros((20, 16), np.uint8)
    mask[19, 0] = 9
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    with pytest.raises(DataError, match=r"9 \(1 pixels\)"):
        tiled(tmp_path, remainder="drop")


def test_no_patch_is_an_error_and_leaves_no_store(tmp_path):
    write(tmp_path, a=(10, 10))
    with pytest.raises(DataError, match="gave no patch of 16 px"):
        tiled(tmp_path, 16, 8, remainder="drop")
    assert [path.name for size in (16, 8) for path in (tmp_path / f"{size}px").iterdir()] == []


def test_a_bad_scene_leaves_no_half_store(tmp_path):
    write(tmp_path, a=(16, 16), b=(16, 16))
    (tmp_path / "images/b.png").write_bytes((tmp_path / "images/b.png").read_bytes()[:200])
    with pytest.raises(DataError):
        tiled(tmp_path)
    assert not list((tmp_path / "16px").iterdir())


def test_sizes_must_divide(tmp_path):
    write(tmp_path, a=(16, 16))
    with pytest.raises(ConfigError, match="16 px cannot be reduced to 6 px"):
        tiled(tmp_path, 16, 6)


def test_resize_is_bicubic_and_nearest(tmp_path):
    made = write(tmp_path, a=(30, 30), b=(32, 32))
    (store,) = tiled(tmp_path, resize=32)
    assert len(store) == 8
    image, mask = made["a"]
    larger = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
    nearest = np.asarray(Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(store.images[3], larger[16:, 16:])
    np.testing.assert_array_equal(store.masks[3], nearest[16:, 16:])
    np.testing.assert_array_equal(store.images[4], made["b"][0][:16, :16])


def test_plain_files_raise_no_warning_of_georeference(tmp_path, recwarn, caplog):
    write(tmp_path, a=(16, 16))
    with caplog.at_level(logging.WARNING):
        tiled(tmp_path)
    assert not recwarn.list and not caplog.records


def test_tall_strips_in_chunks_are_the_same_pixels(tmp_path, monkeypatch):
    made = write(tmp_path, a=(40, 33))
    monkeypatch.setattr(rasters, "CHUNK", 200)
    (store,) = tiled(tmp_path)
    np.testing.assert_array_equal(store.images[0], made["a"][0][:16, :16])
    np.testing.assert_array_equal(store.images[-1], made["a"][0][24:, 17:])


# Fit and held.


def test_fit_and_held_share_no_scene_and_agree_between_sizes(tmp_path):
    write(tmp_path, **{f"s{number}": (32, 32) for number in range(10)})
    stores = tiled(tmp_path, 16, 8)
    held_scenes = []
    for store in stores:
        fit_held.cut(store.folder, tmp_path / "fit", tmp_path / "held", {"held": 0.2, "seed": 0})
        fit, held = Store.open(tmp_path / "fit", verify=True), Store.open(tmp_path / "held", verify=True)
        assert (len(fit), len(held), fit.card["scenes"], held.card["scenes"]) == (32, 8, 8, 2)
        assert not set(fit.index["scene"]) & set(held.index["scene"])
        for part in (fit, held):
            np.testing.assert_array_equal(part.masks, store.masks[part.index["parent_pair"]])
            np.testing.assert_array_equal(part.images, store.images[part.index["parent_pair"]])
            assert (part.card["split"], part.card["remainder"]) == ("fit" if part is fit else "held", "shift")
        held_scenes.append(set(held.index["scene"]))
    assert held_scenes[0] == held_scenes[1]


def test_one_scene_cannot_be_cut(tmp_path):
    write(tmp_path, a=(32, 32))
    (store,) = tiled(tmp_path)
    with pytest.raises(DataError, match="1 scenes cannot be divided"):
        fit_held.cut(store.folder, tmp_path / "fit", tmp_path / "held", {"held": 0.2, "seed": 0})


# Real imagery.

DUBAI = {
    **CFG,
    "images": "Semantic segmentation dataset/Tile {tile}/images/image_part_{part}.jpg",
    "labels": "Semantic segmentation dataset/Tile {tile}/masks/image_part_{part}.png",
    "class_count": 5,
    "label_map": {"#3C1098": 0, "#8429F6": 1, "#6EC1E4": 2, "#FEDD3A": 3, "#E2A929": 4, "#9B9B9B": 255, "#000000": 255},
    "split": {"val": {"part": ["008", "009"]}},
    "remainder": "drop",
}


@real
def test_dubai_counts_of_whole_patches():
    counts = {}
    for split in ("train", "val"):
        sides = []
        for scene in folder.scenes(Path(DATA) / "dubai_mbrsc", split, DUBAI):
            with Image.open(scene.image) as image:
                sides.append(image.size)
        for size in (128, 256):
            counts[split, size] = sum(len(tiling.windows(height, width, size, size, "drop")) for width, height in sides)
    assert counts == {("train", 128): 4305, ("val", 128): 1230, ("train", 256): 1015, ("val", 256): 290}


@real
def test_dubai_tile_with_palette_masks(tmp_path):
    cfg = {**DUBAI, "split": {"val": {"tile": ["2"], "part": ["008"]}}, "size": 256, "stride": 256}
    tiling.tile("folder", Path(DATA) / "dubai_mbrsc", "val", cfg, {256: tmp_path / "256", 128: tmp_path / "128"})
    full, half = Store.open(tmp_path / "256"), Store.open(tmp_path / "128")
    assert len(full) == len(half) == 2 * 1  # 509 x 544 pixels
    with Image.open(Path(DATA) / "dubai_mbrsc/Semantic segmentation dataset/Tile 2/masks/image_part_008.png") as mask:
        assert mask.mode == "P"
        colours = np.asarray(mask.convert("RGB"))[:512, :256]
    water = (colours == (226, 169, 41)).all(2).sum()
    assert np.count_nonzero(full.masks == 4) == water > 0


@real
def test_openearthmap_sample_gives_sixteen_patches(tmp_path):
    cfg = {**CFG, "size": 256, "stride": 256, "resize": 1024}
    tiling.tile("openearthmap", Path(DATA) / "openearthmap_sample", "val", cfg, {256: tmp_path / "a"})
    assert len(Store.open(tmp_path / "a")) == 16
    tiling.tile(
        "openearthmap", Path(DATA) / "openearthmap_sample", "val", {**cfg, "resize": None, "remainder": "pad"}, {256: tmp_path / "b"}
    )
    padded = Store.open(tmp_path / "b")
    scene = openearthmap.scenes(Path(DATA) / "openearthmap_sample", "val", cfg)[0]
    with tiling.open_scene(scene, openearthmap.labels(cfg), {**cfg, "resize": None}) as (height, width, _, mask):
        pixels = np.bincount(mask(0, height).ravel(), minlength=256)
    assert len(padded) == 16 and padded.card["class_pixels"] == pixels[:8].tolist()
    assert padded.card["ignore_pixels"] == pixels[IGNORE] + 1024 * 1024 - height * width


def test_masks_of_0_and_255_without_a_map_are_warned_about(tmp_path, caplog):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name in "abcde":
        half = np.zeros((64, 64), np.uint8)
        half[:, 32:] = 255
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"images/{name}.png")
        Image.fromarray(half).save(tmp_path / f"masks/{name}.png")
    (tmp_path / "images/e.png").unlink()
    cfg = {
        "size": 64,
        "stride": 64,
        "remainder": "pad",
        "max_ignore": 1.0,
        "resize": None,
        "max_pixels": 10**6,
        "bands": None,
        "scale": None,
    }
    cfg |= {"images": "images", "labels": "masks", "class_count": 2, "label_map": None, "ignore": 255, "unknown": "error"}
    cfg |= {"split": {"by": "scene", "val": 0.25, "seed": 0}}
    for split in ("train", "val"):
        tiling.tile("folder", tmp_path, split, cfg, {64: tmp_path / split})
    assert "no pixel of class id 1; 50.0 % of all pixels are unlabelled" in caplog.text
    assert "1 of 5 masks have no image" in caplog.text and "no interval over scenes" in caplog.text
    tiling.tile("folder", tmp_path, "train", {**cfg, "label_map": {"0": 0, "255": 1}}, {64: tmp_path / "mapped"})
    assert Store.open(tmp_path / "mapped").card["class_pixels"] == [3 * 2048] * 2
