from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_checks import check_legible, check_repeatable
from PIL import Image
from reporting_fixtures import SPACE, write_classes, write_demo, write_pairs

from satsynth.pairs import Store, StoreWriter
from satsynth.reporting import figures, tables
from satsynth.reporting.figures import class_distribution, ratio_curve, training_curves, upscaling
from satsynth.runtime.errors import ConfigError, DataError, StoreError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Inputs and config of every view."""
    root = tmp_path_factory.mktemp("figures")
    classes = write_classes(root)
    real, synthetic = (write_pairs(root / name, count=7, size=32, seed=seed) for name, seed in (("real", 1), ("synthetic", 2)))
    store = Store.open(synthetic)
    with StoreWriter(root / "low", size=16, classes=3) as writer:
        for image, mask in zip(store.images, store.masks):
            writer.append(image[::2, ::2], mask[::2, ::2], scene="a")
    runs, grounds = write_demo(
        root / "demo", {("real", 0): 0.25, ("control", 0): 0.27, ("synthetic", 1): 0.7, ("union", 1): 0.22, ("union", 2): 0.2}
    )
    tables.build("gain", runs, grounds, {"title": "t", "confidence": 0.95, "replicates": 20, "seed": 0}, {"csv": root / "gain.csv"})
    histories = []
    for name in ("generators/satsynth", "64px/segmentation/real/fpn/seed-0", "64px/segmentation/real/fpn/seed-1"):
        histories.append(root / "results" / name / "history.csv")
        histories[-1].parent.mkdir(parents=True)
        steps = np.arange(10, 500, 10)
        frame = {"step": steps, "loss": 2 / steps, "learning_rate": 0.1, "grad_norm": 1.0}
        pd.DataFrame(frame).to_csv(histories[-1], index=False)
    stores = {"real": [real], "synthetic": [synthetic], "classes": [classes]}
    return {
        "pairs": ({"title": "Pairs", "rows": 2, "columns": 3, "cell": 64, "seed": 0}, stores),
        "upscaling": (
            {"title": "G_SR", "count": 3, "cell": 64, "seed": 0},
            {"low": [root / "low"], "high": [synthetic], "classes": [classes]},
        ),
        "class_distribution": (
            {"title": "Classes", "log": True},
            {"real": [real / "card.json"], "synthetic": [synthetic / "card.json"], "classes": [classes]},
        ),
        "ratio_curve": ({"title": "mIoU against R"}, {"table": [root / "gain.csv"]}),
        "training_curves": ({"title": "Training", "window": 5}, {"history": histories}),
    }


VIEWS = ("pairs", "upscaling", "class_distribution", "ratio_curve", "training_curves")


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_draw_gives_the_same_bytes_whatever_the_users_settings(world, tmp_path, view):
    check_repeatable(view, *world[view], tmp_path)


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_leaves_the_figure_or_covers_another(world, tmp_path, view):
    check_legible(view, *world[view], tmp_path)


def test_pixels_of_patches_stay_crisp(world, tmp_path):
    cfg, inputs = world["pairs"]
    figures.draw("pairs", cfg, inputs, tmp_path / "p.png", tmp_path / "p.pdf")
    sheet = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    store = Store.open(inputs["real"][0])
    row = np.random.Generator(np.random.Philox(0)).permutation(len(store))[0]
    for cell in (store.images[row], SPACE.paint(np.asarray(store.masks[row]))):
        large = cell.repeat(2, 0).repeat(2, 1)
        corners = np.argwhere((sheet[: -len(large), : -len(large)] == large[0, 0]).all(-1))
        assert any((sheet[y : y + len(large), x : x + len(large)] == large).all() for y, x in corners)


def test_class_shares_are_those_of_the_cards(world):
    cfg, inputs = world["class_distribution"]
    left, right = class_distribution.compose(cfg, inputs).axes[:2]
    card = Store.open(Path(inputs["real"][0]).parent).card
    drawn = sorted(line.get_xdata()[0] for line in left.lines if line.get_marker() == "o" and len(line.get_xdata()))
    assert drawn == pytest.approx(sorted(100 * np.array(card["class_pixels"]) / sum(card["class_pixels"])))
    drawn = sorted(line.get_xdata()[0] for line in right.lines if line.get_marker() == "o")
    assert drawn == pytest.approx(sorted(100 * np.array(card["class_pairs"]) / card["count"]))
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    assert left.get_yticklabels()[0].get_text() == "field"


def test_ratio_curve_shows_the_table_and_cuts_the_axis_for_a_far_value(world):
    cfg, inputs = world["ratio_curve"]
    frame = pd.read_csv(inputs["table"][0])
    upper, lower = ratio_curve.compose(cfg, inputs).axes
    wanted = frame[frame["arm"].isin(["real", "union"])].sort_values("ratio")["miou_pct"]
    assert any(len(line.get_ydata()) == 3 and np.allclose(line.get_ydata(), wanted) for line in upper.lines)
    alone = frame.loc[frame["arm"] == "synthetic", "miou_pct"].item()
    assert lower.get_ylim()[0] < alone < lower.get_ylim()[1] < upper.get_ylim()[0]
    assert any(
        line.get_linestyle() == "--" and line.get_ydata()[0] == frame.loc[frame["arm"] == "real", "miou_pct"].item() for line in upper.lines
    )


def test_seeds_share_a_panel(world):
    cfg, inputs = world["training_curves"]
    axes = training_curves.compose(cfg, inputs).axes
    assert [each.get_title().split() for each in axes] == [["generator", "satsynth"], ["fpn", "on", "real"]]
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["seed 0", "seed 1"]


def test_bad_input_is_named(world, tmp_path):
    out = tmp_path / "x.png", tmp_path / "x.pdf"
    with pytest.raises(ConfigError, match="no figure view 'pears'"):
        figures.draw("pears", {}, {}, *out)
    cfg, inputs = world["upscaling"]
    with pytest.raises(StoreError, match="do not match"):
        upscaling.compose(cfg, inputs | {"low": inputs["high"], "high": inputs["low"]})
    (tmp_path / "history.csv").write_text("step,loss\n")
    with pytest.raises(DataError, match="no row with step and loss"):
        training_curves.compose({"title": "t", "window": 1}, {"history": [tmp_path / "history.csv"]})
    with pytest.raises(DataError, match="not the CSV of a gain table"):
        ratio_curve.compose({"title": "t"}, {"table": [tmp_path / "history.csv"]})
    cfg, inputs = world["class_distribution"]
    other = tmp_path / "classes.json"
    other.write_text('{"names": ["a", "b"], "colours": [[0, 0, 0], [1, 1, 1]]}')
    with pytest.raises(StoreError, match="names 2"):
        class_distribution.compose(cfg, inputs | {"classes": [other]})
    assert not out[0].exists()
