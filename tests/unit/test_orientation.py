"""EXIF orientation: pixels are read as stored; check_data and the log of a tiling say so, and an error about sizes names it."""

import logging
import re

import numpy as np
import pytest
from broken_sets import sound
from dataset_fixtures import CFG, ids, picture, save
from PIL import Image, ImageOps
from test_check_data import report

from satsynth.datasets import orientation, tiling
from satsynth.datasets.rasters import opened
from satsynth.pairs import Store
from satsynth.reporting.data_summary import problems


def tagged(path, image, tag, **facts):
    """An image file with an orientation; the pixels are stored as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(image)
    exif = made.getexif()
    exif[0x0112] = tag
    made.save(path, exif=exif, **facts)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_the_tag_is_read_and_the_pixels_are_as_stored(tmp_path, suffix):
    for tag in range(1, 9):
        with opened(tagged(tmp_path / f"{tag}{suffix}", picture(), tag), 10**6) as image:
            assert orientation.orientation(image) == tag and (image.height, image.width) == (20, 24)
            if suffix != ".jpg":
                np.testing.assert_array_equal(image.read(0, 20, [1, 2, 3]), picture())
    for name, array in (("none.jpg", picture()), ("none.tif", picture()), ("none.png", picture())):
        with opened(save(tmp_path / name, array), 10**6) as image:
            assert orientation.orientation(image) == 1
    with opened(tagged(tmp_path / f"strange{suffix}", picture(), 99), 10**6) as image:
        assert orientation.orientation(image) == 1


@pytest.mark.parametrize("tag", range(1, 9))
def test_which_tags_exchange_the_sides_is_as_pillow_turns_them(tmp_path, tag):
    with opened(tagged(tmp_path / "a.jpg", picture(), tag), 10**6) as image:
        shown = ImageOps.exif_transpose(Image.open(image.path)).size
        assert (shown == (20, 24)) == (tag in orientation.SIDEWAYS) == bool(orientation.explained(image, 20, 24))
        assert orientation.explained(image, 21, 24) == ""


def test_check_data_and_the_log_tell_of_turned_images(tmp_path, caplog):
    root = tmp_path / "town"
    sound(root)
    names = sorted(path.stem for path in (root / "images").iterdir())
    for name in names[:2]:
        (root / f"images/{name}.png").unlink()
        tagged(root / f"images/{name}.jpg", picture(64, 64), 3, quality=100, subsampling=0)
    found = report(tmp_path, {})
    (text,) = [text for text in found["warnings"] if "EXIF" in text]
    assert re.match(rf"2 images carry an EXIF orientation \(such as {root}/images/[ab]\.jpg: turned by 180 degrees\)\. Pixels are ", text)
    assert "exiftran -ai" in text and not any("EXIF" in error for error in problems(found))
    (root / "all.txt").write_text("\n".join(names))
    cfg = {**CFG, "split": {"train": "all.txt", "val": "none.txt"}}
    with caplog.at_level(logging.WARNING):
        tiling.tile("folder", root, "train", cfg, {16: tmp_path / "16px"})
    assert "train: 2 images carry an EXIF orientation" in caplog.text
    first = Store.open(tmp_path / "16px").images[0].astype(int)
    assert np.abs(first - picture(64, 64)[:16, :16]).max() < 8  # as stored


def test_an_error_about_sizes_names_the_orientation_that_exchanges_them(tmp_path):
    root = tmp_path / "town"
    sound(root)
    (root / "images/a.png").unlink()
    tagged(root / "images/a.jpg", picture(64, 48), 6)
    save(root / "masks/a.png", ids(3, 48, 64))
    (text,) = problems(report(tmp_path, {}))
    assert "the image is 48 x 64 pixels, but its mask" in text and "is 64 x 48. The likely cause is its EXIF orientation" in text
    assert "turned by 90 degrees" in text and "rewrite the images upright" in text
    save(root / "masks/a.png", ids(3, 48, 63))
    assert "EXIF" not in "".join(problems(report(tmp_path, {})))
