"""Splits by lists of scenes, as the lists of public sets come."""

from pathlib import Path

import pytest
from broken_sets import coco, sound
from dataset_fixtures import ids, names, pair, picture, save

from satsynth.runtime.errors import ConfigError, DataError


def test_split_by_list(tmp_path):
    for name in ("a", "b", "c"):
        pair(tmp_path, name)
    rule = {"train": "train.txt", "val": "val.txt"}
    (tmp_path / "train.txt").write_text("c\na\n\n")
    assert names(tmp_path, "train", split=rule) == ["a", "c"]
    with pytest.raises(DataError, match="list of scenes does not exist") as error:
        names(tmp_path, "val", split=rule)
    assert error.value.subject == str(tmp_path / "val.txt")
    (tmp_path / "val.txt").write_text("z.png\n")
    with pytest.raises(DataError, match=r"1 of its 1 names fit no scene, such as 'z.png'; a scene is 'a'"):
        names(tmp_path, "val", split=rule)
    (tmp_path / "val.txt").write_text("b\nc\n")
    with pytest.raises(DataError, match="1 scenes are in train too, such as c"):
        names(tmp_path, "val", split=rule)


def test_empty_split_list(tmp_path):
    pair(tmp_path)
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(DataError) as error:
        names(tmp_path, "val", split={"train": "train.txt", "val": "val.txt"})
    assert error.value.subject == "split.val" and "it is empty" in error.value.cause


@pytest.mark.parametrize("images", ["town", "town/{city}/{tile}.png", "town/*/*.png"])
def test_lists_are_read_as_they_come(tmp_path, images):
    """With folders from the root or from images, with stems only, with suffixes, blank lines, and what editors of Windows write."""
    for name in ("a/one", "a/two", "b/three", "b/four", "b/five"):
        save(tmp_path / f"town/{name}.png", picture())
        save(tmp_path / f"masks/{name}.png", ids())
    cfg = {"images": images, "labels": images.replace("town", "masks"), "split": {"train": "train.txt", "val": "val.txt"}}
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfone.tif\r\n\r\ntown/a/two.png\r\n  \r\n")
    (tmp_path / "val.txt").write_text("./b/three\nfour.JPG\n\nb/five.png\n")
    short = {part: [name.removeprefix("town/") for name in names(tmp_path, part, **cfg)] for part in ("train", "val")}
    assert short == {"train": ["a/one", "a/two"], "val": ["b/five", "b/four", "b/three"]}
    # One scene by two names is in both lists.
    (tmp_path / "val.txt").write_text("three\ntown/a/one\n")
    with pytest.raises(DataError, match=r"1 scenes are in train too, such as .*a/one"):
        names(tmp_path, "val", **cfg)


def test_a_line_that_fits_two_scenes_names_both(tmp_path):
    for name in ("a/one", "b/one", "one", "two"):
        pair(tmp_path, name)
    rule = {"train": "train.txt", "val": "val.txt"}
    (tmp_path / "train.txt").write_text("one\n")  # the whole name of a scene, so no other is meant
    (tmp_path / "val.txt").write_text("two\n")
    assert names(tmp_path, "train", split=rule) == ["one"]
    for part in ("images", "masks"):
        (tmp_path / part / "one.png").unlink()
    with pytest.raises(DataError, match=r"its line 'one' fits 2 scenes, such as a/one and b/one. Write as many folders"):
        names(tmp_path, "train", split=rule)


def test_only_what_lists_name_needs_a_mask(tmp_path, caplog):
    """As in VOC: of 17,000 images 2,900 have a mask, and the lists name those."""
    caplog.set_level("INFO")
    for name in ("a", "b", "c", "d"):
        pair(tmp_path, name)
    save(tmp_path / "images/e.png", picture())
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "val.txt").write_text("c\n")
    both = {"train": "train.txt", "val": "val.txt"}
    assert [names(tmp_path, part, split=both) for part in both] == [["a", "b"], ["c"]]
    assert "split: no list names 2 of the 5 images, such as d; they are left out." in caplog.text
    (tmp_path / "val.txt").write_text("c\ne.png\n")
    with pytest.raises(DataError, match=r"there is no mask e for it \(1 of 5 images have none") as error:
        names(tmp_path, "train", split=both)
    assert error.value.subject == str(tmp_path / "images/e.png")
    # Where train is the rest, the rest needs masks.
    (tmp_path / "val.txt").write_text("c\n")
    with pytest.raises(DataError, match="there is no mask e for it"):
        names(tmp_path, "val", split={"val": "val.txt"})


def test_without_a_list_train_is_the_rest(tmp_path):
    for name in ("a", "b", "c"):
        pair(tmp_path, name)
    (tmp_path / "val.txt").write_text("b\n")
    for rule in ({"val": "val.txt"}, {"val": "val.txt", "train": None}):
        assert [names(tmp_path, part, split=rule) for part in ("train", "val")] == [["a", "c"], ["b"]]
    with pytest.raises(DataError, match="this list of scenes does not exist") as error:
        names(tmp_path, "train", split={"val": "other.txt"})
    assert error.value.subject == str(tmp_path / "other.txt")
    (tmp_path / "val.txt").write_text("b\nd\n")  # what is misspelt there would be the rest
    with pytest.raises(DataError, match="1 of its 2 names fit no scene, such as 'd'"):
        names(tmp_path, "train", split={"val": "val.txt"})
    with pytest.raises(ConfigError, match="it is no list, but val is one"):
        names(tmp_path, "train", split={"val": "val.txt", "train": {"part": [1]}})


def test_images_without_annotations_may_stand_in_no_list(tmp_path):
    sound(tmp_path)
    cfg = coco(tmp_path) | {"split": {"train": "train.txt", "val": "val.txt"}}
    save(tmp_path / "images/z.png", picture())
    (tmp_path / "train.txt").write_text("a\nb\nc\n")
    (tmp_path / "val.txt").write_text("d.png\n")
    assert [names(tmp_path, part, **cfg) for part in ("train", "val")] == [["a", "b", "c"], ["d"]]
    (tmp_path / "val.txt").write_text("d\nz\n")
    with pytest.raises(DataError, match=r"labels.json does not list it"):
        names(tmp_path, "val", **cfg)


def test_a_list_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    for name in ("a", "b"):
        pair(tmp_path, name)
    (tmp_path / "val.txt").write_text("a")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)  # root may read everything
    with pytest.raises(DataError, match=r"val.txt: this list cannot be read \(Permission denied\)"):
        names(tmp_path, "val", split={"val": "val.txt"})
