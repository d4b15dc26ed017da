"""What rows of tables are compared with and what their seeds vary: replicas, numbers of differences, controls, augmentations."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from reporting_fixtures import write_demo

from satsynth.metrics import confusion as metrics
from satsynth.reporting import markup, statistics, tables
from satsynth.reporting.verdict import outcome

CFG = {"title": "What synthetic pairs are worth", "confidence": 0.95, "replicates": 200, "seed": 0}
ERRORS = {("real", 0): 0.25, ("control", 0): 0.3, ("synthetic", 1): 0.5, ("union", 1): 0.2, ("union", 3): 0.26}


def build(root, errors, **demo):
    """Runs, their real data and the files of their gain table."""
    runs, real = write_demo(root, errors, **demo)
    out = {kind: root / "tables" / f"gain.{kind}" for kind in ("csv", "md", "tex")}
    tables.build("gain", runs, real, CFG, out)
    return runs, real, out


# Replicas of a source -----------------------------------------------------------------------------------------------------------


def test_replicas_share_a_line_and_the_note_names_it(tmp_path):
    errors = {("real", 0): 0.25, ("synthetic", 1): 0.5, ("union", 1): 0.2}
    runs, real, out = build(tmp_path, errors, replicas=["cascade", "cascade_b", "cascade_c"])
    frame = pd.read_csv(out["csv"])
    assert frame["arm"].tolist() == ["constant", "real", "synthetic", "union"]
    union = frame.iloc[-1]
    assert union["training_set"] == "real+cascade-r1 real+cascade_b-r1 real+cascade_c-r1"
    assert (union["source"], union["n"], union["seeds"]) == ("cascade", 3, "0 1 2")
    note = next(note for note in markup.read_markdown(out["md"]).notes if note.startswith("±")).replace("\u00a0", " ")
    assert "For D′ alone, R = 1 (3 generators) and D ∪ D′, R = 1 (3 generators) the seeds vary generator and segmenter" in note
    assert "In all other rows the seeds vary the segmenter's training only." in note and "not independent" not in note
    known = [json.loads((run.folder / "metrics.json").read_text())["miou"] for run in runs if run.arm == "union"]
    assert union["miou_pct"] == pytest.approx(100 * np.mean(known), abs=1e-12)
    for view in ("per_class", "summary"):
        assert any("D ∪ D′, R = 1 (3 generators)" in note.replace("\u00a0", " ") for note in tables.build(view, runs, real, CFG, {}).notes)


def seeds_note(runs, real):
    (note,) = (note for note in tables.build("gain", runs, real, CFG, {}).notes if note.startswith("±"))
    return note.replace("\u00a0", " ")


def test_replicas_of_one_generator_are_samplings_of_it(tmp_path):
    errors, replicas = {("real", 0): 0.25, ("union", 1): 0.2}, ["cascade", "cascade_b", "cascade_c"]
    runs, real = write_demo(tmp_path, errors, replicas=replicas, chains=["satsynth+upscaler"])
    note = seeds_note(runs, real)
    assert "For D ∪ D′, R = 1 (3 samplings) the seeds vary the sampling and the segmenter" in note
    assert "of the same generator" in note and "vary generator" not in note and "not independent" not in note
    two = [run for run in runs if run.seed < 2] + [dataclasses.replace(run, seed=7) for run in runs if run.seed == 0]
    assert "(2 samplings)" in seeds_note(two, real) and "Seeds that share their pairs are not independent" in seeds_note(two, real)


def test_seeds_are_counted_by_the_generators_behind_them(tmp_path):
    errors, replicas = {("real", 0): 0.25, ("union", 1): 0.2}, ["cascade", "cascade_b", "cascade_c"]
    chains = ["satsynth+upscaler", "second+upscaler", "satsynth+upscaler"]
    note = seeds_note(*write_demo(tmp_path, errors, replicas=replicas, chains=chains))
    assert "For D ∪ D′, R = 1 (2 generators, each with upscaler) the seeds vary generator and segmenter" in note
    assert "Seeds that share a generator are not independent" in note  # three training sets, two generators


def test_replicas_of_an_augmentation_are_draws_of_it(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2})
    more, _ = write_demo(tmp_path, {("union", 1): 0.22}, replicas=["cutout", "cutout_b", "cutout_c"], method="cutout")
    note = seeds_note([*runs, *more], real)
    assert "For D ∪ Cutout, R = 1 (3 draws) the seeds vary the draw of the augmentation and the segmenter" in note
    assert "vary generator" not in note and "sampling" not in note
    assert note.endswith("In all other rows the seeds vary the segmenter's training only.")


def test_what_all_seeds_share_is_named_by_what_there_is(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25})
    more, _ = write_demo(tmp_path, {("union", 1): 0.22}, source="cutout", method="cutout")
    assert seeds_note(runs, real).endswith("The seeds vary the segmenter's training only.")
    assert "; the pairs of an augmentation are the same for every seed" in seeds_note([*runs, *more], real)
    both = [*runs, *more, *write_demo(tmp_path, {("union", 1): 0.2})[0]]
    assert "; generators, synthetic pairs and the pairs of an augmentation are the same for every seed" in seeds_note(both, real)


def test_without_replicas_the_seeds_vary_the_segmenter_only(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=2)
    for view in ("gain", "per_class", "summary"):
        (note,) = (note for note in tables.build(view, runs, real, CFG, {}).notes if "seeds vary" in note)
        assert "The seeds vary the segmenter's training only; generators and synthetic pairs are the same for every seed" in note
        assert "vary generator" not in note


def test_rows_of_one_name_with_and_without_replicas_are_told_apart(tmp_path):
    errors = {("real", 0): 0.25, ("union", 1): 0.2}
    runs, real = write_demo(tmp_path, errors, replicas=["cascade", "cascade_b"])
    more, _ = write_demo(tmp_path, errors, subject="pspnet")
    (note,) = (note for note in tables.build("gain", [*runs, *more], real, CFG, {}).notes if note.startswith("±"))
    assert "R = 1 of demo 16 fpn (2 generators) the seeds vary" in note.replace("\u00a0", " ") and "pspnet" not in note
    assert "Seeds that share a generator are not independent" in note  # three seeds, two generators


# How many differences -----------------------------------------------------------------------------------------------------------


def test_the_number_of_differences_and_chance_findings_is_said(tmp_path):
    runs, real = write_demo(tmp_path, ERRORS | {("union", 1): 0.19, ("union", 3): 0.15}, seeds=2)
    found = tables.build("gain", runs, real, CFG | {"replicates": 600}, {})
    strict = tables.build("gain", runs, real, CFG | {"replicates": 500, "confidence": 1 - 0.05 / 6}, {}).frame
    loose, tight = (
        sum(outcome(row, name) != "undecided" for row in frame.to_dict("records") for name in ("gain", "over_control"))
        for frame in (found.frame, strict)
    )
    assert tight < loose  # or the test would not tell the levels apart
    (note,) = (note for note in found.notes if "Bonferroni" in note)
    assert note.startswith(
        "The table shows 6 differences (4 to D and 2 to the control) with 12 intervals: were there no difference at all, about 0.6 of "
        "these intervals"
    )
    assert f"{loose} of 6 differences are decided at 95 %, and {tight} at the Bonferroni level of 99.1667 %." in note


def test_a_level_that_the_bootstrap_cannot_reach_is_said(tmp_path):
    runs, real, out = build(tmp_path, ERRORS)
    (note,) = (note for note in markup.read_markdown(out["md"]).notes if "Bonferroni" in note)
    assert "99.1667 % is not said" in note and "it takes 600 replicates, and 200 were drawn" in note
    (note,) = (note for note in tables.build("gain", runs, real, CFG | {"replicates": 600}, {}).notes if "Bonferroni" in note)
    assert "is not said" not in note


def test_one_difference_needs_no_correction_and_none_says_nothing(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=2)
    assert any("The table shows one difference to D" in note for note in tables.build("gain", runs, real, CFG, {}).notes)
    alone = [run for run in runs if run.arm == "real"]
    assert not any("The table shows" in note for note in tables.build("gain", alone, real, CFG, {}).notes)


def test_without_an_interval_no_chance_is_counted(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.3, ("union", 1): 0.2, ("union", 3): 0.2}, seeds=1, scenes=1)
    (note,) = [note for note in tables.build("gain", runs, real, CFG, {}).notes if "The table shows" in note]
    assert note.startswith("The table shows 2 differences to D and no interval, so nothing is decided.") and "chance" not in note


# Augmentations ------------------------------------------------------------------------------------------------------------------


def beside_augmentations(root, augmentations, errors=ERRORS, **other):
    """The gain table of D ∪ D' beside augmentations; these are source -> (method, share of wrong pixels)."""
    runs, real = write_demo(root, errors, **other)
    for source, (method, error) in augmentations.items():
        runs += write_demo(root, {("union", 1): error}, source=source, method=method, **other)[0]
    return runs, real, tables.build("gain", runs, real, CFG | {"replicates": 700}, {"csv": root / "gain.csv"})


def test_synthetic_pairs_are_compared_with_augmentations_of_the_same_r(tmp_path):
    runs, *_ = beside_augmentations(tmp_path, {"cutout": ("cutout", 0.22), "copy_paste": ("copy_paste", 0.24)})
    frame = pd.read_csv(tmp_path / "gain.csv")
    parts = ("points", "n", "low", "high", "scene_low", "scene_high", "scenes")
    columns = [f"over_{method}_{part}" for method in ("copy_paste", "cutout") for part in parts]
    place = frame.columns.get_loc("over_control_scenes") + 1
    assert frame.columns[place : place + len(columns)].tolist() == columns
    union = frame["arm"] == "union"
    row = frame[union & (frame["source"] == "cascade") & (frame["ratio"] == 1)].iloc[0]
    matrices = {
        source: {
            run.seed: np.load(run.folder / "confusion.npy") for run in runs if (run.arm, run.source, run.ratio) == ("union", source, 1)
        }
        for source in ("cascade", "cutout")
    }
    miou = {source: {seed: metrics.scores(counts)["miou"] for seed, counts in found.items()} for source, found in matrices.items()}
    seeds = statistics.paired(miou["cascade"], miou["cutout"], 0.95)
    sums = [np.stack([counts.reshape(2, 3, 3, 3).sum(0) for counts in found.values()]) for found in matrices.values()]  # scenes 0 1 2 0 1 2
    scenes = statistics.bootstrap_scenes(*sums, replicates=700, confidence=0.95, seed=0)
    said = [row[f"over_cutout_{part}"] for part in parts]
    assert said == pytest.approx([100 * seeds.mean, 3, 100 * seeds.low, 100 * seeds.high, 100 * scenes.low, 100 * scenes.high, 3])
    others = frame.drop(index=row.name)
    assert others[columns].isna().all(axis=None)  # neither R = 3, nor D' alone, nor the augmentations themselves
    assert frame["over_cutout_n"].dropna().tolist() == [3] and frame["over_cutout_n"].dropna().index.tolist() == [row.name]


def test_direct_comparisons_can_be_read_and_are_counted(tmp_path):
    _, _, table = beside_augmentations(tmp_path, {"cutout": ("cutout", 0.22), "copy_paste": ("copy_paste", 0.24)})
    row = next(row for row in table.frame.to_dict("records") if (row["arm"], row["source"], row["ratio"]) == ("union", "cascade", 1))
    (note,) = (note for note in table.notes if note.startswith("D\u00a0∪\u00a0D′, R\u00a0=\u00a01 against"))
    points = markup.number(row["over_cutout_points"], sign=True)
    ends = [markup.interval(row[f"over_cutout_{part}low"], row[f"over_cutout_{part}high"]) for part in ("", "scene_")]
    assert f"; Cutout {points} (over seeds {ends[0]}, over scenes {ends[1]})" in note
    assert "with 95 % intervals: the control +" in note and "; Copy-Paste +" in note
    # Control, D' alone, R = 1 and 3, and the two augmentations to D; all of D with others to the control; R = 1 to both augmentations.
    (note,) = (note for note in table.notes if "Bonferroni" in note)
    assert note.startswith("The table shows 12 differences (6 to D, 4 to the control and 2 to augmentations) with 24 intervals")


def test_an_augmentation_bears_its_name_and_not_that_of_synthetic_pairs(tmp_path):
    made = {"cutout": ("cutout", 0.22), "copy_paste": ("copy_paste", 0.24), "my_mix": ("cutmix", 0.23)}
    runs, real, table = beside_augmentations(tmp_path, made)
    names = [row[0].replace("\u00a0", " ") for row in table.rows]
    assert names[4:] == ["D ∪ D′", "D ∪ D′", "D ∪ Copy-Paste", "D ∪ Cutout", "D ∪ CutMix (my_mix)"]
    assert table.frame["method"].tolist() == ["", "", "", *["satsynth"] * 3, "copy_paste", "cutout", "cutmix"]
    assert table.frame["network"].tolist() == ["", *["fpn"] * 8]
    assert any("those of an augmentation stand under the synthetic ones" in note for note in table.notes)
    header = tables.build("per_class", runs, real, CFG, {}).header
    assert "D ∪ Cutout, R = 1: difference to D" in [name.replace("\u00a0", " ") for name in header]
    summary = tables.build("summary", runs, real, CFG, {})
    assert {"Cutout", "CutMix (my_mix)", "cascade"} < {row[0] for row in summary.rows}
    assert any(note.startswith("demo, 16 px, Copy-Paste at R = 1:") for note in summary.notes)


def test_two_sources_of_an_augmentation_have_columns_of_their_own(tmp_path):
    _, _, table = beside_augmentations(tmp_path, {"cutout": ("cutout", 0.22), "small": ("cutout", 0.24)}, seeds=2)
    assert {"over_cutout_cutout_points", "over_cutout_small_points"} < set(table.frame) and "over_cutout_points" not in table.frame
    assert "D\u00a0∪\u00a0Cutout (small)" in [row[0] for row in table.rows]


def test_sources_of_synthetic_pairs_are_still_told_apart_beside_augmentations(tmp_path):
    runs, real, _ = beside_augmentations(tmp_path, {"cutout": ("cutout", 0.22), "onehot": ("satsynth_onehot", 0.3)}, seeds=1)
    names = [row[0].replace("\u00a0", " ") for row in tables.build("gain", runs, real, CFG, {}).rows]
    assert names[3:] == ["D′ alone (cascade)", "D ∪ D′ (cascade)", "D ∪ D′ (cascade)", "D ∪ Cutout", "D ∪ D′ (onehot)"]
