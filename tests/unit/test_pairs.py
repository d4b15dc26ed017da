import errno

import numpy as np
import pytest

from satsynth.pairs import LabelSpace, Store, StoreWriter, open_view
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, DiskError, StoreError


def write(folder, count=5, size=8, classes=4, start=0):
    with StoreWriter(folder, size=size, classes=classes, facts={"split": "train"}) as writer:
        for number in range(start, start + count):
            mask = np.full((size, size), number % classes, np.uint8)
            mask[0, 0] = 255
            writer.append(np.full((size, size, 3), number, np.uint8), mask, scene=f"00{number}", row=number)
    return folder


def test_a_store_comes_back_as_it_was_written(tmp_path):
    store = Store.open(write(tmp_path / "a"), verify=True)
    assert len(store) == 5 and store.size == 8 and store.classes == 4
    assert store.images[3].min() == store.images[3].max() == 3
    assert store.index["scene"].tolist() == ["000", "001", "002", "003", "004"]
    assert store.card["class_pixels"] == [126, 63, 63, 63] and store.card["class_pairs"] == [2, 1, 1, 1]
    assert store.card["ignore_pixels"] == 5 and store.card["split"] == "train"


def test_equal_content_gives_equal_files(tmp_path):
    one, two = write(tmp_path / "a"), write(tmp_path / "b")
    for name in ("images.npy", "masks.npy", "index.csv", "card.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.csv", "card.json"])
def test_a_store_without_one_of_its_files_is_none(tmp_path, name):
    folder = write(tmp_path / "a")
    (folder / name).unlink()
    with pytest.raises(StoreError, match=name):
        Store.open(folder)


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.csv", "card.json"])
def test_a_half_written_file_is_noticed(tmp_path, name):
    folder = write(tmp_path / "a")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError):
        Store.open(folder)


def test_changed_pixels_are_noticed_when_asked(tmp_path):
    folder = write(tmp_path / "a")
    with open(folder / "images.npy", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    Store.open(folder)
    with pytest.raises(StoreError, match=r"images\.npy"):
        Store.open(folder, verify=True)


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(StoreError, match="holds 9"), StoreWriter(tmp_path / "a", size=4, classes=4) as writer:
        writer.append(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 9, np.uint8))
    assert list((tmp_path / "a").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sha256", full)
    with pytest.raises(DiskError, match="disk is full"):
        write(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_view_joins_stores_without_copying_them(tmp_path):
    view = open_view([write(tmp_path / "a"), write(tmp_path / "b", count=3, start=5)])
    images, masks = view.gather([7, 0, 5])
    assert len(view) == 8 and images[:, 1, 1, 0].tolist() == [7, 0, 5] and masks[:, 1, 1].tolist() == [3, 0, 1]
    with pytest.raises(IndexError):
        view.gather([8])


def test_stores_of_other_shapes_do_not_join(tmp_path):
    with pytest.raises(StoreError, match="16 px"):
        open_view([write(tmp_path / "a"), write(tmp_path / "b", size=16)])


def test_label_spaces_paint_and_refuse():
    space = LabelSpace(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert LabelSpace.from_json(space.to_json()) == space
    assert space.paint(np.array([[0, 1]], np.uint8)).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    painted = space.paint(np.array([[[0, 255, 255], [255, 1, 255]]] * 2, np.uint8))
    light, dark = ([shade] * 3 for shade in (225, 95))  # lines of two pixels in six, in the pixels of ignore alone
    assert painted.tolist() == [[[[1, 2, 3], dark, light], [dark, [4, 5, 6], light]]] * 2
    with pytest.raises(ConfigError, match="twice"):
        LabelSpace(("a", "a"), ((0, 0, 0), (1, 1, 1)))
    with pytest.raises(ConfigError, match="classes"):
        LabelSpace(("a",), ((0, 0, 0),))
