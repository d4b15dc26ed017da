"""Readers: the three benchmarks in their own layouts, one's own folders, and what each bad file says."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from dataset_fixtures import CFG, ids, names, only, pair, picture, save, shares, whole
from PIL import Image

from satsynth.datasets import folder, isaid, loveda, openearthmap, palette
from satsynth.datasets.rasters import opened
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, DataError

DATA = os.environ.get("SATSYNTH_DATA")
real = pytest.mark.skipif(not DATA, reason="SATSYNTH_DATA is not set: no real imagery to read")
DUBAI = {
    **CFG,
    "images": "Semantic segmentation dataset/Tile {tile}/images/image_part_{part}.jpg",
    "labels": "Semantic segmentation dataset/Tile {tile}/masks/image_part_{part}.png",
    "class_count": 5,
    "label_map": {"#3C1098": 0, "#8429F6": 1, "#6EC1E4": 2, "#FEDD3A": 3, "#E2A929": 4, "#9B9B9B": 255, "#000000": 255},
    "split": {"val": {"part": ["008", "009"]}},
}


# The benchmarks' layouts, generated.


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        ("val/images", "val/images", "_instance_color_RGB"),
        ("val/images", "val/masks", "_instance_color_RGB"),
        ("val/images", "val/Semantic_masks/images", "_instance_color_RGB"),
        ("img_dir/val", "ann_dir/val", "_instance_color_RGB"),
        ("val/images", "val/masks", ""),
    ],
)
@pytest.mark.parametrize("form", ["colour", "palette", "index", "index palette"])
def test_isaid_layouts_and_forms(tmp_path, images, masks, suffix, form):
    table = np.array(list(isaid.CLASSES.values()), np.uint8)
    expected = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24) % 16
    for name in ("P0010", "P0002"):
        save(tmp_path / images / f"{name}.png", picture())
        save(tmp_path / masks / f"{name}_instance_id_RGB.png", picture())
        target = tmp_path / masks / f"{name}{suffix}.png"
        if form == "colour":
            save(target, table[expected])
        elif form == "index":
            save(target, expected)
        else:
            # A shuffled palette of the official colours, and the grey ramp that libraries write for plain indices.
            order = np.arange(16)[::-1] if form == "palette" else np.arange(16)
            image = Image.fromarray(np.argsort(order).astype(np.uint8)[expected]).convert("P")
            colours = table[order] if form == "palette" else np.arange(256, dtype=np.uint8).repeat(3)
            image.putpalette(colours.tobytes())
            image.save(target)
    scenes = isaid.scenes(tmp_path, "val", CFG)
    assert [scene.name for scene in scenes] == ["P0002", "P0010"]
    image, mask = whole(isaid, scenes[0], CFG)
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(image, picture())
    with pytest.raises(DataError) as error:
        isaid.scenes(tmp_path, "train", CFG)
    assert error.value.subject == str(tmp_path / "train/images")


def test_isaid_table_is_the_devkits():
    codes = {name: red + 256 * green + 65536 * blue for name, (red, green, blue) in isaid.CLASSES.items()}
    assert (codes["storage_tank"], codes["roundabout"], codes["harbor"]) == (4144896, 8371968, 10183680)
    assert list(codes).index("storage_tank") == 2 and list(codes).index("harbor") == 15


def test_loveda_layout_and_no_data(tmp_path):
    raw = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24) % 8
    for area, name in (("Urban", "10"), ("Urban", "2"), ("Rural", "7")):
        save(tmp_path / "Train" / area / "images_png" / f"{name}.png", picture())
        save(tmp_path / "Train" / area / "masks_png" / f"{name}.png", raw)
    scenes = loveda.scenes(tmp_path, "train", CFG)
    assert [scene.name for scene in scenes] == ["Rural/7", "Urban/2", "Urban/10"]
    _, mask = whole(loveda, scenes[0], CFG)
    np.testing.assert_array_equal(mask, np.where(raw == 0, IGNORE, raw - 1))
    with pytest.raises(DataError, match="the split val of LoveDA is not on disk") as error:
        loveda.scenes(tmp_path, "val", CFG)
    assert error.value.subject == str(tmp_path / "Val")


def test_openearthmap_without_the_xbd_images(tmp_path, caplog):
    raw = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24) % 9
    for name in ("new_town_2", "new_town_10", "hurricane_1"):
        region = name.rpartition("_")[0]
        save(tmp_path / region / "labels" / f"{name}.tif", raw)
        if region != "hurricane":
            save(tmp_path / region / "images" / f"{name}.tif", picture())
    (tmp_path / "train.txt").write_text("new_town_10.tif\nhurricane_1.tif\nnew_town_2.tif\n")
    scenes = openearthmap.scenes(tmp_path, "train", CFG)
    assert [scene.name for scene in scenes] == ["new_town_2", "new_town_10"]
    assert "1 listed scenes have no image" in caplog.text
    _, mask = whole(openearthmap, scenes[0], CFG)
    np.testing.assert_array_equal(mask, np.where(raw == 0, IGNORE, raw - 1))
    with pytest.raises(DataError, match="list of file names does not exist") as error:
        openearthmap.scenes(tmp_path, "val", CFG)
    assert error.value.subject == str(tmp_path / "val.txt")
    save(tmp_path / "hurricane" / "images" / "hurricane_1.tif", picture())
    assert len(openearthmap.scenes(tmp_path, "train", CFG)) == 3


@pytest.mark.parametrize("module", [isaid, loveda, openearthmap])
def test_label_spaces_fit_their_decoders(module):
    assert module.label_space({}).count == module.labels(CFG).classes


# The same on real files.


@real
@pytest.mark.parametrize(
    ("module", "name", "split", "expected"),
    [
        (isaid, "isaid_sample", "train", {0: 82.0, 8: 15.6, 9: 2.4}),
        (loveda, "loveda_sample", "train", {0: 13.6, 1: 1.4, 2: 1.8, 3: 0.4, 6: 82.8}),
        (openearthmap, "openearthmap_sample", "val", {1: 7.5, 2: 23.3, 3: 6.4, 4: 0.8, 6: 34.2, 7: 27.8}),
    ],
)
def test_real_samples(module, name, split, expected):
    (scene,) = module.scenes(Path(DATA) / name, split, CFG)
    image, mask = whole(module, scene, CFG)
    assert shares([mask]) == pytest.approx(expected, abs=0.06)
    assert image.shape == (*mask.shape, 3) and image.std() > 20
    with pytest.raises(DataError, match="is not on disk"):
        module.scenes(Path(DATA) / name, "val" if split == "train" else "train", CFG)


@real
def test_dubai_split_and_class_shares():
    root = Path(DATA) / "dubai_mbrsc"
    train, val = (folder.scenes(root, split, DUBAI) for split in ("train", "val"))
    assert (len(train), len(val)) == (56, 16)
    assert not {scene.image for scene in train} & {scene.image for scene in val}
    assert train[1].name == "Semantic segmentation dataset/Tile 1/images/image_part_002"
    decoder = folder.labels(DUBAI)

    def mask(scene):
        with opened(scene.mask, 10**9) as raster:
            return decoder.rows(raster)(0, raster.height)

    assert shares(mask(scene) for scene in [*train, *val]) == pytest.approx(
        {0: 13.31, 1: 52.36, 2: 9.35, 3: 10.31, 4: 13.61, IGNORE: 0.51 + 0.56}, abs=0.02
    )


# Images and bad input.


def test_missing_mask_names_image_and_place(tmp_path):
    pair(tmp_path, "a")
    save(tmp_path / "images/b.png", picture())
    with pytest.raises(DataError) as error:
        names(tmp_path, "train")
    assert error.value.subject == str(tmp_path / "images/b.png")
    assert "no mask b for it (1 of 2 images" in error.value.cause and str(tmp_path / "masks") in error.value.cause


def test_nothing_found_says_why(tmp_path):
    save(tmp_path / "images/x_img.png", picture())
    save(tmp_path / "masks/x_lab.png", ids())
    with pytest.raises(DataError, match="1 images and 1 masks") as error:
        names(tmp_path, "train")
    assert "x_img.png" in error.value.cause and "x_lab.png" in error.value.cause and str(tmp_path / "images") in error.value.subject
    with pytest.raises(DataError, match="folder does not exist") as error:
        names(tmp_path, "train", images="pictures")
    assert error.value.subject == str(tmp_path / "pictures")


def test_two_files_of_one_name(tmp_path):
    pair(tmp_path)
    save(tmp_path / "images/a.jpg", picture())
    with pytest.raises(DataError, match="goes by the same name"):
        names(tmp_path, "train")


def test_patterns_must_agree(tmp_path):
    with pytest.raises(ConfigError, match="wildcards of images and labels differ"):
        names(tmp_path, "train", images="{a}.png", labels="{b}_m.png")
    with pytest.raises(ConfigError, match="same as images"):
        names(tmp_path, "train", labels="images")


def test_size_mismatch_names_both_files(tmp_path):
    pair(tmp_path, mask=ids(height=21))
    with pytest.raises(DataError) as error:
        only(tmp_path)
    assert error.value.subject.endswith("images/a.png")
    assert "masks/a.png" in error.value.cause and "24 x 20" in error.value.cause and "24 x 21" in error.value.cause


@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_truncated_files(tmp_path, kind, suffix):
    if kind == "masks" and suffix == ".jpg":
        suffix = ".png"
    pair(tmp_path)
    path = tmp_path / kind / f"a{suffix}"
    (tmp_path / kind / "a.png").unlink()
    save(path, picture() if kind == "images" else ids())
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
    with pytest.raises(DataError) as error:
        only(tmp_path)
    assert error.value.subject == str(path) and "sound copy" in error.value.remedy


def test_a_text_file_is_no_image(tmp_path):
    pair(tmp_path)
    (tmp_path / "images/a.png").write_text("hello")
    with pytest.raises(DataError, match="cannot be opened as an image"):
        only(tmp_path)


def test_too_many_pixels_names_the_key(tmp_path):
    pair(tmp_path)
    with pytest.raises(DataError, match="max_pixels = 100") as error:
        only(tmp_path, {**CFG, "max_pixels": 100})
    assert "Raise max_pixels" in error.value.remedy


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    pair(tmp_path)
    save(tmp_path / "images/a.png", picture(), mode)
    with Image.open(tmp_path / "images/a.png") as image:
        expected = np.asarray(image.convert("RGB")) if mode != "1" else np.asarray(image)[..., None].repeat(3, 2).astype(np.uint8)
    np.testing.assert_array_equal(only(tmp_path)[0], expected)


def wide_tif(path, array):
    """A 16-bit GeoTIFF of shape (H,W,B)."""
    profile = {"driver": "GTiff", "height": array.shape[0], "width": array.shape[1], "count": array.shape[2], "dtype": array.dtype}
    with (
        rasterio.Env(),
        rasterio.open(path, "w", **profile, transform=rasterio.transform.from_origin(350_000, 5_600_000, 0.5, 0.5)) as target,
    ):
        target.write(np.moveaxis(array, 2, 0))


def test_sixteen_bit_images_need_a_scale(tmp_path):
    pair(tmp_path)
    (tmp_path / "images/a.png").unlink()
    wide = picture().astype(np.uint16) * 16 + 100
    wide_tif(tmp_path / "images/a.tif", np.dstack([wide, wide[..., :1]]))
    with pytest.raises(DataError, match="uint16 values") as error:
        only(tmp_path)
    assert "scale" in error.value.remedy and error.value.subject.endswith("a.tif")
    ranged, _ = only(tmp_path, {**CFG, "scale": [100, 100 + 255 * 16]})
    np.testing.assert_array_equal(ranged, picture())
    auto, _ = only(tmp_path, {**CFG, "scale": "auto"})
    low, high = np.percentile(wide, [2, 98], method="inverted_cdf")
    np.testing.assert_allclose(auto, np.clip((wide - float(low)) / (high - low), 0, 1) * 255, atol=0.51)
    swapped, _ = only(tmp_path, {**CFG, "scale": [100, 100 + 255 * 16], "bands": [3, 1, 4]})
    np.testing.assert_array_equal(swapped, picture()[..., [2, 0, 0]])
    with pytest.raises(DataError, match="the file has 4"):
        only(tmp_path, {**CFG, "scale": "auto", "bands": [1, 2, 5]})


@pytest.mark.parametrize("place", [0.1, 0.4, 0.7, 0.95])
def test_a_changed_byte_in_a_png_is_an_error_and_never_other_pixels(tmp_path, place):
    pair(tmp_path)
    path = tmp_path / "images/a.png"
    save(path, np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        only(tmp_path)
    assert error.value.subject == str(path) and "sound copy" in error.value.remedy


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_masks_of_few_bits_keep_their_values(tmp_path, bits):
    pair(tmp_path)
    values = (np.arange(20 * 24, dtype=np.uint8) % 2).reshape(20, 24)
    facts = {"driver": "PNG", "height": 20, "width": 24, "count": 1, "dtype": "uint8", "nbits": bits}
    with warnings.catch_warnings(action="ignore"), rasterio.open(tmp_path / "masks/a.png", "w", **facts) as file:
        file.write(values, 1)
    with Image.open(tmp_path / "masks/a.png") as image:
        assert image.mode in ("1", "L") and (tmp_path / "masks/a.png").read_bytes()[24] == bits  # of the header: bits a sample
    np.testing.assert_array_equal(only(tmp_path)[1], values)


def test_the_palette_is_told_apart_with_any_colour_vision():
    """Distances in CIELAB, as seen normally and with each cone missing (Machado et al. 2009, severity 1)."""
    eyes = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    colours = np.array([*palette.COLOURS, (0, 0, 0)]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for eye in eyes:
        xyz = np.clip(linear @ np.transpose(eye), 0, 1) @ to_xyz.T / (0.95047, 1, 1.08883)
        bent = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        lab = np.stack([116 * bent[:, 1] - 16, 500 * (bent[:, 0] - bent[:, 1]), 200 * (bent[:, 1] - bent[:, 2])], 1)
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
        assert apart[~np.eye(len(lab), dtype=bool)].min() >= 16


def test_given_colours_stay_and_no_palette_colour_comes_near_them():
    given = [None, (230, 150, 10), None, None]
    assert palette.filled(given) == [palette.COLOURS[0], (230, 150, 10), palette.COLOURS[2], palette.COLOURS[3]]
    many = palette.filled([None] * 40)
    assert len(set(many)) == 40 and many[:16] == list(palette.COLOURS)
