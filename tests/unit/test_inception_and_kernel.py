"""Inception score and kernel distance: torchmetrics as the oracle, closed forms, bad input."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from satsynth.metrics.inception import inception_score, pixel_inception_score
from satsynth.metrics.kernel import kernel_distance
from satsynth.runtime.errors import MeasureError


def logits(count, classes, seed=0):
    return 2 * np.random.default_rng(seed).normal(size=(count, classes))


def features(count, width=12, *, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=(count, width)) + shift


def given(torch):
    """A network for torchmetrics that hands on what it gets."""

    class Given(torch.nn.Module):
        num_features = 12

        def forward(self, images):
            return images.flatten(1)

    return Given()


@pytest.mark.parametrize("splits", [1, 4])
def test_torchmetrics_agrees_on_the_inception_score(splits):
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torchmetrics.image.inception")
    values = logits(200, 7)
    metric = oracle.InceptionScore(feature=given(torch), splits=splits)
    metric.update(torch.from_numpy(values))
    torch.manual_seed(3)
    mean, deviation = metric.compute()
    torch.manual_seed(3)
    order = torch.randperm(200).numpy()  # the shuffle that it does
    found = inception_score(softmax(values[order], axis=1), splits)
    assert found[0] == pytest.approx(mean.item(), rel=1e-10)
    if splits > 1:
        assert found[1] == pytest.approx(deviation.item() / np.sqrt(splits), rel=1e-10)
    else:
        assert np.isnan(found[1])


def test_the_inception_score_runs_from_one_to_the_number_of_classes():
    certain = np.eye(6)[np.arange(60) % 6]
    assert inception_score(certain)[0] == pytest.approx(6)
    assert inception_score(np.full((10, 6), 1 / 6))[0] == pytest.approx(1)
    assert inception_score(np.repeat(certain[:1], 9, 0))[0] == pytest.approx(1)  # all images alike
    assert inception_score(np.hstack([certain, np.zeros((60, 2))]))[0] == pytest.approx(6)  # classes that never occur


def test_splits_are_scored_on_their_own():
    rows = softmax(logits(50, 5), axis=1)
    parts = [inception_score(part)[0] for part in np.array_split(rows, 4)]
    mean, error = inception_score(rows, 4)
    assert mean == pytest.approx(np.mean(parts)) and error == pytest.approx(np.std(parts, ddof=1) / 2)


@pytest.mark.parametrize("splits", [1, 3])
def test_the_pixel_score_is_the_score_of_all_pixels(splits):
    pixels = logits(9 * 40, 5).reshape(9, 40, 5)
    own = softmax(pixels, axis=-1)
    entropy = -(own * log_softmax(pixels, axis=-1)).sum(-1).mean(1)
    found = pixel_inception_score(own.mean(1), entropy, splits)
    assert found == pytest.approx(inception_score(own.reshape(-1, 5), splits), rel=1e-12, nan_ok=True)


def test_bad_probabilities_are_errors():
    rows = softmax(logits(10, 4), axis=1)
    for bad in (np.nan, np.inf, -0.1):
        wrong = rows.copy()
        wrong[3, 1] = bad
        with pytest.raises(MeasureError, match="row 3 is no distribution"):
            inception_score(wrong)
    with pytest.raises(MeasureError, match="row 0 is no distribution"):
        inception_score(logits(10, 4))
    with pytest.raises(MeasureError, match="1 images in 1 splits"):
        inception_score(rows[:1])
    with pytest.raises(MeasureError, match="10 images in 6 splits"):
        inception_score(rows, 6)
    with pytest.raises(MeasureError, match="shape"):
        inception_score(rows[0])
    with pytest.raises(MeasureError, match="entropies of shape"):
        pixel_inception_score(rows, np.zeros(9))
    for entropy in (-1.0, 2.0, np.nan):
        with pytest.raises(MeasureError, match="an entropy is not within 0"):
            pixel_inception_score(rows, np.full(10, entropy))


def test_torchmetrics_agrees_on_the_kernel_distance():
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torchmetrics.image.kid")
    a, b = features(50), features(50, seed=1, shift=0.4)
    # Subsets of the whole samples: whatever the order in which either side draws them.
    metric = oracle.KernelInceptionDistance(feature=given(torch), subsets=2, subset_size=50)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    mean, error = kernel_distance(a, b, 2, 50, seed=0)
    assert mean == pytest.approx(metric.compute()[0].item(), rel=1e-10)
    assert error == pytest.approx(0, abs=1e-12)


def test_subsets_centre_on_the_whole_and_depend_on_the_seed_alone():
    a, b = features(300), features(200, seed=1, shift=0.4)
    whole, _ = kernel_distance(a[:200], b, 1, 200, seed=0)
    mean, error = kernel_distance(a, b, 60, 50, seed=0)
    assert 0 < error < 0.1 * whole and abs(mean - whole) < 6 * error
    assert kernel_distance(a, b, 60, 50, seed=0) == (mean, error)
    assert kernel_distance(a, b, 60, 50, seed=1) != (mean, error)


def test_the_kernel_distance_of_one_distribution_is_zero_on_the_mean():
    values = [kernel_distance(features(60, seed=seed), features(60, seed=1000 + seed), 1, 60, seed=0)[0] for seed in range(40)]
    assert min(values) < 0 < max(values)  # unbiased: a biased one is never below 0
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / np.sqrt(40)


def test_point_masses_have_the_kernel_distance_of_their_points():
    a, b = np.full((20, 4), 1.0), np.full((30, 4), 2.0)
    # k(a,a) = (1 + 1)^3, k(b,b) = (4 + 1)^3, k(a,b) = (2 + 1)^3
    assert kernel_distance(a, b, 3, 10, seed=0) == pytest.approx((8 + 125 - 2 * 27, 0))
    assert kernel_distance(a, a, 3, 10, seed=0) == pytest.approx((0, 0), abs=1e-12)
    assert np.isnan(kernel_distance(a, b, 1, 10, seed=0)[1])


def test_memory_maps_and_float32_are_taken(tmp_path):
    a, b = features(50).astype(np.float32), features(40, seed=1).astype(np.float32)
    np.save(tmp_path / "a.npy", a)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert kernel_distance(mapped, b, 3, 20, seed=0) == kernel_distance(a.astype(np.float64), b, 3, 20, seed=0)


def test_bad_features_are_errors():
    a = features(50)
    broken = a.copy()
    broken[49, 3] = np.inf  # a row that no subset of this seed need draw
    with pytest.raises(MeasureError, match=r"second sample: row 49 .*NaN or Inf"):
        kernel_distance(a, broken, 1, 2, seed=0)
    with pytest.raises(MeasureError, match="first sample: 1 rows"):
        kernel_distance(a[:1], a, 1, 2, seed=0)
    with pytest.raises(MeasureError, match="12 features a row do not compare with the 11 of second sample"):
        kernel_distance(a, a[:, :11], 1, 2, seed=0)
    for subsets, size in ((0, 10), (1, 1), (1, 51)):
        with pytest.raises(MeasureError, match=f"{subsets} subsets of {size} cannot"):
            kernel_distance(a, a, subsets, size, seed=0)
