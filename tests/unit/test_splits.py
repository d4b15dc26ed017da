"""How val was chosen, in words: every form of the key `split`, and what a patch is."""

import pytest
from presets import preset

from satsynth.plan import slices
from satsynth.plan.config import resolve
from satsynth.reporting.facts import words
from satsynth.reporting.splits import chosen, difference, some

DRAWN = {"by": "scene", "seed": 0, "val": 0.2}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (DRAWN, "20 % of the scenes, drawn by seed 0"),
        (DRAWN | {"by": "tile", "seed": 7}, "20 % of the values of {tile} in the names of files, with all scenes of each, drawn by seed 7"),
        (DRAWN | {"by": "block", "block": 1024, "val": 0.125}, "12.5 % of the square blocks of 1 024 px that every scene was cut into"),
        (DRAWN | {"val": {"part": ["008", "009"]}}, "the scenes where {part} is 008 or 009; all others are train"),
        (
            DRAWN | {"val": {"tile": [2, 5], "part": [1]}, "train": {"tile": [3]}},
            "the scenes where {tile} is 2 or 5 and {part} is 1, train the scenes where {tile} is 3; the rest is left out",
        ),
        (DRAWN | {"val": "v.txt", "train": "t.txt"}, "what the list v.txt names, train what t.txt names"),
        (DRAWN | {"val": "v.txt"}, "what the list v.txt names; all others are train"),
        ({"format": "isaid"}, "what the format isaid calls so"),
    ],
)
def test_every_way_to_divide_has_its_words(rule, said):
    text = chosen("town", rule, 5, ["a", "b", "c"]).replace("\u00a0", " ").replace("\u202f", " ")
    assert text.startswith(f"Val of town is {said}") and text.endswith(" (5 scenes, such as a, b and c).")


def test_scenes_that_are_named_lie_apart():
    scenes = [f"tile {tile}, part {part}" for tile in (2, 5) for part in range(9)]
    assert some(scenes) == [
        "tile 2, part 0",
        "tile 2, part 8",
        "tile 5, part 8",
    ]
    assert some(["a", "b"]) == ["a", "b"] and some(["a"]) == ["a"] and some(list("abc")) == list("abc")


def test_one_scene_is_named_alone():
    assert chosen("town", DRAWN, 1, ["only"]).endswith("(1 scene: only).")


def test_the_class_that_differs_most_is_told():
    text = difference(["sand", "road", "tree"], [60, 30, 10], [20, 45, 35]).replace("\u00a0", " ")
    assert text.startswith("Of val's labelled pixels 20.0 % are sand, of train's 60.0 %")
    assert difference(["sand"], [0], [5]) == difference(["sand"], [5], [0]) == ""


def data(**other):
    entry = {"name": "town", "size": "64", "train": 9, "val": 3, "classes": 2, "scenes": 2, "some": ["a", "b"], **other}
    facts = {"datasets": [entry], "generators": [], "training_sets": [], "segmenters": [], "splits": {"town": DRAWN}}
    return words(facts)[0]


def test_what_a_patch_is_of_its_scene():
    assert "Patches of 64 px are windows of 256 px, reduced." in data(patch=256, stride=256)
    assert "Patches of 64 px are windows of 64 px." in data(patch=64, stride=64)
    assert "windows of 256 px, one every 128 px, reduced." in data(patch=256, stride=128)
    assert "windows" not in data() and "Val of town is 20" in data()


def test_the_page_is_told_the_split_of_formats_that_read_it_and_no_place():
    datasets = {
        "town": {"images": "i", "labels": "m", "classes": ["a", "b"], "root": "/secret", "split": {"by": "block", "block": 64}},
        "other": {"format": "isaid", "root": "/secret"},
    }
    cfg = slices.page(resolve({"preset": "tiny", "dataset": "town", "datasets": datasets, "run": []}, preset("tiny")))
    assert cfg["splits"]["town"] == {"block": 64, "by": "block", "seed": 0, "val": cfg["splits"]["town"]["val"]}
    assert cfg["splits"]["other"] == {"format": "isaid"}
    assert list(cfg) == sorted(cfg) and list(cfg["splits"]["town"]) == sorted(cfg["splits"]["town"]) and "secret" not in str(cfg)
