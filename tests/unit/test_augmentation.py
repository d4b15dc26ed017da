"""Cutout, CutMix and Copy-Paste as sources of pairs: what all methods keep, and what they refuse."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from augmentation_fixtures import METHODS, OPTIONS, SIZE, STILL, make, patchy, traced, write

from satsynth.augmentation.making import make_shard
from satsynth.pairs import IGNORE, Store, bounds
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError


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
