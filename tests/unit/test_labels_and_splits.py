"""Raw masks to class ids, by value and by colour; and the splits of one's own data."""

from logging import INFO, WARNING
from pathlib import Path

import numpy as np
import pytest
from annotation_fixtures import coco
from dataset_fixtures import CFG, ids, names, only, pair, picture, save
from PIL import Image

from satsynth.datasets import folder
from satsynth.datasets.labels import Labels
from satsynth.datasets.rasters import opened
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, DataError

# Splits of one's own data.


def test_split_by_scene_is_disjoint_and_seeded(tmp_path):
    for number in range(8):
        pair(tmp_path, f"town/scene_{number}")
    train, val = names(tmp_path, "train"), names(tmp_path, "val")
    assert (len(train), len(val)) == (6, 2) and not set(train) & set(val)
    assert train == sorted(train) and train[0].startswith("town/scene_")
    assert names(tmp_path, "val") == val
    assert any(names(tmp_path, "val", split={**CFG["split"], "seed": seed}) != val for seed in range(1, 5))


def test_split_by_wildcard_beside_merged_defaults(tmp_path):
    for tile in (1, 2, 10):
        for part in ("008", "009"):
            save(tmp_path / f"Tile {tile}/image_{part}.png", picture())
            save(tmp_path / f"Tile {tile}/image_{part}_mask.png", ids())
    patterns = {"images": "Tile {tile}/image_{part}.png", "labels": "Tile {tile}/image_{part}_mask.png"}
    rule = {"by": "scene", "seed": 0, "val": {"part": ["009"], "tile": [1, 10]}}
    assert names(tmp_path, "val", **patterns, split=rule) == ["Tile 1/image_009", "Tile 10/image_009"]
    assert names(tmp_path, "train", **patterns, split=rule) == [
        "Tile 1/image_008",
        "Tile 2/image_008",
        "Tile 2/image_009",
        "Tile 10/image_008",
    ]
    assert names(tmp_path, "train", **patterns, split={**rule, "train": {"tile": [2]}}) == ["Tile 2/image_008", "Tile 2/image_009"]
    by_tile = {"by": "tile", "val": 0.3, "seed": 0}
    assert len({name.split("/")[0] for name in names(tmp_path, "val", **patterns, split=by_tile)}) == 1
    for bad, kind, text in (
        ({"val": {"part": ["8"]}}, DataError, "no scene has '8'; there are 008, 009"),
        ({"val": {"row": ["1"]}}, ConfigError, "no wildcard {row}"),
        ({"val": {"tile": [1]}, "train": {"part": ["008"]}}, DataError, "in train and val"),
        ({"val": {"tile": [1, 2, 10]}}, DataError, "it is empty"),
    ):
        with pytest.raises(kind) as error:
            names(tmp_path, "train", **patterns, split=bad)
        assert text in error.value.cause


def test_stars_stand_for_the_same_in_turn(tmp_path):
    for tile in ("north", "south"):
        for part in ("1", "2"):
            save(tmp_path / tile / "sat" / f"{part}.jpg", picture())
            save(tmp_path / tile / "gt" / f"{part}_mask.png", ids())
    save(tmp_path / "north/sat/1_preview.png", picture())
    cfg = {**CFG, "images": "*/sat/*.jpg", "labels": "*/gt/*_mask.png"}
    found = [scene for part in ("train", "val") for scene in folder.scenes(tmp_path, part, cfg)]
    assert {scene.name for scene in found} == {f"{tile}/sat/{part}" for tile in ("north", "south") for part in ("1", "2")}
    for scene in found:
        assert scene.mask == tmp_path / f"{scene.name.replace('/sat/', '/gt/')}_mask.png"
    val = folder.scenes(tmp_path, "val", {**cfg, "split": {"val": {"_1": ["south"]}}})
    assert [scene.name for scene in val] == ["south/sat/1", "south/sat/2"]


def test_splits_that_touch_are_warned_of(tmp_path, caplog):
    for tile in (1, 2):
        for part in (1, 2):
            pair(tmp_path, f"t{tile}_p{part}")
    cfg = {"images": "images/t{tile}_p{part}.png", "labels": "masks/t{tile}_p{part}.png"}
    names(tmp_path, "val", **cfg, split={"val": {"part": [2]}})
    assert "share {tile} 1, 2" in caplog.text
    caplog.clear()
    names(tmp_path, "train", split={"by": "block", "block": 16, "val": 0.5, "seed": 0})
    assert "blocks of 16 px of train and val lie side by side" in caplog.text


def tiles(root, tiles=12, parts=3):
    """Parts of tiles, with a constant wildcard before them; and the lists of a split of which one tile lies in both."""
    found = [f"city/{tile}/{part}" for tile in range(1, tiles + 1) for part in range(1, parts + 1)]
    for name in found:
        save(root / f"{name}.png", picture(8, 8))
        save(root / f"{name}_mask.png", ids(3, 8, 8))
    (root / "val.txt").write_text("\n".join(found[: parts + 1]))
    (root / "train.txt").write_text("\n".join(found[parts + 1 :]))
    return {"images": "{town}/{tile}/{part}.png", "labels": "{town}/{tile}/{part}_mask.png"}


SEED = {"seed": 0}
ALL_TILES = "share {tile} 1, 2, 3, 4, 5, 6, 7, 8, ... (12 values). If scenes"
INNER = "share {part} 1, 2, 3 (3 values). If they number what lies within one {tile}, that is as it should be."


@pytest.mark.parametrize(
    ("rule", "warned", "hinted"),
    [
        ({"by": "scene", "val": 0.34, **SEED}, ["share {tile} ", "share {part} 1, 2, 3 (3 values). If scenes"], []),
        ({"by": "part", "val": 0.34, **SEED}, [ALL_TILES, "split: {by: tile, val: 0.34, seed: 0} keeps"], []),
        ({"by": "tile", "val": 0.34, **SEED}, [], [INNER]),
        ({"val": {"part": [3]}}, [ALL_TILES, "split: {by: tile, val: 0.2, seed: 0} keeps"], []),
        ({"val": {"part": [3]}, "train": {"part": [1]}}, [ALL_TILES], []),
        ({"val": {"tile": [1, 2], "part": [3]}}, ["share {tile} 1, 2 (2 values)"], []),
        ({"val": {"tile": [3]}}, [], [INNER]),
        ({"train": "train.txt", "val": "val.txt"}, [], ["share {tile} 2 (1 value). If scenes of one {tile} are parts", "share {part} "]),
    ],
    ids=str,
)
def test_a_wildcard_in_both_splits_is_told_under_every_rule(tmp_path, caplog, rule, warned, hinted):
    """As a warning with advice where chance or an inner wildcard tore scenes apart, else as a hint without."""
    caplog.set_level("INFO")
    patterns = tiles(tmp_path)
    for split in ("train", "val"):
        caplog.clear()
        names(tmp_path, split, **patterns, split=rule)
        said = {level: "\n".join(text for _, number, text in caplog.record_tuples if number == level) for level in (INFO, WARNING)}
        for level, texts in ((WARNING, warned), (INFO, hinted)):
            assert all(text in said[level] for text in texts) and bool(said[level]) == bool(texts), caplog.text
        assert "split: {by" not in said[INFO] and "{town}" not in caplog.text
        assert "{part}" in said[WARNING] + said[INFO] or rule.get("by") == "part" or "part" in rule["val"]


def test_a_wildcard_of_distinct_values_is_not_told(tmp_path, caplog):
    for number in range(6):
        save(tmp_path / f"{number}_image.png", picture(8, 8))
        save(tmp_path / f"{number}_mask.png", ids(3, 8, 8))
    names(tmp_path, "val", images="{id}_image.png", labels="{id}_mask.png", split={"by": "scene", "val": 0.34, "seed": 0})
    assert "share" not in caplog.text


@pytest.mark.parametrize(
    ("folders", "start"),
    [
        (("Tile 1", "Tile 2", "Tile 10"), "Tile {tile}"),
        (("set/Tile 1", "set/Tile 2"), "set/Tile {tile}"),
        (("north/a", "south/b"), "{folder}/{folder_}"),
        (("{x} 1", "{x} 2"), "{folder}"),
    ],
)
def test_folders_that_lie_deeper_are_told_with_patterns_that_find_them(tmp_path, folders, start):
    for folder_name in folders:
        for number in (1, 2):
            save(tmp_path / folder_name / f"images/{number}.jpg", picture(8, 8))
            save(tmp_path / folder_name / f"masks/{number}.png", ids(3, 8, 8))
    with pytest.raises(DataError, match=rf"this folder does not exist, but lies deeper in {len(folders)} folders") as error:
        names(tmp_path, "train")
    patterns = {"images": f"{start}/images/{{name}}.jpg", "labels": f"{start}/masks/{{name}}.png"}
    assert f'images: "{patterns["images"]}", labels: "{patterns["labels"]}"' in error.value.remedy
    assert sum(len(names(tmp_path, split, **patterns)) for split in ("train", "val")) == 2 * len(folders)


def test_one_scene_cannot_be_split(tmp_path):
    pair(tmp_path)
    with pytest.raises(DataError, match=r"one scene only, which cannot be divided in two.*by: block"):
        names(tmp_path, "val")


# Labels.


def test_label_map_by_colour_reads_rgb_and_any_palette_order(tmp_path):
    table = {"#3C1098": 0, "#8429F6": 1, "#9B9B9B": 255}
    cfg = {**CFG, "class_count": 2, "label_map": table}
    expected = ids(3)
    expected[expected == 2] = IGNORE
    colours = np.zeros((256, 3), np.uint8)
    colours[[0, 1, IGNORE]] = [folder.rgb(key) for key in table]
    decoder = folder.labels(cfg)
    for number, order in enumerate(([0, 1, 2], [2, 0, 1])):
        index = np.array(order, np.uint8)[np.where(expected == IGNORE, 2, expected)]
        palette = np.zeros((3, 3), np.uint8)
        palette[order] = colours[[0, 1, IGNORE]]
        image = Image.fromarray(index).convert("P")
        image.putpalette(palette.tobytes())
        image.save(tmp_path / f"{number}.png")
    save(tmp_path / "rgb.png", colours[expected])
    save(tmp_path / "rgba.png", np.dstack([colours[expected], ids(200)]))
    for path in sorted(tmp_path.iterdir()):
        with opened(path, 10**9) as raster:
            np.testing.assert_array_equal(decoder.rows(raster)(0, 20), expected, err_msg=path.name)


def test_palettes_that_differ_are_refused_by_value(tmp_path):
    for name, palette in (("a", [10, 0, 0, 0, 10, 0, 0, 0, 10]), ("b", [10, 0, 0, 0, 0, 10, 0, 10, 0])):
        save(tmp_path / "images" / f"{name}.png", picture())
        mask = Image.fromarray(ids()).convert("P")
        mask.putpalette(palette)
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / f"{name}.png")
    decoder = folder.labels(CFG)
    with opened(tmp_path / "masks/a.png", 10**9) as raster:
        np.testing.assert_array_equal(decoder.rows(raster)(0, 20), ids())
    with opened(tmp_path / "masks/b.png", 10**9) as raster, pytest.raises(DataError, match="order of the palettes differs") as error:
        decoder.rows(raster)(0, 20)
    assert error.value.subject == str(tmp_path / "masks/b.png") and "masks/a.png" in error.value.cause and "by colour" in error.value.remedy


def test_values_grey_rgb_and_sixteen_bit_masks(tmp_path):
    label_map = {7: 0, 300: 1, 9: 2}
    decoder = folder.labels({**CFG, "label_map": label_map})
    raw = np.array([7, 300, 9, 255], np.uint16)[ids(4)]
    path = save(tmp_path / "m.tif", raw)
    with opened(path, 10**9) as raster:
        np.testing.assert_array_equal(decoder.rows(raster)(0, 20), np.array([0, 1, 2, IGNORE])[ids(4)])
    grey = save(tmp_path / "g.png", np.dstack([ids()] * 3))
    with opened(grey, 10**9) as raster:
        np.testing.assert_array_equal(folder.labels(CFG).rows(raster)(0, 20), ids())


def test_colour_mask_under_a_table_by_value(tmp_path):
    pair(tmp_path, mask=picture())
    with pytest.raises(DataError, match="colour image, but label_map has no colours") as error:
        only(tmp_path)
    assert error.value.subject.endswith("masks/a.png")


def test_unknown_value_is_counted_in_the_whole_file(tmp_path):
    mask = np.zeros((700, 24), np.uint8)
    mask[0, :3], mask[699, :2], mask[5, 0] = 7, 7, 9
    pair(tmp_path, image=picture(700), mask=mask)
    with opened(tmp_path / "masks/a.png", 10**6) as raster, pytest.raises(DataError) as error:
        folder.labels(CFG).rows(raster)(0, 16)
    assert error.value.subject.endswith("masks/a.png")
    assert "6 pixels" in error.value.cause and "7 (5 pixels), 9 (1 pixels)" in error.value.cause
    assert "unknown: ignore" in error.value.remedy
    _, lenient = only(tmp_path, {**CFG, "unknown": "ignore"})
    np.testing.assert_array_equal(lenient, np.where(mask == 0, 0, IGNORE))


def test_unknown_colour(tmp_path):
    mask = np.zeros((20, 24, 3), np.uint8)
    mask[2, :4] = 1, 2, 3
    pair(tmp_path, mask=mask)
    with pytest.raises(DataError, match=r"4 pixels .* #010203 \(4 pixels\)"):
        only(tmp_path, {**CFG, "label_map": {"#000000": 0}})


def test_class_list_too_short(tmp_path):
    pair(tmp_path, mask=ids(4))
    with pytest.raises(DataError, match=r"no class has: 3 \(") as error:
        only(tmp_path)
    assert "classes" in error.value.remedy
    with pytest.raises(ConfigError, match="mapped to class 3 of 3"):
        folder.labels({**CFG, "label_map": {0: 3}})


def test_ignore_value_that_is_a_class():
    with pytest.raises(ConfigError, match="also the raw value of a class") as error:
        folder.labels({**CFG, "ignore": 0})
    assert error.value.subject == "ignore"


def test_float_masks_are_refused():
    with pytest.raises(DataError, match="not whole numbers"):
        Labels(2, values={0: 0, 1: 1}, unknown="error").decode(np.zeros((2, 2, 1), np.float32), Path("m.tif"))


def test_label_space_of_a_folder():
    space = folder.label_space({"classes": ["a", {"name": "b", "color": "#010203"}, "c", "d"], "label_map": {"#AABBCC": 2}})
    assert space.names == ("a", "b", "c", "d")
    assert space.colours[1:3] == ((1, 2, 3), (170, 187, 204))
    assert len(set(space.colours)) == 4


def test_a_part_that_no_split_names_needs_no_labels(tmp_path):
    """Many sets come as train, val and a test part whose labels are kept back."""
    for part in ("train", "val", "test"):
        save(tmp_path / part / "images" / "a.png", picture())
    for part in ("train", "val"):
        save(tmp_path / part / "masks" / "a.png", ids())
    layout = {"images": "{part}/images/{id}.png", "labels": "{part}/masks/{id}.png"}
    rule = {"train": {"part": ["train"]}, "val": {"part": ["val"]}}
    assert names(tmp_path, "train", split=rule, **layout) == ["train/images/a"]
    assert names(tmp_path, "val", split=rule, **layout) == ["val/images/a"]
    with pytest.raises(DataError, match=r"test/images/a.png: there is no mask"):
        names(tmp_path, "val", split={"val": {"part": ["val"]}}, **layout)  # train is the rest, test among it
    for part in ("train", "val"):
        coco(tmp_path, [], images=[{"id": 1, "file_name": "a.png"}], file=f"{part}/labels.json")
    layout["labels"] = "{part}/labels.json"
    drawn = {"label_map": {"road": 1}, "background": 0}
    assert names(tmp_path, "val", split=rule, **layout, **drawn) == ["val/images/a"]
