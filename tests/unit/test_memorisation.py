"""Copies of training patches are found, also turned and noisy; held-out patches are not taken for copies; the number that says so."""

import numpy as np
import pandas as pd
import pytest
from segmentation_fixtures import CLASSES, make_store, run, write_features

from satsynth.metrics.memorisation import calibrated, chance
from satsynth.pairs import StoreWriter
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, MeasureError, StoreError, WeightsError
from satsynth.segmentation.memorisation import find

SIZE, TRAIN, HELD, COPIES = 32, 120, 160, 20
MEASURES = ("feature", "pixel")
KINDS = ("exact", "turned", "noisy")


def textures(count, seed):
    """Images (count,SIZE,SIZE,3) uint8: smooth random fields of a random scale and colour, with some noise."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for image in images:
        cells = int(rng.integers(3, 9))
        coarse = rng.normal(0, 45, (cells, cells, 3)).repeat(-(-SIZE // cells), 0).repeat(-(-SIZE // cells), 1)[:SIZE, :SIZE]
        image[:] = (rng.uniform(60, 190, 3) + coarse + rng.normal(0, 6, (SIZE, SIZE, 3))).clip(0, 255)
    return images


def write(folder, images):
    with StoreWriter(folder, size=images.shape[1], classes=CLASSES) as writer:
        for image in images:
            writer.append(np.ascontiguousarray(image), np.zeros(image.shape[:2], np.uint8))
    return folder


def turned(image, number):
    """The definition of the `turn` column, by numpy: transposed, then mirrored left-right, then top-bottom."""
    image = image.transpose(1, 0, 2) if number & 1 else image
    image = image[:, ::-1] if number & 2 else image
    return image[::-1] if number & 4 else image


def copies(images, kind):
    rng = np.random.default_rng(9)
    if kind == "turned":
        return np.stack([turned(image, 1 + number % 7) for number, image in enumerate(images)])
    if kind == "noisy":
        return (images + rng.normal(0, 2, images.shape)).round().clip(0, 255).astype(np.uint8)
    return images


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A training store with its features, an evaluator that hardly was trained, and the neighbours of three kinds of copies and of held-out
    patches."""
    folder = tmp_path_factory.mktemp("memorisation")
    made = {"folder": folder, **described(folder, write(folder / "train", textures(TRAIN, 0)))}
    planted = textures(TRAIN, 0)[5 : 5 + COPIES]
    for kind in KINDS:
        fresh = textures(10, 77)  # what is no copy stands among the copies
        made[kind] = search(made, folder, write(folder / f"{kind}-store", np.concatenate([copies(planted, kind), fresh])))
    for name, seed in (("held", 1), ("other", 2)):
        made[name] = search(made, folder, write(folder / f"{name}-store", textures(HELD, seed)))
    return made


def described(folder, train, synthetic=()):
    """A training store, an evaluator that hardly was trained on it, and its features."""
    run(folder / "evaluator", [train], list(synthetic), network="unet", training={"steps": 1})
    evaluator = folder / "evaluator" / "weights.safetensors", folder / "evaluator" / "card.json"
    write_features(folder / "features", *evaluator, train)
    return {"train": train, "evaluator": evaluator, "features": folder / "features"}


def search(made, folder, store, **changes):
    paths = {"out_csv": folder / f"{store.name}.csv", "card_out": folder / f"{store.name}.json"}
    train = {"train_store": made["train"], "train_features_folder": made["features"]}
    card = find(*made["evaluator"], store, **{**train, **paths, "device": "cpu", "batch": 64, **changes})
    assert card == files.read_json(paths["card_out"]) and card["sha256"] == files.sha256(paths["out_csv"])
    return pd.read_csv(paths["out_csv"])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", KINDS)
def test_planted_copies_are_below_the_quantile_of_the_null(made, kind, measure):
    found, null = made[kind], made["held"]
    threshold = calibrated(found[f"{measure}_distance"], null[f"{measure}_distance"]).threshold
    flagged = found[f"{measure}_distance"] < threshold
    assert flagged[:COPIES].sum() >= 19 and flagged[COPIES:].sum() <= 1
    assert (found[f"{measure}_row"][:COPIES] == np.arange(5, 5 + COPIES)).sum() >= 19


@pytest.mark.parametrize("measure", MEASURES)
def test_held_out_patches_are_no_copies_beside_others_of_their_kind(made, measure):
    null, other = (made[name][f"{measure}_distance"].to_numpy() for name in ("held", "other"))
    assert calibrated(other, null).share <= 0.05 and calibrated(null, other).share <= 0.05
    assert np.median(other) == pytest.approx(np.median(null), rel=0.1)


def test_an_exact_copy_is_at_distance_zero_under_the_turn_that_undoes_its_own(made):
    exact, planted = made["exact"][:COPIES], made["turned"][:COPIES]
    assert (exact["pixel_distance"] == 0).all() and (exact["pixel_turn"] == 0).all() and (exact["pixel_ratio"] == 0).all()
    assert (exact["feature_distance"] < 1e-3 * made["held"]["feature_distance"].median()).all() and (exact["feature_turn"] == 0).all()
    assert (planted["pixel_distance"] == 0).all()
    images = textures(TRAIN, 0)
    for measure in MEASURES:
        for number, (row, turn) in enumerate(zip(planted[f"{measure}_row"], planted[f"{measure}_turn"])):
            query = turned(images[5 + number], 1 + number % 7)
            np.testing.assert_array_equal(turned(query, turn), images[row])


def test_pixels_agree_with_the_definition_by_brute_force(made, tmp_path):
    train, images = textures(TRAIN, 0), textures(6, 3)
    found = search(made, tmp_path, write(tmp_path / "store", images), pixels=8, batch=16)
    side = SIZE // 8

    def reduced(image):
        return image.reshape(8, side, 8, side, 3).mean((1, 3), dtype=np.float64)

    bank = np.stack([reduced(image) for image in train])
    for number, image in enumerate(images):
        every = [((bank - reduced(turned(image, turn))) ** 2).mean((1, 2, 3)) ** 0.5 for turn in range(8)]
        nearest = np.min(every, 0)
        first, second = np.sort(nearest)[:2]
        row = found.iloc[number]
        assert row["pixel_distance"] == pytest.approx(first, rel=1e-5) and row["pixel_ratio"] == pytest.approx(first / second, rel=1e-5)
        assert row["pixel_row"] == nearest.argmin() and row["pixel_turn"] == np.argmin(every, 0)[nearest.argmin()]


def test_the_batch_changes_nothing_but_rounding(made, tmp_path):
    again = search(made, tmp_path, made["folder"] / "exact-store", batch=8)
    pd.testing.assert_frame_equal(again, made["exact"], rtol=1e-3, atol=1e-3)


def test_columns_and_card_are_as_promised(made):
    found = made["held"]
    assert list(found) == ["row", *(f"{measure}_{part}" for measure in MEASURES for part in ("distance", "row", "turn", "ratio"))]
    np.testing.assert_array_equal(found["row"], np.arange(HELD))
    for measure in MEASURES:
        assert found[f"{measure}_row"].between(0, TRAIN - 1).all() and found[f"{measure}_turn"].between(0, 7).all()
        assert found[f"{measure}_ratio"].between(0, 1).all()
    card = files.read_json(made["folder"] / "held-store.json")
    assert (card["count"], card["train_count"], card["pixels"]) == (HELD, TRAIN, 32)
    assert card["evaluator_sha256"] == files.sha256(made["evaluator"][0])
    assert card["store_sha256"] == files.sha256(made["folder"] / "held-store" / "card.json")
    assert card["train_store_sha256"] == files.sha256(made["train"] / "card.json")


def test_a_patch_that_stands_twice_in_the_training_set_has_the_ratio_of_no_single_copy(made, tmp_path):
    images = textures(5, 4)
    own = described(tmp_path, write(tmp_path / "train", np.concatenate([images, images[:1]])))
    found = search(own, tmp_path, write(tmp_path / "store", images[:2]))
    assert found["pixel_ratio"].tolist() == [1, 0] and found["pixel_row"].tolist() == [0, 1]


def test_the_training_set_cannot_ask_for_its_own_neighbours(made, tmp_path):
    with pytest.raises(ConfigError, match="the training patches themselves"):
        search(made, tmp_path, made["train"])


def test_features_of_another_evaluator_or_store_are_refused(made, tmp_path):
    held = made["folder"] / "held-store"
    card = files.read_json(made["features"] / "card.json")
    (tmp_path / "pooled.npy").write_bytes((made["features"] / "pooled.npy").read_bytes())
    for change, error, cause in (
        ({"evaluator_sha256": "0"}, WeightsError, "another evaluator"),
        ({"store_sha256": "0"}, StoreError, "another store"),
        ({"pooled_width": 7}, StoreError, "not what the card says"),
    ):
        files.write_json(tmp_path / "card.json", {**card, **change})
        with pytest.raises(error, match=cause):
            search(made, tmp_path, held, train_features_folder=tmp_path)
    with pytest.raises(StoreError, match="cannot be read"):
        search(made, tmp_path, held, train_features_folder=tmp_path / "nowhere")


def test_an_evaluator_of_another_dataset_or_of_synthetic_pairs_is_refused(made, tmp_path):
    held = made["folder"] / "held-store"
    train = write(tmp_path / "train", textures(8, 5))  # as many classes, and of the same size
    write_features(tmp_path / "features", *made["evaluator"], train)
    with pytest.raises(WeightsError, match=r"weights.safetensors: the evaluator was trained on other pairs than those in .*train"):
        search(made, tmp_path, held, train_store=train, train_features_folder=tmp_path / "features")
    union = described(tmp_path / "union", train, [held])
    with pytest.raises(WeightsError, match="the evaluator was trained on synthetic pairs, too"):
        search(union, tmp_path, made["folder"] / "other-store")
    assert not (tmp_path / "held-store.csv").exists()


def test_stores_that_do_not_fit_are_refused(made, tmp_path):
    held = made["folder"] / "held-store"
    with pytest.raises(StoreError, match="16 px and 3 classes do not fit"):
        search(made, tmp_path, held, train_store=make_store(tmp_path / "small", size=16))
    with pytest.raises(StoreError, match="1 training patch has no second nearest"):
        search(made, tmp_path, held, train_store=make_store(tmp_path / "one", count=1, size=SIZE))
    with pytest.raises(ConfigError, match="images of 0 px"):
        search(made, tmp_path, held, pixels=0)


def test_the_share_counts_what_is_strictly_below_the_quantile():
    null = np.arange(1, 1002, dtype=float)  # its 1 % quantile is the value number 10 from 0
    found = calibrated([0, 5, 10.9, 11, 500], null)
    assert found == (0.6, 11, pytest.approx(11 / 1002), 5, 1001)


def test_few_nulls_give_their_least_value_and_say_how_often_chance_is_below_it():
    share, threshold, expected, _, count = calibrated([0.5, 2], [3, 1, 2])
    assert (share, threshold, expected, count) == (0.5, 1, 0.25, 3)
    assert calibrated([1], np.arange(100)).threshold == 0 and calibrated([1], np.arange(101)).threshold == 1


def test_the_expected_share_is_what_chance_gives():
    rng = np.random.default_rng(0)
    for count in (9, 250):
        found = [calibrated(rng.random(50), rng.random(count)) for _ in range(2000)]
        assert np.mean([each.share for each in found]) == pytest.approx(found[0].expected, rel=0.1)


def test_held_out_twins_of_training_patches_make_no_copy():
    assert calibrated([0, 0, 1], [0, 0, 3]).share == 0


@pytest.mark.parametrize(
    "synthetic, null, quantile", [([], [1], 0.01), ([1], [], 0.01), ([1], [np.nan], 0.01), ([-1], [1], 0.01), ([1], [1], 0)]
)
def test_distances_and_quantiles_that_are_none_are_refused(synthetic, null, quantile):
    with pytest.raises(MeasureError, match="memorisation"):
        calibrated(synthetic, null, quantile)


@pytest.mark.parametrize(("nulls", "pairs", "quantile"), [(40, 25, 0.01), (400, 60, 0.05)])
def test_chance_is_how_often_as_many_pairs_are_so_near_where_all_are_drawn_alike(nulls, pairs, quantile):
    rng = np.random.default_rng(5)
    drawn = [calibrated(rng.random(pairs), rng.random(nulls), quantile) for _ in range(4000)]
    for least in (1, 2, 4):
        share = np.mean([round(limit.share * pairs) >= least for limit in drawn])
        assert chance(drawn[0]._replace(share=least / pairs)) == pytest.approx(share, abs=4 * np.sqrt(0.25 / 4000))
    assert chance(drawn[0]._replace(share=0)) == 1
    assert chance(calibrated(np.zeros(pairs), rng.random(nulls) + 1, quantile)) < 1e-9
