"""What the page says of a gain table, from what was really written."""

import math

import pandas as pd
import pytest
from reporting_fixtures import write_demo

from satsynth.reporting import tables
from satsynth.reporting.verdict import findings, is_gain, outcome, verdict

CFG = {"title": "T", "confidence": 0.95, "replicates": 200, "seed": 0}


def judge(tmp_path, errors, **demo):
    runs, real = write_demo(tmp_path, errors, **demo)
    tables.build("gain", runs, real, CFG, {"csv": tmp_path / "gain.csv"})
    frame = pd.read_csv(tmp_path / "gain.csv")
    return findings(frame)[0][0], verdict(frame)


def test_a_clear_gain_is_said(tmp_path):
    headline, text = judge(tmp_path, {("real", 0): 0.4, ("union", 1): 0.2, ("synthetic", 1): 0.5})
    assert headline == "demo, 16 px, fpn: adding synthetic pairs raised mIoU."
    assert "The gain is positive and no interval includes zero." in text
    assert "points above the constant class (field" in text


def test_a_loss_is_said(tmp_path):
    headline, text = judge(tmp_path, {("real", 0): 0.2, ("union", 1): 0.4})
    assert "did not raise mIoU; it lowered it" in headline
    assert "The gain is not positive: synthetic pairs made the result worse" in text and "points less" in text


def test_an_undecided_difference_is_said(tmp_path):
    headline, text = judge(tmp_path, {("real", 0): 0.3, ("union", 1): 0.2995})
    assert headline == "demo, 16 px, fpn: no gain is shown: +0.22 points, but both intervals include zero."
    assert "both intervals include zero, so the difference may be chance" in text


def test_without_seeds_to_compare_nothing_is_shown(tmp_path):
    headline, text = judge(tmp_path, {("real", 0): 0.4, ("union", 1): 0.1}, seeds=1)
    assert "no gain is shown: +" in headline and headline.endswith("but with 1 seed there is no interval over seeds.")
    assert "with 1 seed there is no interval over seeds" in text


def test_a_useless_synthetic_set_is_said():
    row = {"dataset": "d", "size": 8, "segmenter": "fpn", "n": 2, "miou_se_pct": 0.1, "source": None, "ratio": 0, "gain_points": math.nan}
    row |= {"method": None}
    frame = pd.DataFrame(
        [
            row | {"arm": "constant", "miou_pct": 20.0, "answer": "field"},
            row | {"arm": "real", "miou_pct": 60.0},
            row | {"arm": "synthetic", "miou_pct": 15.0, "source": "cascade", "method": "satsynth", "ratio": 1},
        ]
    )
    assert "does not beat the constant class (field, 20.00 %)" in verdict(frame)


@pytest.mark.parametrize(
    ("seeds", "scenes", "said"),
    [((1, 2), (0.5, 3), "gain"), ((1, 2), (-1, 3), "undecided"), ((-2, -1), (-3, -1), "loss"), ((1, 2), (math.nan,) * 2, "gain")],
)
def test_outcome_wants_every_interval_at_hand(seeds, scenes, said):
    row = dict(zip(("gain_low", "gain_high", "gain_scene_low", "gain_scene_high"), (*seeds, *scenes)))
    assert outcome(row, "gain") == said


def row(arm, points, seeds, scenes, **other):
    """A row of a gain table; intervals as (low, high)."""
    ends = dict(zip(("gain_low", "gain_high", "gain_scene_low", "gain_scene_high"), (*seeds, *scenes)))
    known = {"dataset": "d", "size": 8, "segmenter": "fpn", "n": 3, "miou_pct": 50.0, "miou_se_pct": 0.1, "ratio": 1, "source": "cascade"}
    known["method"] = "satsynth"
    return known | {"arm": arm, "gain_points": points, "gain_n": 3, "gain_scenes": 5} | ends | other


NONE = (math.nan, math.nan)
D = row("real", math.nan, NONE, NONE, ratio=0, source=None, method=None)


@pytest.mark.parametrize(
    ("points", "seeds", "scenes", "said"),
    [
        (-0.92, (-9.3, 7.5), (-2.3, 0.3), "−0.92 points, and both intervals include zero"),
        (0.5, (-1, 2), (0.1, 0.9), "+0.50 points, but the interval over seeds includes zero"),
        (0.5, (0.1, 0.9), (-1, 2), "+0.50 points, but the interval over scenes includes zero"),
        (0.5, (-1, 2), NONE, "+0.50 points, but the interval over seeds includes zero"),
        (0.5, (0.1, 0.9), (-3, -2), "+0.50 points, but the intervals disagree in sign"),
        (math.nan, NONE, NONE, "no seed is shared with D, so there is no difference to state"),
    ],
)
def test_an_undecided_headline_gives_number_and_reason(points, seeds, scenes, said):
    frame = pd.DataFrame([D, row("union", points, seeds, scenes)])
    assert findings(frame)[0][0] == f"d, 8 px, fpn: no gain is shown: {said}."


def test_several_undecided_training_sets_share_a_line():
    rows = [row("union", points, (-1, 2), (-1, 2), ratio=ratio) for ratio, points in ((1, 0.4), (2, -0.2), (3, 0.1))]
    frame = pd.DataFrame([D, *rows])
    assert findings(frame)[0][0] == (
        "d, 8 px, fpn: no gain is shown: −0.20 to +0.40 points in 3 training sets, and none is told apart from zero."
    )
    assert "not corrected for comparing several training sets" in verdict(frame)


@pytest.mark.parametrize(
    ("seeds", "scenes", "said"),
    [
        ((1, 3), (0.5, 4), "a gain that is shown: no interval includes zero"),
        ((-3, -1), (-4, -2), "a loss that is shown: no interval includes zero"),
        ((-1, 3), (0.5, 4), "not told apart from zero, since the interval over seeds includes zero"),
    ],
)
def test_what_is_shown_against_the_control_is_said_in_words(seeds, scenes, said):
    names = ("over_control_low", "over_control_high", "over_control_scene_low", "over_control_scene_high")
    control = dict(zip(names, (*seeds, *scenes)), over_control_points=2.0, over_control_n=3, over_control_scenes=5)
    text = verdict(pd.DataFrame([D, row("union", 1.0, (-1, 2), (-1, 2), **control)]))
    assert f"synthetic pairs at R = 1 +2.00 points (interval {'+' if seeds[0] > 0 else '−'}" in text and f"), {said}." in text


def test_a_network_that_is_trained_on_real_pairs_only_is_headlined_by_its_score():
    rival, floor = D | {"segmenter": "segdiff"}, row("constant", math.nan, NONE, NONE, miou_pct=6.0, answer="field")
    assert findings(pd.DataFrame([rival])) == [("d, 8 px, segdiff: on real pairs alone, 50.00 ± 0.10 % mIoU (3 seeds).", [])]
    ((headline, lines),) = findings(pd.DataFrame([rival]), [pd.DataFrame([rival])])
    assert headline.endswith("segdiff: its score on real pairs alone is said above.") and lines == []
    alone = row("synthetic", math.nan, NONE, NONE, miou_pct=30.0)
    ((headline, lines),) = findings(pd.DataFrame([floor, D, alone]))
    assert headline.startswith("d, 8 px, fpn: on real pairs alone, 50.00") and [line[:9] for line in lines] == ["D′ alone "]


def test_a_gain_table_is_told_by_all_that_is_read_of_it(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1}, seeds=1)
    gain, classes = (tables.build(view, runs, real, CFG, {}).frame for view in ("gain", "per_class"))
    assert is_gain(gain) and not is_gain(classes)
    assert not is_gain(gain.drop(columns="over_control_points")) and not is_gain(gain.drop(columns="method"))


@pytest.mark.parametrize(("scenes", "said"), [(9, 1), (10, 0)])
def test_few_validation_scenes_are_a_caution(scenes, said):
    known = row("union", 1.0, (0.5, 2), (0.5, 2), gain_scenes=scenes)
    text = verdict(pd.DataFrame([D, known]))
    assert text.count("Caution: intervals over scenes rest on 9 validation scenes here") == said
    assert "Caution" not in verdict(pd.DataFrame([D, known | {"gain_scene_low": math.nan, "gain_scene_high": math.nan}]))


# What was said before -----------------------------------------------------------------------------------------------------------


def test_what_was_told_of_an_earlier_table_is_not_told_again():
    ours = row("union", 0.7, (-1, 2), (-1, 2))
    first = pd.DataFrame([D, ours])
    ((headline, lines),) = findings(pd.DataFrame([D, ours | over("cutout", 0.3, (0.1, 0.5), (0.2, 0.4)), CUTOUT]), [first])
    assert headline == "d, 8 px, fpn: what synthetic pairs change is said above; new here: Cutout."
    assert [line.split(" ")[0] for line in lines] == ["Cutout", "Against", "The", "Caution:"]
    assert findings(first, [first]) == [("d, 8 px, fpn: what synthetic pairs change is said above.", [])]


def test_what_is_new_beside_something_told_is_told_whole():
    told, new = row("union", 0.7, (-1, 2), (-1, 2)), row("union", 3.0, (2, 4), (2, 4), ratio=3)
    ((headline, lines),) = findings(pd.DataFrame([D, told, new]), [pd.DataFrame([D, told])])
    assert headline == "d, 8 px, fpn: adding synthetic pairs raised mIoU in 1 of 2 training sets."
    assert not any("at R = 1" in line or "D alone" in line for line in lines) and "at R = 3 gives" in lines[0]


@pytest.mark.parametrize("other", [{"segmenter": "pspnet"}, {"gain_high": 2.5}, {"seeds": "0 1"}, {"training_set": "real+other-r1"}])
def test_another_comparison_or_other_numbers_are_told(other):
    ours = row("union", 0.7, (-1, 2), (-1, 2), training_set="real+cascade-r1") | {"seeds": "0 1 2"}
    first = pd.DataFrame([D, ours])
    second = pd.DataFrame([D | {key: other[key] for key in other if key == "segmenter"}, ours | other])
    ((headline, lines),) = findings(second, [first])
    assert "said above" not in headline and any(line.startswith("Adding synthetic pairs") for line in lines)


# Augmentations ------------------------------------------------------------------------------------------------------------------


def over(name, points, seeds, scenes):
    """The columns that compare a row with another than D."""
    ends = dict(zip(("low", "high", "scene_low", "scene_high"), (*seeds, *scenes)))
    return {f"over_{name}_{part}": value for part, value in {"points": points, "n": 3, "scenes": 5, **ends}.items()}


CUTOUT = row("union", 0.4, (-0.2, 1.0), (0.1, 0.7), source="cutout", method="cutout", miou_pct=50.4)


def test_an_augmentation_has_a_sentence_of_its_own_and_no_part_in_the_headline():
    shown = row("union", 5.0, (4, 6), (4, 6), source="copy_paste", method="copy_paste")
    ((headline, lines),) = findings(pd.DataFrame([D, row("union", 0.7, (-1, 2), (-1, 2)), CUTOUT, shown]))
    assert headline == "d, 8 px, fpn: no gain is shown: +0.70 points, but both intervals include zero."
    assert (
        "Cutout gives 50.40 ± 0.10 % mIoU (3 seeds), against D +0.40 points (interval −0.20 to +1.00 over 3 seeds; +0.10 to +0.70 over "
        "5 scenes), not told apart from zero, since the interval over seeds includes zero."
    ) in lines
    assert any(line.startswith("Copy-Paste gives") and line.endswith("a gain that is shown: no interval includes zero.") for line in lines)
    assert not any(word in line for line in lines for word in ("pairs from cutout", "pairs from copy_paste", "pairs from cascade"))


def test_augmentations_alone_are_no_synthetic_pairs():
    ((headline, lines),) = findings(pd.DataFrame([D, CUTOUT]))
    assert headline.endswith("no training set with both real and synthetic pairs was run.")
    assert any(line.startswith("Cutout gives") for line in lines) and not any("synthetic pairs" in line for line in lines)


@pytest.mark.parametrize(
    ("seeds", "scenes", "said"),
    [
        ((-0.5, 1.1), (-0.2, 0.8), "not told apart from zero, since both intervals include zero"),
        ((0.1, 0.5), (0.2, 0.4), "a gain that is shown: no interval includes zero"),
    ],
)
def test_synthetic_pairs_are_set_against_each_augmentation(seeds, scenes, said):
    ours = row("union", 0.7, (0.1, 2), (0.1, 2), **over("cutout", 0.3, seeds, scenes))
    text = verdict(pd.DataFrame([D, ours, row("union", 1.2, (0.1, 2), (0.1, 2), ratio=3), CUTOUT]))
    low, high = (f"{'+' if value > 0 else '−'}{abs(value):.2f}" for value in seeds)
    assert f"Against Cutout: synthetic pairs at R = 1 +0.30 points (interval {low} to {high} over 3 seeds; " in text
    assert f" over 5 scenes), {said}." in text and text.count("Against Cutout") == 1
    assert "at R = 3 +0.30" not in text


def test_without_a_shared_seed_there_is_nothing_to_set_against_an_augmentation():
    none = over("cutout", math.nan, NONE, NONE) | {"over_cutout_n": 0}
    text = verdict(pd.DataFrame([D, row("union", 0.7, (0.1, 2), (0.1, 2), **none), CUTOUT | {"gain_points": math.nan}]))
    assert "Against Cutout: synthetic pairs at R = 1 share no seed with it." in text
    assert "Cutout gives 50.40 ± 0.10 % mIoU (3 seeds); no seed is shared with D" in text


def test_what_a_real_table_says_of_augmentations(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.4, ("control", 0): 0.45, ("union", 1): 0.2})
    for source, method, error in (("cutout", "cutout", 0.39), ("narrow", "cutout", 0.3)):
        runs += write_demo(tmp_path, {("union", 1): error}, source=source, method=method)[0]
    runs += write_demo(tmp_path, {("synthetic", 1): 0.5}, source="cutout", method="cutout")[0]
    tables.build("gain", runs, real, CFG, {"csv": tmp_path / "gain.csv"})
    headline, lines = findings(pd.read_csv(tmp_path / "gain.csv"))[0]
    assert headline == "demo, 16 px, fpn: adding synthetic pairs raised mIoU."
    assert sum(line.startswith(("Against Cutout: ", "Against Cutout (narrow): ")) for line in lines) == 2
    assert any(line.startswith("Against the control") and "; Cutout (narrow) +" in line for line in lines)
    assert any(line.startswith("Cutout alone (R = 1) gives") for line in lines)
