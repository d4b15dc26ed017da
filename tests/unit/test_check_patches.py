"""The patches that `check_data` counts and shows are those that tiling makes, under every rule of how scenes are cut."""

import numpy as np
import pytest
from broken_sets import NAMES, STANZA, sound
from dataset_fixtures import ids, picture, save
from PIL import Image
from presets import preset
from test_check_data import report

from satsynth.datasets.tiling import tile
from satsynth.pairs import HATCH, Store
from satsynth.plan import slices
from satsynth.plan.config import resolve
from satsynth.reporting import preview
from satsynth.reporting.data_summary import headline


def half_labelled(root, height=90, width=110):
    """Six scenes whose unlabelled pixels lie in ragged parts, so that patches differ in their share of them."""
    for number, name in enumerate(NAMES):
        mask = ids(3, height, width, seed=number)
        mask[: 40 + 5 * number, : 60 - 3 * number] = 255
        mask[70:, 80::2] = 255
        save(root / "images" / f"{name}.png", picture(height, width, seed=number))
        save(root / "masks" / f"{name}.png", mask)


def tiled(tmp_path, stanza):
    """What the tile job writes of both splits: (scene, row, column) of every patch, and the mask of each."""
    whole = resolve({"preset": "paper", "run": [], "datasets": {"town": {**STANZA, **stanza}}}, preset("paper"))["datasets"]["town"]
    found = {}
    for split in ("train", "val"):
        folder = tmp_path / "stores" / split
        tile("folder", tmp_path / "town", split, slices.tiles(whole, split), {whole["patches"]["size"]: folder})
        store = Store.open(folder)
        places = zip(store.index["scene"], store.index["row"].tolist(), store.index["column"].tolist(), strict=True)
        found[split] = dict(zip(places, store.masks, strict=True))
    return found


RULES = {
    "shift": {"size": 32},
    "overlapping": {"size": 32, "stride": 12},
    "apart": {"size": 24, "stride": 40},
    "drop": {"size": 32, "remainder": {"train": "drop", "val": "drop"}},
    "resized": {"size": 32, "resize": 77},
    "strict": {"size": 16, "max_ignore": 0.0},
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("split", [{"by": "scene", "val": 0.34, "seed": 0}, {"by": "block", "block": 50, "val": 0.34, "seed": 0}])
def test_patches_are_counted_and_shown_as_they_are_tiled(tmp_path, name, split):
    half_labelled(tmp_path / "town")
    stanza = {"split": split, "patches": {"reduced": [], "max_ignore": 0.25, **RULES[name]}}
    made, found = tiled(tmp_path, stanza), report(tmp_path, stanza)
    assert not found["errors"]
    for part in ("train", "val"):
        assert found["splits"][part]["patches"] == len(made[part]) > 0
        assert found["splits"][part]["left_out"] > 0
        shown = [(place["scene"], place["row"], place["column"]) for place in found["shown"][part]]
        assert len(set(shown)) == min(9, len(made[part])) and set(shown) <= set(made[part])
    for number, place in enumerate(found["shown"]["classes"]):
        masks = [mask for part in made.values() for mask in part.values()]
        (mask,) = (part[key] for part in made.values() for key in part if key == (place["scene"], place["row"], place["column"]))
        assert place["class"] == found["classes"][number]
        assert (mask == number).sum() == max((other == number).sum() for other in masks)


def test_pixels_count_once_however_patches_lie(tmp_path):
    half_labelled(tmp_path / "town")
    counts = []
    for patches in ({"size": 32}, {"size": 32, "stride": 8}, {"size": 16, "stride": 50, "max_ignore": 0.5}):
        found = report(tmp_path, {"patches": {"reduced": [], **patches}})["splits"]
        counts.append([(tally["pixels"], tally["ignored"], tally["in_scenes"]) for tally in found.values()])
        assert [sum(tally["pixels"]) + tally["ignored"] for tally in found.values()] == [4 * 90 * 110, 2 * 90 * 110]
    assert counts[0] == counts[1] == counts[2]


def test_patches_that_are_left_out_are_told(tmp_path):
    half_labelled(tmp_path / "town")
    found = report(tmp_path, {"patches": {"size": 16, "reduced": [], "max_ignore": 0.0}})
    left = found["splits"]["train"]["left_out"]
    assert f" patches of 16 px ({left} left out for max_ignore); val 2 scenes" in headline("town", found)
    assert "left out" not in headline("town", report(tmp_path, {}))


def test_unknown_values_that_are_ignored_count_as_unlabelled(tmp_path):
    half_labelled(tmp_path / "town", 96, 112)
    for path in (tmp_path / "town/masks").iterdir():
        mask = np.asarray(Image.open(path))
        save(path, np.where(mask == 255, np.uint8(77), mask))
    patches = {"size": 16, "reduced": [], "max_ignore": 0.25}
    ignored = report(tmp_path, {"patches": patches, "unknown": "ignore"})
    assert not ignored["errors"] and all(tally["left_out"] > 20 for tally in ignored["splits"].values())
    # Where they are an error they are to be mended, and it cannot be said yet what will be left out.
    strict = report(tmp_path, {"patches": patches})
    assert len(strict["errors"]) == 1 and not any(tally["left_out"] for tally in strict["splits"].values())


def test_what_is_unlabelled_cannot_be_taken_for_a_class(tmp_path):
    """Not even for a black one: it is hatched, in the picture and on the page, and goes by one word."""
    half_labelled(tmp_path / "town")
    found = report(tmp_path, {"classes": [{"name": "field", "color": "#000000"}, "road", "house"]})
    assert not found["errors"]
    pixels = np.asarray(Image.open(tmp_path / "out/p.png").convert("RGB"))
    for shade in HATCH:
        assert np.count_nonzero((pixels == shade).all(2)) > 10_000
    page = (tmp_path / "out/index.html").read_text()
    assert 'style="background:repeating-linear-gradient(135deg,rgb(95,95,95)' in page and ">unlabelled</li>" in page
    assert page.count("background:rgb(0,0,0)") == 1


def test_a_preview_without_patches_has_its_whole_title(tmp_path):
    sound(tmp_path / "town")
    name = "a_long_name_of_a_dataset_without_patches"
    report(tmp_path, {"patches": {"size": 128, "reduced": [], "remainder": {"train": "drop", "val": "drop"}}}, name=name)
    dark = np.asarray(Image.open(tmp_path / "out/p.png").convert("L")) < 128
    assert not dark[:, -20:].any() and dark[:60, -60:-20].any()


def test_a_class_may_have_a_name_of_two_lines(tmp_path):
    sound(tmp_path / "town")
    found = report(tmp_path, {"classes": ["field", "road\n", "storage\ntank"]})
    assert not found["errors"] and found["shown"]["classes"][2]["class"] == "storage\ntank"
    assert np.array_equal(preview._caption("storage\ntank", 150), preview._caption("storage tank", 150))
