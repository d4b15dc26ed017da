"""The views that speak of classes: per_class, summary and dataset."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from reporting_fixtures import blur, scores, write_classes, write_demo, write_json, write_pairs, write_run

from satsynth.datasets import isaid
from satsynth.pairs import IGNORE, LabelSpace, StoreWriter
from satsynth.reporting import markup, published, statistics, tables
from satsynth.reporting.runs import Real
from satsynth.runtime.errors import ConfigError, StoreError

CFG = {"title": "Classes", "confidence": 0.95, "replicates": 200, "seed": 0}


def build(root, view, runs, real, cfg=CFG):
    """The table and its Markdown, whose three forms fit each other."""
    out = {kind: root / f"{view}.{kind}" for kind in ("csv", "md", "tex")}
    table = tables.build(view, runs, real, cfg, out)
    printed = markup.read_markdown(out["md"])
    assert (printed.title, printed.header, printed.rows, printed.notes) == (table.title, table.header, table.rows, table.notes)
    assert all(len(row) == len(table.header) for row in table.rows) and len(set(table.header)) == len(table.header)
    lines = [line for line in out["tex"].read_text().splitlines() if line.endswith(" " + 2 * "\\")]
    assert len(lines) == 1 + len(table.rows) and all(line.count(" & ") == len(table.header) - 1 for line in lines)
    assert out["tex"].read_text().isascii()
    return table


def shown(table, **cells):
    """A readable row as header -> cell: the first whose cells are these."""
    rows = [dict(zip(table.header, row)) for row in table.rows]
    return next(row for row in rows if all(row[name] == cell for name, cell in cells.items()))


def without(runs, number, predicted=False):
    """Take every true pixel of a class out of these runs' confusion matrices; predictions of it too, as right ones, but for `predicted`."""
    for run in runs:
        confusion = np.load(run.folder / "confusion.npy")
        confusion[:, number, :] = 0
        if not predicted:
            places = np.arange(len(confusion[0]))
            confusion[:, places, places] += confusion[:, :, number]
            confusion[:, :, number] = 0
        np.save(run.folder / "confusion.npy", confusion)
        (run.folder / "metrics.json").write_text(json.dumps(scores(confusion)))


def said(runs, name, number, arm, ratio=0):
    picked = [run for run in runs if (run.arm, run.ratio) == (arm, ratio)]
    return [json.loads((run.folder / "metrics.json").read_text())[name][number] for run in picked]


# Per class ----------------------------------------------------------------------------------------------------------------------

ERRORS = {("real", 0): 0.3, ("control", 0): 0.35, ("synthetic", 1): 0.5, ("union", 1): 0.2}


def test_per_class_numbers_are_those_of_runs_and_cards(tmp_path):
    runs, real = write_demo(tmp_path, ERRORS, background=0)
    build(tmp_path, "per_class", runs, real)
    frame = pd.read_csv(tmp_path / "per_class.csv")
    contract = "dataset size segmenter arm source ratio class_id class background train_occurrence_pct val_share_pct n iou_pct iou_se_pct"
    assert {*contract.split(), "gain_points", "gain_low", "gain_high", "gain_scene_low", "gain_scene_high"} <= set(frame)
    assert frame["background"].tolist() == [True, False, False] * 4
    train = np.load(real[0].train / "masks.npy")
    assert frame["train_occurrence_pct"].tolist()[:3] == [100 * (train == k).any((1, 2)).mean() for k in range(3)]
    line = frame[(frame["arm"] == "union") & (frame["class"] == "roof")].iloc[0]
    iou, f1 = (np.subtract(said(runs, name, 2, "union", 1), said(runs, name, 2, "real")) for name in ("iou", "f1_per_class"))
    assert line["iou_pct"] == pytest.approx(100 * np.mean(said(runs, "iou", 2, "union", 1)), abs=1e-12)
    assert line["gain_points"] == pytest.approx(100 * iou.mean(), abs=1e-12)
    assert line["f1_gain_points"] == pytest.approx(100 * f1.mean(), abs=1e-12)
    val = np.load(real[0].val / "masks.npy")
    sums = {}
    for arm, ratio in (("real", 0), ("union", 1)):
        runs_of = [run for run in runs if (run.arm, run.ratio) == (arm, ratio)]
        sums[arm] = np.stack([np.load(run.folder / "confusion.npy").reshape(2, 3, 3, 3).sum(0) for run in runs_of])  # scenes 0 1 2 0 1 2
    direct = statistics.bootstrap_classes(sums["union"], sums["real"], replicates=200, confidence=0.95, seed=0)[2]
    assert (line["gain_scene_low"], line["gain_scene_high"]) == pytest.approx((100 * direct.low, 100 * direct.high))
    assert line["gain_scenes"] == len({number % 3 for number in range(6) if (val[number] == 2).any()})


def test_per_class_marks_what_both_intervals_tell_apart(tmp_path):
    runs, real = write_demo(tmp_path, ERRORS | {("union", 3): 0.302})
    table = build(tmp_path, "per_class", runs, real, CFG | {"replicates": 400})
    frame = table.frame[table.frame["arm"] == "union"]
    marked = 0
    for row in frame.to_dict("records"):
        ends = [row["gain_low"], row["gain_high"], row["gain_scene_low"], row["gain_scene_high"]]
        clear = all(end > 0 for end in ends) or all(end < 0 for end in ends)
        cell = shown(table, Class=row["class"])[f"D\u00a0∪\u00a0D′, R\u00a0=\u00a0{row['ratio']}: difference to D"]
        assert cell == markup.number(row["gain_points"], sign=True) + ("*" if clear else "")
        marked += clear
    assert 0 < marked < len(frame)
    (note,) = (note for note in table.notes if "leave out zero by chance" in note)
    assert note.startswith("The table shows 6 differences to D with 12 intervals") and "about 0.6 of these" in note
    assert f"{marked} of 6 differences" in note and "takes 600 replicates, and 400 were drawn" in note
    strict = tables.build("per_class", runs, real, CFG | {"replicates": 600, "confidence": 1 - 0.05 / 6}, {}).frame
    strict = strict[strict["arm"] == "union"]
    ends = ["gain_low", "gain_high", "gain_scene_low", "gain_scene_high"]
    stay = int(((strict[ends] > 0).all(axis=1) | (strict[ends] < 0).all(axis=1)).sum())
    notes = tables.build("per_class", runs, real, CFG | {"replicates": 600}, {}).notes
    assert any(f", and {stay} at the Bonferroni level of 99.1667 %." in note for note in notes)
    assert any("An asterisk marks" in note for note in notes) and any("n = 3 for every row" in note for note in notes)


def test_per_class_gives_every_class_and_a_dash_where_it_is_absent(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1})
    without(runs, 2)
    table = build(tmp_path, "per_class", runs, real)
    assert [row[0] for row in table.rows] == ["field", "water", "roof"]
    assert table.rows[2][2:] == ("–", "–", "–") and "–" not in table.rows[1]
    roof = table.frame[table.frame["class"] == "roof"]
    assert roof["gain_points"].isna().all() and roof["gain_scene_low"].isna().all() and (roof["n"] == 0).all()
    assert any(note.startswith("The table shows 2 differences to D") for note in table.notes)
    gain = tables.build("gain", runs, real, CFG, {})
    assert gain.frame["absent_classes"].tolist()[1:] == ["roof", "roof"] and any("Absent somewhere: roof" in note for note in gain.notes)


def test_a_dash_for_pairs_that_a_segmenter_was_not_trained_on_is_explained(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.2, ("union", 1): 0.1}, seeds=1)
    alone, _ = write_demo(tmp_path, {("real", 0): 0.2}, seeds=1, subject="pspnet")
    explained = [
        any("has no run on these pairs" in note for note in build(tmp_path, "per_class", each, real).notes) for each in (runs, runs + alone)
    ]
    assert explained == [False, True]
    assert (
        shown(build(tmp_path, "per_class", runs + alone, real), Segmenter="pspnet", Class="field")["D\u00a0∪\u00a0D′, R\u00a0=\u00a01"]
        == "–"
    )


def test_a_class_of_one_scene_gets_no_mark(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.4, ("union", 1): 0.1}, scenes=1)
    table = build(tmp_path, "per_class", runs, real)
    union = table.frame[table.frame["arm"] == "union"]
    assert (union["gain_low"] > 0).any() and union["gain_scene_low"].isna().all()
    assert not any("*" in cell for row in table.rows for cell in row)


def test_two_classes_are_enough(tmp_path):
    space = LabelSpace(("ground", "roof"), ((0, 0, 0), (200, 60, 60)))
    train, val = (write_pairs(tmp_path / name, count=6, size=16, seed=seed, space=space) for seed, name in enumerate(("train", "val")))
    masks, runs = np.load(val / "masks.npy"), []
    for arm, ratio, error in (("real", 0, 0.4), ("union", 1, 0.2)):
        for seed in range(2):
            runs.append(write_run(tmp_path / "runs", arm, seed, blur(masks, error, seed, 2), ratio=ratio, synthetic=400 * ratio))
    real = [Real("demo", 16, train, val, write_classes(tmp_path, space), "demo", 0)]
    for view in ("gain", "per_class", "summary", "dataset"):
        build(tmp_path, view, runs, real)
    notes = build(tmp_path, "per_class", runs, real).notes
    assert any("R\u00a0=\u00a01: not defined (n = 1)" in note for note in notes)  # one foreground class has no correlation


def test_occurrence_and_gain_are_correlated_over_the_foreground(tmp_path, paper):
    runs, real = paper
    train = json.loads((real[0].train / "card.json").read_text())
    kept = [run for run in runs if run.subject in ("pspnet", "fpn")]
    table = tables.build("per_class", kept, real, CFG, {})
    (note,) = (note for note in table.notes if "Pearson" in note)
    for network in ("pspnet", "fpn"):
        gains = published.class_gains("isaid", 256, "satsynth", 1)[network][1:]
        found = statistics.pearson(np.array(train["class_pairs"])[1:] / train["count"], gains, 0.95)
        said = f"{markup.number(found.r, sign=True)} ({markup.interval(found.low, found.high)}, n = 15)"
        assert f"{network}, D ∪ D′, R = 1: {said}" in note.replace("\u00a0", " ")
    assert "over the foreground classes" in note and note.endswith("The paper has −0.47 for pspnet (isaid, 256 px, Fig. 7).")


@pytest.mark.parametrize(("form", "network"), [("isaid", "fpn"), ("demo", "pspnet")])
def test_the_papers_correlation_is_named_for_its_data_and_network_only(tmp_path, form, network):
    runs, real = write_demo(tmp_path, {("real", 0): 0.3, ("union", 1): 0.2}, seeds=1, subject=network)
    table = tables.build("per_class", runs, [dataclasses.replace(real[0], format=form)], CFG, {})
    (note,) = (note for note in table.notes if "Pearson" in note)
    assert "The paper" not in note and "over the classes" in note and "n = 3)" in note


# Summary ------------------------------------------------------------------------------------------------------------------------


def matrix_of(iou, pixels=10**10):
    """A confusion matrix of these IoUs with as many true pixels in every class.

    Every class wins as many pixels as it loses, so IoU = (pixels - lost) / (pixels + lost). What is lost goes to the others in parts
    a_i a_j, which are found by iteration.
    """
    iou = np.asarray(iou)
    lost = pixels * (1 - iou) / (1 + iou)
    share = np.sqrt(lost)
    for _ in range(500):
        share = np.sqrt(share * lost / (share.sum() - share))
    parts = np.rint(np.outer(share, share)).astype(np.int64)
    np.fill_diagonal(parts, 0)
    return parts + np.diag(pixels - parts.sum(1))


@pytest.fixture
def paper(tmp_path):
    """The paper's Table 6 as if it were runs: five networks, D and D∪D', all pixels in the first of two patches."""
    space = isaid.label_space({})
    train, val = (write_pairs(tmp_path / name, count=4, size=64, seed=seed, space=space) for seed, name in enumerate(("train", "val")))
    runs = []
    for network in ("pfsegnet", "farseg", "segformer", "fpn", "pspnet"):
        for arm, ratio, method in (("real", 0, None), ("union", 1, "satsynth")):
            iou = np.array(published.class_iou("isaid", 256, network, method, ratio)) / 100
            confusion = np.concatenate([matrix_of(iou)[None], np.zeros((3, 16, 16), np.int64)])
            runs.append(write_run(tmp_path / "runs", arm, 0, confusion, ratio=ratio, dataset="isaid", size=256, subject=network))
    return runs, [Real("isaid", 256, train, val, write_classes(tmp_path, space), "isaid", 0)]


def test_the_papers_classes_give_the_papers_summary(tmp_path, paper):
    table = build(tmp_path, "summary", *paper)
    frame = table.frame.set_index("class")
    field, helicopter, court, pool = (frame.loc[name] for name in ("soccer_ball_field", "helicopter", "basketball_court", "swimming_pool"))
    assert (field["largest_gain_points"], field["largest_gain_segmenter"]) == (pytest.approx(15.26, abs=1e-4), "pspnet")
    assert (helicopter["largest_drop_points"], helicopter["largest_drop_segmenter"]) == (pytest.approx(-2.79, abs=1e-4), "segformer")
    assert court["mean_gain_points"] == pytest.approx(5.55, abs=0.005) and court["median_gain_points"] == pytest.approx(4.75, abs=1e-4)
    assert (pool["improved"], pool["segmenters"]) == (3, 5)
    assert math.isnan(court["largest_drop_points"]) and court["largest_drop_segmenter"] == ""
    for name in ("mean_gain_points", "median_gain_points"):
        np.testing.assert_allclose(frame[f"paper_{name}"], frame[name], atol=1e-4)
    notes = "\n".join(table.notes)
    assert "of 80 differences the largest gain is +15.26 points (soccer_ball_field, pspnet)" in notes
    assert "and the largest drop is −2.79 points (helicopter, segformer)" in notes
    assert "basketball_court gains most on average, +5.55 points (median +4.75)" in notes
    assert shown(table, Class="basketball_court")["Improved"] == "5 of 5"
    assert shown(table, Class="swimming_pool")["Largest drop"] == "−0.02 (farseg)"


def test_the_papers_classes_stand_in_the_table_per_class(tmp_path, paper):
    table = build(tmp_path, "per_class", *paper)
    frame = table.frame
    cells = {name.replace("\u00a0", " "): cell for name, cell in shown(table, Segmenter="fpn", Class="ship").items()}
    assert list(cells)[3:] == ["D", "D: paper", "D ∪ D′, R = 1", "D ∪ D′, R = 1: paper", "D ∪ D′, R = 1: difference to D"]
    assert (cells["D: paper"], cells["D ∪ D′, R = 1: paper"]) == ("58.66", "59.17")
    assert shown(table, Segmenter="pspnet", Class="ship")["D: paper"] == "46.33"
    assert any(note.startswith("Paper: IoU (%) of Table 6") and "beside R = 1" in note for note in table.notes)
    np.testing.assert_allclose(frame["paper_iou_pct"], frame["iou_pct"], atol=1e-4)
    assert len(frame) == 5 * 2 * 16 and frame["background"].sum() == 10


def test_summary_takes_mean_and_median_over_segmenters(tmp_path):
    runs, real, gains = [], None, {}
    for subject, error in (("fpn", 0.2), ("pspnet", 0.35), ("unet", 0.25)):
        made, real = write_demo(tmp_path, {("real", 0): 0.3, ("union", 1): error}, seeds=2, subject=subject)
        runs += made
        gains[subject] = [np.mean(np.subtract(said(made, "iou", k, "union", 1), said(made, "iou", k, "real"))) for k in range(3)]
    table = build(tmp_path, "summary", runs, real)
    values = 100 * np.array(list(gains.values()))
    np.testing.assert_allclose(table.frame["mean_gain_points"], values.mean(0))
    np.testing.assert_allclose(table.frame["median_gain_points"], np.median(values, 0))
    assert table.frame["improved"].tolist() == (values > 0).sum(0).tolist() and set(table.frame["n"]) == {2}
    best = np.unravel_index(values.argmax(), values.shape)
    assert (
        f"{markup.number(values.max(), sign=True)} points ({('field', 'water', 'roof')[best[1]]}, {list(gains)[best[0]]})" in table.notes[2]
    )
    assert table.frame["paper_mean_gain_points"].isna().all() and "Paper mean" not in table.header
    assert not any("Paper" in note for note in table.notes)


def test_summary_leaves_absent_classes_out(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.3, ("union", 1): 0.2}, seeds=1)
    more, _ = write_demo(tmp_path, {("real", 0): 0.3, ("union", 1): 0.2}, seeds=1, subject="pspnet")
    without([*runs, *more], 2)
    without(runs, 1, predicted=True)
    without(more, 1)
    table = build(tmp_path, "summary", [*runs, *more], real)
    assert table.frame["segmenters"].tolist() == [2, 1, 0]
    assert table.rows[2] == ("roof", "–", "–", "–", "–", "0 of 0") and any("of 3 differences" in note for note in table.notes)
    assert table.frame["n"].tolist()[:2] == [1, 1] and table.frame["n"].isna().tolist() == [False, False, True]


def test_summary_needs_a_union(tmp_path):
    runs, real = write_demo(tmp_path, {("real", 0): 0.3}, seeds=1)
    with pytest.raises(ConfigError, match="no training set holds both"):
        tables.build("summary", runs, real, CFG, {})


# Dataset ------------------------------------------------------------------------------------------------------------------------


def write_masks(folder, masks, scenes):
    with StoreWriter(folder, size=masks.shape[-1], classes=3, facts={"split": folder.name, "scenes": scenes}) as writer:
        for number, mask in enumerate(masks):
            writer.append(np.zeros((*mask.shape, 3), np.uint8), mask, scene=str(number % scenes))
    return folder


def write_real(root, form="demo", background=0):
    stream = np.random.default_rng(0)
    masks = {"train": stream.integers(0, 3, (5, 8, 8)), "val": np.zeros((4, 8, 8))}
    masks["train"][:2, :4] = IGNORE
    masks["train"][2:][masks["train"][2:] == 2] = 1
    masks = {split: values.astype(np.uint8) for split, values in masks.items()}
    train, val = (write_masks(root / split, values, 2) for split, values in masks.items())
    return masks, [Real("town", 8, train, val, write_classes(root), form, background)]


def test_dataset_counts_what_the_masks_hold(tmp_path):
    masks, real = write_real(tmp_path)
    table = build(tmp_path, "dataset", [], real)
    frame = pd.read_csv(tmp_path / "dataset.csv")
    assert [row[:2] for row in table.rows] == [
        *(("all classes", "train"), ("all classes", "val")),
        *((name, split) for name in ("field", "water", "roof") for split in ("train", "val")),
    ]
    train = masks["train"]
    labelled = train != IGNORE
    whole = frame.iloc[0]
    assert (whole["scenes"], whole["patches"], whole["pixels"]) == (2, 5, labelled.sum())
    assert whole["ignored_pct"] == pytest.approx(100 * (~labelled).mean()) and whole["patch_share_pct"] == whole["pixel_share_pct"] == 100
    assert whole["foreground_pct"] == pytest.approx(100 * (train[labelled] != 0).mean())
    roof = frame[(frame["class"] == "roof") & (frame["split"] == "train")].iloc[0]
    assert (roof["patches"], roof["pixels"]) == ((train == 2).any((1, 2)).sum(), (train == 2).sum()) and roof["patches"] < 5
    assert roof["patch_share_pct"] == pytest.approx(100 * (train == 2).any((1, 2)).mean())
    assert roof["pixel_share_pct"] == pytest.approx(100 * (train[labelled] == 2).mean())
    shares = frame[frame["class_id"].notna()].groupby("split")["pixel_share_pct"].sum()
    assert shares.tolist() == pytest.approx([100, 100])
    assert any("Absent: water (town, 8 px, val) and roof (town, 8 px, val)." in note for note in table.notes)
    assert not any("Paper" in note for note in table.notes)


def test_without_a_background_there_is_no_foreground(tmp_path):
    _, real = write_real(tmp_path, background=None)
    table = build(tmp_path, "dataset", [], real)
    assert table.frame["foreground_pct"].isna().all() and {row[-1] for row in table.rows} == {"–"}


def test_the_papers_facts_stand_beside_the_counts(tmp_path):
    masks, real = write_real(tmp_path, "loveda", None)
    notes = [note.replace("\u202f", " ") for note in build(tmp_path, "dataset", [], real).notes]
    assert "Paper (section 5.1): 40 352 training and 26 704 validation patches of 256 px; here (town, 8 px) 5 and 4." in notes
    notes = build(tmp_path, "dataset", [], [dataclasses.replace(real[0], format="isaid", background=0)]).notes
    share = 100 * (masks["train"][masks["train"] != IGNORE] != 0).mean()
    here = f"{markup.number(share)} and {markup.number(100 - share)} % (train)"
    assert any("foreground 2.85 %" in note and "more than 97 %" in note and here in note for note in notes)


@pytest.mark.parametrize(
    ("form", "stated"),
    [
        ("isaid", "2 806 images with 655 451 object instances,"),
        ("loveda", "5 987 images with 166 768 land-cover annotations,"),
        ("openearthmap", "5 000 images,"),
    ],
)
def test_the_papers_images_are_those_of_all_splits(tmp_path, form, stated):
    _, real = write_real(tmp_path, form, None)
    notes = [note.replace("\u202f", " ") for note in build(tmp_path, "dataset", [], real).notes]
    (note,) = (note for note in notes if "images" in note)
    assert note.startswith(f"Paper (section 5.1): {stated} all splits together, the test split included")
    assert note.endswith("; scenes here (town, 8 px): 2 (train) and 2 (val).")


def test_the_papers_share_of_small_vehicles_stands_beside_ours(paper, tmp_path):
    _, real = paper
    notes = tables.build("dataset", [], real, CFG, {}).notes
    shares = []
    for split in ("train", "val"):
        card = json.loads((tmp_path / split / "card.json").read_text())["class_pixels"]
        shares.append(f"{markup.number(100 * card[9] / sum(card))} % ({split})")
    assert f"Paper (section 5.1): small_vehicle about 0.3 % of the pixels; here (isaid, 256 px) {' and '.join(shares)}." in notes


def test_dataset_says_what_does_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="no dataset"):
        tables.build("dataset", [], [], CFG, {})
    _, real = write_real(tmp_path)
    card = json.loads((tmp_path / "val/card.json").read_text())
    write_json(tmp_path / "val/card.json", card | {"classes": 4})
    with pytest.raises(StoreError, match="counts 4 classes"):
        tables.build("dataset", [], real, CFG, {})
