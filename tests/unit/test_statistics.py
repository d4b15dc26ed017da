"""Means, paired differences, bootstraps and correlation, each against the long way round."""

import math

import numpy as np
import pytest
from scipy import stats

from satsynth.metrics import confusion as metrics
from satsynth.reporting import statistics
from satsynth.runtime.errors import StoreError


def test_standard_error_is_the_sample_deviation_over_root_n():
    found = statistics.spread([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.error == pytest.approx(1 / math.sqrt(3), rel=1e-15)
    assert math.isnan(statistics.spread([1.0]).error)


def test_paired_difference_uses_common_seeds_and_students_t():
    found = statistics.paired({0: 5.0, 1: 7.0, 2: 9.0, 8: 100.0}, {2: 6.0, 1: 5.0, 0: 4.0}, 0.95)
    reach = 4.302652729911275 / math.sqrt(3)  # t with 2 degrees of freedom, differences 1, 2, 3
    assert (found.mean, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach))


def test_one_seed_gives_no_interval():
    found = statistics.paired({0: 5.0}, {0: 4.0}, 0.95)
    assert found.mean == 1.0 and math.isnan(found.low) and math.isnan(found.high)
    assert not found.decided


def test_mean_iou_is_that_of_the_metrics_with_absent_classes_left_out():
    stream = np.random.default_rng(0)
    counts = stream.integers(0, 50, (20, 4, 4))
    counts[:, 2, :] = counts[:, :, 2] = 0
    assert statistics.mean_iou(counts) == pytest.approx([metrics.scores(each)["miou"] for each in counts])
    assert math.isnan(statistics.mean_iou(np.zeros((3, 3), np.int64)))


def test_scene_sums_add_the_patches_of_a_scene():
    counts = np.arange(4)[:, None, None] * np.ones((1, 2, 2), np.int64)
    assert statistics.sum_scenes(counts, ["b", "a", "b", "a"])[:, 0, 0].tolist() == [1 + 3, 0 + 2]
    with pytest.raises(StoreError, match="4 matrices"):
        statistics.sum_scenes(counts, ["a"])


def test_bootstrap_equals_resampling_scene_by_scene():
    stream = np.random.default_rng(1)
    first, second = stream.integers(0, 30, (2, 3, 5, 3, 3))
    found = statistics.bootstrap_scenes(first, second, replicates=50, confidence=0.9, seed=7)
    draws = np.random.Generator(np.random.Philox(7)).multinomial(5, np.full(5, 0.2), size=50)
    gaps = []
    for draw in draws:
        chosen = np.repeat(np.arange(5), draw)
        mean = [np.mean([metrics.scores(run[chosen].sum(0))["miou"] for run in arm]) for arm in (first, second)]
        gaps.append(mean[0] - mean[1])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(gaps, [0.05, 0.95])))
    assert found.mean == pytest.approx(
        np.mean([metrics.scores(run.sum(0))["miou"] for run in first]) - np.mean([metrics.scores(run.sum(0))["miou"] for run in second])
    )


def test_bootstrap_of_equal_arms_is_zero_and_of_one_scene_is_nothing():
    arm = np.random.default_rng(0).integers(1, 9, (2, 4, 3, 3))
    same = statistics.bootstrap_scenes(arm, arm, replicates=20, confidence=0.95, seed=0)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    lone = statistics.bootstrap_scenes(arm[:, :1], arm[:, :1] * 2, replicates=20, confidence=0.95, seed=0)
    assert math.isnan(lone.low) and lone.n == 1


def test_bootstrap_per_class_equals_resampling_class_by_class():
    stream = np.random.default_rng(2)
    first, second = stream.integers(0, 30, (2, 3, 6, 5, 5))
    for arm in (first, second):
        arm[:, :, 2, :] = arm[:, :, :, 2] = 0  # absent in every scene and run
        arm[:, 2:, 3, :] = arm[:, 2:, :, 3] = 0  # in two scenes only, so that some replicates lack it
        arm[:, 1:, 4, :] = arm[:, 1:, :, 4] = 0  # in one scene only
    second[:, 3, 1, 3] = 4  # predicted, by one arm, where no scene holds it
    found = statistics.bootstrap_classes(first, second, replicates=60, confidence=0.9, seed=7)
    draws = np.random.Generator(np.random.Philox(7)).multinomial(6, np.full(6, 1 / 6), size=60)
    gaps, skipped = [[] for _ in range(5)], 0
    for draw in draws:
        chosen = np.repeat(np.arange(6), draw)
        for k in range(5):
            means = []
            for arm in (first, second):
                known = [metrics.scores(run[chosen].sum(0))["iou"][k] for run in arm]
                means.append([iou for iou in known if not np.isnan(iou)])
            if all(means):
                gaps[k].append(np.mean(means[0]) - np.mean(means[1]))
            else:
                skipped += k == 3
    assert skipped and len(gaps[3]) + skipped == 60 and not gaps[2]
    for k in (0, 1, 3):
        assert (found[k].low, found[k].high) == pytest.approx(tuple(np.quantile(gaps[k], [0.05, 0.95])))
        whole = [np.mean([metrics.scores(run.sum(0))["iou"][k] for run in arm]) for arm in (first, second)]
        assert found[k].mean == pytest.approx(whole[0] - whole[1])
    assert [each.n for each in found] == [6, 6, 0, 2, 1]
    assert math.isnan(found[2].mean) and math.isnan(found[2].low)
    assert not math.isnan(found[4].mean) and math.isnan(found[4].low)


def test_bootstrap_per_class_draws_the_scenes_of_the_bootstrap_of_the_mean():
    first, second = np.random.default_rng(3).integers(1, 30, (2, 2, 5, 2, 2))
    cfg = {"replicates": 1, "confidence": 0.9, "seed": 4}  # with one replicate both ends are its value
    classes, mean = statistics.bootstrap_classes(first, second, **cfg), statistics.bootstrap_scenes(first, second, **cfg)
    assert np.mean([each.low for each in classes]) == pytest.approx(mean.low)


def test_pearson_by_hand():
    found = statistics.pearson([1, 2, 3, 4], [1, 3, 2, 4], 0.95)
    assert found.r == pytest.approx(0.8) and found.n == 4
    # atanh 0.8 = ln(9) / 2, and sqrt(n - 3) = 1.
    assert (found.low, found.high) == pytest.approx(tuple(math.tanh(math.log(9) / 2 + sign * 1.959963985) for sign in (-1, 1)))


def test_pearson_agrees_with_scipy():
    x, noise = np.random.default_rng(5).normal(size=(2, 15))
    wanted = stats.pearsonr(x, noise - x)
    found = statistics.pearson(x, noise - x, 0.9)
    assert found == pytest.approx((wanted.statistic, *wanted.confidence_interval(0.9), 15))


def test_pearson_says_nothing_where_there_is_nothing_to_say():
    r, low, high, n = statistics.pearson([1, 2, 4, math.nan], [3, 1, 2, 9], 0.95)
    assert n == 3 and -1 < r < 1 and math.isnan(low) and math.isnan(high)
    for x, y in (([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [7, 7, 7, 7]), ([1], [2]), ([], [])):
        found = statistics.pearson(x, y, 0.95)
        assert all(map(math.isnan, found[:3])) and found.n == len(x)
    assert statistics.pearson([1, 2, 3, 4], [2, 4, 6, 8], 0.95)[:3] == pytest.approx((1, 1, 1))
