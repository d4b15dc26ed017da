"""Copy-Paste: which regions are pasted, and how originals and donors are flipped, scaled and drawn."""

import numpy as np
import pytest
from augmentation_fixtures import SIZE, STILL, make, patchy, traced, write
from scipy import stats

from satsynth.augmentation import copy_paste
from satsynth.pairs import IGNORE


def test_regions_are_joined_over_corners_within_one_class_only():
    mask = np.zeros((6, 6), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[2, 2] = 1  # corners
    mask[3, 3] = 2  # a corner of another class
    mask[4, :2] = 1
    numbers, count = copy_paste.regions(mask, 3, 0, 1)
    assert count == 3 and numbers[0, 0] == numbers[1, 1] == numbers[2, 2]
    assert len({numbers[0, 0], numbers[3, 3], numbers[4, 0], 0}) == 4
    assert (numbers[mask == 0] == 0).all() and (numbers[mask > 0] > 0).all()


def test_small_regions_background_and_ignore_are_no_regions():
    mask = np.full((8, 8), IGNORE, np.uint8)
    mask[:2, :3], mask[4:6, :2], mask[6:, 6:], mask[0, 7] = 1, 1, 2, 1
    numbers, count = copy_paste.regions(mask, 3, None, 4)
    assert count == 3 and (numbers[mask == IGNORE] == 0).all() and numbers[0, 7] == 0
    assert copy_paste.regions(mask, 3, None, 5)[1] == 1 and copy_paste.regions(mask, 3, None, 1)[1] == 4
    assert copy_paste.regions(mask, 3, 2, 4)[1] == 2 and copy_paste.regions(mask, 3, 1, 4)[1] == 1
    assert sorted(np.unique(numbers)) == [0, 1, 2, 3]


@pytest.mark.parametrize("background", [None, 0, 2])
def test_whole_regions_are_pasted_where_they_lie_and_never_background_or_ignore(tmp_path, background):
    masks = patchy()
    made = make(write(tmp_path / "real", masks), tmp_path / "out", "copy_paste", 0, 90, background=background, min_area=20, **STILL)
    y, x = np.mgrid[:SIZE, :SIZE]
    for pair, facts in enumerate(made.index.to_dict("records")):
        rows, columns, number, labels = traced(made, pair, masks)
        assert (rows == y).all() and (columns == x).all() and (labels == made.masks[pair]).all()
        pasted = number != pair % 6
        assert (number[pasted] == facts["donor"]).all() and pasted.sum() == facts["area"] >= 20
        assert not np.isin(labels[pasted], [IGNORE, -1 if background is None else background]).any()
        numbers, _ = copy_paste.regions(masks[facts["donor"]].astype(np.uint8), 4, background, 20)
        taken = np.unique(numbers[pasted])
        assert (np.isin(numbers, taken) == pasted).all() and len(taken) == facts["regions"] and taken.min() > 0


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0.0), (1.0, 1.0), (0.25, 0.25)])
def test_flips_are_of_the_original_and_the_donor_alike(tmp_path, flip, share):
    masks = patchy()
    options = {"scale": [1.0, 1.0], "flip": flip}
    made = make(write(tmp_path / "real", masks), tmp_path / "out", "copy_paste", 0, 400, background=0, **options)
    assert made.index["flip"].mean() == pytest.approx(share, abs=0.08) and made.index["donor_flip"].mean() == pytest.approx(share, abs=0.08)
    assert (made.index["flip"] * made.index["donor_flip"]).mean() == pytest.approx(share**2, abs=0.08)
    x = np.arange(SIZE)
    for pair, facts in enumerate(made.index.to_dict("records")):
        _, columns, number, labels = traced(made, pair, masks)
        assert (labels == made.masks[pair]).all()
        flipped = np.where(number == pair % 6, facts["flip"], facts["donor_flip"])
        assert (columns == np.where(flipped, x[::-1], x)).all()


def test_scales_are_uniform_and_small_originals_are_padded(tmp_path):
    masks = np.ones((3, SIZE, SIZE))
    real = write(tmp_path / "real", masks, paint=lambda number: np.full((SIZE, SIZE, 3), 200))
    # Nothing is foreground, so nothing covers what was padded.
    made = make(real, tmp_path / "out", "copy_paste", 0, 600, background=1, scale=[0.5, 1.5], donors=1)
    for side in (made.index["side"], made.index["donor_side"]):
        assert stats.kstest((side + np.random.default_rng(0).uniform(-0.5, 0.5, len(side))) / SIZE, stats.uniform(0.5, 1).cdf).pvalue > 1e-3
    assert (made.index["side"] != made.index["donor_side"]).any()
    known = made.masks == 1
    assert (known.sum((1, 2)) == np.minimum(made.index["side"], SIZE) ** 2).all()
    assert (made.images[known] == 200).all() and (made.images[~known] == 0).all() and (made.masks[~known] == IGNORE).all()
    # Small originals lie anywhere in the patch, not in one corner.
    small = known[made.index["side"] < 24]
    for edge in (small[:, 0], small[:, -1], small[:, :, 0], small[:, :, -1]):
        assert 0.02 < edge.any(1).mean() < 0.2


def test_large_originals_are_cropped_anywhere(tmp_path):
    made = make(write(tmp_path / "real", np.ones((2, SIZE, SIZE))), tmp_path / "out", "copy_paste", 0, 200, background=1, scale=[2.0, 2.0])
    corners = made.images[made.index["flip"] == 0][:, 0, 0, :2]
    assert (made.masks == 1).all() and corners.min() == 0 and corners.max() == SIZE // 2 and len(np.unique(corners)) > 12


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_regions_are_kept_by_chance_but_one_at_least(tmp_path, keep):
    mask = np.zeros((SIZE, SIZE))
    mask[::8, :], mask[::16, :] = 1, 2  # four lines
    real = write(tmp_path / "real", [mask, mask])
    pasted = make(real, tmp_path / "out", "copy_paste", 0, 600, background=0, keep=keep, **STILL).index["regions"]
    chances = stats.binom(4, keep).pmf(range(5))
    chances = [0, chances[0] + chances[1], *chances[2:]]
    assert np.bincount(pasted, minlength=5) / 600 == pytest.approx(chances, abs=0.07)


def test_which_region_is_kept_is_left_to_chance(tmp_path):
    mask = np.zeros((SIZE, SIZE))
    mask[::8, :] = 1
    real = write(tmp_path / "real", [mask, np.zeros_like(mask)])
    made = make(real, tmp_path / "out", "copy_paste", 1, 800, background=0, keep=0.0, **STILL)
    lines = made.masks[made.index["original"] == 1][:, ::8, 0]
    assert (lines.sum(1) == 1).all() and (lines.mean(0) > 0.17).all()


@pytest.mark.parametrize("components", [[1, 1], [1, 3], [2, 9]])
def test_without_a_background_a_number_of_regions_is_drawn(tmp_path, components):
    mask = np.arange(SIZE)[:, None].repeat(SIZE, 1) // 8 % 4  # four stripes, all of them foreground
    real = write(tmp_path / "real", [mask, mask])
    pasted = make(real, tmp_path / "out", "copy_paste", 0, 900, components=components, **STILL).index["regions"]
    wanted = np.minimum(np.arange(components[0], components[1] + 1), 4)
    assert np.bincount(pasted, minlength=5) / 900 == pytest.approx(np.bincount(wanted, minlength=5) / len(wanted), abs=0.06)


def test_donors_are_drawn_until_one_has_a_region(tmp_path):
    masks = np.zeros((10, SIZE, SIZE))
    masks[7, 4:8, 4:8], masks[3, 0, 0] = 1, 1  # pair 3 has a region that is too small
    real = write(tmp_path / "real", masks)
    patient = make(real, tmp_path / "patient", "copy_paste", 0, 300, background=0, donors=200, **STILL).index
    patient = patient[patient["original"] != 7]
    assert set(patient["donor"]) == {7} and (patient["regions"] == 1).all() and (patient["area"] == 16).all()
    hasty = make(real, tmp_path / "hasty", "copy_paste", 0, 1000, background=0, donors=3, **STILL)
    tried = hasty.index[hasty.index["original"] != 7]
    assert tried["regions"].mean() == pytest.approx(1 - (8 / 9) ** 3, abs=0.06)
    for pair in np.flatnonzero(hasty.index["regions"] == 0):
        assert (hasty.images[pair, ..., 2] == pair % 10).all() and (hasty.masks[pair] == masks[pair % 10]).all()
    assert set(hasty.index[hasty.index["original"] == 7]["regions"]) == {0}
