"""Labels that are drawn from a COCO file, on the grid of the image, strip by strip, and splits by block of space."""

import unicodedata

import numpy as np
import pytest
from annotation_fixtures import COCO, box, coco, drawn, images
from dataset_fixtures import CFG, ids, only, pair, picture, save

from satsynth.datasets import folder, tiling
from satsynth.datasets.splits import cut
from satsynth.pairs import IGNORE
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import DataError


def run_lengths(mask):
    flat = mask.T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    lengths, position = [], 0
    for edge in edges:
        lengths.append(int(edge - position))
        position = edge
    return [*lengths, int(flat.size - position)]


def compressed(lengths):
    """The text of COCO's `rleToString`."""
    text = ""
    for number, length in enumerate(lengths):
        value, more = length - (lengths[number - 2] if number > 2 else 0), True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 * more))
    return text


def test_smaller_polygons_lie_on_larger_ones_and_later_ones_on_equals(tmp_path):
    images(tmp_path, "a", "zz")
    forms = [(1, box(4, 4, 8, 8)), (0, box(2, 2, 14, 12)), (2, box(10, 3, 12, 5)), (1, box(16, 2, 18, 4)), (0, box(16, 2, 18, 4))]
    coco(tmp_path, [{"id": i, "image_id": 1, "category_id": c, "segmentation": [ring]} for i, (c, ring) in enumerate(forms)])
    expected = np.zeros((20, 24), np.uint8)
    expected[2:12, 2:14] = 1
    expected[4:8, 4:8] = 2
    expected[3:5, 10:12] = IGNORE
    expected[2:4, 16:18] = 1
    np.testing.assert_array_equal(drawn(tmp_path), expected)
    assert (drawn(tmp_path, name="zz") == 0).all()  # listed, but without an annotation
    assert (drawn(tmp_path, {**COCO, "background": None})[expected == 0] == IGNORE).all()


def test_overlapping_parts_of_an_annotation_are_one_area(tmp_path):
    images(tmp_path, "a", "zz")
    coco(tmp_path, [{"image_id": 1, "category_id": 0, "segmentation": [box(2, 2, 10, 10), box(6, 6, 14, 14)]}])
    mask = drawn(tmp_path)
    assert (mask[6:10, 6:10] == 1).all() and mask.sum() == 64 + 64 - 16


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_give_the_mask_that_they_were_made_of(tmp_path, compress, seed):
    images(tmp_path, "a", "zz")
    mask = numpy_stream(seed, "runs").random((20, 24)) < (0.5, 0.02, 0.98, 1.1)[seed]
    lengths = run_lengths(mask)
    runs = {"size": [20, 24], "counts": compressed(lengths) if compress else lengths}
    coco(tmp_path, [{"image_id": 1, "category_id": 1, "segmentation": runs, "iscrowd": 1}])
    np.testing.assert_array_equal(drawn(tmp_path), 2 * mask)


def test_the_known_text_of_run_lengths():
    from satsynth.datasets.coco import _uncompressed

    assert _uncompressed("0") == [0] and _uncompressed(compressed([6, 1, 40, 4, 5, 4, 5, 4, 21])) == [6, 1, 40, 4, 5, 4, 5, 4, 21]
    assert _uncompressed("61X13mN000`0") == [6, 1, 40, 4, 5, 4, 5, 4, 21]  # as the COCO API writes it


def test_strips_of_any_height_give_the_same_labels(tmp_path):
    images(tmp_path, "a", "zz")
    rng = numpy_stream(0, "polygons")
    rings = [(rng.random((rng.integers(3, 9), 2)) * (26, 22) - 1).ravel().tolist() for _ in range(30)]
    coco(tmp_path, [{"image_id": 1, "category_id": i % 3, "segmentation": [ring]} for i, ring in enumerate(rings)])
    whole = drawn(tmp_path)
    assert len(np.unique(whole)) == 4
    scene = next(scene for split in ("train", "val") for scene in folder.scenes(tmp_path, split, COCO) if scene.name == "a")
    for step in (1, 3, 7):
        with tiling.open_scene(scene, folder.labels(COCO), COCO) as (height, _, _, rows):
            strips = [rows(top, min(top + step, height)) for top in range(0, height, step)]
        np.testing.assert_array_equal(np.concatenate(strips), whole)


def test_entries_are_found_by_the_end_of_their_path(tmp_path):
    images(tmp_path, "north/1", "south/1", "2")
    names = [{"id": 5, "file_name": "north\\1.png"}, {"id": 6, "file_name": "south/1.png"}, {"id": 7, "file_name": "elsewhere/2.png"}]
    coco(tmp_path, [{"image_id": n, "category_id": n % 2, "segmentation": [box(0, 0, 24, 20)]} for n in (5, 6)], names)
    assert [int(drawn(tmp_path, name=name).mean()) for name in ("north/1", "south/1", "2")] == [2, 1, 0]


def test_a_letter_with_an_accent_may_be_written_in_two_ways(tmp_path):
    """As one character in the file and as two on a disk of macOS, or the other way round."""
    for number, (listed, stored) in enumerate([("NFC", "NFD"), ("NFD", "NFC")]):
        root = tmp_path / str(number)
        images(root, *(unicodedata.normalize(stored, f"K\u00f6ln/\u00e9_{place}") for place in range(2)), "zz")
        names = [{"id": place, "file_name": unicodedata.normalize(listed, f"K\u00f6ln/\u00e9_{place}.png")} for place in range(2)]
        coco(root, [{"image_id": 1, "category_id": 0, "segmentation": [box(0, 0, 24, 20)]}], [*names, {"id": 9, "file_name": "zz.png"}])
        assert (drawn(root, name=unicodedata.normalize("NFC", "K\u00f6ln/\u00e9_1")) == 1).all()


SOUND = {"image_id": 1, "category_id": 0, "segmentation": [box(0, 0, 4, 4)]}
BROKEN = {
    "annotation 3 is on image_id 9, which it does not list": SOUND | {"id": 3, "image_id": 9},
    "annotation 3 is of category_id 9, which it does not list": SOUND | {"id": 3, "category_id": 9},
    "annotation 3 on 'a.png' cannot be drawn: it has no segmentation, only a box": SOUND
    | {"id": 3, "segmentation": [], "bbox": [0, 0, 1, 1]},
    "a polygon is no list of x, y": SOUND | {"segmentation": [[0, 0, 1, 1, 2]]},
    "no list of x, y, x, y, ... in pixels": SOUND | {"segmentation": [[0, 0, 1, 1, 1e300, 2]]},
    "no polygon of it has three points": SOUND | {"segmentation": [[0, 0, 1, 1]]},
    "neither a list of polygons nor run lengths": SOUND | {"segmentation": "all"},
    r"of size \[24, 20\], not \[20, 24\]": SOUND | {"segmentation": {"size": [24, 20], "counts": [480]}},
    "do not add up to 20 x 24": SOUND | {"segmentation": {"size": [20, 24], "counts": [479]}},
    "do not add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [480, None]}},
    "add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [2**63 - 1, 2**63 - 1, 482]}},  # 480 by overflow
    "not add up to 20 x 24 pixels": SOUND | {"segmentation": {"size": [20, 24], "counts": [2**70]}},
    "characters that none has": SOUND | {"segmentation": {"size": [20, 24], "counts": "\x01"}},
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_annotation_is_named(tmp_path, message):
    images(tmp_path, "a", "zz")
    coco(tmp_path, [BROKEN[message]])
    with pytest.raises(DataError, match=message):
        drawn(tmp_path)


def test_a_file_a_part_lists_the_images_of_that_part(tmp_path):
    """As exports leave them: train/_annotations.coco.json beside train/*.png, valid alike, with the same ids and names."""
    for number, part in enumerate(("train", "valid")):
        save(tmp_path / part / "a.png", picture(seed=number))
        ring = {"id": 1, "image_id": 1, "category_id": number, "segmentation": [box(2, 2, 10, 10)]}
        coco(tmp_path, [ring], images=[{"id": 1, "file_name": "a.png"}], file=f"{part}/_annotations.coco.json")
    cfg = {**COCO, "images": "{part}/{name}.png", "labels": "{part}/_annotations.coco.json", "split": {"val": {"part": ["valid"]}}}
    train, val = (folder.scenes(tmp_path, split, cfg) for split in ("train", "val"))
    assert [scene.name for scene in train] == ["train/a"] and [scene.name for scene in val] == ["valid/a"]
    assert drawn(tmp_path, cfg, "train/a")[5, 5] == 1 and drawn(tmp_path, cfg, "valid/a")[5, 5] == 2
    starred = {**cfg, "images": "*/*.png", "labels": "*/_annotations.coco.json", "split": CFG["split"]}
    assert drawn(tmp_path, starred, "valid/a")[5, 5] == 2


def test_an_image_that_no_entry_names_is_told_with_its_file(tmp_path):
    images(tmp_path, "a", "zz", "new")
    coco(tmp_path, [])
    with pytest.raises(DataError, match=r"new.png: .*annotations.json does not list it; so it is with 1 of the 3 images"):
        drawn(tmp_path)


# Blocks of space.


def test_blocks_cover_a_scene_once_and_are_never_slivers():
    found = cut(folder.Scene("a", None, None), 2500, 1000, 1024)
    assert [(block.top, block.height, block.left, block.width) for block in found] == [(0, 1024, 0, 1000), (1024, 1476, 0, 1000)]
    assert [block.name for block in found] == ["a@0-0", "a@1024-0"]


@pytest.mark.parametrize("remainder", ["shift", "pad", "drop"])
def test_no_patch_crosses_a_block_of_the_other_split(tmp_path, remainder):
    pair(tmp_path, "a", picture(150, 170), ids(3, 150, 170))
    cfg = {**CFG, "split": {"by": "block", "block": 40, "val": 0.3, "seed": 0}, "remainder": remainder, "stride": 12}
    seen = {split: np.zeros((150, 170), bool) for split in ("train", "val")}
    with tiling.open_scene(folder.scenes(tmp_path, "train", cfg)[0], folder.labels(cfg), cfg) as (_, _, image, mask):
        truth = image(0, 150), mask(0, 150)
    for split, touched in seen.items():
        for scene in folder.scenes(tmp_path, split, cfg):
            assert scene.name == "a"
            for name, row, column, part, labels in tiling.patches(scene, folder.labels(cfg), cfg):
                top, left = (int(number) for number in name.removeprefix("a@").split("-"))
                inside = labels != IGNORE
                high, wide = inside.any(1).sum(), inside.any(0).sum()
                place = np.s_[top + row : top + row + high, left + column : left + column + wide]
                np.testing.assert_array_equal(part[:high, :wide], truth[0][place])
                np.testing.assert_array_equal(labels[:high, :wide], truth[1][place])
                assert not part[high:].any() and not part[:, wide:].any()
                touched[place] = True
    assert not (seen["train"] & seen["val"]).any()
    assert (seen["train"] | seen["val"]).all() or remainder == "drop"
    assert 0.15 < seen["val"].mean() < 0.45


def test_blocks_are_scenes_of_their_own_in_a_store(tmp_path):
    pair(tmp_path, "a", picture(128, 128), ids(3, 128, 128))
    cfg = {**CFG, "split": {"by": "block", "block": 32, "val": 0.25, "seed": 0}}
    tiling.tile("folder", tmp_path, "train", cfg, {16: tmp_path / "out"})
    from satsynth.pairs import Store

    store = Store.open(tmp_path / "out")
    assert store.card["scenes"] == store.index["scene"].nunique() == 12 and len(store) == 48
    assert set(store.index["row"]) == {0, 16}


def test_masks_still_work_beside_blocks(tmp_path):
    pair(tmp_path)
    image, mask = only(tmp_path)
    assert image.shape == (20, 24, 3) and mask.shape == (20, 24)
