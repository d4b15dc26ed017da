"""Evaluation of a segmenter: patches, scenes by a sliding window, no pixel counted twice, and the rows of panels."""

import json

import numpy as np
import pytest
import torch
from dataset_fixtures import CFG as TILING
from dataset_fixtures import save
from segmentation_fixtures import CLASSES, make_store, run, score, shapes
from torch.utils._python_dispatch import TorchDispatchMode

from satsynth.datasets.tiling import tile
from satsynth.metrics.confusion import confusion
from satsynth.pairs import IGNORE, Store, StoreWriter
from satsynth.randomness import numpy_stream
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError, WeightsError
from satsynth.segmentation.prediction import count, predict, predict_rows
from satsynth.segmentation.scenes import locate, predict_scenes, scenes_of
from satsynth.segmentation.segmenter import Segmenter, load

SIDE = 12  # of a patch, which no network's multiple divides
SIZES = {"007": (31, 45), "b": (SIDE, SIDE), "c": (12, 37)}
OVERLAPPING = {"stride": 7, "remainder": "shift"}
SHIFTED = {"stride": SIDE, "remainder": "shift"}
APART = {"stride": SIDE, "remainder": "pad"}


class PerPixel(torch.nn.Module):
    """Logits of a pixel are a function of its colour alone."""

    def __init__(self, classes=CLASSES):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, classes, 1)
        weights = np.random.default_rng(1).normal(0, 3, (classes, 4)).astype(np.float32)
        with torch.no_grad():
            self.mix.weight.copy_(torch.from_numpy(weights[:, :3, None, None]))
            self.mix.bias.copy_(torch.from_numpy(weights[:, 3]))
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        return self.mix(images)


class Positional(PerPixel):
    """Logits that depend on the place in the window too, as at the borders of any real network."""

    def forward(self, images):
        logits = super().forward(images)
        bias = np.random.default_rng(2).normal(0, 6, logits.shape[1:]).astype(np.float32)
        return logits + torch.from_numpy(bias)


def segmenter_of(network, multiple=1):
    return Segmenter(network, multiple, "float32").eval()


def make_scenes(root, sizes=None, classes=CLASSES):
    """Scenes on disk of the given (height, width), a tenth of them unlabelled; returns their arrays."""
    made = {}
    for name, shape in (sizes or SIZES).items():
        stream = numpy_stream(0, name)
        image = stream.integers(0, 256, (*shape, 3), dtype=np.uint8)
        mask = stream.integers(0, classes, shape, dtype=np.uint8)
        mask[stream.random(shape) < 0.1] = IGNORE
        save(root / "images" / f"{name}.png", image)
        save(root / "masks" / f"{name}.png", mask)
        made[name] = image, mask
    (root / "all.txt").write_text("\n".join(made))
    return made


def cut(root, size=SIDE, classes=CLASSES, **changes):
    """The store of patches of the scenes below `root`, reduced to `size`."""
    cfg = {**TILING, "split": {"train": "all.txt", "val": "none.txt"}, "class_count": classes, "size": SIDE, **changes}
    tile("folder", root, "train", cfg, {size: root / "store"})
    return Store.open(root / "store")


def whole(segmenter, image):
    with torch.inference_mode():
        return segmenter(torch.from_numpy(image)[None])[0].argmax(0).numpy()


def matrices(segmenter, store, mode="patches", overlap=0.5, batch=4):
    return count(segmenter, store, batch=batch, mode=mode, overlap=overlap)


def masks_of(segmenter, store, overlap, batch=4):
    """Name of the scene -> its predicted mask."""
    found = predict_scenes(segmenter, scenes_of(store, locate(store)), batch=batch, overlap=overlap)
    return {store.index["scene"][scene.rows[0]]: mask.numpy() for scene, mask in found}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("real") / "train")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, real):
    folder = tmp_path_factory.mktemp("trained")
    run(folder, [real], [])
    return folder


# Patches


def test_evaluation_counts_what_prediction_says(tmp_path, trained, real):
    with StoreWriter(tmp_path / "val", size=32, classes=CLASSES) as writer:
        for image, mask in shapes(5, 32, 9):
            mask[:4] = IGNORE
            writer.append(image, mask)
    values = score(trained, tmp_path / "val", batch=2)
    counts = np.load(trained / "confusion.npy")
    store = Store.open(tmp_path / "val")
    segmenter, _ = load(trained / "weights.safetensors", trained / "card.json", "cpu")
    masks = predict(segmenter, store.images, 3)
    assert masks.dtype == np.uint8 and masks.shape == (5, 32, 32)
    assert counts.dtype == np.int64 and counts.shape == (5, CLASSES, CLASSES)
    for number in range(5):
        np.testing.assert_array_equal(counts[number], confusion(store.masks[number], masks[number], CLASSES))
    assert values["pixels"] == 5 * 28 * 32 and values["images"] == 5 and values["classes"] == CLASSES
    assert values["mode"] == "patches" and values["overlap"] is None
    assert values["confusion_sha256"] == files.sha256(trained / "confusion.npy")
    assert values == json.loads((trained / "metrics.json").read_text())


def test_absent_classes_are_null(tmp_path, real):
    wide = make_store(tmp_path / "wide", classes=200)
    run(tmp_path, [wide], [], training={"steps": 2})
    values = score(tmp_path, wide)
    assert values["absent"] and values["iou"][values["absent"][0]] is None and values["f1_per_class"][values["absent"][0]] is None
    assert len(values["iou"]) == 200 and all(value is not None for value in values["iou"][:CLASSES])


def test_evaluation_refuses_what_does_not_belong_together(tmp_path, trained, real):
    with pytest.raises(ConfigError, match="'tiles' is no mode"):
        score(trained, real, mode="tiles")
    for overlap in (1.0, -0.1):
        with pytest.raises(ConfigError, match="cannot overlap by"):
            score(trained, real, mode="scenes", overlap=overlap)
    with pytest.raises(StoreError, match="where the pairs lie in scenes"):
        score(trained, real, mode="scenes", overlap=0.5)
    with pytest.raises(StoreError, match="no pixel is labelled"):
        score(trained, make_store(tmp_path / "blank", ignored=True))
    with pytest.raises(WeightsError, match="3 classes apart"):
        score(trained, make_store(tmp_path / "four", classes=4))
    facts = files.read_json(trained / "card.json")
    files.write_json(tmp_path / "card.json", {**facts, "weights_sha256": "0" * 64})
    with pytest.raises(WeightsError, match="not what its card says"):
        load(trained / "weights.safetensors", tmp_path / "card.json", "cpu")
    files.write_json(tmp_path / "card.json", {**facts, "segmenter": {"network": "fpn", "encoder": "resnet34"}})
    with pytest.raises(WeightsError, match=r"tensors do not fit: .*the network has .* more"):
        load(trained / "weights.safetensors", tmp_path / "card.json", "cpu")
    with pytest.raises(WeightsError, match="no such file"):
        load(tmp_path / "none", trained / "card.json", "cpu")
    with pytest.raises(WeightsError, match=r"their card .* cannot be read"):
        load(trained / "weights.safetensors", tmp_path / "none.json", "cpu")
    (tmp_path / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes()[:1000])
    files.write_json(tmp_path / "card.json", {**facts, "weights_sha256": files.sha256(tmp_path / "weights.safetensors")})
    with pytest.raises(WeightsError, match="cannot be read"):
        load(tmp_path / "weights.safetensors", tmp_path / "card.json", "cpu")


# Sliding windows


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("grid", [SHIFTED, OVERLAPPING])
def test_windows_of_a_per_pixel_network_give_the_mask_of_the_whole_scene(tmp_path, overlap, grid):
    scenes = make_scenes(tmp_path)
    segmenter = segmenter_of(PerPixel())
    found = masks_of(segmenter, cut(tmp_path, **grid), overlap)
    assert list(found) == ["007", "b", "c"]
    for name, (image, _) in scenes.items():
        assert found[name].dtype == np.uint8
        np.testing.assert_array_equal(found[name], whole(segmenter, image))


@pytest.mark.parametrize("batch", [5, 64])
@pytest.mark.parametrize("stride", [2, 9, 12])
def test_class_probabilities_are_averaged_where_windows_overlap(tmp_path, stride, batch):
    scenes = make_scenes(tmp_path)
    segmenter = segmenter_of(Positional())
    found = masks_of(segmenter, cut(tmp_path, **SHIFTED), 1 - stride / SIDE, batch)
    differs = False
    for name, (image, _) in scenes.items():
        height, width = image.shape[:2]
        chances, logits, times = torch.zeros(CLASSES, height, width), torch.zeros(CLASSES, height, width), torch.zeros(height, width)
        for top in sorted({*range(0, height - SIDE, stride), height - SIDE}):
            for left in sorted({*range(0, width - SIDE, stride), width - SIDE}):
                place = (slice(top, top + SIDE), slice(left, left + SIDE))
                with torch.inference_mode():
                    answer = segmenter(torch.from_numpy(image[place])[None])[0]
                chances[:, *place] += answer.softmax(0)
                logits[:, *place] += answer
                times[place] += 1
        np.testing.assert_array_equal(found[name], (chances / times).argmax(0).numpy())
        differs |= not np.array_equal(found[name], (logits / times).argmax(0).numpy())
    assert differs  # so a mean of logits would have been noticed; the last windows overlap under any stride


def test_batches_cross_rows_of_windows_and_scenes(tmp_path):
    make_scenes(tmp_path)
    network = PerPixel()
    masks_of(segmenter_of(network), cut(tmp_path, **APART), 0.0, batch=8)
    assert network.batches == [8, 8, 1]  # 3 x 4 windows, 1 and 4


def test_the_network_may_want_another_multiple(tmp_path):
    scenes = make_scenes(tmp_path)
    found = masks_of(segmenter_of(PerPixel(), multiple=32), cut(tmp_path, **SHIFTED), 0.5)
    np.testing.assert_array_equal(found["007"], whole(segmenter_of(PerPixel()), scenes["007"][0]))


def test_no_more_probabilities_are_held_than_a_row_of_windows_has(tmp_path):
    make_scenes(tmp_path, {"tall": (40 * SIDE, 20)})
    store = cut(tmp_path, **SHIFTED)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if torch.is_tensor(result) and result.is_floating_point():
                largest = max(largest, result.numel())
            return result

    with Watch():
        list(predict_scenes(segmenter_of(PerPixel()), scenes_of(store, locate(store)), batch=2, overlap=0.5))
    assert largest == 2 * CLASSES * SIDE * SIDE  # a batch's logits; a band has 20 columns, the whole scene 40 times its rows


# Scenes out of patches


def test_missing_patches_are_black_ignored_and_not_predicted(tmp_path):
    scenes = make_scenes(tmp_path, {"a": (SIDE, 5 * SIDE)})
    image, mask = scenes["a"]
    mask[:, : 3 * SIDE], image[:, 3 * SIDE + 1 :] = IGNORE, 7
    save(tmp_path / "masks" / "a.png", mask)
    save(tmp_path / "images" / "a.png", image)
    store = cut(tmp_path, **APART, max_ignore=0.9)
    (scene,) = scenes_of(store, locate(store))
    assert (len(store), scene.height, scene.width) == (2, SIDE, 5 * SIDE)
    assert scene.read(0, 0) is None and scene.read(0, 2 * SIDE) is None
    np.testing.assert_array_equal(scene.read(0, 2 * SIDE + 5)[:, SIDE - 5 :], image[:, 3 * SIDE : 3 * SIDE + 5])
    assert not scene.read(0, 2 * SIDE + 5)[:, : SIDE - 5].any()
    network = PerPixel()
    counts = matrices(segmenter_of(network), store, "scenes", 0.0)
    assert network.batches == [2] and counts.sum() == np.count_nonzero(mask != IGNORE)


def test_a_reduced_store_is_laid_out_in_its_own_pixels(tmp_path):
    make_scenes(tmp_path, {"a": (31, 45)})
    store = cut(tmp_path, size=4, stride=9, remainder="shift")
    places = locate(store)
    assert sorted(set(places[:, 1])) == [0, 3, 6] and sorted(set(places[:, 2])) == [0, 3, 6, 9, 11]  # rows 0 9 18 19, columns to 33
    (scene,) = scenes_of(store, places)
    assert (scene.height, scene.width) == (10, 15)
    np.testing.assert_array_equal(scene.read(0, 0), store.images[0])
    np.testing.assert_array_equal(scene.read(0, 2)[:, 2:], store.images[1][:, 1:3])
    np.testing.assert_array_equal(scene.read(6, 0), store.images[10])  # row 18; row 19 is set at the same pixel, but comes later
    one, other = (matrices(segmenter_of(PerPixel()), store, mode) for mode in ("patches", "scenes"))
    np.testing.assert_array_equal(one, other)


# No pixel twice


@pytest.mark.parametrize("mode", ["patches", "scenes"])
@pytest.mark.parametrize("grid", [SHIFTED, OVERLAPPING, APART])
def test_every_labelled_pixel_of_a_scene_counts_once(tmp_path, grid, mode):
    scenes = make_scenes(tmp_path)
    segmenter = segmenter_of(PerPixel())
    counts = matrices(segmenter, cut(tmp_path, **grid), mode)
    assert counts.sum() == sum(np.count_nonzero(mask != IGNORE) for _, mask in scenes.values())
    wanted = sum(confusion(mask, whole(segmenter, image), CLASSES) for image, mask in scenes.values())
    np.testing.assert_array_equal(counts.sum(0), wanted)


def test_a_pixel_belongs_to_the_first_patch_that_covers_it(tmp_path):
    rows = [("x", 0, 4), ("x", 4, 0), ("y", 0, 0), ("x", 0, 4), ("x", 2, 2)]
    with StoreWriter(tmp_path, size=8, classes=CLASSES, facts={"patch": 8}) as writer:
        for (image, mask), (scene, row, column) in zip(shapes(5, 8, 0), rows):
            writer.append(image, mask, scene=scene, row=row, column=column)
    patches, scenes = (matrices(segmenter_of(PerPixel()), Store.open(tmp_path), mode) for mode in ("patches", "scenes"))
    np.testing.assert_array_equal(patches, scenes)  # the patches differ where they overlap, so the first one is read too
    # The second patch loses 4 x 4 to the first, the fourth is the first again, and of the fifth 36 + 36 - 16 pixels are covered.
    assert patches.sum((1, 2)).tolist() == [64, 48, 64, 0, 8]


def test_patches_may_lie_anywhere_in_any_order(tmp_path):
    stream = np.random.default_rng(3)
    rows = [(("nan", "1", "01")[scene], row, column) for scene, row, column in stream.integers(0, (3, 30, 30), (60, 3)).tolist()]
    seen, wanted = {}, []
    with StoreWriter(tmp_path, size=8, classes=CLASSES, facts={"patch": 8}) as writer:
        for (image, mask), (scene, row, column) in zip(shapes(60, 8, 0), rows):
            writer.append(image, mask, scene=scene, row=row, column=column)
            covered = seen.setdefault(scene, np.zeros((40, 40), bool))[row : row + 8, column : column + 8]
            wanted.append(confusion(np.where(covered, IGNORE, mask), whole(segmenter_of(PerPixel()), image), CLASSES))
            covered[:] = True
    for mode in ("patches", "scenes"):
        np.testing.assert_array_equal(matrices(segmenter_of(PerPixel()), Store.open(tmp_path), mode), wanted)


def test_patches_and_windows_agree_where_neither_overlap(tmp_path):
    make_scenes(tmp_path)
    store = cut(tmp_path, **APART)
    segmenter = segmenter_of(Positional())
    one, other = (matrices(segmenter, store, mode, 0.0, batch) for mode, batch in (("patches", 3), ("scenes", 8)))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, matrices(segmenter, store, "scenes", 0.5))


@pytest.mark.parametrize("mode", ["patches", "scenes"])
@pytest.mark.parametrize("classes", [2, 255])
def test_fewest_and_most_classes(tmp_path, classes, mode):
    scenes = make_scenes(tmp_path, {"a": (20, 20)}, classes)
    image, mask = scenes["a"]
    segmenter = segmenter_of(PerPixel(classes))
    counts = matrices(segmenter, cut(tmp_path, classes=classes, **SHIFTED), mode)
    np.testing.assert_array_equal(counts.sum(0), confusion(mask, whole(segmenter, image), classes))


def test_scenes_are_scored_from_files_to_files(tmp_path, trained):
    made = make_scenes(tmp_path)
    store = cut(tmp_path, **OVERLAPPING)
    values = score(trained, store.folder, mode="scenes", overlap=0.25)
    assert (values["mode"], values["overlap"], values["images"]) == ("scenes", 0.25, len(store))
    assert values["pixels"] == sum(np.count_nonzero(mask != IGNORE) for _, mask in made.values())
    segmenter, _ = load(trained / "weights.safetensors", trained / "card.json", "cpu")
    np.testing.assert_array_equal(np.load(trained / "confusion.npy"), matrices(segmenter, store, "scenes", 0.25))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["patches", "scenes"])
def test_counts_are_the_same_on_a_device(tmp_path, mode):
    make_scenes(tmp_path)
    store = cut(tmp_path, **OVERLAPPING)
    wanted = matrices(segmenter_of(PerPixel()), store, mode)
    np.testing.assert_array_equal(matrices(segmenter_of(PerPixel()).cuda(), store, mode), wanted)


# Panels


def panels(folder, trained, store, **changes):
    options = {"masks": folder / "masks.npy", "rows_card": folder / "rows.json", "count": 3, "seed": 5, "device": "cpu", "batch": 2}
    card = predict_rows(trained / "weights.safetensors", trained / "card.json", store, **{**options, **changes})
    assert card == files.read_json(folder / "rows.json")
    return card, np.load(folder / "masks.npy")


def test_panels_show_the_rows_that_a_seed_draws(tmp_path, trained, real):
    card, masks = panels(tmp_path, trained, real)
    store = Store.open(real)
    assert card["rows"] == numpy_stream(5, "panels").permutation(6)[:3].tolist()
    assert card["store_sha256"] == files.sha256(real / "card.json")
    assert card["weights_sha256"] == files.sha256(trained / "weights.safetensors")
    assert card["masks_sha256"] == files.sha256(tmp_path / "masks.npy")
    segmenter, _ = load(trained / "weights.safetensors", trained / "card.json", "cpu")
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, predict(segmenter, store.images, 4)[card["rows"]])
    assert panels(tmp_path, trained, real, seed=6)[0]["rows"] != card["rows"]


def test_panels_show_what_there_is(tmp_path, trained, real):
    card, masks = panels(tmp_path, trained, real, count=100)
    assert sorted(card["rows"]) == list(range(6)) and masks.shape == (6, 32, 32)
    with pytest.raises(ConfigError, match="0 pairs cannot be drawn"):
        panels(tmp_path, trained, real, count=0)
    with pytest.raises(WeightsError, match="3 classes apart"):
        panels(tmp_path, trained, make_store(tmp_path / "four", classes=4))
