"""The Fréchet distance: closed forms, scipy's sqrtm and torchmetrics as oracles, every way a sample may be short of full rank."""

import numpy as np
import pytest
from scipy import linalg

from satsynth.metrics.frechet import Sample, frechet_distance
from satsynth.runtime.errors import MeasureError


def features(count, width, *, seed=0, shift=0.0, spread=0.3):
    """Correlated normal features."""
    stream = np.random.default_rng(seed)
    mixing = np.eye(width) + spread * stream.normal(size=(width, width)) / np.sqrt(width)
    return stream.normal(size=(count, width)) @ mixing + shift


def distance(a, b):
    return frechet_distance(Sample("a").add(a), Sample("b").add(b))


def by_sqrtm(a, b):
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(one) + np.trace(other) - 2 * np.trace(linalg.sqrtm(one @ other)).real


def exact_sample(scales, mean, *, count, seed, turn):
    """Features whose sample mean is `mean` and whose sample covariance is turn diag(scales^2) turn^T, both but for rounding."""
    noise = np.random.default_rng(seed).normal(size=(count, len(scales)))
    white, _ = np.linalg.qr(noise - noise.mean(0))
    return (white * np.sqrt(count - 1) * scales) @ turn.T + mean


def turn_of(width, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


# Rows of the two samples of width 24: both above it, one below, both below, at the border.
SIZES = [(60, 90), (60, 11), (11, 60), (9, 13), (24, 24), (25, 24), (25, 25)]


@pytest.mark.parametrize("n, m", SIZES)
def test_scipy_sqrtm_agrees(n, m):
    a, b = features(n, 24), features(m, 24, seed=1, shift=0.5)
    # sqrtm itself is good for about half the digits where the product is singular
    assert distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-9 if min(n, m) > 30 else 1e-6)


@pytest.mark.parametrize("n, m", [(60, 90), (60, 11), (9, 13)])
def test_torchmetrics_agrees(n, m):
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("torchmetrics.image.fid")

    class Given(torch.nn.Module):
        num_features = 24

        def forward(self, images):
            return images.flatten(1)

    a, b = features(n, 24), features(m, 24, seed=1, shift=0.5)
    metric = oracle.FrechetInceptionDistance(feature=Given())
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert distance(a, b) == pytest.approx(metric.compute().item(), rel=1e-9 if n > 24 < m else 1e-5)


@pytest.mark.parametrize("n, m", [(200, 300), (200, 25), (25, 300)])
@pytest.mark.parametrize("decades, tolerance", [(1, 1e-9), (4, 1e-9), (6, 1e-9), (8, 1e-6)])  # 8: variances down to the rounding of others
@pytest.mark.parametrize("order", [1, -1])
def test_commuting_covariances_give_the_closed_form(n, m, decades, tolerance, order):
    width = 24
    turn = turn_of(width)
    one, other = np.logspace(0, -decades, width), np.logspace(0, -decades, width)[::order] * 2
    a = exact_sample(one, 0.0, count=n, seed=1, turn=turn)
    b = exact_sample(other, 0.25, count=m, seed=2, turn=turn)
    expected = width * 0.25**2 + ((one - other) ** 2).sum()
    assert distance(a, b) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("n", [200, 25, 24, 7])
def test_a_sample_is_at_distance_zero_from_itself(n):
    a = features(n, 24)
    assert distance(a, a) == pytest.approx(0, abs=1e-10)
    assert distance(a, a[::-1]) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("n, m", SIZES)
def test_the_distance_is_symmetric_and_translates(n, m):
    a, b = features(n, 24), features(m, 24, seed=1)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-10)
    gap = (a + 100 - b.mean(0)).mean(0) @ (a + 100 - b.mean(0)).mean(0) - (a.mean(0) - b.mean(0)) @ (a.mean(0) - b.mean(0))
    assert distance(a + 100, b) - gap == pytest.approx(distance(a, b), rel=1e-8)


@pytest.mark.parametrize("n", [500, 26, 20])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_batches_do_not_matter(n, offset):
    a, b = features(n, 24, shift=offset), features(300, 24, seed=1, shift=offset)
    cuts = [[n], [1] * n, [3] * (n // 3) + [n % 3], [n - 1, 1], [0, 1, n - 1]]
    found = []
    for cut in cuts:
        sample = Sample()
        for batch in np.split(a, np.cumsum(cut)[:-1]):
            sample.add(batch)
        assert sample.count == n and sample.keeps_rows == (n <= 24)
        np.testing.assert_allclose(sample.mean, a.mean(0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(sample.covariance, np.cov(a - offset, rowvar=False), atol=1e-9)
        found.append(frechet_distance(sample, Sample().add(b)))
    np.testing.assert_allclose(found, found[0], rtol=1e-10)


def test_a_sample_may_grow_after_it_was_measured():
    a, b = features(500, 24), Sample().add(features(300, 24, seed=1))
    sample = Sample()
    for begin in range(0, 500, 20):
        sample.add(a[begin : begin + 20])
        if sample.count > 1:
            assert frechet_distance(sample, b) == pytest.approx(distance(a[: begin + 20], features(300, 24, seed=1)), rel=1e-10)


def test_the_callers_batch_may_be_overwritten():
    a, batch, sample = features(20, 24), np.empty((10, 24)), Sample()
    for begin in (0, 10):
        batch[:] = a[begin : begin + 10]
        sample.add(batch)
    np.testing.assert_array_equal(sample.mean, Sample().add(a).mean)


@pytest.mark.parametrize("n, m", SIZES)
def test_dead_channels_add_nothing(n, m):
    """Channels of a ReLU that never fires: with more rows than columns the covariance is singular all the same."""
    a, b = features(n, 16), features(m, 16, seed=1, shift=0.5)
    dead = np.zeros((n, 8)), np.zeros((m, 8))
    assert distance(np.hstack([a, dead[0]]), np.hstack([b, dead[1]])) == pytest.approx(distance(a, b), rel=1e-10)
    # Constants add the square of their difference; a channel that lives in one sample only adds its variance there.
    alive = np.random.default_rng(4).normal(size=(n, 1))
    more = np.hstack([a, dead[0][:, :7] + 0.1, alive]), np.hstack([b, dead[1][:, :7] - 0.2, dead[1][:, :1]])
    expected = distance(a, b) + 7 * 0.3**2 + alive.mean() ** 2 + alive.var(ddof=1)
    assert distance(*more) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n, m", [(60, 90), (60, 11), (9, 13), (3000, 4000)])
def test_repeated_channels_double_their_part(n, m):
    """Exactly singular with every variance above 0: Cholesky fails or gives noise."""
    a, b = features(n, 16), features(m, 16, seed=1, shift=0.5)
    doubled = distance(np.hstack([a, a]), np.hstack([b, b]))
    assert doubled == pytest.approx(2 * distance(a, b), rel=1e-11)
    assert distance(np.hstack([a, a]), np.hstack([a[::-1], a[::-1]])) == pytest.approx(0, abs=1e-11)


@pytest.mark.parametrize("n, m", [(60, 90), (60, 20), (20, 60), (3000, 4000)])
@pytest.mark.parametrize("aside", [1, 8])
def test_a_sample_within_a_subspace_meets_the_others_part_there(n, m, aside):
    """S1 = W S W^T with orthonormal columns W: tr (S1 S2)^(1/2) = tr (S W^T S2 W)^(1/2), which is of full rank."""
    within = turn_of(24)[:, aside:]
    a, b = features(n, 24 - aside), features(m, 24, seed=1, shift=0.5)
    gap = a.mean(0) @ within.T - b.mean(0)
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cross = np.trace(linalg.sqrtm(one @ within.T @ other @ within)).real
    expected = gap @ gap + np.trace(one) + np.trace(other) - 2 * cross
    # Noise of 1e-16 in the directions that W lacks would be felt as 1e-8.
    tolerance = 1e-12 if min(n, m) > 24 else 1e-6  # sqrtm's own, where the smaller product is singular too
    assert distance(a @ within.T, b) == pytest.approx(expected, rel=tolerance)
    assert distance(b, a @ within.T) == pytest.approx(expected, rel=tolerance)


def test_a_singular_sample_does_not_depend_on_batches_either():
    a, b = np.tile(features(90, 16), 2), np.tile(features(60, 16, seed=1), 2)
    whole, parts = Sample().add(a), Sample()
    for rows in np.array_split(a, 7):
        parts.add(rows)
    assert frechet_distance(parts, Sample().add(b)) == pytest.approx(frechet_distance(whole, Sample().add(b)), rel=1e-10)


@pytest.mark.parametrize("n, m", [(60, 90), (60, 11), (11, 60), (9, 13)])
def test_point_masses_are_told_apart_by_their_means(n, m):
    point, other, spread = np.full((n, 24), 0.1), np.full((m, 24), 0.4), features(m, 24)
    assert distance(point, other) == pytest.approx(24 * 0.3**2, rel=1e-12)
    assert distance(point, point) == 0
    gap = 0.1 - spread.mean(0)
    assert distance(point, spread) == pytest.approx(gap @ gap + spread.var(0, ddof=1).sum(), rel=1e-12)


def test_float32_memory_maps_of_any_length_are_taken(tmp_path):
    path = tmp_path / "pooled.npy"
    np.save(path, features(9000, 6).astype(np.float32))
    mapped = np.load(path, mmap_mode="r")
    expected = distance(np.asarray(mapped, np.float64), features(9000, 6, seed=1))
    assert distance(mapped, features(9000, 6, seed=1)) == expected


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_are_an_error(count):
    with pytest.raises(MeasureError, match=r"^b: .*no covariance.*at least two"):
        distance(features(5, 3), features(count, 3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_errors(bad):
    a = features(5000, 3)
    a[4321, 1] = bad
    with pytest.raises(MeasureError, match=r"^a: row 4321 .*NaN or Inf"):
        distance(a, features(5, 3))


def test_widths_that_differ_are_errors():
    with pytest.raises(MeasureError, match="4 features a row do not compare with the 3 of b"):
        distance(features(9, 4), features(9, 3))
    with pytest.raises(MeasureError, match="rows of 3 features follow rows of 4"):
        Sample().add(features(9, 4)).add(features(9, 3))
    with pytest.raises(MeasureError, match="shape"):
        Sample().add(np.zeros(4))
