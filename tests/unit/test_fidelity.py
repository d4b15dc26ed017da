"""Fidelity: numbers of equal and of different sets, equal N, labels, and the table that tells them."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from reporting_fixtures import SPACE, write_demo, write_json, write_pairs

from satsynth.metrics.frechet import Sample, frechet_distance
from satsynth.metrics.label_statistics import describe as describe_labels
from satsynth.metrics.label_statistics import jensen_shannon
from satsynth.pairs import StoreWriter
from satsynth.reporting import markup
from satsynth.reporting.fidelity import join, tabulate, write_run
from satsynth.runtime import files
from satsynth.runtime.errors import MeasureError, StoreError, WeightsError
from satsynth.segmentation.fidelity import Measured, score

WIDTH = 6
CFG = {"pairs": 1000, "splits": 1, "subsets": 8, "subset_size": 20, "neighbours": 3, "coverage_neighbours": 5, "seed": 0}
TABLE = {"title": "Fidelity", "size": 16, "null_quantile": 0.01, "neighbours": 3, "coverage_neighbours": 5, "evaluator": "unet"}


def describe(folder, store, *, shift=0.0, evaluator="e", seed=0, equal=False, width=WIDTH, learned=None):
    """Features of a store that nobody has to look at: normal ones around `shift`. `learned` is the evaluator's data, if not this store."""
    stream = np.random.default_rng(seed)
    card = files.read_json(store / "card.json")
    count, classes = card["count"], card["classes"]
    folder.mkdir(parents=True)
    arrays = {
        "pooled": stream.normal(shift, 1, (count, width)).astype(np.float32),
        "spatial": stream.normal(shift, 2, (count, WIDTH)).astype(np.float32),
        "probabilities": stream.dirichlet(np.ones(classes), (count, 2)),
    }
    arrays["entropy"] = -(arrays["probabilities"][:, 0] * np.log(arrays["probabilities"][:, 0])).sum(1)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.repeat(values[:1], count, 0) if equal else values)
    own = files.sha256(store / "card.json")
    facts = {"count": count, "evaluator_sha256": evaluator, "store_sha256": own}
    write_json(folder / "card.json", {**facts, "evaluator_data": learned or {"real": [own], "synthetic": []}})
    return folder


def part(folder, name, *, count=40, store_seed=0, **features):
    store = write_pairs(folder / name / "store", count=count, size=16, seed=store_seed)
    return describe(folder / name / "features", store, **features), store


def test_a_set_against_itself_is_perfect(tmp_path):
    same = part(tmp_path, "real")
    found = score(same, [same], CFG, device="cpu")
    assert found["count"] == found["reference_count"] == 40
    assert found["fid"] == pytest.approx(0, abs=1e-6) and found["sfid"] == pytest.approx(0, abs=1e-6)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["class_js"] == found["presence_js"] == found["component_distance"] == 0
    assert found["invalid"] is None and found["margin"] is None  # real pairs have no codes


def test_a_shifted_set_is_as_far_as_its_moments_say(tmp_path):
    real, near, far = part(tmp_path, "real"), part(tmp_path, "near", seed=1), part(tmp_path, "far", seed=1, shift=3.0, store_seed=5)
    close, distant = (score(real, [other], CFG, device="cpu") for other in (near, far))
    assert distant["fid"] > 10 * close["fid"] and distant["kid"] > 10 * abs(close["kid"]) and distant["precision"] < close["precision"]
    pooled = [Sample().add(np.load(folder / "pooled.npy")) for folder, _ in (real, far)]
    assert distant["fid"] == pytest.approx(frechet_distance(*pooled))
    masks = [np.load(store / "masks.npy") for _, store in (real, far)]
    assert distant["class_js"] == pytest.approx(jensen_shannon(*(describe_labels(array, SPACE.count).pixel_shares for array in masks)))


def test_shards_are_one_set_and_n_is_equal(tmp_path):
    real = part(tmp_path, "real", count=30)
    shards = [part(tmp_path, f"shard{number}", seed=number, store_seed=number, count=25) for number in range(3)]
    found = score(real, shards, CFG, device="cpu")
    assert found["count"] == found["reference_count"] == 30
    chosen = Measured(shards, 30, 0, "measured")
    whole = np.concatenate([np.load(folder / "pooled.npy") for folder, _ in shards])
    np.testing.assert_array_equal(chosen.features("pooled"), whole[chosen.rows])
    masks = np.concatenate([np.load(store / "masks.npy") for _, store in shards])
    np.testing.assert_array_equal(np.concatenate(chosen.masks()), masks[chosen.rows])
    assert len(set((chosen.rows // 25).tolist())) == 3, "the choice is from all shards"
    assert score(real, shards, {**CFG, "pairs": 12, "subset_size": 5}, device="cpu")["count"] == 12


def test_images_without_masks_have_no_label_numbers(tmp_path):
    real = part(tmp_path, "real")
    with StoreWriter(tmp_path / "bare/store", size=16, classes=SPACE.count, facts={}) as writer:
        for _ in range(20):
            writer.append(np.zeros((16, 16, 3), np.uint8), np.full((16, 16), 255, np.uint8))
    bare = describe(tmp_path / "bare/features", tmp_path / "bare/store"), tmp_path / "bare/store"
    found = score(real, [bare], CFG, device="cpu")
    assert found["class_js"] is None and found["presence_js"] is None and found["component_distance"] is None
    assert found["fid"] > 0


def test_features_that_do_not_belong_together_are_refused(tmp_path):
    real = part(tmp_path, "real")
    with pytest.raises(StoreError, match="different evaluators"):
        score(real, [part(tmp_path, "other", evaluator="f")], CFG, device="cpu")
    strange = real[0], part(tmp_path, "third", store_seed=9)[1]
    with pytest.raises(StoreError, match="not those of the pairs"):
        score(real, [strange], CFG, device="cpu")


@pytest.mark.parametrize(
    ("count", "changes", "least"),
    [(1, {"neighbours": 1}, 2), (2, {}, 4), (3, {}, 4), (4, {"splits": 3}, 6)],
)
def test_a_source_of_too_few_pairs_is_named(tmp_path, count, changes, least):
    real, few = part(tmp_path, "real"), part(tmp_path, "few", count=count)
    with pytest.raises(MeasureError, match=f"few/store: {count} pairs are measured, .* defined for {least} or more"):
        score(real, [few], {**CFG, **changes}, device="cpu")


def test_the_least_number_of_pairs_is_enough(tmp_path):
    real, made = part(tmp_path, "real", count=6), part(tmp_path, "made", count=4, seed=1)
    assert score(real, [made], CFG, device="cpu")["count"] == 4  # coverage counts the balls of real pairs alone
    shards = [part(tmp_path, f"shard{number}", count=1, seed=number) for number in range(3)]
    with pytest.raises(MeasureError, match=r"shard0/store and 2 more: 3 pairs are measured"):
        score(real, shards, CFG, device="cpu")
    many = [part(tmp_path, f"single{number}", count=1, seed=number) for number in range(9)]
    assert score(real, many, CFG, device="cpu")["count"] == 6, "shards without a chosen row are no error"
    few = part(tmp_path, "few", count=5)
    with pytest.raises(MeasureError, match=r"few/store: 5 pairs are measured, .* defined for 6 or more"):
        score(few, [made], CFG, device="cpu")


def test_an_evaluator_that_learned_other_pairs_is_refused(tmp_path):
    real, other = part(tmp_path, "real"), part(tmp_path, "other", store_seed=1)
    train, stranger = (files.sha256(store / "card.json") for _, store in (real, other))
    for number, (learned, cause) in enumerate(
        [
            ({"real": [stranger], "synthetic": []}, "trained on other pairs than those in .*real/store"),
            ({"real": [train, stranger], "synthetic": []}, "trained on other pairs"),
            ({"real": [train], "synthetic": [stranger]}, "trained on synthetic pairs, too"),
            ({"real": [], "synthetic": [train]}, "trained on synthetic pairs, too"),
        ]
    ):
        judged = describe(tmp_path / f"by{number}", real[1], learned=learned), real[1]
        with pytest.raises(WeightsError, match=cause):
            score(judged, [other], CFG, device="cpu")


def spoil(folder, name, row, value):
    array = np.load(folder / f"{name}.npy")
    array[row] = value
    np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize("name", ["pooled", "spatial", "probabilities", "entropy"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named_by_its_file_and_row(tmp_path, name, bad):
    real, shards = part(tmp_path, "real"), [part(tmp_path, f"shard{number}", count=15, seed=number) for number in range(3)]
    rows = Measured(shards, 20, 0, "measured").rows
    row = int(rows[(rows >= 15) & (rows < 30)][-1]) - 15
    spoil(shards[1][0], name, row, bad)
    with pytest.raises(MeasureError, match=rf"shard1/features/{name}.npy: row {row} holds NaN or Inf"):
        score(real, shards, {**CFG, "pairs": 20}, device="cpu")


def test_a_broken_reference_and_broken_probabilities_are_named(tmp_path):
    real, made = part(tmp_path, "real"), part(tmp_path, "made", seed=1)
    spoil(made[0], "probabilities", 17, 0.9)
    with pytest.raises(MeasureError, match=r"made/features/probabilities.npy: row 17 is no distribution"):
        score(real, [made], CFG, device="cpu")
    spoil(real[0], "pooled", 23, np.nan)
    with pytest.raises(MeasureError, match=r"real/features/pooled.npy: row 23 holds NaN"):
        score(real, [made], CFG, device="cpu")


def test_features_of_other_widths_name_both_sides(tmp_path):
    real, made = part(tmp_path, "real"), part(tmp_path, "made", width=WIDTH + 1)
    with pytest.raises(MeasureError, match=r"real/store \(pooled\): 6 features .* compare with the 7 of .*made/store \(pooled\)"):
        score(real, [made], CFG, device="cpu")
    np.save(made[0] / "pooled.npy", np.load(made[0] / "pooled.npy")[:, 1:])
    np.save(made[0] / "spatial.npy", np.load(made[0] / "spatial.npy")[:, 1:])
    with pytest.raises(MeasureError, match=r"real/store \(spatial\): 6 features .* compare with the 5 of .*made/store \(spatial\)"):
        score(real, [made], CFG, device="cpu")


def equal_pairs(folder, count, **features):
    """A set of one pair many times."""
    with StoreWriter(folder / "store", size=16, classes=SPACE.count, facts={}) as writer:
        for _ in range(count):
            writer.append(np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), np.uint8))
    return describe(folder / "features", folder / "store", equal=True, **features), folder / "store"


def test_a_set_of_equal_images_has_finite_numbers(tmp_path):
    real, same = part(tmp_path, "real"), equal_pairs(tmp_path / "same", 40, seed=1)
    found = score(real, [same], CFG, device="cpu")
    empty = {"invalid", "margin", "is_se"}  # no codes, and one split has no error
    assert {name for name, value in found.items() if value is None} == empty
    assert all(np.isfinite(value) for name, value in found.items() if name not in empty | {"evaluator_sha256"})
    assert found["count"] == 40 and (found["is"], found["is_logits"]) == pytest.approx((1, 1))
    pooled = np.load(real[0] / "pooled.npy")[Measured([real], CFG["pairs"], 0, "reference").rows].astype(float)
    point = np.load(same[0] / "pooled.npy")[0]
    assert found["fid"] == pytest.approx(((pooled.mean(0) - point) ** 2).sum() + pooled.var(0, ddof=1).sum(), rel=1e-6)
    assert found["recall"] == 0 and found["precision"] in (0, 1) and 5 * found["density"] == pytest.approx(40 * found["coverage"])
    backwards = score(same, [real], CFG, device="cpu")
    assert backwards["fid"] == pytest.approx(found["fid"], rel=1e-6) and backwards["precision"] == backwards["coverage"] == 0


def test_equal_images_against_themselves_are_perfect(tmp_path):
    same = equal_pairs(tmp_path, 30)
    found = score(same, [same], CFG, device="cpu")
    assert found["fid"] == found["sfid"] == found["class_js"] == found["component_distance"] == 0
    assert found["kid"] == pytest.approx(0, abs=1e-9) and found["kid_se"] == pytest.approx(0, abs=1e-9)
    assert found["precision"] == found["recall"] == found["coverage"] == 1 and found["density"] == pytest.approx(30 / 5)


def neighbours(path, feature, pixel):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"row": range(len(feature)), "feature_distance": feature, "pixel_distance": pixel}).to_csv(path, index=False)
    return path


def rows_of(tmp_path, *, evaluator="e", source_format="demo", method="satsynth"):
    """The validation patches, and a source of which a tenth are copies by features and none by pixels."""
    numbers = score(part(tmp_path, "real"), [part(tmp_path, "made", seed=1)], CFG, device="cpu")
    validation = write_json(tmp_path / "val.json", {**numbers, "fid": 1.5, "count": 30})
    made = write_json(tmp_path / "made.json", {**numbers, "fid": 7.25, "evaluator_sha256": evaluator})
    null = neighbours(tmp_path / "null.csv", np.linspace(1, 2, 200), np.linspace(10, 20, 200))
    near = neighbours(tmp_path / "near.csv", np.r_[np.full(10, 0.1), np.full(40, 1.5)], np.full(50, 15.0))
    clean = neighbours(tmp_path / "clean.csv", np.full(50, 1.5), np.full(50, 15.0))
    same = {"dataset": "town", "format": source_format}
    real, base = card(tmp_path / "real.json"), card(tmp_path / "base.json", ("ancestral", 40), ("ancestral", 12))
    return [
        {**same, "source": "real", "method": None, "fidelity": validation, "neighbours": [null], "stores": [real]},
        {**same, "source": "base", "method": method, "fidelity": made, "neighbours": [near, clean], "stores": [base, base]},
    ]


def card(path, *stages):
    """The card of a store whose pairs these samplers (method, steps) made."""
    samplers = [{"method": method, "steps": steps} for method, steps in stages]
    return write_json(path, {"source": {"samplers": samplers, "nfe": [steps for _, steps in stages]}} if stages else {"scenes": 3})


def test_the_table_tells_sources_copies_and_what_is_to_be_expected(tmp_path):
    table = tabulate(rows_of(tmp_path), TABLE)
    first, second = table.frame.to_dict("records")
    assert first["source"] == "real" and math.isnan(first["copies_features"])
    assert second["copies_features"] == pytest.approx(0.1) and second["copies_pixels"] == 0
    assert second["copies_expected"] == pytest.approx(2 / 201)
    cells = dict(zip(table.header, table.rows[1]))
    assert cells["Pairs"] == "base" and cells["FID ↓"] == "7.25" and cells["Near copies (%)"] == "10.0 / 0.0"
    assert "Paper FID" not in cells, "the paper has no such numbers of this dataset"
    said = " ".join(table.notes)
    assert "about 1.0 % is expected on town, whose 200 validation patches" in said and "On town there are fewer validation patches" in said
    assert "against 40 real training patches" in said
    assert markup.to_latex(table).replace("\u202f", "").isascii() and markup.to_csv(table)


def test_the_papers_numbers_stand_beside_ours_at_its_size(tmp_path):
    table = tabulate(rows_of(tmp_path, source_format="isaid"), {**TABLE, "size": 128})
    cells = dict(zip(table.header, table.rows[1]))
    assert (cells["Paper FID"], cells["Paper sFID"], cells["Paper IS"]) == ("8.66", "3.10", "1.17")


def test_rows_of_different_evaluators_make_no_table(tmp_path):
    with pytest.raises(StoreError, match="different evaluators"):
        tabulate(rows_of(tmp_path, evaluator="f"), TABLE)


def test_rows_of_one_method_are_told_apart_by_their_samplers(tmp_path):
    real, base = rows_of(tmp_path)
    fast = {**base, "source": "fast", "stores": [card(tmp_path / "fast.json", ("unipc", 15), ("dpmpp_2m", 10))]}
    bare = {**base, "source": "bare", "method": "image_only"}
    made = {"source": {"samplers": [{"truncation": 1.0}], "nfe": [1]}}
    rival = {**base, "source": "rival", "method": "semgan", "stores": [write_json(tmp_path / "rival.json", made)]}
    table = tabulate([real, base, fast, bare, rival], TABLE)
    places = [table.header.index(name) for name in ("Pairs", "NFE")]
    assert [tuple(row[place] for place in places) for row in table.rows] == [
        ("real validation patches", markup.NONE),
        ("base (ancestral, 40 + 12 steps)", "52"),
        ("fast (UniPC, 15 steps, then DPM-Solver++(2M), 10 steps)", "25"),
        ("bare", "52"),
        ("rival", "1"),
    ]
    assert "NFE" not in tabulate([real], TABLE).header


def test_d_alone_stands_beside_the_constant_class(tmp_path):
    real, base = rows_of(tmp_path)
    bare = {**base, "source": "bare", "method": "image_only"}
    errors = {("real", 0): 0.1, ("synthetic", 1): 0.4}
    runs, ground = write_demo(tmp_path / "segmentation", errors, dataset="town", source="base")
    table = tabulate([real, base, bare], TABLE, runs, ground)
    frame = table.frame.set_index("source")
    for source, arm in (("real", "real"), ("base", "synthetic")):
        scores = [100 * files.read_json(run.folder / "metrics.json")["miou"] for run in runs if run.arm == arm]
        assert frame.loc[source, "alone_miou_pct"] == pytest.approx(np.mean(scores)) and frame.loc[source, "alone_n"] == 3
        assert frame.loc[source, "alone_miou_se_pct"] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(3))
    column = [row[table.header.index("mIoU on D′ alone (%)")] for row in table.rows]
    assert column[0] > column[1] and column[2] == markup.NONE, "images without masks train nothing"
    truth = np.load(tmp_path / "segmentation/val/masks.npy")
    train = np.load(tmp_path / "segmentation/train/masks.npy")
    answer = np.bincount(train.ravel(), minlength=SPACE.count).argmax()
    floor = 100 * (truth == answer).mean() / SPACE.count  # the other classes have an IoU of 0
    assert frame.loc["base", "constant_miou_pct"] == pytest.approx(floor)
    assert f"has {floor:.2f} % ({SPACE.names[answer]}, town)" in table.notes[-1] and "fpn, trained on" in table.notes[-1]
    assert "mIoU on D′ alone (%)" not in tabulate([real, base], TABLE).header


def test_changed_labels_stand_beside_their_baseline(tmp_path):
    real, base = rows_of(tmp_path)
    read = {"count": 648, "changed": 0.1234, "changed_se": 0.0056, "unrelated": 0.5}
    fast = {**base, "source": "fast", "changes": write_json(tmp_path / "changes.json", read)}
    blank = {**fast, "source": "blank", "changes": write_json(tmp_path / "blank.json", {**dict.fromkeys(read), "count": 0})}
    table = tabulate([real, base, fast, blank], {**TABLE, "baseline": "base"})
    column = [row[table.header.index("Labels changed (%)")] for row in table.rows]
    assert column == [markup.NONE, markup.NONE, "12.34 ± 0.56", markup.NONE]
    assert "pair i of base" in table.notes[-1] and "over 648 pairs" in table.notes[-1] and "differ in 50.0 %" in table.notes[-1]
    assert table.frame.set_index("source").loc["fast", "labels_unrelated"] == 0.5


def test_every_row_takes_the_files_of_its_own_sets():
    same = {"dataset": "town", "format": "demo", "method": None}
    planned = [
        {**same, "source": "real", "sets": 1, "compared": False},
        {**same, "source": "base", "sets": 2, "compared": False},
        {**same, "source": "fast", "sets": 3, "compared": True},
        {**same, "source": "slow", "sets": 1, "compared": True},
    ]
    given = {"fidelity": list("abcd"), "changes": ["x", "y"], "neighbours": list(range(7)), "stores": list(range(10, 17))}
    rows = join(planned, given)
    assert [row["source"] for row in rows] == ["real", "base", "fast", "slow"]
    assert [row["fidelity"] for row in rows] == ["a", "b", "c", "d"] and [row["changes"] for row in rows] == [None, None, "x", "y"]
    assert [row["neighbours"] for row in rows] == [(0,), (1, 2), (3, 4, 5), (6,)]
    assert [row["stores"] for row in rows] == [(10,), (11, 12), (13, 14, 15), (16,)]
    for name in given:
        with pytest.raises(StoreError, match="files are given for"):
            join(planned, given | {name: given[name][1:]})


def test_a_job_writes_the_table_of_its_rows(tmp_path):
    rows = rows_of(tmp_path)
    given = {"fidelity": [row["fidelity"] for row in rows], "changes": []}
    given |= {name: [path for row in rows for path in row[name]] for name in ("neighbours", "stores")}
    kept = ("dataset", "source", "method", "format")
    planned = [{**{key: row[key] for key in kept}, "sets": len(row["stores"]), "compared": False} for row in rows]
    out = {kind: tmp_path / f"table.{kind}" for kind in ("csv", "md", "tex")}
    write_run(SimpleNamespace(input=given, cfg={**TABLE, "rows": planned, "runs": []}, output=out))
    wanted = tabulate(rows, TABLE)
    assert out["csv"].read_text() == markup.to_csv(wanted) and out["md"].read_text() == markup.to_markdown(wanted)
