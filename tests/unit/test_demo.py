"""The demo world: the same from the same seed, with every class, imbalanced, and not to be solved by colour."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from satsynth.datasets import demo, demo_objects, demo_world, tiling
from satsynth.pairs import Store
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

CFG = {"scenes": 12, "size": 256, "zoom": 1, "seed": 0}


@pytest.fixture(scope="module")
def world():
    pairs = [demo.scene(index, CFG) for index in range(CFG["scenes"])]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def small(folder, **changes):
    cfg = {"scenes": 2, "size": 128, "zoom": 1, "seed": 5, **changes}
    demo.generate(folder, cfg)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_layout_card_and_formats(tmp_path):
    found = small(tmp_path)
    names = [f"{kind}/scene_00{index}.png" for kind in ("images", "masks") for index in range(2)]
    assert sorted(found) == sorted([*names, "scenes.json"])
    card = files.read_json(tmp_path / "scenes.json")
    assert (card["scenes"], card["size"], card["seed"]) == (2, 128, 5)
    assert card["sha256"] == {name: hashlib.sha256(found[name]).hexdigest() for name in names}
    with Image.open(tmp_path / "images/scene_001.png") as image, Image.open(tmp_path / "masks/scene_001.png") as mask:
        assert (image.mode, image.size) == ("RGB", (128, 128))
        assert (mask.mode, mask.size) == ("L", (128, 128))


def test_it_walks_the_road_of_real_data(tmp_path):
    small(tmp_path / "raw", scenes=4)
    cfg = {"size": 64, "stride": 64, "remainder": "drop", "max_ignore": 0.0, "resize": None, "max_pixels": 10**6, "bands": [1, 2, 3]}
    cfg |= {"scale": None, "split": {"by": "scene", "val": 0.25, "seed": 0}}
    seen = []
    for split, count in (("train", 3), ("val", 1)):
        tiling.tile("demo", tmp_path / "raw", split, cfg, {64: tmp_path / split / "64", 32: tmp_path / split / "32"})
        store, reduced = Store.open(tmp_path / split / "64"), Store.open(tmp_path / split / "32")
        assert len(store) == len(reduced) == 4 * count
        assert store.classes == demo.label_space(cfg).count
        for row in store.index.itertuples():
            image, mask = demo.scene(int(row.scene[-3:]), {"size": 128, "zoom": 1, "seed": 5})
            window = slice(row.row, row.row + 64), slice(row.column, row.column + 64)
            assert np.array_equal(store.images[row.pair], image[window])
            assert np.array_equal(store.masks[row.pair], mask[window])
        seen += sorted(set(store.index["scene"]))
    assert sorted(seen) == [f"scene_00{index}" for index in range(4)]


def test_same_seed_same_bytes_and_another_seed_another_world(tmp_path):
    first = small(tmp_path / "a")
    assert small(tmp_path / "b") == first
    other = small(tmp_path / "c", seed=6)
    assert all(other[name] != first[name] for name in first)


def test_a_scene_does_not_depend_on_how_many_there_are(tmp_path):
    few, more = small(tmp_path / "few"), small(tmp_path / "more", scenes=3)
    assert len(more) == len(few) + 2
    assert all(more[name] == few[name] for name in few if name != "scenes.json")
    assert more["images/scene_002.png"] != more["images/scene_001.png"]


def test_every_class_occurs_and_nothing_else(world):
    masks = world[1]
    assert masks.dtype == np.uint8
    assert np.unique(masks).tolist() == list(range(demo.label_space(CFG).count))


def test_common_to_rare_and_imbalanced(world):
    shares = np.bincount(world[1].ravel(), minlength=7) / world[1].size
    assert shares.argmax() == 0
    assert shares.argmin() == 6
    assert shares[0] >= 100 * shares[6]
    assert shares[6] > 0.0005  # rare, but there


def iou(truth, guess, classes=7):
    matrix = np.bincount(truth.astype(int) * classes + guess, minlength=classes**2).reshape(classes, classes)
    return np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))


def test_colour_alone_neither_fails_nor_solves_it(world):
    images, masks = world
    pixels, labels = images[:6].reshape(-1, 3).astype(float), masks[:6].ravel()
    others, truth = images[6:].reshape(-1, 3).astype(float), masks[6:].ravel()
    scores, nearest = [], []
    for number in range(7):
        own = pixels[labels == number]
        middle, spread = own.mean(0), np.cov(own.T)
        gap = others - middle
        nearest.append((gap**2).sum(1))
        scores.append(np.log(len(own)) - 0.5 * (np.linalg.slogdet(spread)[1] + (gap @ np.linalg.inv(spread) * gap).sum(1)))
    constant = iou(truth, np.zeros(len(truth), int)).mean()
    for guess in (np.argmax(scores, 0), np.argmin(nearest, 0)):
        assert constant + 0.1 < iou(truth, guess).mean() < 0.6


def test_shadows_fall_one_way_and_leave_labels_alone():
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    canvas = demo_world.Canvas(
        np.zeros((64, 64, 3)), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.float32), y, x, np.array([1.0, 0.0])
    )
    canvas.height[28:36, 28:36] = 5
    dark = demo_objects.shadows(canvas, 0.9)
    assert dark[32, 24] > 0.9  # away from the sun, which stands to the right
    assert dark[32, 38] < 0.1
    assert dark[32, 32] < 0.1  # not on the roof itself
    assert dark[32, 18] < 0.1  # 5 px high: 5.6 px long
    assert not canvas.label.any()


def test_trees_reach_the_edge_of_a_scene(world):
    trees = world[1] == 1
    edge = np.mean([trees[:, 0].mean(), trees[:, -1].mean(), trees[:, :, 0].mean(), trees[:, :, -1].mean()])
    assert edge > 0.6 * trees.mean()


def test_mask_colours_can_be_told_apart():
    space = demo.label_space(CFG)
    assert len(set(space.colours)) == space.count == 7
    assert (0, 0, 0) not in space.colours  # black is "ignore"
    luminance = np.array(space.colours) @ (0.2126, 0.7152, 0.0722)
    assert luminance[0] - luminance[6] > 150


@pytest.mark.parametrize(("key", "value"), [("size", 64), ("scenes", 0)])
def test_unusable_config(tmp_path, key, value):
    with pytest.raises(ConfigError) as caught:
        demo.generate(tmp_path, {**CFG, key: value})
    assert caught.value.subject == key
    assert not list(tmp_path.iterdir())


def test_zoom_must_fit_the_size():
    for zoom in (3, 4):
        with pytest.raises(ConfigError, match="zoom"):
            demo.scene(0, {"size": 256, "zoom": zoom, "seed": 0})


def test_zoom_shows_the_same_world_from_closer():
    near, far = (demo.scene(3, {"size": size, "zoom": zoom, "seed": 0}) for size, zoom in ((256, 2), (128, 1)))
    means = near[0].reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(means - far[0]).mean() < 4
    assert (near[1][::2, ::2] == far[1]).mean() > 0.9 and set(np.unique(near[1])) <= set(np.unique(far[1]))
