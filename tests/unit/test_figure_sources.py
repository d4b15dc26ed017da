"""What figures are drawn from: which runs and shards, shards of one origin, and whose features measured."""

import numpy as np
import pandas as pd
import pytest
from figure_checks import check_legible, compose
from presets import preset, read
from reporting_fixtures import write_classes, write_json, write_pairs

from satsynth.pairs import LabelSpace, StoreWriter
from satsynth.plan import slices
from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout
from satsynth.plan.validation import validate
from satsynth.reporting.facts import collect, words
from satsynth.runtime.errors import ConfigError, StoreError

MADE = {"dataset": "demo", "low": "base", "source": "cascade"}


def plan(*overlays, base=("config.yaml",)):
    config = {}
    for overlay in [*map(read, base), *overlays]:
        config = merge(config, overlay)
    validate(config, read("rules/schemas/config.schema.yaml"))
    return Layout(config, resolve(config, preset(config["preset"])))


BOTH = {"experiments": {"gain": {"grid": [{"segmenters": ["fpn", "pspnet", "segformer"], "sources": ["cascade"], "ratios": [0, 1, 3]}]}}}


def shown(figure, *overlays):
    systems = plan(*overlays, {"figures": {"predictions": figure}}).systems("predictions")
    return [(run.segmenter, run.arm, run.ratio, run.seed) for run in systems]


def test_predictions_show_the_segmenters_asked_for_in_their_order():
    found = shown({"segmenters": ["segformer", "fpn"], "ratio": 3}, BOTH)
    assert found == [("segformer", "real", 0, 0), ("segformer", "union", 3, 0), ("fpn", "real", 0, 0), ("fpn", "union", 3, 0)]
    everyone = [(name, arm, ratio, 0) for name in ("fpn", "pspnet", "segformer") for arm, ratio in (("real", 0), ("union", 1))]
    assert shown({}, BOTH) == shown({"segmenters": None}, BOTH) == everyone
    assert shown({"segmenter": "pspnet"}, BOTH) == everyone[2:4]


def test_the_papers_comparison_shows_rivals_on_real_pairs_beside_ours():
    layout = plan({"dataset": "isaid"}, base=("config.yaml", "configs/paper.yaml"))
    for name, dataset in (("figure11", "isaid"), ("figure12", "openearthmap")):
        systems = layout.systems(name)
        rivals, ours = [("semgan", "real"), ("segdiff", "real")], [("fpn", "real"), ("fpn", "real+base-r3")]
        assert [(run.segmenter, run.training_set) for run in systems] == rivals + ours
        assert {run.dataset for run in systems} == {dataset} and {run.seed for run in systems} == {0}


@pytest.mark.parametrize(
    ("figures", "key", "said"),
    [
        ({"predictions": {"segmenters": ["fpm"]}}, "figures.predictions.segmenters", "Did you mean 'fpn'"),
        ({"predictions": {"segmenters": ["fpn", "fpn_exposures"]}}, "figures.predictions.segmenters", "is not in 'gain'. It has fpn"),
        ({"predictions": {"segmenters": []}}, "figures.predictions.segmenters", "non-empty"),
        ({"predictions": {"segmenter": "fpn", "segmenters": ["fpn"]}}, "figures.predictions.segmenters", "Give one of the two"),
        ({"confusion": {"segmenters": ["fpn"]}}, "figures.confusion.segmenters", "view confusion does not read this key"),
        ({"denoising": {"source": "cutout"}}, "figures.denoising.source", "'cutout' denoises nothing"),
        ({"denoising": {"moments": 1}}, "figures.denoising.moments", "1"),
        ({"denoising": {"low": "base"}}, "figures.denoising.low", "view denoising does not read this key"),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused(figures, key, said):
    with pytest.raises(ConfigError) as error:
        plan({"figures": figures})
    assert error.value.subject == key and said in str(error.value)


def test_denoising_follows_the_first_stage_of_its_source():
    over = {"figures": {"denoising": {"source": "cascade"}}, "run": ["denoising"]}
    layout = plan(over)
    assert layout.report_generators() == ["results/demo/generators/satsynth/card.json"]
    cfg = slices.denoising(layout.resolved, "denoising")
    assert list(cfg) == ["block", "count", "moments", "sampler", "seed"]
    assert cfg["sampler"] == layout.resolved["sources"]["cascade"]["sampler"]
    files, stores = layout.figure_inputs("denoising")
    assert files["cards"] == ["results/demo/denoising/denoising/card.json"] and not stores


def test_upscaling_is_drawn_from_all_pairs_of_r_1():
    stores = plan({"sources": {"base": {"shards": 3}}}).figure_inputs("upscaling")[1]
    assert stores["low"] == [f"results/demo/32px/base/shard-000{number}" for number in range(3)]
    assert stores["high"] == [f"results/demo/64px/cascade/shard-000{number}" for number in range(4)]


def shard(folder, size, numbers, weights="a"):
    """A shard of a cascade, or of its first stage, whose pairs are each of one grey."""
    facts = {"source": {"weights": [weights], "samplers": [{"steps": 4}], "seed": 0, "block": 4}}
    with StoreWriter(folder, size=size, classes=3, facts=facts) as writer:
        for number in numbers:
            writer.append(np.full((size, size, 3), 10 * number, np.uint8), np.full((size, size), number % 3, np.uint8), index=number)
    return folder


def halves(root, size, cut, count=12, **second):
    return [shard(root / "shard-0000", size, range(cut)), shard(root / "shard-0001", size, range(cut, count), **second)]


def test_upscaling_keeps_pairs_together_though_the_shards_are_cut_otherwise(tmp_path):
    inputs = {"low": halves(tmp_path / "low", 8, 3), "high": halves(tmp_path / "high", 16, 8), "classes": [write_classes(tmp_path)]}
    figure = compose("upscaling", {"title": "t", **MADE, "count": 6, "cell": 16, "seed": 0}, inputs)
    greys = []
    for axes in figure.axes:
        canvas = axes.images[0].get_array()
        greys.append([canvas[y, x, 0] for y in (8, 32, 56) for x in (8, 57)])
    assert greys[0] == greys[1] and len(set(greys[0])) == 6 and max(greys[0]) >= 80  # pairs of the second shard too


def test_no_figure_mixes_shards_of_different_origin(tmp_path):
    alike, mixed = halves(tmp_path / "alike", 16, 6), halves(tmp_path / "mixed", 16, 6, weights="b")
    real, classes = write_pairs(tmp_path / "real", count=4, size=16), write_classes(tmp_path)
    nothing = {f"{kind}_{name}": 0 for kind in ("feature", "pixel") for name in ("row", "turn", "ratio")}
    table = pd.DataFrame([{"row": row, **nothing, "feature_distance": 1.0, "pixel_distance": 1.0} for row in range(6)])
    table.to_csv(tmp_path / "found.csv", index=False)
    found = {"neighbours": [tmp_path / "found.csv"] * 2, "null": [tmp_path / "found.csv"], "train": [real]}
    look = {"title": "t", **MADE, "rows": 1, "columns": 2, "cell": 32, "count": 3, "seed": 0}
    figures = {
        "pairs": (look, "synthetic", {"real": [real]}),
        "contrast": (look | {"first": "a", "second": "b"}, "second", {"real": [real], "first": alike}),
        "memorisation": (look | {"quantile": 0.1}, "synthetic", found),
        "upscaling": (look, "high", {"low": halves(tmp_path / "low", 8, 6)}),
    }
    for view, (cfg, role, inputs) in figures.items():
        inputs = inputs | {"classes": [classes]}
        compose(view, cfg, inputs | {role: alike})
        with pytest.raises(StoreError, match=r"its weights differ from those of .*shard-0000"):
            compose(view, cfg, inputs | {role: mixed})


@pytest.mark.parametrize(("size", "classes"), [(32, 5), (128, 16)])
def test_masks_of_three_systems_beside_the_truth_are_legible(tmp_path, size, classes):
    colours = tuple((15 * number, 255 - 15 * number, 90) for number in range(classes))
    space = LabelSpace(tuple(f"ground_track_field_{number}" for number in range(classes)), colours)
    val = write_pairs(tmp_path / "val", count=3, size=size, space=space)
    np.save(tmp_path / "masks.npy", np.load(val / "masks.npy")[:2])
    systems = [
        {"segmenter": "semgan", "arm": "real", "source": None, "method": None, "ratio": 0, "seed": 0},
        {"segmenter": "segdiff", "arm": "real", "source": None, "method": None, "ratio": 0, "seed": 0},
        {"segmenter": "fpn", "arm": "union", "source": "base", "method": "satsynth", "ratio": 3, "seed": 0},
    ]
    card = write_json(tmp_path / "card.json", {"rows": [0, 1]})
    inputs = {"val": [val], "classes": [write_classes(tmp_path, space)], "masks": [tmp_path / "masks.npy"] * 3, "cards": [card] * 3}
    cfg = {"title": "Predictions", "dataset": "demo", "experiment": "table1b", "cell": 64, "systems": systems}
    check_legible("predictions", cfg, inputs, tmp_path)


def test_the_report_says_whose_features_measured():
    layout = plan()
    assert layout.report_evaluators() == ["results/demo/64px/segmentation/real/fpn/seed-0/card.json"]
    assert plan({"run": ["gain", "pairs"]}).report_evaluators() == []
    alone = plan({"run": ["memorisation"], "measures": {"evaluator_seed": 2}, "figures": {"memorisation": {"source": "base"}}})
    assert alone.report_evaluators() == ["results/demo/32px/segmentation/real/fpn/seed-2/card.json"]


def test_words_and_digests_name_the_evaluator(tmp_path):
    path = tmp_path / "results/demo/64px/segmentation/real/unet/seed-2/card.json"
    found = collect([], [], [], [write_json(path, {"steps": 6000, "weights_sha256": "ab" * 32})])
    (said,) = words(found)
    # True of an evaluator that served SemGAN alone as well.
    assert said.startswith("Where features of demo at 64 px are used (to measure synthetic pairs, to train SemGAN's encoder), they ")
    assert "are those of unet, trained on its real pairs for 6" in said and said.endswith("for 6\u202f000 optimiser steps, seed 2.")
    assert found["digests"] == {"demo, 64 px, evaluator unet, seed 2 (weights)": "ab" * 32}
    assert words(collect([], [], [])) == []
