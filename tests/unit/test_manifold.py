"""Precision, recall, density and coverage against their definitions, and in cases whose result is known."""

import numpy as np
import pytest

from satsynth.metrics.manifold import Manifold, density_coverage, precision_recall
from satsynth.runtime.errors import MeasureError


def vectors(count, width=8, seed=0, shift=0.0, scale=1.0):
    return (np.random.default_rng(seed).normal(0, scale, (count, width)) + shift).astype(np.float32)


def distances(left, right):
    return np.sqrt((np.subtract(left[:, None].astype(np.float64), right[None]) ** 2).sum(2))


def radii(points, k):
    others = distances(points, points)
    np.fill_diagonal(others, np.inf)
    return np.sort(others, 1)[:, k - 1]


def by_definition(real, fake, k, coverage_k):
    between, back = distances(fake, real), distances(real, fake)
    precision = (between <= radii(real, k)).any(1).mean()
    recall = (back <= radii(fake, k)).any(1).mean()
    inside = between <= radii(real, coverage_k)
    return precision, recall, inside.sum() / (coverage_k * len(fake)), inside.any(0).mean()


def manifolds(*sets, k=5, **options):
    return [Manifold(points, k, **options) for points in sets]


@pytest.mark.parametrize("block", [16, 4096])
@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (0.7, 0.5), (0.3, 2.0), (100.0, 1.0)])
def test_the_four_measures_agree_with_their_definitions(block, shift, scale):
    real, fake = vectors(90), vectors(70, seed=1, shift=shift, scale=scale)
    pair = manifolds(real, fake, block=block)
    ours = precision_recall(*pair, 3) + density_coverage(*pair, 5)
    np.testing.assert_allclose(ours, by_definition(real, fake, 3, 5), rtol=1e-12)


def test_a_set_compared_with_itself_is_precise_and_covered():
    pair = manifolds(vectors(60), vectors(60)[::-1])
    assert precision_recall(*pair) == (1, 1)
    assert density_coverage(*pair) == (pytest.approx(6 / 5), 1)


def test_sets_far_apart_share_nothing():
    pair = manifolds(vectors(30), vectors(30, shift=50))
    assert precision_recall(*pair) == density_coverage(*pair) == (0, 0)


def test_one_mode_of_two_has_full_precision_and_half_the_recall():
    real = np.concatenate([vectors(200, 2, seed=1), vectors(200, 2, seed=2, shift=40)])
    fake = vectors(400, 2, seed=3, scale=0.5)
    pair = manifolds(real, fake)
    precision, recall = precision_recall(*pair)
    density, coverage = density_coverage(*pair)
    assert precision > 0.97 and recall < 0.5
    assert density > 1 and 0.2 < coverage < 0.5


def test_equal_vectors_are_a_manifold_of_one_point():
    point, others = manifolds(np.full((9, 4), 7.3, np.float32), vectors(9, 4))
    assert precision_recall(point, point) == (1, 1)
    assert density_coverage(point, point) == (pytest.approx(9 / 5), 1)
    assert precision_recall(point, others)[0] == 0 and precision_recall(others, point)[1] == 0


def test_two_samples_of_one_distribution_have_density_one_and_nearly_full_coverage():
    density, coverage = density_coverage(*manifolds(vectors(1500, 4), vectors(1500, 4, seed=1)))
    assert density == pytest.approx(1, abs=0.05) and coverage == pytest.approx(1 - 2**-5, abs=0.02)


@pytest.mark.parametrize("count, k", [(3, 3), (5, 5), (1, 3)])
def test_sets_too_small_for_k_are_refused(count, k):
    with pytest.raises(MeasureError, match=f"{k}-th nearest neighbour in a set of {count}"):
        Manifold(vectors(count), k)


def test_balls_of_the_fake_set_do_not_count_for_density_and_coverage():
    real, fake = Manifold(vectors(40), 5), vectors(30, seed=1)
    assert density_coverage(real, Manifold(fake, 1)) == density_coverage(real, Manifold(fake, 20))


def test_what_is_not_finite_is_refused():
    with pytest.raises(MeasureError, match="NaN, Inf"):
        Manifold(np.full((9, 8), np.nan, np.float32), 3)
