"""Broken datasets, as people have them: `check_data` names the file, the cause and the remedy of each, and all of them in one go.

The same messages stop a tiling.
"""

import os
import re
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from broken_sets import CASES, COLOURS, NAMES, STANZA, coco, coloured, dead_link, missing_mask, other_size, sound, truncated, unknown_value
from dataset_fixtures import ids, picture, save
from PIL import Image
from presets import ROOT, preset

from satsynth.datasets.standins import StandIns
from satsynth.datasets.tiling import small_windows
from satsynth.datasets.unknown import Unknown
from satsynth.plan import slices
from satsynth.plan.config import resolve
from satsynth.reporting.data_page import check, stanza_text
from satsynth.reporting.data_summary import problems, summary
from satsynth.runtime.files import read_json


def report(tmp_path, stanza, name="town", trouble=None):
    """What `check_data` writes of a stanza whose root is tmp_path/root."""
    config = {"preset": "paper", "run": [], "datasets": {name: {**STANZA, **stanza}}}
    whole = resolve(config, preset("paper"))["datasets"][name]
    out = {key: tmp_path / "out" / file for key, file in (("report", "report.json"), ("preview", "p.png"), ("page", "index.html"))}
    check(name, tmp_path / whole["root"], slices.inspection(whole), trouble, out)
    return read_json(out["report"])


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("break_it", CASES, ids=lambda case: case.__name__)
def test_a_broken_set_gets_file_cause_and_remedy(tmp_path, break_it):
    sound(tmp_path / "town")
    found = report(tmp_path, break_it(tmp_path / "town") or {})
    subject, *words = CASES[break_it]
    told = [text for error, text in zip(found["errors"], problems(found), strict=True) if subject in error["subject"]]
    assert any(all(word in text for word in words) for text in told), problems(found)
    page = (tmp_path / "out/index.html").read_text()
    assert "<h2>Errors</h2>" in page and "<script" not in page


def test_a_sound_set_has_no_error(tmp_path):
    sound(tmp_path / "town")
    found = report(tmp_path, {})
    assert not found["errors"] and not found["warnings"], problems(found)
    assert sum(sum(tally["pixels"]) for tally in found["splits"].values()) == 6 * 64 * 64
    assert [tally["scenes"] for tally in found["splits"].values()] == [4, 2]
    assert "nothing to mend before training" in summary("town", found, "page.html")


def test_the_stanza_is_told_as_it_can_be_written(tmp_path):
    sound(tmp_path / "town")
    label_map = {0: "field", "1": "road", "#0000FF": "house", 2: "ignore"}
    found = report(tmp_path, {"label_map": label_map})
    told = yaml.safe_load(found["stanza"])["datasets"]["town"]
    assert told["label_map"] == {0: "field", 1: "road", "#0000FF": "house", 2: "ignore"}
    written, again = (
        resolve({"preset": "paper", "run": [], "datasets": {"town": stanza}}, preset("paper"))["datasets"]["town"]
        for stanza in ({**STANZA, "label_map": label_map}, told)
    )
    assert slices.inspection(again) == slices.inspection(written)


def test_a_category_that_looks_like_a_number_keeps_its_zeros():
    told = yaml.safe_load(stanza_text("town", {"label_map": {"007": "road", "7": "house", "0": "field"}}))
    assert told["datasets"]["town"]["label_map"] == {"007": "road", 7: "house", 0: "field"}


def test_everything_is_told_in_one_go(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for case in (missing_mask, other_size, unknown_value, truncated, dead_link):
        case(root)
    save(root / "masks/lone.png", ids(3, 64, 64))
    mask = ids(3, 64, 64)
    mask[-1, -1] = 77
    save(root / "masks/e.png", mask)  # its image is cut off, so they cannot be read together
    found = report(tmp_path, {})
    text = "\n".join(problems(found))
    for case in (missing_mask, other_size, truncated, dead_link):
        assert all(word in text for word in CASES[case]), case
    assert {entry["value"]: (entry["count"], entry["files"]) for entry in found["unknown"]} == {"9": (40, 1), "77": (1, 1)}
    assert found["files"]["masks_without_image_count"] == 1 and "lone.png" in found["files"]["masks_without_image"][0]
    said = summary("town", found, "page.html")
    assert "77: 1 in 1 file, such as" in said and "5 errors to mend before training" in said


def test_masks_of_which_every_colour_is_unknown_are_shown_in_their_own(tmp_path):
    root = tmp_path / "town"
    sound(root)
    coloured(root)
    found = report(tmp_path, {"label_map": {"#101010": "field", "#202020": "road", "#303030": "house"}})
    (error,) = found["errors"]
    assert "hold a value or colour that no class has" in error["cause"] and not found["warnings"]
    assert {entry["value"]: entry["colour"] for entry in found["unknown"]} == {colour: colour for colour in COLOURS}
    page = (tmp_path / "out/index.html").read_text()
    assert all(f'<li><span class="swatch" style="background:{colour}"></span>{colour}: ' in page for colour in COLOURS)
    preview = np.asarray(Image.open(tmp_path / "out/p.png").convert("RGB")).reshape(-1, 3)
    assert all(np.count_nonzero((preview == tuple(bytes.fromhex(colour[1:]))).all(1)) > 10_000 for colour in COLOURS)

    # Set to be ignored, they are no error: then it is one that nothing is labelled.
    ignored = report(tmp_path, {"label_map": {"#101010": "field", "#202020": "road", "#303030": "house"}, "unknown": "ignore"})
    assert [error["subject"] for error in ignored["errors"]] == ["split.train", "split.val"]


def test_unknown_values_are_told_apart_and_hide_no_missing_class(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for number, name in enumerate(NAMES):
        save(root / "masks" / f"{name}.png", ids(2, 64, 64, seed=number) + np.uint8(7))
    found = report(tmp_path, {"classes": ["field", "road"]})
    assert not found["warnings"] and len(found["errors"]) == 1
    shown = [entry["colour"] for entry in found["unknown"]]
    assert len(set(shown)) == 2 and all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in shown)
    three = report(tmp_path, {})
    assert ["split.train: no pixel of field, road, house, which cannot be learned" in text for text in three["warnings"]] == [True]


def test_more_unknown_colours_than_ids_are_shown_by_the_nearest():
    stand_ins = StandIns(250)
    first = stand_ins.ids(["#FF0000", "#00FF00", "7", "#0000FF"])
    assert first.tolist() == [250, 251, 252, 253]
    assert stand_ins.ids(["9", "#FE0102", "#0203F0", "10", "#00FF00"]).tolist() == [254, 250, 253, 255, 251]
    assert stand_ins.table()[[250, 251, 253]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert stand_ins.colour("#FE0102") == "#FE0102" and stand_ins.colour("10") is None


def test_a_strip_of_many_unknown_colours_costs_little_memory():
    stand_ins = StandIns(3)
    first = stand_ins.ids([f"#{4 * place:02X}{4 * other:02X}00" for place in range(12) for other in range(21)])
    names = [f"#{number:06X}" for number in range(0, 1 << 24, 839)]
    tracemalloc.start()
    found = stand_ins.ids(names)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(names) > 19_000 and set(found.tolist()) <= set(first.tolist())
    assert most < 30e6  # 70 MB where each is compared with each, and 3 GB for a million


def test_a_category_may_begin_like_a_colour(tmp_path):
    root = tmp_path / "town"
    sound(root)
    stanza = coco(root, categories=("field", "#1 road", "house"))
    found = report(tmp_path, {**stanza, "label_map": {"field": "field", "#1 road": "road", "house": "house"}})
    assert not found["errors"] and all(found["splits"]["train"]["pixels"]), problems(found)


def test_masks_of_ten_thousand_unknown_colours_cost_the_memory_of_one():
    found, each = Unknown(), 10_000
    tracemalloc.start()
    for number in range(60):
        rare = {f"#{place:06X}": 1 for place in range(each)}
        found.add((f"mask{number}", "image"), Counter({"9": 1000 + number, "8": 500, **rare, f"own {number}": 1}))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 500 * each  # bytes: a third of that is needed; 4,600 with every mask's own
    assert len(found) == 60 and found.worst() == ("mask59", "image")
    assert found.pixels["9"] == sum(1000 + number for number in range(60)) and found.places["9"] == 60
    assert found.examples("9", 2) == [("mask59", "image"), ("mask58", "image")]
    assert found.pixels["own 7"] == 1 == found.places["own 7"] and found.examples("own 7", 3) == [("mask7", "image")]


def test_names_from_outside_do_not_become_markup(tmp_path):
    root = tmp_path / "town"
    sound(root)
    (root / "images/a.png").rename(root / "images/<script>alert(1)<script>.png")
    found = report(tmp_path, {"classes": ["field", "<b>road</b>", "$x_1$"]})
    page = (tmp_path / "out/index.html").read_text()
    assert "<script" not in page and "<b>" not in page and "&lt;b&gt;road" in page and "alert(1)" in page
    assert len(found["errors"]) == 1


def test_what_a_file_says_cannot_command_a_terminal_or_break_the_page(tmp_path):
    """Half a surrogate pair, which no file can hold, and escape sequences: as names of images and categories in a COCO file."""
    root = tmp_path / "town"
    sound(root)
    extra = [{"id": 9, "file_name": "\ud800.png"}, {"id": 10, "file_name": "\x1b[2J\x9b2J.png"}]
    stanza = coco(root, extra=extra, categories=("field", "pa\ud800th", "\x1b[2Jhouse"))
    found = report(tmp_path, stanza)
    said = summary("town", found, "page.html") + (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", said)
    assert r"\x1b[2Jhouse" in said and r"pa\ud800th" in said and r"\ud800.png" in said
    assert found["files"]["masks_without_image_count"] == 2


def test_warnings_say_what_is_seldom_meant(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for name in NAMES:
        mask = ids(2, 64, 64)
        save(root / "masks" / f"{name}.png", mask)
    text = "\n".join(report(tmp_path, {"patches": {"size": 32, "reduced": [16], "stride": 16}})["warnings"])
    assert "patches of train overlap, so a pixel counts up to 4 times" in text
    assert "split.train: no pixel of house, which cannot be learned" in text
    by_block = report(tmp_path, {"split": {"by": "block", "block": 32, "val": 0.25, "seed": 0}})
    assert "blocks of 32 px of train and val lie side by side" in by_block["warnings"][0]
    assert [tally["scenes"] for tally in by_block["splits"].values()] == [18, 6]
    assert not by_block["errors"]


def test_it_says_which_scenes_are_val_and_what_they_share_with_train(tmp_path):
    for tile in (1, 2, 10):
        for part in (1, 2, 3):
            save(tmp_path / f"town/{tile}/images/{part}.png", picture(64, 64, seed=10 * tile + part))
            save(tmp_path / f"town/{tile}/masks/{part}.png", ids(3, 64, 64))
    patterns = {"images": "{tile}/images/{part}.png", "labels": "{tile}/masks/{part}.png"}
    found = report(tmp_path, patterns | {"split": {"by": "tile", "val": 0.67, "seed": 0}})
    val = found["splits"]["val"]
    assert len(val["values"]["tile"]) == 2 and val["names"] == [
        f"{tile}/images/{part}" for tile in val["values"]["tile"] for part in (1, 2, 3)
    ]
    said, page = summary("town", found, "page.html"), (tmp_path / "out/index.html").read_text()
    assert f"val: {{tile}} {', '.join(val['values']['tile'])}; 6 scenes: {', '.join(val['names'][:3])} and 3 more" in said
    assert all(f"<li>{name}</li>" in page for tally in found["splits"].values() for name in tally["names"])
    assert len(found["shown"]["val"]) == 9 and f"val, drawn at random: {found['shown']['val'][0]['scene']}, row " in page
    assert "split: scenes of train and val share {tile}" not in said

    by_scene = report(tmp_path, patterns)
    assert by_scene["splits"]["val"]["values"] == {} and "val: 3 scenes: " in summary("town", by_scene, "page.html")
    assert any("share {tile} " in text and "{by: tile, val: 0.34, seed: 0}" in text for text in by_scene["warnings"])


def test_many_small_windows_of_large_scenes_are_asked_about(tmp_path):
    root = tmp_path / "town"
    plain = np.zeros((520, 600, 3), np.uint8)
    for name in NAMES:
        save(root / "images" / f"{name}.png", plain)
        save(root / "masks" / f"{name}.png", ids(3, 520, 600))
    stanza = {"patches": {"size": 16, "reduced": [8]}}
    found = report(tmp_path, stanza)
    (hint,) = found["hints"]
    assert found["splits"]["train"]["patches"] == 4 * 33 * 38 and hint.startswith(
        "patches: train has 5016 of 16 px, and R = 1 makes as many"
    )
    assert "patches: {size: 64, reduced: [16, 8]}" in hint and "16 times the ground, and there are about 360." in hint
    said = " ".join(summary("town", found, "page.html").split())
    assert f"hint: {hint}" in said and "nothing to mend before training" in said
    assert f"<li>{hint}</li>" in (tmp_path / "out/index.html").read_text()
    assert not report(tmp_path, stanza | {"patches": {"size": 64, "reduced": [16, 8]}})["hints"]


def test_bigger_windows_are_hinted_at_only_where_scenes_hold_them():
    town = [(1800, 2000)] * 9
    assert "{size: 256, reduced: [64, 32]}" in small_windows(20180, 64, [32], town)
    assert "{size: 128, reduced: [64, 32]}" in small_windows(20180, 64, [32], [(256, 256)] * 9)
    assert small_windows(20180, 64, [32], [(200, 900)] * 9) is None
    assert small_windows(5000, 64, [32], town) is None and small_windows(20180, 128, [64], town) is None


def test_plain_and_textured_ground_is_no_near_duplicate(tmp_path):
    root = tmp_path / "town"
    sound(root)
    for number, name in enumerate(NAMES):
        water = np.full((256, 256, 3), (20, 60, 90), np.uint8) + picture(256, 256, seed=number) // 64
        save(root / "images" / f"{name}.png", water)
        save(root / "masks" / f"{name}.png", ids(3, 256, 256))
    found = report(tmp_path, {})
    assert found["near_duplicates_count"] == 0
    assert sum(tally["plain"] for tally in found["splits"].values()) == 24


def test_near_duplicates_of_blocks_are_named_by_their_place_in_the_file(tmp_path):
    root = tmp_path / "town"
    twice = np.tile(np.repeat(np.repeat(picture(32, 32), 4, 0), 4, 1), (1, 2, 1))
    save(root / "images/a.png", twice)
    save(root / "masks/a.png", ids(3, 128, 256))
    found = report(tmp_path, {"split": {"by": "block", "block": 128, "val": 0.5, "seed": 0}})
    (leak,) = found["near_duplicates"]
    assert sorted([(leak[part]["row"], leak[part]["column"]) for part in ("train", "val")]) == [(0, 0), (0, 128)]
    assert {leak[part]["scene"] for part in ("train", "val")} == {"a@0-0", "a@0-128"}
    (error,) = found["errors"]
    assert f"it is row 0, column {leak['train']['column']} of {root / 'images/a.png'}" in error["cause"]


DATA = os.environ.get("SATSYNTH_DATA")


@pytest.mark.skipif(not DATA, reason="SATSYNTH_DATA is not set: no real imagery")
def test_real_imagery_is_sound_and_a_part_in_both_splits_is_found(tmp_path):
    """Two tiles of Dubai; then one part of val also lies in train, cut out, darker and compressed."""
    source = Path(DATA) / "dubai_mbrsc/Semantic segmentation dataset"
    for tile in (1, 3):
        shutil.copytree(source / f"Tile {tile}", tmp_path / f"town/Tile {tile}")
    stanza = yaml.safe_load((ROOT / "configs/dubai.yaml").read_text())["datasets"]["dubai"]
    stanza |= {key: stanza[key].removeprefix("Semantic segmentation dataset/") for key in ("images", "labels")}
    stanza |= {"root": "town", "patches": {"size": 128, "reduced": [64]}}
    found = report(tmp_path, stanza)
    assert not found["errors"] and found["near_duplicates_count"] == 0
    assert "share {tile} 1, 3" in found["warnings"][0]

    images, masks = tmp_path / "town/Tile 1/images", tmp_path / "town/Tile 1/masks"
    with Image.open(images / "image_part_009.jpg") as image:
        copy = image.crop((128, 128, 640, 512)).point(lambda value: int(value * 0.8)).transpose(Image.Transpose.ROTATE_90)
        copy.save(images / "image_part_010.jpg", quality=60)
    with Image.open(masks / "image_part_009.png") as mask:
        mask.crop((128, 128, 640, 512)).transpose(Image.Transpose.ROTATE_90).save(masks / "image_part_010.png")
    leaks = report(tmp_path, stanza)["near_duplicates"]
    assert len(leaks) == 12
    assert {Path(leak["train"]["file"]).name for leak in leaks} == {"image_part_010.jpg"}
    assert {Path(leak["val"]["file"]).name for leak in leaks} == {"image_part_009.jpg"}
