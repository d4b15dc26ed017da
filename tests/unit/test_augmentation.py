"""Cutout, CutMix and Copy-Paste as sources of pairs.

Most stores here are traceable: the three colours of a pixel are its row, its column and its pair, so that every pixel of a result tells
where it came from, and a label that did not move with it is found.
"""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from satsynth.augmentation import copy_paste
from satsynth.augmentation.making import make_shard
from satsynth.pairs import IGNORE, Store, StoreWriter, bounds
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError

SIZE = 32
OPTIONS = {
    "cutout": {"hole": 0.25, "fill": "mean", "label": IGNORE},
    "cutmix": {"alpha": 1.0},
    "copy_paste": {"scale": [0.8, 1.25], "flip": 0.5, "min_area": 4, "keep": 0.5, "donors": 10, "components": [1, 3]},
}
STILL = {"scale": [1.0, 1.0], "flip": 0.0}  # Copy-Paste without jitter: pixels stay where they are
METHODS = tuple(OPTIONS)


def write(folder, masks, classes=4, paint=None):
    """A traceable store, or one whose images are paint(pair)."""
    size = masks[0].shape[0]
    y, x = np.mgrid[:size, :size]
    with StoreWriter(folder, size=size, classes=classes) as writer:
        for number, mask in enumerate(masks):
            image = np.stack([y, x, np.full_like(y, number)], -1) if paint is None else paint(number)
            writer.append(image.astype(np.uint8), mask.astype(np.uint8), scene="a")
    return folder


def patchy(count=6, classes=4, size=SIZE, seed=0, ignored=True):
    """Masks of 4 px blocks of random classes, half of them class 0, with some ignore blocks."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, classes, (count, size // 4, size // 4)) * rng.integers(0, 2, (count, size // 4, size // 4))
    if ignored:
        blocks[rng.random(blocks.shape) < 0.1] = IGNORE
    return blocks.repeat(4, 1).repeat(4, 2)


def make(folders, out, method, first=0, last=60, *, seed=3, background=None, **options):
    cfg = {"augment": method, "seed": seed, "shards": 1, "options": {**OPTIONS[method], **options}, "background": background}
    make_shard(folders if isinstance(folders, list) else [folders], out, cfg, first, last)
    return Store.open(out, verify=True)


def traced(store, pair, masks):
    """Where the pixels of a traceable result came from: rows, columns, pairs; and the labels that they had there."""
    y, x, number = np.moveaxis(store.images[pair].astype(int), -1, 0)
    return y, x, number, np.asarray(masks)[number, y, x]


# All methods.


@pytest.mark.parametrize("method", METHODS)
def test_every_cut_into_shards_holds_the_same_pairs(tmp_path, method):
    folders = [write(tmp_path / "a", patchy(4)), write(tmp_path / "b", patchy(3, seed=1))]
    whole = make(folders, tmp_path / "whole", method, 0, 14)
    for shard in range(6):
        first, last = bounds(shard, 3, 7)
        part = make(folders, tmp_path / "part", method, first, last)
        assert (part.images == whole.images[first:last]).all() and (part.masks == whole.masks[first:last]).all()
        assert part.index.drop(columns="pair").equals(whole.index[first:last].drop(columns="pair").reset_index(drop=True))
    assert whole.index["index"].tolist() == list(range(14)) and whole.index["original"].tolist() == [*range(7), *range(7)]
    again = make(folders, tmp_path / "again", method, 0, 14)
    assert again.card == whole.card


@pytest.mark.parametrize("method", METHODS)
def test_seeds_and_units_differ(tmp_path, method):
    real = write(tmp_path / "real", patchy())
    one = make(real, tmp_path / "one", method, 0, 12)
    other = make(real, tmp_path / "other", method, 0, 12, seed=4)
    assert (one.images != other.images).any((1, 2, 3)).mean() > 0.8
    # The second unit of R augments the same originals in another way.
    assert (one.images[:6] != one.images[6:]).any((1, 2, 3)).mean() > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_the_card_says_how_the_shard_was_made(tmp_path, method):
    folders = [write(tmp_path / "a", patchy(4)), write(tmp_path / "b", patchy(3))]
    store = make(folders, tmp_path / "out", method, 2, 9, background=0)
    assert store.card["source"] == {
        "augment": method,
        "options": OPTIONS[method],
        "background": 0,
        "seed": 3,
        "first": 2,
        "parents": [files.sha256(folder / "card.json") for folder in folders],
    }
    assert store.card["classes"] == 4 and len(store) == 7 and store.index["seed"].unique().tolist() == [3]
    assert not store.index.isna().any().any() and (store.index == "").sum().sum() == 0


@pytest.mark.parametrize("background", [None, 0])
@pytest.mark.parametrize("method", METHODS)
def test_labels_move_with_their_pixels_through_every_resampling(tmp_path, method, background):
    # Labels are steps of 8 of a ramp of colours, so that colours interpolated between two labels stay true.
    ramps = [np.mgrid[:64, :64][number % 2][:: 1 - number % 3 % 2 * 2] for number in range(6)]
    real = write(tmp_path / "real", [ramp // 8 for ramp in ramps], classes=8, paint=lambda number: np.stack([ramps[number]] * 3, -1))
    changes = {"fill": "black"} if method == "cutout" else {}
    made = make(real, tmp_path / "out", method, background=background, **changes)
    known = made.masks != IGNORE
    middle = made.masks[known] * 8.0 + 3.5
    # Half a step of the ramp, half a pixel of the nearest label at the largest scaling, and rounding.
    assert np.abs(made.images[..., 0][known] - middle).max() <= 3.5 + 1.3
    assert (made.images[~known] == 0).all() and known.mean() > 0.2 and (method == "cutmix") == known.all()


@pytest.mark.parametrize("method", METHODS)
def test_a_single_pair_is_its_own_donor(tmp_path, method):
    masks = patchy(1)
    store = make(write(tmp_path / "real", masks), tmp_path / "out", method, 0, 5)
    assert len(store) == 5 and set(store.index["original"]) == {0}
    if method != "cutout":
        assert set(store.index["donor"]) == {0}
    if method == "cutmix":
        assert (store.masks == masks).all()


@pytest.mark.parametrize("method", ["cutmix", "copy_paste"])
def test_donors_are_the_other_pairs_all_alike(tmp_path, method):
    index = make(write(tmp_path / "real", patchy(5, size=8)), tmp_path / "out", method, 0, 2000).index
    assert (index["donor"] != index["original"]).all()
    counts = index.groupby(["original", "donor"]).size()
    assert len(counts) == 20 and counts.between(60, 145).all()


@pytest.mark.parametrize("background", [None, 0, 254])
@pytest.mark.parametrize("method", METHODS)
def test_255_classes_and_ignore_live_together(tmp_path, method, background):
    masks = [np.arange(1024).reshape(SIZE, SIZE) % 256, np.arange(1024).reshape(SIZE, SIZE) // 4]
    real = write(tmp_path / "real", masks, classes=255)
    changes = {"min_area": 1, **STILL} if method == "copy_paste" else {"label": 254} if method == "cutout" else {}
    made = make(real, tmp_path / "out", method, 0, 20, background=background, **changes)
    for pair in range(20):
        if method != "cutout":
            assert (traced(made, pair, masks)[3] == made.masks[pair]).all()
    assert made.card["ignore_pixels"] > 0


@pytest.mark.parametrize("background", [None, 0])
@pytest.mark.parametrize("method", METHODS)
def test_unlabelled_pairs_pass_through(tmp_path, method, background):
    made = make(write(tmp_path / "real", np.full((3, SIZE, SIZE), IGNORE)), tmp_path / "out", method, 0, 9, background=background)
    assert (made.masks == IGNORE).all() and len(made) == 9


def test_the_shards_of_the_script_are_one_unit_after_the_other(tmp_path):
    folders = [write(tmp_path / "a", patchy(4)), write(tmp_path / "b", patchy(3, seed=1))]
    cfg = {"augment": "cutmix", "seed": 3, "shards": 3, "options": OPTIONS["cutmix"], "background": None}
    work = runpy.run_path(str(Path(__file__).parents[2] / "workflow_scripts/augment_pairs.py"))["work"]
    whole, indices = make(folders, tmp_path / "whole", "cutmix", 0, 14), []
    for shard in range(6):
        output = tmp_path / f"shard-{shard}/card.json"
        inputs = {"cards": [folder / "card.json" for folder in folders]}
        work(SimpleNamespace(input=inputs, output={"card": output}, wildcards={"shard": f"{shard:03d}"}, cfg=cfg))
        part = Store.open(output.parent)
        indices += part.index["index"].tolist()
        assert (part.images == whole.images[part.index["index"]]).all()
    assert indices == list(range(14))


def test_no_method_needs_torch():
    modules = [f"satsynth.augmentation.{name}" for name in (*METHODS, "making")]
    lines = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", lines], cwd=Path(__file__).parents[2], check=False).returncode == 0


# Cutout.


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


# CutMix.


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


# Copy-Paste.


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


# Errors.


BAD = {
    "cutout": {"label": [4, -1], "fill": ["grey"], "hole": [0, 1.5]},
    "cutmix": {"alpha": [0, float("inf")]},
    "copy_paste": {
        **{"scale": [[1.2, 0.8], [0, 1]], "flip": [1.1], "min_area": [0], "keep": [-0.1]},
        **{"donors": [0], "components": [[0, 2], [3, 2]]},
    },
}


@pytest.mark.parametrize(
    ("method", "key", "value"), [(method, key, value) for method in BAD for key in BAD[method] for value in BAD[method][key]]
)
def test_options_that_cannot_be_used_are_named(tmp_path, method, key, value):
    with pytest.raises(ConfigError) as error:
        make(write(tmp_path / "real", patchy(2)), tmp_path / "out", method, **{key: value})
    assert error.value.subject == f"options.{key}" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"background": 4}, "background: 4 is no class of 4"),
        ({"options": {}}, "options: alpha: missing"),
        ({"options": {"alpha": 1, "beta": 1}}, "options: beta: .*no option of cutmix"),
        ({"augment": "cutouts"}, "there is no augmentation 'cutouts'"),
        ({"augment": "making"}, "there is no augmentation 'making'"),
    ],
)
def test_what_does_not_fit_the_method_is_named(tmp_path, changes, text):
    cfg = {"augment": "cutmix", "seed": 0, "shards": 1, "options": {"alpha": 1}, "background": None, **changes}
    with pytest.raises(ConfigError, match=text):
        make_shard([write(tmp_path / "real", patchy(2))], tmp_path / "out", cfg, 0, 2)


def test_empty_shards_and_stores_that_do_not_fit_are_refused(tmp_path):
    real, other = write(tmp_path / "real", patchy(2)), write(tmp_path / "other", patchy(2, size=16))
    with pytest.raises(ConfigError, match="fewer shards"):
        make(real, tmp_path / "out", "cutmix", 3, 3)
    with pytest.raises(StoreError, match="do not fit"):
        make([real, other], tmp_path / "out", "cutmix")
