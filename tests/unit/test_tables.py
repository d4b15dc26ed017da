import json
import math

import numpy as np
import pandas as pd
import pytest
from reporting_fixtures import scores, write_demo

from satsynth.metrics import confusion as metrics
from satsynth.reporting import markup, statistics, tables
from satsynth.reporting.verdict import findings, outcome, verdict
from satsynth.runtime.errors import ConfigError, StoreError

CFG = {"title": "What synthetic pairs are worth", "confidence": 0.95, "replicates": 200, "seed": 0}


def build(root, errors, view="gain", cfg=CFG, **demo):
    runs, real = write_demo(root, errors, **demo)
    out = {kind: root / "tables" / f"{view}.{kind}" for kind in ("csv", "md", "tex")}
    tables.build(view, runs, real, cfg, out)
    return runs, real, out


# Statistics ---------------------------------------------------------------------------------------------------------------------


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


# The gain table -----------------------------------------------------------------------------------------------------------------

ERRORS = {("real", 0): 0.25, ("control", 0): 0.3, ("synthetic", 1): 0.5, ("union", 1): 0.2, ("union", 3): 0.26}


def test_gain_numbers_are_those_of_the_runs(tmp_path):
    runs, _, out = build(tmp_path, ERRORS)
    frame = pd.read_csv(out["csv"])
    assert frame["arm"].tolist() == ["constant", "real", "control", "synthetic", "union", "union"]

    def said(arm, ratio, name="miou"):
        return [json.loads((run.folder / "metrics.json").read_text())[name] for run in runs if (run.arm, run.ratio) == (arm, ratio)]

    row = frame[(frame["arm"] == "union") & (frame["ratio"] == 3)].iloc[0]
    union, real, control = said("union", 3), said("real", 0), said("control", 0)
    assert row["miou_pct"] == pytest.approx(100 * np.mean(union), abs=1e-12)
    assert row["miou_se_pct"] == pytest.approx(100 * np.std(union, ddof=1) / math.sqrt(3), abs=1e-12)
    assert row["f1_pct"] == pytest.approx(100 * np.mean(said("union", 3, "f1")), abs=1e-12)
    assert row["gain_points"] == pytest.approx(100 * np.mean(np.subtract(union, real)), abs=1e-12)
    assert row["over_control_points"] == pytest.approx(100 * np.mean(np.subtract(union, control)), abs=1e-12)
    assert row["gain_low"] < row["gain_points"] < row["gain_high"]
    assert (row["n"], row["gain_n"], row["gain_scenes"], row["steps"], row["real_exposures"]) == (3, 3, 3, 100, 400)
    assert frame["steps"].dtype.kind == "i" and frame["n"].dtype.kind == "i"


def test_constant_class_row_equals_scoring_such_a_prediction(tmp_path):
    _, real, out = build(tmp_path, {("real", 0): 0.2})
    train, val = (np.load(folder / "masks.npy") for folder in (real[0].train, real[0].val))
    answer = np.bincount(train.ravel()).argmax()
    direct = metrics.scores(metrics.confusion(val, np.full_like(val, answer), 3))
    row = pd.read_csv(out["csv"]).iloc[0]
    assert row["miou_pct"] == pytest.approx(100 * direct["miou"], abs=1e-12)
    assert row["f1_pct"] == pytest.approx(100 * direct["f1"], abs=1e-12)
    assert row["answer"] == ("field", "water", "roof")[answer]


def test_printed_table_says_what_its_signs_mean(tmp_path):
    _, _, out = build(tmp_path, ERRORS)
    printed = markup.read_markdown(out["md"])
    assert printed.title == "What synthetic pairs are worth (demo, 16 px, fpn)"
    assert [row[0].replace("\u00a0", " ") for row in printed.rows[1:4]] == ["D", "D, as many exposures of real pairs as D ∪ D′", "D′ alone"]
    notes = "\n".join(printed.notes)
    for words in ("standard error over n seeds", "absent", "same number of optimiser steps", "6 patches of 3 scenes", "200 replicates"):
        assert words in notes


def test_latex_uses_booktabs_and_escapes(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    table = markup.Table(
        "50 % of a_b & {c}", frame, ("class_name", "mIoU (%)"), (("swimming_pool", "1.00 ± 0.50"),), ("costs $5 #1 ~ ^ \\",)
    )
    text = markup.to_latex(table)
    assert r"swimming\_pool & 1.00 $\pm$ 0.50 \\" in text
    assert r"\toprule" in text and r"\begin{tabular}{lr}" in text
    assert r"50 \% of a\_b \& \{c\}" in text and r"\$5 \#1 \textasciitilde{} \textasciicircum{} \textbackslash{}" in text


def test_markdown_reads_back_as_written(tmp_path):
    table = markup.Table("T", pd.DataFrame({"a": [1]}), ("x|y", "b"), (("back\\slash", "–"), ("a|b", "1")), ("first", "second"))
    markup.write(table, {"md": tmp_path / "t.md"})
    printed = markup.read_markdown(tmp_path / "t.md")
    assert (printed.header, printed.rows, printed.notes) == (table.header, table.rows, table.notes)


def test_unequal_steps_are_said(tmp_path):
    runs, _, out = build(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2})
    real = write_demo(tmp_path, {})[1]
    for run in runs:
        if run.arm == "union":
            card = json.loads((run.folder / "card.json").read_text())
            (run.folder / "card.json").write_text(json.dumps(card | {"steps": 300}))
    tables.build("gain", runs, real, CFG, out)
    assert "Caution: optimiser steps differ" in out["md"].read_text()


def test_one_seed_and_one_scene_give_dashes(tmp_path):
    _, _, out = build(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=1, scenes=1)
    row = pd.read_csv(out["csv"]).iloc[-1]
    assert row["gain_points"] > 0 and math.isnan(row["gain_low"]) and math.isnan(row["gain_scene_low"])
    assert markup.read_markdown(out["md"]).rows[-1][-3:-1] == ("–", "–")


def test_same_inputs_give_the_same_bytes(tmp_path):
    runs, real, out = build(tmp_path, ERRORS)
    before = [path.read_bytes() for path in out.values()]
    tables.build("gain", runs[::-1], real, CFG, out)
    assert [path.read_bytes() for path in out.values()] == before


def test_per_class_gives_every_class_and_a_dash_where_it_is_absent(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1})
    for run in runs:
        confusion = np.load(run.folder / "confusion.npy")
        confusion[:, 2, :] = confusion[:, :, 2] = 0
        np.save(run.folder / "confusion.npy", confusion)
        (run.folder / "metrics.json").write_text(json.dumps(scores(confusion)))
    out = {"csv": tmp_path / "c.csv", "md": tmp_path / "c.md"}
    tables.build("per_class", runs, real, CFG, out)
    frame = pd.read_csv(out["csv"])
    water = frame[(frame["class"] == "water") & (frame["arm"] == "real")].iloc[0]
    known = [json.loads((run.folder / "metrics.json").read_text())["iou"][1] for run in runs if run.arm == "real"]
    assert water["iou_pct"] == pytest.approx(100 * np.mean(known), abs=1e-12)
    rows = markup.read_markdown(out["md"]).rows
    assert [row[0] for row in rows] == ["field", "water", "roof"]
    assert rows[2][2:] == ("–", "–") and "–" not in rows[1]
    gain = tables.build("gain", runs, real, CFG, {})
    assert gain.frame["absent_classes"].tolist()[1:] == ["roof", "roof"] and any("Absent somewhere: roof" in note for note in gain.notes)


# Bad input ----------------------------------------------------------------------------------------------------------------------


def test_bad_input_is_named(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1}, seeds=1)
    with pytest.raises(ConfigError, match="no table view 'gian'"):
        tables.build("gian", runs, real, CFG, {})
    with pytest.raises(ConfigError, match="exactly one training set D"):
        tables.build("gain", runs[1:], real, CFG, {})
    with pytest.raises(ConfigError, match="seed 0 of real stands twice"):
        tables.build("gain", [*runs, runs[0]], real, CFG, {})
    with pytest.raises(ConfigError, match="no real data of demo"):
        tables.build("gain", runs, [], CFG, {})


def test_scores_that_are_not_of_the_confusion_matrix_are_refused(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2}, seeds=1)
    path = runs[0].folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"miou": 0.99}))
    with pytest.raises(StoreError, match="is not that of confusion"):
        tables.build("gain", runs, real, CFG, {})


# The verdict --------------------------------------------------------------------------------------------------------------------


def judge(tmp_path, errors, **demo):
    _, _, out = build(tmp_path, errors, **demo)
    frame = pd.read_csv(out["csv"])
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
    assert "raised" not in headline and ("is not shown" in headline or "not positive" in headline)
    assert "include" in text and "may be chance" in text


def test_without_seeds_to_compare_nothing_is_shown(tmp_path):
    headline, text = judge(tmp_path, {("real", 0): 0.4, ("union", 1): 0.1}, seeds=1)
    assert "a gain from synthetic pairs is not shown" in headline
    assert "with 1 seed there is no interval over seeds" in text


def test_a_useless_synthetic_set_is_said():
    row = {"dataset": "d", "size": 8, "segmenter": "fpn", "n": 2, "miou_se_pct": 0.1, "source": None, "ratio": 0, "gain_points": math.nan}
    frame = pd.DataFrame(
        [
            row | {"arm": "constant", "miou_pct": 20.0, "answer": "field"},
            row | {"arm": "real", "miou_pct": 60.0},
            row | {"arm": "synthetic", "miou_pct": 15.0, "source": "cascade", "ratio": 1},
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
