"""Label statistics: shares by hand and by numpy, scipy's Jensen-Shannon as the oracle, components drawn on purpose, bad input."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial import distance

from satsynth.metrics import label_statistics
from satsynth.metrics.label_statistics import code_quality, describe, jensen_shannon, size_distance
from satsynth.runtime.errors import MeasureError


def masks_of(*drawings):
    """Masks from text: a digit is a class, a dot is ignored."""
    rows = [[[255 if sign == "." else int(sign) for sign in line] for line in drawing.split()] for drawing in drawings]
    return np.array(rows, np.uint8)


def random_masks(count=40, size=24, classes=5, seed=0):
    stream = np.random.default_rng(seed)
    coarse = stream.integers(0, classes, (count, size // 4, size // 4)).astype(np.uint8)
    masks = coarse.repeat(4, 1).repeat(4, 2)
    masks[stream.random(masks.shape) < 0.1] = 255
    return masks


def test_pixel_shares_leave_out_ignored_pixels():
    masks = masks_of("0012 .... ....", "1111 .... 0..3")
    np.testing.assert_allclose(describe(masks, 5).pixel_shares, [3 / 10, 5 / 10, 1 / 10, 1 / 10, 0])


def test_presence_counts_pairs_not_pixels():
    masks = masks_of("0000 0001", "1111 1111", ".... ....", "0... ....")
    np.testing.assert_allclose(describe(masks, 3).presence_shares, [2 / 4, 2 / 4, 0])


def test_shards_blocks_and_memory_maps_change_nothing(tmp_path, monkeypatch):
    masks = random_masks()
    np.save(tmp_path / "masks.npy", masks)
    mapped = np.load(tmp_path / "masks.npy", mmap_mode="r")
    whole = describe(masks, 5)
    np.testing.assert_allclose(whole.pixel_shares, np.bincount(masks[masks != 255], minlength=5) / (masks != 255).sum())
    np.testing.assert_allclose(whole.presence_shares, [(masks == number).any((1, 2)).mean() for number in range(5)])
    monkeypatch.setattr(label_statistics, "BLOCK_PIXELS", 3 * 24 * 24 + 5)  # blocks of three masks
    for given in (mapped, [masks[:7], mapped[7:8], masks[8:8], masks[8:]], masks.astype(np.int64)):
        found = describe(given, 5)
        np.testing.assert_array_equal(found.pixel_shares, whole.pixel_shares)
        np.testing.assert_array_equal(found.presence_shares, whole.presence_shares)
        for sizes, expected in zip(found.component_sizes, whole.component_sizes):
            np.testing.assert_array_equal(sizes, expected)


def test_scipy_agrees_on_jensen_shannon():
    stream = np.random.default_rng(0)
    for _ in range(20):
        p, q = stream.random(7), stream.integers(0, 3, 7) + np.eye(7)[0]
        assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2), rel=1e-10)


def test_jensen_shannon_runs_from_zero_to_one():
    assert jensen_shannon([1, 0, 0], [0, 2, 3]) == 1
    stream = np.random.default_rng(1)
    for _ in range(50):
        p = stream.random(16)
        assert jensen_shannon(p, 3 * p) == pytest.approx(0, abs=1e-7)  # never NaN by rounding


def test_a_class_that_never_occurs_in_one_set_keeps_the_distance_finite():
    found = jensen_shannon([0.5, 0.3, 0.2], [0.5, 0.5, 0])
    middle = np.array([0.5, 0.4, 0.1])
    by_hand = (0.3 * np.log2(0.3 / middle[1]) + 0.2 + 0.5 * np.log2(0.5 / middle[1])) / 2
    assert found == pytest.approx(np.sqrt(by_hand))
    assert jensen_shannon([0.5, 0.3, 0.2, 0], [0.5, 0.5, 0, 0]) == pytest.approx(found)


def test_components_touch_by_corners_within_one_mask_of_one_class():
    masks = masks_of(
        "1000 0100 0022 1.22",  # the 1s of the diagonal are one component, that of the last row another
        "0022 0111 1.00 1100",  # its 2s do not join those of the mask above
    )
    _, ones, twos, threes = describe(masks, 4).component_sizes
    assert sorted(ones) == [1, 2, 6] and sorted(twos) == [2, 4] and not len(threes)


def test_components_equal_those_of_each_mask_alone():
    masks = random_masks(12)
    for number, found in enumerate(describe(masks, 5).component_sizes):
        expected = []
        for mask in masks:
            labels, count = ndimage.label(mask == number, np.ones((3, 3)))
            expected += [int((labels == part).sum()) for part in range(1, count + 1)]
        assert found.tolist() == expected and found.dtype == np.int64


def test_components_twice_as_large_are_one_apart():
    stream = np.random.default_rng(0)
    sizes = [stream.integers(1, 500, 30), stream.integers(1, 9, 50), np.zeros(0, np.int64)]
    assert size_distance(sizes, [2 * part for part in sizes]) == pytest.approx(1)
    assert size_distance(sizes, sizes) == 0
    # Components of a class that one set lacks count like all others.
    assert size_distance(sizes, [sizes[0], sizes[2], sizes[2]]) > 0


def test_code_quality_is_a_mean_over_pairs_or_nan():
    index = pd.DataFrame({"pair": [0, 1], "margin": [0.5, 1.0], "invalid": [0.0, 0.01]})
    assert code_quality(index) == pytest.approx({"invalid": 0.005, "margin": 0.75})
    assert np.isnan(list(code_quality(index[["pair"]]).values())).all()
    with pytest.raises(MeasureError, match="no row"):
        code_quality(index[:0])


def test_bad_masks_and_histograms_are_errors():
    unlabelled = np.full((3, 4, 4), 255, np.uint8)
    for nothing in (unlabelled, unlabelled[:0], []):
        with pytest.raises(MeasureError, match="no pixel is labelled"):
            describe(nothing, 3)
    with pytest.raises(MeasureError, match="the value 3, and there are 3 classes"):
        describe(masks_of("01 23"), 3)
    for wrong in (np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8)):
        with pytest.raises(MeasureError, match="holds no masks"):
            describe(wrong, 3)
    for wrong in ([0, 0], [1, -1], [1, np.nan]):
        with pytest.raises(MeasureError, match="histograms"):
            jensen_shannon([1, 1], wrong)
    with pytest.raises(MeasureError, match="do not compare"):
        jensen_shannon([1, 1], [1, 1, 1])
    with pytest.raises(MeasureError, match="3 and 2 classes"):
        size_distance(*(describe(masks_of("01"), classes).component_sizes for classes in (3, 2)))
