from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_checks import check_legible, check_repeatable, compose, pixels, places_of
from reporting_fixtures import SPACE, write_classes, write_demo, write_pairs

from satsynth.pairs import IGNORE, LabelSpace, Store, StoreWriter
from satsynth.reporting import figures, tables
from satsynth.reporting.figures import class_distribution, ratio_curve, training_curves, upscaling
from satsynth.runtime.errors import ConfigError, DataError, StoreError

MADE = {"dataset": "demo", "source": "cascade"}


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
        histories.append(root / "results/demo" / name / "history.csv")
        histories[-1].parent.mkdir(parents=True)
        steps = np.arange(10, 500, 10)
        frame = {"step": steps, "loss": 2 / steps, "learning_rate": 0.1, "grad_norm": 1.0}
        pd.DataFrame(frame).to_csv(histories[-1], index=False)
    stores = {"real": [real], "synthetic": [synthetic], "classes": [classes]}
    return {
        "pairs": ({"title": "Pairs", **MADE, "rows": 2, "columns": 3, "cell": 64, "seed": 0}, stores),
        "upscaling": (
            {"title": "G_SR", **MADE, "low": "base", "count": 3, "cell": 64, "seed": 0},
            {"low": [root / "low"], "high": [synthetic], "classes": [classes]},
        ),
        "class_distribution": (
            {"title": "Classes", **MADE, "log": True},
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
    drawn = pixels("pairs", cfg, inputs, tmp_path)
    store = Store.open(inputs["real"][0])
    row = np.random.Generator(np.random.Philox(0)).permutation(len(store))[0]
    for cell in (store.images[row], SPACE.paint(np.asarray(store.masks[row]))):
        assert places_of(drawn, cell.repeat(2, 0).repeat(2, 1))


def test_what_is_unlabelled_is_hatched_and_cannot_be_taken_for_a_black_class(tmp_path):
    """Lines of grey in the pixels of ignore alone, and beside its word."""
    space = LabelSpace(("asphalt", "field"), ((0, 0, 0), (190, 200, 90)))
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[0, :16], masks[:, :, :8] = IGNORE, 1
    with StoreWriter(tmp_path / "store", size=32, classes=2) as writer:
        for mask in masks:
            writer.append(np.full((32, 32, 3), 90, np.uint8), mask)
    inputs = {"synthetic": [tmp_path / "store"], "classes": [write_classes(tmp_path, space)]}
    cfg = {"title": "Pairs", **MADE, "rows": 1, "columns": 2, "cell": 32, "seed": 0}
    legend = compose("pairs", cfg, inputs).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["asphalt", "field", "unlabelled"]
    assert [bool(patch.get_hatch()) for patch in legend.get_patches()] == [False, False, True]
    drawn, greys = pixels("pairs", cfg, inputs, tmp_path), []
    for mask in masks:
        wanted = space.paint(mask)
        assert places_of(drawn, wanted)
        greys += np.unique(wanted[mask == IGNORE], axis=0).tolist()
    assert greys == [[shade] * 3 for shade in (95, 225)]


def drawn_pairs(inputs, tmp_path, **changes):
    """Which pairs of the synthetic stores a sheet shows, told from images that are all of one colour each."""
    cfg = {"title": "Pairs", **MADE, "rows": 2, "columns": 3, "cell": 16, "seed": 0} | changes
    drawn = pixels("pairs", cfg, inputs, tmp_path).reshape(-1, 3)
    return {int(number) for red, number, blue in np.unique(drawn, axis=0) if (red, blue) == (77, 123)}


def shards_of(root, sizes):
    number = 0
    for place, size in enumerate(sizes):
        with StoreWriter(root / f"shard-{place}", size=16, classes=3) as writer:
            for _ in range(size):
                image = np.empty((16, 16, 3), np.uint8)
                image[:] = (77, number, 123)
                writer.append(image, np.zeros((16, 16), np.uint8), scene="a")
                number += 1
    return [root / f"shard-{place}" for place in range(len(sizes))]


def test_synthetic_pairs_are_drawn_from_all_shards_alike(tmp_path):
    shards = shards_of(tmp_path, (8, 8, 4))
    inputs = {"synthetic": shards, "classes": [write_classes(tmp_path)]}
    drawn = [drawn_pairs(inputs, tmp_path, seed=seed) for seed in range(12)]
    assert all(len(pairs) == 6 for pairs in drawn)
    found = np.array([sum(low <= pair < low + wide for pairs in drawn for pair in pairs) for low, wide in ((0, 8), (8, 8), (16, 4))])
    assert (np.abs(found - 72 * np.array([8, 8, 4]) / 20) < 10).all()
    assert drawn_pairs(inputs | {"synthetic": shards[:1]}, tmp_path) <= set(range(8))


def test_synthetic_pairs_may_stand_alone(world, tmp_path):
    cfg, inputs = world["pairs"]
    title, *headings = (text.get_text() for text in compose("pairs", cfg, inputs).texts)
    assert title == "Pairs (demo, 32 px, cascade)"
    assert headings == ["Real pairs (D): 6 of 7, drawn at random", "Synthetic pairs (D′): 6 of 7, drawn at random"]
    alone = {name: paths for name, paths in inputs.items() if name != "real"}
    assert [text.get_text() for text in compose("pairs", cfg, alone).texts] == [title, headings[1]]
    check_legible("pairs", cfg, {"synthetic": shards_of(tmp_path, (30, 30)), "classes": inputs["classes"]}, tmp_path)


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


def test_datasets_of_one_table_do_not_share_a_panel(world, tmp_path):
    cfg, inputs = world["training_curves"]
    assert training_curves.compose(cfg, inputs).get_suptitle() == "Training (demo)"
    other = tmp_path / "results/town/64px/segmentation/real/fpn/seed-0/history.csv"
    other.parent.mkdir(parents=True)
    other.write_text(inputs["history"][1].read_text())
    figure = training_curves.compose(cfg, {"history": [*inputs["history"][1:], other]})
    assert figure.get_suptitle() == "Training (demo, town)"
    assert [axes.get_title().split("\n") for axes in figure.axes] == [["demo: fpn on", "real"], ["town: fpn on", "real"]]


def test_figures_of_other_data_or_sources_have_other_titles(world):
    cfg, inputs = world["upscaling"]
    said = [text.get_text() for text in compose("upscaling", cfg, inputs).texts]
    assert said == ["G_SR (demo)", "16 px, base, input of G_SR", "32 px, cascade, output of G_SR"]
    assert class_distribution.compose(*world["class_distribution"]).get_suptitle() == "Classes (demo, 32 px, cascade)"


def test_a_running_mean_reaches_both_ends_with_shorter_windows(world):
    values = np.array([9.0, 5.0, 4.0, 3.0, 3.5, 1.0, 2.0])
    wanted = [9.0, 6.0, 24.5 / 5, 16.5 / 5, 13.5 / 5, 6.5 / 3, 2.0]
    assert training_curves.running_mean(values, 5) == pytest.approx(wanted)
    assert training_curves.running_mean(values, 6) == pytest.approx(wanted)  # as many on either side
    assert training_curves.running_mean(values, 1) == pytest.approx(values)
    slope = np.linspace(8, 1, 40)
    assert training_curves.running_mean(slope, 25) == pytest.approx(slope)
    assert training_curves.running_mean(values[:1], 25).tolist() == [9.0]
    cfg, inputs = world["training_curves"]
    pale, dark = training_curves.compose(cfg, inputs).axes[0].lines
    assert [dark.get_xdata()[end] for end in (0, -1)] == [pale.get_xdata()[end] for end in (0, -1)]
    assert [dark.get_ydata()[end] for end in (0, -1)] == pytest.approx([pale.get_ydata()[end] for end in (0, -1)])


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


@pytest.mark.parametrize("view", VIEWS)
def test_dollars_in_titles_and_class_names_are_no_mathematics(world, tmp_path, view):
    cfg, inputs = world[view]
    space = LabelSpace((r"$\frac$", "a $x^{$ b", "_$(c)"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    hostile = {**inputs, "classes": [write_classes(tmp_path, space)]} if "classes" in inputs else inputs
    figures.draw(view, {**cfg, "title": r"$\frac$ and $y_$"}, hostile, tmp_path / "a.png", tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 10_000
