import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from reporting_fixtures import blur, write_classes, write_demo, write_pairs, write_run

from satsynth.metrics import confusion as metrics
from satsynth.pairs import StoreWriter
from satsynth.reporting import markup, tables
from satsynth.reporting.runs import Real
from satsynth.runtime.errors import ConfigError, StoreError

CFG = {"title": "What synthetic pairs are worth", "confidence": 0.95, "replicates": 200, "seed": 0}


def build(root, errors, cfg=CFG, **demo):
    runs, real = write_demo(root, errors, **demo)
    out = {kind: root / "tables" / f"gain.{kind}" for kind in ("csv", "md", "tex")}
    tables.build("gain", runs, real, cfg, out)
    return runs, real, out


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


def test_no_digit_is_printed_that_the_error_does_not_know():
    assert markup.plus_minus(43.071, 0.284) == "43.07 ± 0.28"
    assert markup.plus_minus(705841.23, 1234.56) == "705841 ± 1235"
    assert markup.plus_minus(-3.2, 150.0) == "−3 ± 150"
    assert markup.plus_minus(7.0, float("nan")) == "7.00" and markup.plus_minus(float("nan"), 1.0) == markup.NONE


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
    printed = markup.read_markdown(out["md"])
    last = dict(zip(printed.header, printed.rows[-1]))
    assert (last["95 % over seeds"], last["95 % over scenes"]) == ("–", "–") and last["Difference to D"].startswith("+")


def test_same_inputs_give_the_same_bytes(tmp_path):
    runs, real, out = build(tmp_path, ERRORS)
    before = [path.read_bytes() for path in out.values()]
    tables.build("gain", runs[::-1], real, CFG, out)
    assert [path.read_bytes() for path in out.values()] == before


def test_what_matters_stands_before_how_it_was_trained(tmp_path):
    _, _, out = build(tmp_path, ERRORS)
    assert markup.read_markdown(out["md"]).header == (
        *("Training set", "R", "n", "mIoU (%)", "F1 (%)", "Difference to D", "95 % over seeds", "95 % over scenes"),
        *("Steps", "Real exposures", "Synthetic exposures", "Absent"),
    )


def test_classes_that_no_run_finds_are_named(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=2)

    def notes():
        return [note for note in tables.build("gain", runs, real, CFG, {}).notes if note.startswith("Never found")]

    assert notes() == []
    for number, run in enumerate(runs):
        confusion = np.load(run.folder / "confusion.npy")
        confusion[:, 2, 0] += confusion[:, 2, 2]
        confusion[:, 2, 2] = 0
        write_run(tmp_path / "runs", run.arm, run.seed, confusion, ratio=run.ratio, synthetic=400 * run.ratio)
        if number == 2:
            assert notes() == []  # the last run still finds it
    (note,) = notes()
    assert note.startswith("Never found: roof (demo, 16 px).") and "the means count it as 0" in note


def test_a_class_without_truth_is_absent_and_not_missed(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25}, seeds=1)
    confusion = np.load(runs[0].folder / "confusion.npy")
    confusion[:, 2], confusion[:, :, 2] = 0, 0
    write_run(tmp_path / "runs", "real", 0, confusion)
    found = tables.build("gain", runs, real, CFG, {}).notes
    assert not any(note.startswith("Never found") for note in found) and any("Absent somewhere: roof" in note for note in found)


@pytest.mark.parametrize("view", ["gain", "per_class"])
def test_a_note_says_what_stands_in_for_the_perceptual_weights_of_a_latent_search(tmp_path, view):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25}, seeds=2)

    def notes():
        return [note for note in tables.build(view, runs, real, CFG, {}).notes if "perceptual" in note]

    assert notes() == []
    for run in runs:
        card = json.loads((run.folder / "card.json").read_text())
        card |= {"segmenter": {"network": "semgan", "evaluator": {"network": "unet"}}, "evaluator_sha256": "0123456789abcdef"}
        (run.folder / "card.json").write_text(json.dumps(card))
    (note,) = notes()
    assert note.startswith("fpn searches") and "(unet, weights 0123456789ab, of demo), which stands in for the perceptual weights" in note


@pytest.mark.parametrize(("scenes", "said"), [(1, False), (2, True), (9, True), (10, False)])
def test_few_validation_scenes_are_a_caution(tmp_path, scenes, said):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=2)
    index = real[0].val / "index.csv"
    frame = pd.concat([pd.read_csv(index, dtype=str)] * 2, ignore_index=True)
    frame["scene"] = [f"scene_{number % scenes}" for number in range(len(frame))]
    frame.to_csv(index, index=False)
    for run in runs:
        confusion = np.concatenate([np.load(run.folder / "confusion.npy")] * 2)
        write_run(tmp_path / "runs", run.arm, run.seed, confusion, ratio=run.ratio, synthetic=400 * run.ratio)
    for view in ("gain", "per_class"):
        notes = [note for note in tables.build(view, runs, real, CFG, {}).notes if note.startswith("Caution: intervals over scenes")]
        assert bool([note for note in notes if f"{scenes} validation scenes (demo, 16 px" in note]) == said
        assert len(notes) == said


# The paper's numbers ------------------------------------------------------------------------------------------------------------


def beside_the_paper(root, *, form="isaid", size=256, **other):
    """The gain table of runs on data of this format and size."""
    errors = {("real", 0): 0.25, ("synthetic", 1): 0.5, ("union", 1): 0.2, ("union", 3): 0.2}
    runs, real = write_demo(root, errors, seeds=1, size=size, **other)
    return tables.build("gain", runs, [dataclasses.replace(real[0], format=form)], CFG, {"md": root / "t.md", "tex": root / "t.tex"})


def test_the_papers_numbers_stand_beside_ours(tmp_path):
    table = beside_the_paper(tmp_path)
    frame = table.frame
    assert frame["paper_table"].tolist() == ["", "Table 2", "", "Table 2", ""]
    assert frame["paper_miou_pct"].tolist()[1::2] == [59.52, 60.65] and frame["paper_miou_se_pct"].tolist()[1::2] == [0.19, 0.38]
    assert frame["paper_f1_pct"].tolist()[1::2] == [72.82, 73.69] and frame["paper_f1_se_pct"].tolist()[1::2] == [0.15, 0.33]
    assert frame["paper_gain_points"].dropna().tolist() == [pytest.approx(1.13)]
    printed = markup.read_markdown(tmp_path / "t.md")
    place = printed.header.index("Paper mIoU (%)")
    assert [row[place] for row in printed.rows] == ["–", "59.52 ± 0.19", "–", "60.65 ± 0.38 (+1.13)", "–"]
    assert printed.header[place + 1] == "Paper F1 (%)"
    assert [row[place + 1] for row in printed.rows] == ["–", "72.82 ± 0.15", "–", "73.69 ± 0.33", "–"]
    (note,) = (note for note in printed.notes if note.startswith("Paper mIoU"))
    assert "Table 2 does not state R: D ∪ D′ of the paper stands beside R = 1." in note and "only differences compare" in note


def test_papers_ratios_are_matched_where_it_states_them(tmp_path):
    table = beside_the_paper(tmp_path, size=128, method="satsynth_x0")
    assert table.frame["paper_miou_pct"].dropna().tolist() == [50.25, 51.00, 51.45]
    assert table.frame["paper_table"].tolist() == ["", "Table 5", "", "Table 3", "Table 3"]
    (note,) = (note for note in table.notes if note.startswith("Paper mIoU"))
    assert "Table 3 and Table 5" in note and "does not state R:" not in note
    place = table.header.index("Paper F1 (%)")
    assert [row[place] for row in table.rows] == ["–", "–", "–", "65.05", "65.54"]


def test_where_the_paper_gives_no_f1_there_is_no_column_for_it(tmp_path):
    table = beside_the_paper(tmp_path, size=128, method="cutout")
    assert table.frame["paper_miou_pct"].dropna().tolist() == [50.25, 50.47]
    assert "Paper mIoU (%)" in table.header and "Paper F1 (%)" not in table.header
    assert next(note for note in table.notes if note.startswith("Paper")).startswith("Paper mIoU (%): ")


@pytest.mark.parametrize(("form", "miou", "f1"), [("loveda", 48.97, ["64.83"] * 2), ("openearthmap", 62.24, [])])
def test_a_number_without_r_stands_beside_every_r_that_it_may_belong_to(tmp_path, form, miou, f1):
    table = beside_the_paper(tmp_path, form=form, size=128)
    assert table.frame["paper_table"].tolist() == ["", "", "", "Table 1b", "Table 1b"]  # no D: the paper gives none for these data
    assert table.frame["paper_miou_pct"].dropna().tolist() == [miou] * 2
    shown = [dict(zip(table.header, row)).get("Paper F1 (%)") for row in table.rows[3:]]
    assert [cell for cell in shown if cell] == f1
    (note,) = (note for note in table.notes if note.startswith("Paper mIoU"))
    assert "Table 1b does not state R: D ∪ D′ of the paper stands beside R = 1 and R = 3, one number beside each." in note
    assert "in brackets" not in note and "±" not in note  # it has neither a D nor an error here


@pytest.mark.parametrize(
    "other",
    [{"form": "loveda"}, {"size": 64}, {"subject": "unet"}, {"size": 128, "subject": "pspnet"}],
    ids=lambda other: " ".join(map(str, other.values())),
)
def test_without_a_counterpart_in_the_paper_there_is_no_column(tmp_path, other):
    table = beside_the_paper(tmp_path, **other)
    assert not table.frame["paper_miou_pct"].notna().any() and "Paper mIoU (%)" not in table.header
    assert not any("Paper" in note for note in table.notes)


def test_the_network_counts_not_the_name_of_the_segmenter(tmp_path):
    table = beside_the_paper(tmp_path, subject="my_own", network="pspnet", method="cutmix")
    assert table.frame["paper_miou_pct"].dropna().tolist() == [48.95]  # D; the paper has no CutMix at 256 px


def test_training_on_a_part_of_train_has_no_counterpart(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.25, ("union", 1): 0.2}, seeds=1, size=256)
    runs = [dataclasses.replace(run, training_set=run.training_set.replace("real", "fit")) for run in runs]
    table = tables.build("gain", runs, [dataclasses.replace(real[0], format="isaid")], CFG, {})
    assert not table.frame["paper_miou_pct"].notna().any()


# What pixels count --------------------------------------------------------------------------------------------------------------


def overlapping(root):
    """Runs on a store whose second patch covers the right half of the first again, each pixel counted once."""
    train = write_pairs(root / "train", count=8, size=16, seed=1)
    scene = np.load(write_pairs(root / "scene", count=1, size=32, seed=2) / "masks.npy")[0, :16]
    scene[:, 8:16] = 1  # what is covered twice is all water
    with StoreWriter(root / "val", size=16, classes=3, facts={"scenes": 2}) as writer:
        for column in (0, 8, 16):
            writer.append(np.zeros((16, 16, 3), np.uint8), scene[:, column : column + 16], scene=f"scene_{column // 16}")
    counted = [scene[None, :, :16], scene[None, :, 16:24], scene[None, :, 16:]]
    runs = []
    for arm, ratio, error in (("real", 0, 0.3), ("union", 1, 0.2)):
        for seed in range(2):
            confusion = np.concatenate([blur(mask, error, seed) for mask in counted])
            runs.append(write_run(root / "runs", arm, seed, confusion, ratio=ratio, synthetic=400 * ratio))
    return runs, [Real("demo", 16, train, root / "val", write_classes(root), "demo", None)], counted


def test_pixels_that_patches_share_count_once_in_floor_and_shares(tmp_path):
    runs, real, counted = overlapping(tmp_path)
    truth = np.concatenate([mask.ravel() for mask in counted])
    once = np.bincount(truth, minlength=3)
    card = json.loads((tmp_path / "val/card.json").read_text())["class_pixels"]
    assert card != once.tolist()  # or the test would show nothing
    answer = np.bincount(np.load(real[0].train / "masks.npy").ravel()).argmax()
    direct = metrics.scores(metrics.confusion(truth, np.full_like(truth, answer), 3))
    floor = tables.build("gain", runs, real, CFG, {}).frame.iloc[0]
    assert floor["miou_pct"] == pytest.approx(100 * direct["miou"], abs=1e-12)
    assert floor["f1_pct"] == pytest.approx(100 * direct["f1"], abs=1e-12)
    classes = tables.build("per_class", runs, real, CFG, {}).frame
    assert classes["val_share_pct"].tolist()[:3] == pytest.approx((100 * once / once.sum()).tolist(), abs=1e-12)
    held = tables.build("dataset", [], real, CFG, {}).frame  # what the store holds, not what was scored
    val = held[(held["split"] == "val") & held["class_id"].notna()]
    assert val["pixels"].tolist() == card


def test_runs_that_were_scored_on_other_pixels_are_refused(tmp_path):
    runs, real, counted = overlapping(tmp_path)
    twice = np.concatenate([blur(mask, 0.2, 0) for mask in (counted[0], counted[0], counted[2])])
    runs[-1] = write_run(tmp_path / "runs", "union", 1, twice, ratio=1, synthetic=400)
    for view in ("gain", "per_class", "summary"):
        with pytest.raises(StoreError, match=r"seed-1/confusion.npy.*true pixels of \w+, where the first run of demo at 16 px counts"):
            tables.build(view, runs, real, CFG, {})


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


@pytest.mark.parametrize("background", [3, -1])
@pytest.mark.parametrize("view", ["gain", "per_class", "summary", "dataset"])
def test_a_background_that_is_no_class_is_named(tmp_path, view, background):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1}, seeds=1, background=background)
    with pytest.raises(ConfigError, match=f"datasets.demo.background.*no class id {background} among 3 classes"):
        tables.build(view, runs, real, CFG, {})


def test_scores_that_are_not_of_the_confusion_matrix_are_refused(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2}, seeds=1)
    path = runs[0].folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"miou": 0.99}))
    with pytest.raises(StoreError, match="is not that of confusion"):
        tables.build("gain", runs, real, CFG, {})
