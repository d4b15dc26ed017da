"""Pixels of which a file itself says that they have no data: unlabelled in the patches, the image as it is; in strips, in resized scenes,
in masks, and what check_data says of them."""

import json

import numpy as np
import pytest
import rasterio
from dataset_fixtures import CFG, ids, pair, picture, save
from PIL import Image
from rasterio.enums import ColorInterp
from test_check_data import report

from satsynth.datasets import folder, rasters, tiling
from satsynth.datasets.rasters import opened, rgb_rows
from satsynth.datasets.scenes import Scene
from satsynth.pairs import IGNORE, Store
from satsynth.reporting.data_summary import summary
from satsynth.runtime.errors import DataError

HEIGHT, WIDTH = 40, 56
COLLAR = np.zeros((HEIGHT, WIDTH), bool)
COLLAR[:9], COLLAR[:, :13] = True, True
GROUND = picture(HEIGHT, WIDTH) % 200 + np.uint8(20)  # no value is 0, 7 or 255
GROUND[20, 30] = (7, 7, 90)  # the declared value in two bands of three: that is data
BANDS = np.moveaxis(np.where(COLLAR[..., None], np.uint8(7), GROUND), 2, 0)
LABELS = ids(3, HEIGHT, WIDTH)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def geotiff(path, bands, mask=None, meanings=None, **facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2], "count": len(bands), "dtype": bands.dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **shape, **facts) as out:
        out.write(bands)
        if mask is not None:
            out.write_mask(mask)
        if meanings:
            out.colorinterp = meanings
    return path


def png(path, array, **facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **facts)
    return path


def palette_png(path, transparent):
    """Index 0 in the collar, else 1 to 3; `transparent`: as Pillow takes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.where(COLLAR, 0, 1 + LABELS % 3).astype(np.uint8)).copy()
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(path, transparency=transparent)
    return path


ALPHA = np.where(COLLAR, 0, 1 + LABELS).astype(np.uint8)  # half transparent ground is ground
RGB = np.moveaxis(BANDS, 0, 2)
WITH_ALPHA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
IMAGES = {
    "RGBA, read by libvips": (lambda path: png(path, np.dstack([RGB, ALPHA])), ".png", {}),
    "grey with alpha": (lambda path: png(path, np.dstack([RGB[..., 0], ALPHA])), ".png", {}),
    "a transparent colour": (lambda path: png(path, np.ascontiguousarray(RGB), transparency=(7, 7, 7)), ".png", {}),
    "a palette's transparent entry": (lambda path: palette_png(path, 0), ".png", {}),
    "several transparent entries": (lambda path: palette_png(path, bytes([0, 255, 128, 255, 0])), ".png", {}),
    "alpha of a TIFF": (lambda path: geotiff(path, np.concatenate([BANDS, ALPHA[None]]), meanings=WITH_ALPHA), ".tif", {}),
    "no-data value": (lambda path: geotiff(path, BANDS, nodata=7), ".tif", {}),
    "no-data value, tiled": (lambda path: geotiff(path, BANDS, nodata=7, tiled=True, blockxsize=16, blockysize=16), ".tif", {}),
    "a mask of its own": (lambda path: geotiff(path, BANDS, mask=~COLLAR), ".tif", {}),
    "16 bits": (lambda path: geotiff(path, BANDS.astype(np.uint16), nodata=7), ".tif", {"scale": [0, 255]}),
    "below zero": (
        lambda path: geotiff(path, np.where(COLLAR, np.int16(-9999), BANDS), nodata=-9999),
        ".tif",
        {"scale": [0, 255]},
    ),
    "not a number": (
        lambda path: geotiff(path, np.where(COLLAR, np.nan, BANDS).astype(np.float32), nodata=float("nan")),
        ".tif",
        {"scale": [0, 255]},
    ),
    "other bands": (
        lambda path: geotiff(path, np.concatenate([LABELS[None] + np.uint8(30), BANDS]), nodata=7),
        ".tif",
        {"bands": [4, 3, 2]},
    ),
}


def scene_of(root, suffix, mask=LABELS):
    return Scene("a", root / f"images/a{suffix}", save(root / "masks/a.png", mask))


def pieces(scene, cfg):
    return list(tiling.patches(scene, folder.labels(cfg), cfg))


@pytest.mark.parametrize("kind", IMAGES)
def test_what_an_image_has_no_data_for_is_unlabelled(tmp_path, kind, monkeypatch):
    """In strips that overlap, each row read once; and the pixels are those of the same file read whole."""
    make, suffix, changes = IMAGES[kind]
    cfg = {**CFG, "stride": 7, "remainder": "shift", **changes}
    path, scene = make(tmp_path / f"images/a{suffix}"), scene_of(tmp_path, suffix)
    with opened(path, 10**9) as image:
        whole = rgb_rows(image, cfg["bands"], cfg["scale"])(0, HEIGHT)
    assert whole.shape == (HEIGHT, WIDTH, 4) and set(np.unique(whole[..., 3])) == {0, 255}
    np.testing.assert_array_equal(whole[..., 3] == 0, COLLAR)
    if changes.get("bands"):
        np.testing.assert_array_equal(whole[..., :3], RGB[..., ::-1])
    elif "palette" not in kind and "entries" not in kind and "grey" not in kind and kind not in ("below zero", "not a number"):
        np.testing.assert_array_equal(whole[..., :3], RGB)  # also where there is no data: the image stays what it is

    read, rows = rasters.Raster.read, []

    def counting(self, top, bottom, bands):
        rows.extend((self.path, row) for row in range(top, bottom))
        return read(self, top, bottom, bands)

    monkeypatch.setattr(rasters.Raster, "read", counting)
    expected = np.where(COLLAR, IGNORE, LABELS)
    found = pieces(scene, cfg)
    assert len(found) == len(tiling.windows(HEIGHT, WIDTH, 16, 7, "shift")) and len(rows) == len(set(rows)) == 2 * HEIGHT
    for _, row, column, pixels, labels in found:
        np.testing.assert_array_equal(labels, expected[row : row + 16, column : column + 16])
        np.testing.assert_array_equal(pixels, whole[row : row + 16, column : column + 16])


def test_stores_hold_the_image_and_drop_patches_of_the_collar(tmp_path):
    png(tmp_path / "images/a.png", np.dstack([RGB, ALPHA]))
    scene_of(tmp_path, ".png")
    (tmp_path / "all.txt").write_text("a")
    cfg = {**CFG, "split": {"train": "all.txt", "val": "none.txt"}, "max_ignore": 0.5}
    tiling.tile("folder", tmp_path, "train", cfg, {16: tmp_path / "16px", 4: tmp_path / "4px"})
    full, small = Store.open(tmp_path / "16px", verify=True), Store.open(tmp_path / "4px", verify=True)
    expected = np.pad(np.where(COLLAR, IGNORE, LABELS), ((0, 8), (0, 8)), constant_values=IGNORE).astype(np.uint8)
    kept = [(row, column) for row, column in np.ndindex(3, 4) if (expected[16 * row :, 16 * column :][:16, :16] == IGNORE).mean() <= 0.5]
    assert 0 < len(kept) < 9 and [(row // 16, column // 16) for row, column in zip(full.index["row"], full.index["column"])] == kept
    for number, (row, column) in enumerate(kept):
        part = expected[16 * row :, 16 * column :][:16, :16]
        np.testing.assert_array_equal(full.masks[number], part)
        np.testing.assert_array_equal(small.masks[number], tiling.majority(part, 4))
        np.testing.assert_array_equal(small.images[number], tiling.area_mean(full.images[number], 4))
    np.testing.assert_array_equal(full.images[kept.index((1, 1))], RGB[16:32, 16:32])


@pytest.mark.parametrize("side", [28, 112])
def test_a_resized_scene_is_unlabelled_by_the_nearest_pixel_and_coloured_as_without_alpha(tmp_path, side):
    png(tmp_path / "images/a.png", np.dstack([RGB, ALPHA]))
    png(tmp_path / "images/b.png", np.ascontiguousarray(RGB))
    scene, plain = scene_of(tmp_path, ".png"), Scene("b", tmp_path / "images/b.png", tmp_path / "masks/a.png")
    cfg = {**CFG, "resize": side}
    for (_, row, column, pixels, labels), (*_, colours, _) in zip(pieces(scene, cfg), pieces(plain, cfg), strict=True):
        np.testing.assert_array_equal(pixels[..., :3], colours)
        new = rasters.fitted(HEIGHT, WIDTH, side)[::-1]
        for array, wanted in ((labels, np.where(COLLAR, IGNORE, LABELS)), (pixels[..., 3], np.where(COLLAR, 0, 255))):
            nearest = np.asarray(Image.fromarray(wanted.astype(np.uint8)).resize(new, Image.Resampling.NEAREST))
            part = nearest[row : row + 16, column : column + 16]
            np.testing.assert_array_equal(array[: part.shape[0], : part.shape[1]], part)


@pytest.mark.parametrize(
    ("facts", "bands"),
    [({"nodata": 5}, None), ({"meanings": WITH_ALPHA}, [4, 3, 2])],
    ids=["a value that no pixel has", "alpha that is asked for as a colour"],
)
def test_nothing_is_unlabelled_without_cause(tmp_path, facts, bands):
    geotiff(tmp_path / "images/a.tif", np.concatenate([BANDS, ALPHA[None]]) if bands else BANDS, **facts)
    for _, row, column, _, labels in pieces(scene_of(tmp_path, ".tif"), {**CFG, "bands": bands}):
        part = LABELS[row : row + 16, column : column + 16]
        np.testing.assert_array_equal(labels[: part.shape[0], : part.shape[1]], part)


@pytest.mark.parametrize("value", [-9999, 300, 1.5])
def test_a_value_that_the_type_cannot_hold_is_no_pixels(tmp_path, value):
    made = geotiff(tmp_path / "a.tif", BANDS.astype(np.int16), nodata=-9999)
    with opened(made, 10**9) as image:
        nodata = type(image.nodata)(pixels=((value,) * 3,))
        assert image.read_valid(0, HEIGHT, [1, 2, 3], nodata)[1].all()
        assert not nodata.at(RGB, [1, 2, 3]).any()


def test_percentiles_leave_pixels_without_data_out(tmp_path):
    raw = (BANDS.astype(np.uint16) - 20) * 30 + 2000
    raw[:, COLLAR] = 0
    declared, silent = (geotiff(tmp_path / f"{name}.tif", raw, **facts) for name, facts in (("a", {"nodata": 0}), ("b", {})))
    inner = geotiff(tmp_path / "c.tif", raw[:, 9:, 13:])
    rows = {}
    for path in (declared, silent, inner):
        with opened(path, 10**9) as image:
            rows[path] = rgb_rows(image, None, "auto")(0, image.height)[..., :3]
    np.testing.assert_array_equal(rows[declared][9:, 13:], rows[inner])
    assert np.abs(rows[silent][9:, 13:].astype(int) - rows[inner]).max() > 50
    with opened(geotiff(tmp_path / "d.tif", np.zeros_like(raw), nodata=0), 10**9) as image:
        assert not rgb_rows(image, None, "auto")(0, HEIGHT).any()  # a tile that lies wholly in the collar is no error


def test_drawn_labels_are_unlabelled_there_too(tmp_path):
    png(tmp_path / "images/a.png", np.dstack([RGB, ALPHA]))
    ring = [0, 0, WIDTH, 0, WIDTH, HEIGHT, 0, HEIGHT]
    listed = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "field"}]}
    listed["annotations"] = [{"image_id": 1, "category_id": 1, "segmentation": [ring]}]
    (tmp_path / "a.json").write_text(json.dumps(listed))
    cfg = {**CFG, "labels": "a.json", "label_map": {"field": 2}, "background": 0}
    found = pieces(Scene("a", tmp_path / "images/a.png", tmp_path / "a.json"), cfg)
    assert sum(np.count_nonzero(labels == 2) for *_, labels in found) == np.count_nonzero(~COLLAR)
    assert all(np.array_equal(labels == 2, pixels[..., 3] > 0) for *_, pixels, labels in found)


# Masks.


def decoded(path, **changes):
    cfg = {**CFG, **changes}
    with opened(path, 10**9) as mask:
        return folder.labels(cfg).rows(mask)(0, HEIGHT)


def test_alpha_of_a_mask_outranks_its_labels(tmp_path):
    """Also where the hidden pixels have a class, and where none has their value."""
    colours = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0], [1, 2, 3]], np.uint8)
    raw = np.where(COLLAR, LABELS + 1, LABELS)  # 3 only in the collar
    table = {"#000000": 0, "#0000FF": 1, "#FF0000": 2}
    expected = np.where(COLLAR, IGNORE, LABELS)
    mask = png(tmp_path / "a.png", np.dstack([colours[raw], ALPHA]))
    np.testing.assert_array_equal(decoded(mask, label_map=table), expected)
    grey = png(tmp_path / "b.png", np.dstack([raw.astype(np.uint8), ALPHA]))
    np.testing.assert_array_equal(decoded(grey), expected)
    own = geotiff(tmp_path / "c.tif", raw[None].astype(np.uint8), mask=~COLLAR)
    np.testing.assert_array_equal(decoded(own), expected)
    with pytest.raises(DataError, match=f"{np.count_nonzero((raw == 2) & ~COLLAR)} pixels of the mask .* 2 "):
        decoded(grey, class_count=2)


def test_a_declared_value_of_a_mask_is_unlabelled_unless_a_class_has_it(tmp_path):
    expected = np.where(COLLAR, IGNORE, LABELS)
    for number, value in enumerate((9, -9999)):
        raw = np.where(COLLAR, np.int16(value), LABELS)[None]
        np.testing.assert_array_equal(decoded(geotiff(tmp_path / f"a{number}.tif", raw, nodata=value)), expected)
        with pytest.raises(DataError, match=f"{value} "):
            decoded(geotiff(tmp_path / f"b{number}.tif", raw))
    zero = geotiff(tmp_path / "c.tif", LABELS[None], nodata=0)
    np.testing.assert_array_equal(decoded(zero), LABELS)  # 0 is a class
    np.testing.assert_array_equal(decoded(zero, class_count=2, label_map={1: 0, 2: 1}), np.where(LABELS == 0, IGNORE, LABELS - 1))
    table = {"#000000": 0, "#010101": 1, "#020202": 2}
    three = geotiff(tmp_path / "d.tif", np.repeat(np.where(COLLAR, 9, LABELS)[None], 3, 0).astype(np.uint8), nodata=9)
    np.testing.assert_array_equal(decoded(three, label_map=table), expected)
    np.testing.assert_array_equal(decoded(three, label_map={**table, "#090909": 1}), np.where(COLLAR, 1, LABELS))


def test_a_transparent_entry_of_a_palette_mask_is_unlabelled_unless_a_class_has_it(tmp_path):
    mask = palette_png(tmp_path / "a.png", 0)
    known = {"#FF0000": 0, "#00FF00": 1, "#0000FF": 2}
    np.testing.assert_array_equal(decoded(mask, label_map=known), np.where(COLLAR, IGNORE, LABELS))
    np.testing.assert_array_equal(decoded(mask, label_map={**known, "#090909": 1}), np.where(COLLAR, 1, LABELS))
    np.testing.assert_array_equal(decoded(mask, class_count=4), np.where(COLLAR, 0, 1 + LABELS))
    np.testing.assert_array_equal(decoded(mask, label_map={1: 0, 2: 1, 3: 2}), np.where(COLLAR, IGNORE, LABELS))


# check_data.


def test_check_data_counts_the_files_and_the_pixels(tmp_path):
    root = tmp_path / "town"
    for number, name in enumerate("abcd"):
        pair(root, name, picture(64, 64, number), ids(3, 64, 64))
    assert "no data" not in summary("town", report(tmp_path, {}), "page.html")
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:16] = 0
    for number, name in enumerate("ab", 4):
        png(root / f"images/{name}.png", np.dstack([picture(64, 64, number), alpha]))
    png(root / "masks/c.png", np.dstack([ids(3, 64, 64), alpha.T]))
    found = report(tmp_path, {})
    assert found["files"]["without_data"] == {
        "images": {"said": {"alpha": 2}, "files": 2, "pixels": 2 * 16 * 64},
        "masks": {"said": {"alpha": 1}, "files": 1, "pixels": 16 * 64},
    }
    assert sum(tally["ignored"] for tally in found["splits"].values()) == 3 * 16 * 64 and not found["errors"]
    said = summary("town", found, "page.html")
    assert "images that say where they have no data: alpha: 2; it is 12.50 % of all pixels, which are unlabelled" in said
    assert "masks that say where they have no data: alpha: 1; it is 6.25 % of all pixels, which are unlabelled" in said
