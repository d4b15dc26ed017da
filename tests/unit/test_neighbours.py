"""The blocked nearest-neighbour search: exact where float32 is not, and the same by blocks of any size."""

import numpy as np
import pytest
import torch

from satsynth.metrics.neighbours import BLOCK, Bank
from satsynth.runtime.errors import MeasureError


def nearest(queries, bank, k=1, block=BLOCK):
    """Distances and rows of the k nearest vectors."""
    squared, rows = Bank(bank, block=block).search(queries, k)
    return np.sqrt(squared), rows


def vectors(count, width=40, seed=0, offset=0.0):
    return (np.random.default_rng(seed).normal(0, 1, (count, width)) + offset).astype(np.float32)


def brute_force(queries, bank):
    """All squared distances, float64."""
    return (np.subtract(queries[:, None].astype(np.float64), bank[None]) ** 2).sum(2)


def check(queries, bank, k, **options):
    distances, rows = nearest(queries, bank, k, **options)
    truth = brute_force(queries, bank)
    order = np.argsort(truth, 1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(distances, np.sqrt(np.take_along_axis(truth, order, 1)), rtol=1e-6, atol=0)
    assert distances.dtype == np.float64 and rows.dtype == np.int64


@pytest.mark.parametrize("block", [7, 32, 4096])
@pytest.mark.parametrize("k", [1, 2, 6])
def test_the_search_agrees_with_all_distances_in_float64(block, k):
    check(vectors(50), vectors(131, seed=1), k, block=block)


def test_a_copy_far_from_the_origin_is_at_distance_zero():
    bank = vectors(60, offset=3000.0)
    distances, rows = nearest(bank[::-1], bank, block=16)
    assert (distances == 0).all()
    np.testing.assert_array_equal(rows[:, 0], np.arange(60)[::-1])


def test_neighbours_closer_together_than_float32_can_tell_keep_their_order():
    # The whole bank lies within the rounding error of |a|² + |b|² - 2ab about the query's true distance, which no mean takes away.
    rng = np.random.default_rng(3)
    far = rng.normal(0, 1, (1, 64)).astype(np.float32) * 1000
    bank = np.concatenate([far + rng.normal(0, 1e-3, (300, 64)), -far + rng.normal(0, 1e-3, (300, 64))]).astype(np.float32)
    check(far + np.float32(0.01), bank, 3, block=64)


def test_ties_go_to_the_lowest_row_however_many_there_are():
    bank = np.repeat(vectors(3), 40, axis=0)[np.random.default_rng(0).permutation(120)]
    for block in (8, 50, 1000):
        check(vectors(3), bank, 4, block=block)


def test_a_bank_of_equal_vectors_has_a_nearest_row():
    distances, rows = nearest(vectors(2), np.ones((30, 40), np.float32), 2, block=8)
    np.testing.assert_array_equal(rows, [[0, 1], [0, 1]])
    assert (distances[:, 0] == distances[:, 1]).all() and (distances > 0).all()


def test_a_memory_map_is_searched_as_the_array_is(tmp_path):
    bank = vectors(90, seed=2)
    np.save(tmp_path / "bank.npy", bank)
    mapped = np.load(tmp_path / "bank.npy", mmap_mode="r")
    for ours, array in zip(nearest(mapped[:5], mapped, 3, block=20), nearest(bank[:5], bank, 3)):
        np.testing.assert_array_equal(ours, array)


def test_memory_is_bounded_by_the_block_and_not_by_the_sets(monkeypatch):
    shapes, product = [], torch.addmm

    def addmm(*matrices, **options):
        found = product(*matrices, **options)
        shapes.append(found.shape)
        return found

    monkeypatch.setattr(torch, "addmm", addmm)
    nearest(vectors(70), vectors(200, seed=1), 2, block=16)
    assert len(shapes) >= 5 * 13 and max(max(shape) for shape in shapes) == 16


def test_balls_are_counted_as_all_distances_tell():
    bank, queries = vectors(80, 6), vectors(45, 6, seed=1)
    queries[:10] = bank[:10]
    squared, rows = Bank(bank).search(queries, len(bank))
    truth = np.empty_like(squared)
    np.put_along_axis(truth, rows, squared, 1)
    radii = np.sort(brute_force(bank, bank), 1)[:, 4]
    radii[20:60] = truth[np.arange(40), np.arange(20, 60)]  # on the edge is inside
    radii[10] = 0  # holds the query that is its very centre
    for block in (9, 4096):
        np.testing.assert_array_equal(Bank(bank, block=block).count_balls(queries, radii), (truth <= radii).sum(1))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_refused(value):
    damaged = vectors(9)
    damaged[4, 2] = value
    for queries, bank in ((damaged, vectors(9)), (vectors(9), damaged)):
        with pytest.raises(MeasureError, match="NaN, Inf"):
            nearest(queries, bank, block=4)


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(MeasureError, match="3 of 2 vectors"):
        nearest(vectors(4), vectors(2), 3)
    with pytest.raises(MeasureError, match="vectors of 39 numbers"):
        nearest(vectors(4, 39), vectors(2))
    with pytest.raises(MeasureError, match="holds no vectors"):
        nearest(vectors(4), np.empty((0, 40), np.float32))


def test_products_are_of_full_precision_whatever_is_set(monkeypatch):
    before, seen, product = torch.get_float32_matmul_precision(), set(), torch.addmm

    def addmm(*matrices, **options):
        seen.add(torch.get_float32_matmul_precision())
        return product(*matrices, **options)

    monkeypatch.setattr(torch, "addmm", addmm)
    torch.set_float32_matmul_precision("high")
    try:
        nearest(vectors(5), vectors(20, seed=1))
        Bank(vectors(20)).count_balls(vectors(5), np.ones(20))
        assert seen == {"highest"} and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
