"""Auto-R: what is chosen, when the answer is "none", and what the table, the file and the report say of it."""

import math

import numpy as np
import pandas as pd
import pytest
from presets import planned, preset, read
from reporting_fixtures import blur, write_classes, write_demo, write_json, write_pairs, write_run

from satsynth.plan import selection
from satsynth.plan.closure import digests
from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout
from satsynth.plan.validation import validate
from satsynth.reporting import markup, notes, statistics, tables
from satsynth.reporting.choices import NO, YES, describe, findings
from satsynth.reporting.runs import Real
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError
from satsynth.selection.choice import Candidate, best, choose, corrected

CFG = {"title": "What is chosen", "confidence": 0.95, "choice_confidence": 0.6827, "replicates": 400, "seed": 0}

# The rule


def tried(miou, outcome="gain", ratio=1, share=0.5):
    return Candidate(miou, ratio, share, outcome)


def test_none_is_chosen_where_nothing_is_shown_to_beat_d():
    assert choose([]) is None and best([]) is None
    candidates = [tried(0.9, "undecided"), tried(0.2, "loss")]
    assert choose(candidates) is None and best(candidates) == 0


def test_the_best_of_what_is_shown_is_chosen_whatever_scores_higher_by_chance():
    candidates = [tried(0.5), tried(0.8, "undecided"), tried(0.6), tried(0.55)]
    assert choose(candidates) == 2 and best(candidates) == 1


def test_ties_go_to_fewer_synthetic_pairs_then_more_real_ones_then_the_first():
    assert choose([tried(0.5, ratio=3), tried(0.5, ratio=1), tried(0.5, ratio=2)]) == 1
    assert choose([tried(0.5, share=0.5), tried(0.5, share=0.75)]) == 1
    assert choose([tried(0.5), tried(0.5)]) == 0


def test_a_candidate_without_a_score_is_not_chosen():
    assert choose([tried(math.nan)]) is None and best([tried(math.nan)]) is None
    assert choose([tried(math.nan), tried(0.1)]) == 1


def test_all_candidates_together_hold_the_level_of_one():
    assert corrected(0.6827, 1) == pytest.approx(0.6827) and corrected(0.6827, 10) == pytest.approx(1 - 0.03173)
    # Candidates that change nothing, 3 seeds: by one standard error each, the best of 10 mostly "beats" D; held together, rarely.
    stream, trials, wrong = np.random.default_rng(0), 300, {1: 0, 10: 0}
    for _ in range(trials):
        base = dict(enumerate(stream.normal(0.5, 0.01, 3)))
        others = [dict(enumerate(stream.normal(0.5, 0.01, 3))) for _ in range(10)]
        for count in wrong:
            gaps = [statistics.paired(other, base, corrected(0.6827, count)) for other in others]
            wrong[count] += choose([tried(0.5, statistics.outcome(gap.interval, (math.nan,) * 2)) for gap in gaps]) is not None
    assert wrong[1] > 0.4 * trials and wrong[10] < 0.2 * trials


# The table and the file


def candidates_of(runs):
    found = {}
    for run in runs:
        if run.arm == "union":
            final = {"training_set": f"real+{run.source}_train-r{run.ratio}", "segmenter": run.segmenter, "overlay": {"run": ["final"]}}
            told = {"dataset": run.dataset, "subject": run.subject, "segmenter": run.segmenter, "source": run.source, "ratio": run.ratio}
            told |= {"real_share": 0.75 if run.ratio == 3 else 0.5, "thresholds": {"max_masked": 0.3} if run.ratio == 3 else None}
            found[told["segmenter"], told["source"], told["ratio"]] = {**told, "final": final}
    return list(found.values())


def build(root, errors, cfg=CFG, **demo):
    runs, real = write_demo(root, errors, **demo)
    cfg = {**cfg, "candidates": candidates_of(runs)}
    out = {kind: root / "tables" / f"selection.{kind}" for kind in ("csv", "md", "tex")}
    table = tables.build("selection", runs, real, cfg, out)
    return pd.read_csv(out["csv"]), describe(table.frame, cfg, "selection"), out


def test_a_clear_gain_is_chosen(tmp_path):
    frame, choice, out = build(tmp_path, {("real", 0): 0.4, ("union", 1): 0.35, ("union", 3): 0.1})
    assert frame["chosen"].tolist() == [False, False, True] and frame["outcome"].tolist()[1:] == ["gain", "gain"]
    assert frame["real_share"].tolist() == [1, 0.5, 0.75]
    (each,) = choice["choices"]
    chosen, row = each["chosen"], frame.iloc[2]
    assert (chosen["source"], chosen["ratio"], chosen["real_share"], chosen["thresholds"]) == ("cascade", 3, 0.75, {"max_masked": 0.3})
    assert chosen["miou_pct"] == pytest.approx(row["miou_pct"]) and chosen["gain_points"] == pytest.approx(row["gain_points"])
    assert chosen["final"]["training_set"] == "real+cascade_train-r3"
    assert (each["seeds"], each["candidates"], each["level"]) == ([0, 1, 2], 2, corrected(0.6827, 2))
    assert each["baseline"]["miou_pct"] == pytest.approx(frame["miou_pct"][0]) and each["best"]["ratio"] == 3
    write_json(tmp_path / "choice.json", choice)
    printed = markup.read_markdown(out["md"])
    assert [cells[-1] for cells in printed.rows] == ["", "", "chosen"] and printed.rows[1][-2] == "beats D"
    assert "no validation patch was looked at" in printed.notes[0]
    told = " ".join(printed.notes[1:])
    assert "rest on 3 held scenes" in told and "8 fit patches, scored on 6 patches of 3 scenes" in told and "validat" not in told


def test_intervals_are_at_the_corrected_level_and_paired(tmp_path):
    frame, choice, _ = build(tmp_path, {("real", 0): 0.4, ("union", 1): 0.35, ("union", 3): 0.1})
    runs, _ = write_demo(tmp_path / "again", {("real", 0): 0.4, ("union", 1): 0.35})
    score = {arm: {run.seed: read_miou(run) for run in runs if run.arm == arm} for arm in ("real", "union")}
    gap = statistics.paired(score["union"], score["real"], choice["choices"][0]["level"])
    assert frame["gain_points"][1] == pytest.approx(100 * gap.mean) and frame["gain_low"][1] == pytest.approx(100 * gap.low)


def test_an_augmentation_is_a_candidate_like_any_other(tmp_path):
    """What a gain table compares beside D, a synthetic source with an augmentation at its R, decides nothing here."""
    runs, real = write_demo(tmp_path, {("real", 0): 0.4, ("union", 1): 0.3})
    others, _ = write_demo(tmp_path, {("union", 1): 0.1}, source="cutout", method="cutout")
    runs += others
    frame = tables.build("selection", runs, real, {**CFG, "candidates": candidates_of(runs)}, {}).frame
    assert frame["source"].tolist() == ["", "cascade", "cutout"] and frame["chosen"].tolist() == [False, False, True]
    assert frame["outcome"].tolist() == ["", "gain", "gain"]  # the first is worse than Cutout, and better than D


def read_miou(run):
    return files.read_json(run.folder / "metrics.json")["miou"]


@pytest.mark.parametrize("errors", [{("real", 0): 0.3, ("union", 1): 0.2995}, {("real", 0): 0.2, ("union", 1): 0.4}])
def test_chance_and_loss_choose_no_synthetic_data(tmp_path, errors):
    frame, choice, _ = build(tmp_path, errors)
    assert frame["chosen"].tolist() == [True, False] and choice["choices"][0]["chosen"] == "none"
    assert choice["choices"][0]["best"]["ratio"] == 1


def test_a_gain_over_seeds_that_scenes_do_not_bear_out_is_not_chosen(tmp_path):
    """Two of three scenes get worse, one much better, in every seed alike: the interval over seeds alone would choose it."""
    train, val = write_pairs(tmp_path / "train", count=8, size=16, seed=1), write_pairs(tmp_path / "val", count=6, size=16, seed=2)
    masks, runs = np.load(val / "masks.npy"), []
    for seed in range(3):
        before = blur(masks, 0.3, seed)
        after = np.concatenate([blur(masks[number : number + 1], 0.0 if number % 3 == 0 else 0.36, 50 + number) for number in range(6)])
        runs.append(write_run(tmp_path / "runs", "real", seed, before))
        runs.append(write_run(tmp_path / "runs", "union", seed, after, ratio=1))
    cfg = {**CFG, "candidates": candidates_of(runs)}
    real = [Real("demo", 16, train, val, write_classes(tmp_path), "demo", None)]
    frame = tables.build("selection", runs, real, cfg, {}).frame
    row = frame.iloc[1]
    assert row["gain_low"] > 0 > row["gain_scene_low"] and row["outcome"] == "undecided" and not row["chosen"]


def test_a_class_that_nobody_has_is_left_out(tmp_path):
    train, val = write_pairs(tmp_path / "train", count=8, size=16, seed=1), write_pairs(tmp_path / "val", count=6, size=16, seed=2)
    masks, runs = np.minimum(np.load(val / "masks.npy"), 1), []
    for seed in range(3):
        for arm, error, ratio in (("real", 0.4, 0), ("union", 0.1, 1)):
            confusion = blur(masks, error + 0.005 * seed, seed + 10 * ratio, 2)
            runs.append(write_run(tmp_path / "runs", arm, seed, np.pad(confusion, ((0, 0), (0, 1), (0, 1))), ratio=ratio))
    cfg = {**CFG, "candidates": candidates_of(runs)}
    real = [Real("demo", 16, train, val, write_classes(tmp_path), "demo", None)]
    frame = tables.build("selection", runs, real, cfg, {}).frame
    assert frame["chosen"].tolist() == [False, True] and np.isfinite(frame["miou_pct"]).all()


def test_too_few_replicates_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Draw 32 or more"):
        build(tmp_path, {("real", 0): 0.4, ("union", 1): 0.2, ("union", 3): 0.2}, {**CFG, "replicates": 20})


def test_a_change_of_the_table_runs_the_selection_again():
    read_by_it = dict(digests("workflow_scripts/tabulate_selection.py", ()))
    rule = (
        "reporting/tables/selection.py",
        "reporting/comparisons.py",
        "reporting/statistics.py",
        "reporting/yields.py",
        "selection/choice.py",
    )
    assert {f"satsynth/{name}" for name in rule} <= set(read_by_it)


# What the report says


def test_the_report_says_what_to_use_and_what_it_scored_on_val(tmp_path):
    _, choice, _ = build(tmp_path, {("real", 0): 0.4, ("union", 1): 0.1})
    ((headline, lines),) = findings(choice, [])
    assert headline == f"demo, 16 px, fpn: {YES}: synthetic pairs from cascade at R = 1, 50 % of every batch real."
    assert '{"run": ["final"]}' in lines[-2] and "nothing is known of it on val" in lines[-1]
    runs, real = write_demo(tmp_path / "val", {("real", 0): 0.35, ("union", 1): 0.3}, source="cascade_train")
    gain = tables.build("gain", runs, real, CFG, {}).frame
    told = findings(choice, [gain, gain])[0][1][-1]
    row = gain[gain["arm"] == "union"].iloc[0]
    assert told.startswith(f"On val real+cascade_train-r1 scores {row['miou_pct']:.2f} ±") and f"{row['gain_points']:+.2f} points" in told
    assert len(findings(choice, [gain, gain])[0][1]) == len(lines)


def test_the_report_says_plainly_not_to_use_synthetic_data(tmp_path):
    _, choice, _ = build(tmp_path, {("real", 0): 0.2, ("union", 1): 0.4})
    ((headline, lines),) = findings(choice, [])
    assert headline == f"demo, 16 px, fpn: {NO}: no candidate is shown to beat the real pairs alone."
    assert "1 candidate was tried" in lines[0] and "the best, cascade at R = 1, scores" in lines[0]


# The plan

FIT = {
    "run": ["chosen"],
    "generators": {"satsynth_fit": {"extends": "satsynth", "split": "fit"}, "upscaler_fit": {"extends": "upscaler", "split": "fit"}},
    "sources": {
        "cascade_fit": {"extends": "cascade", "generator": "satsynth_fit", "then": "upscaler_fit"},
        "strict": {"admit": "cascade", "thresholds": {"max_masked": 0.2}},
        "strict_fit": {"admit": "cascade_fit", "thresholds": {"max_masked": 0.2}},
        "mild_fit": {"admit": "cascade_fit", "thresholds": {"max_masked": 0.8}},
        "cutout_fit": {"extends": "cutout", "split": "fit"},
    },
    "segmenters": {"mostly_real": {"extends": "fpn", "real_share": 0.75}},
    "experiments": {
        "chosen": {
            "view": "selection",
            "size": 64,
            "base": "fit",
            "grid": [
                {
                    "segmenters": ["fpn"],
                    "sources": ["cascade_fit", "strict_fit", "mild_fit", "cutout_fit"],
                    "ratios": [0, 1, 3],
                    "shares": ["mostly_real"],
                }
            ],
        }
    },
}


def plan(*overlays):
    return planned(FIT, *overlays)


def entry(**other):
    return {"experiments": {"chosen": {"grid": [FIT["experiments"]["chosen"]["grid"][0] | other]}}}


def test_every_candidate_is_trained_on_fit_with_the_same_seeds():
    _, layout = plan()
    runs = layout.runs("chosen")
    assert {run.training_set for run in runs if run.arm == "real"} == {"fit"}
    tried = {(run.source, run.ratio, run.segmenter) for run in runs if run.arm == "union"}
    assert len(tried) == 4 * 2 * 2 == len(selection.table(layout, "chosen")["candidates"]) and len(runs) == 3 * (1 + 16)
    assert {run.subject for run in runs} == {"fpn"}
    assert {run.segmenter for run in runs if run.arm == "real"} == {"fpn"}, "D of another share is the same training"
    assert layout.test_store("demo", 64, "fit+strict_fit-r3") == "results/demo/64px/real/held"


def test_the_plan_asks_for_as_many_replicates_as_the_table():
    plan({"experiments": {"chosen": {"replicates": 253}}})
    assert selection.TAIL == notes.TAIL


def test_a_selection_that_is_asked_for_by_its_path_is_held_to_the_same():
    """`run` does not name it, so that nothing was said when the config was read."""
    _, layout = plan({"run": ["gain"]}, entry(sources=["cascade"]), {"experiments": {"chosen": {"base": "real"}}})
    with pytest.raises(ConfigError, match="would choose by the scores that are reported"):
        selection.table(layout, "chosen")


def finals():
    config, layout = plan()
    found = {(each["source"], each["ratio"], each["segmenter"]): each for each in selection.table(layout, "chosen")["candidates"]}
    return config, found


def test_the_final_run_is_named_where_the_config_has_its_source():
    _, found = finals()
    assert found["cascade_fit", 3, "fpn"]["final"]["training_set"] == "real+cascade-r3"
    assert found["strict_fit", 1, "fpn"]["final"]["training_set"] == "real+strict-r1"
    assert found["cutout_fit", 1, "fpn"]["final"]["training_set"] == "real+cutout-r1"
    told = found["strict_fit", 1, "mostly_real"]
    assert (told["real_share"], told["thresholds"]["max_masked"], told["final"]["segmenter"]) == (0.75, 0.2, "mostly_real")
    assert set(told["final"]["overlay"]) == {"run", "experiments"} and found["cascade_fit", 1, "fpn"]["thresholds"] is None


def test_the_overlay_of_every_candidate_is_a_config_that_trains_on_train():
    config, found = finals()
    for each in found.values():
        overlay = each["final"]["overlay"]
        whole = merge(config, overlay)
        validate(whole, read("rules/schemas/config.schema.yaml"))
        layout = Layout(whole, resolve(whole, preset("demo")))
        runs = layout.runs("final")
        assert {run.training_set for run in runs} == {"real", each["final"]["training_set"]}
        assert {run.segmenter for run in runs} == {each["final"]["segmenter"]}
        source = runs[-1].source
        assert layout.origin("demo", 64, source) == "results/demo/64px/real/train"
        assert layout.resolved["sources"][source].get("thresholds") == each["thresholds"]
    assert found["mild_fit", 1, "fpn"]["final"]["overlay"]["sources"] == {"mild_fit_train": {"extends": "mild_fit", "admit": "cascade"}}


def test_generators_without_a_twin_of_train_are_written_too():
    config, layout = plan({"generators": {"satsynth_fit": {"seed": 7}}, "sources": {"mild_fit_train": {"generator": "satsynth"}}})
    found = {(each["source"], each["ratio"], each["segmenter"]): each for each in selection.table(layout, "chosen")["candidates"]}
    each = found["mild_fit", 1, "fpn"]
    overlay = each["final"]["overlay"]
    assert overlay["generators"] == {"satsynth_fit_train": {"extends": "satsynth_fit", "split": "train"}}
    assert overlay["sources"]["mild_fit_train1"] == {"extends": "mild_fit", "admit": "cascade_fit_train"}
    whole = merge(config, overlay)
    resolved = resolve(whole, preset("demo"))
    assert resolved["generators"]["satsynth_fit_train"]["seed"] == 7


@pytest.mark.parametrize(
    ("overlay", "key", "words"),
    [
        ({"experiments": {"chosen": {"base": "real"}}}, "experiments.chosen.grid[0].sources", "made from fit"),
        (merge(entry(sources=["cascade"]), {"experiments": {"chosen": {"base": "real"}}}), "experiments.chosen.base", "Write base: fit."),
        (entry(sources=["cascade"]), "experiments.chosen.grid[0].sources", "judged on"),
        ({"experiments": {"chosen": {"seeds": [0]}}}, "experiments.chosen.seeds", "two seeds"),
        (entry(controls=["fpn_exposures"]), "experiments.chosen.grid[0].controls", "does not read it"),
        (entry(sources=[["cascade_fit", "cascade_fit"]]), "experiments.chosen.grid[0].sources", "one by one"),
        ({"experiments": {"chosen": {"replicates": 252}}}, "experiments.chosen.replicates", "Draw 253 or more."),
        (entry(ratios=[0]), "experiments.chosen.grid[0].ratios", "nothing to choose"),
        (entry(shares=["pspnet"]), "experiments.chosen.grid[0].shares", "extends none of ['fpn']"),
        (entry(shares=["fpn_exposures"]), "experiments.chosen.grid[0].shares", "more than its share"),
        (entry(shares=["nobody"]), "experiments.chosen.grid[0].segmenters", "'nobody' is no segmenter"),
        (
            {"run": ["gain"], "experiments": {"gain": {"grid": [{"segmenters": ["fpn"], "sources": [], "ratios": [0], "shares": []}]}}},
            "experiments.gain.grid[0].shares",
            "view gain does not read it",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_by_its_key(overlay, key, words):
    with pytest.raises(ConfigError) as found:
        plan(overlay)
    assert found.value.subject == key and words in str(found.value)
