"""Cutout and CutMix: where holes and boxes lie, and what they hold."""

import numpy as np
import pytest
from augmentation_fixtures import SIZE, make, patchy, traced, write
from scipy import stats

from satsynth.pairs import IGNORE, Store


def test_the_hole_is_blank_in_image_and_mask_and_all_else_untouched(tmp_path):
    masks = patchy(6, ignored=False)
    real = Store.open(write(tmp_path / "real", masks))
    mean = np.round(real.images.reshape(-1, 3).mean(0))
    made = make(real.folder, tmp_path / "out", "cutout", 0, 120)
    for pair, facts in enumerate(made.index.to_dict("records")):
        hole = np.zeros((SIZE, SIZE), bool)
        hole[facts["top"] : facts["bottom"], facts["left"] : facts["right"]] = True
        assert (made.images[pair][hole] == mean).all() and (made.masks[pair][hole] == IGNORE).all()
        row = facts["original"]
        assert row == pair % 6
        assert (made.images[pair][~hole] == real.images[row][~hole]).all() and (made.masks[pair][~hole] == masks[row][~hole]).all()


def test_the_mean_colour_is_that_of_all_stores(tmp_path):
    dark = write(tmp_path / "dark", np.zeros((300, 4, 4)), paint=lambda number: np.full((4, 4, 3), 10))
    light = write(tmp_path / "light", np.zeros((100, 4, 4)), paint=lambda number: np.full((4, 4, 3), (30, 250, 255)))
    made = make([dark, light], tmp_path / "out", "cutout", 0, 5, hole=1.0)
    hole = made.index.iloc[0]
    assert made.images[0][hole["top"], hole["left"]].tolist() == [15, 70, 71]


def test_holes_have_their_side_and_are_clipped_at_the_borders_only(tmp_path):
    index = make(write(tmp_path / "real", patchy(1)), tmp_path / "out", "cutout", 0, 3000).index
    for low, high in (("top", "bottom"), ("left", "right")):
        sides = index[high] - index[low]
        inside = (index[low] > 0) & (index[high] < SIZE)
        assert (sides[inside] == 8).all() and sides.between(4, 8).all() and index[low].min() == 0 and index[high].max() == SIZE
        # Centre c covers c - 4 to c + 3: of 32 centres, 4 reach past the start and 3 past the end.
        assert sides.mean() == pytest.approx((8 * 25 + 4 + 5 + 6 + 7 + 5 + 6 + 7) / 32, abs=0.06)
        assert stats.chisquare(np.bincount(index[low])[1:]).pvalue > 1e-3
    area = (index["bottom"] - index["top"]) * (index["right"] - index["left"])
    assert area.min() == 16 and area.max() == 64
    assert abs(np.corrcoef(index["top"], index["left"])[0, 1]) < 0.06


@pytest.mark.parametrize("label", [0, 3, IGNORE])
def test_the_hole_takes_the_label_and_the_colour_that_are_asked_for(tmp_path, label):
    made = make(write(tmp_path / "real", np.ones((2, SIZE, SIZE))), tmp_path / "out", "cutout", 0, 40, label=label, fill="black")
    changed = made.masks != 1
    assert set(made.masks[changed].tolist()) == {label} and (made.images[changed] == 0).all()
    assert changed.any((1, 2)).all()


def test_a_box_of_the_donor_covers_the_same_box(tmp_path):
    masks = patchy()
    made = make(write(tmp_path / "real", masks), tmp_path / "out", "cutmix", 0, 120)
    y, x = np.mgrid[:SIZE, :SIZE]
    for pair, facts in enumerate(made.index.to_dict("records")):
        box = np.zeros((SIZE, SIZE), bool)
        box[facts["top"] : facts["bottom"], facts["left"] : facts["right"]] = True
        rows, columns, number, labels = traced(made, pair, masks)
        assert (rows == y).all() and (columns == x).all() and (labels == made.masks[pair]).all()
        assert (number == np.where(box, facts["donor"], pair % 6)).all()


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_lambda_is_beta_and_rules_the_side_of_the_box(tmp_path, alpha):
    index = make(write(tmp_path / "real", np.zeros((2, SIZE, SIZE))), tmp_path / "out", "cutmix", 0, 1500, alpha=alpha).index
    assert stats.kstest(index["lambda"], stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    side = (np.sqrt(1 - index["lambda"]) * SIZE).round()
    for low, high in (("top", "bottom"), ("left", "right")):
        inside = (index[low] > 0) & (index[high] < SIZE)
        assert inside.sum() > 100 and (index[high] - index[low] == side)[inside].all()
        assert (index[high] - index[low] <= side).all() and (index[high] - index[low] >= side // 2).all()
