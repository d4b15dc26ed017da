"""Figures of tables: gains class by class, and against R."""

import numpy as np
import pandas as pd
import pytest
from figure_checks import check_legible, check_repeatable, compose
from matplotlib.colors import to_hex
from scipy import stats

from satsynth.reporting.captions import CAPTIONS
from satsynth.runtime.errors import ConfigError, DataError

# Names as long as those of iSAID, shares as uneven.
NAMES = ("background", "small_vehicle", "ship", "ground_track_field", "basketball_court", "soccer_ball_field", "helicopter")
SHARES = (99.9, 23.0, 8.1, 1.0, 0.8, 0.9, 0.35)
GAINS = (0.1, 0.5, 1.2, 4.0, 4.1, 4.05, -2.0)


def method_of(source):
    return {None: None, "cutout": "cutout", "my_mix": "cutmix"}.get(source, "satsynth")


def class_table(path, segmenters=("fpn", "pspnet"), names=NAMES, shares=SHARES, gains=GAINS, ratios=(3, 1), sources=("cascade",), **cells):
    """The CSV of a per-class table with the columns that the figures read; `cells` overwrites columns of the rows of D ∪ D'."""
    rows = []
    for segmenter in segmenters:
        for arm, source, ratio in [("real", None, 0), *(("union", source, ratio) for source in sources for ratio in ratios)]:
            lead = {
                "dataset": "demo",
                "size": 64,
                "segmenter": segmenter,
                "arm": arm,
                "training_set": "x",
                "source": source,
                "method": method_of(source),
                "ratio": ratio,
            }
            for number, (name, share, gain) in enumerate(zip(names, shares, gains)):
                row = lead | {"class_id": number, "class": name, "background": number == 0, "train_occurrence_pct": share, "iou_pct": 50}
                row |= dict.fromkeys(("gain_points", "gain_low", "gain_high", "gain_scene_low", "gain_scene_high"))
                if arm == "union":
                    value = gain * ratio
                    row |= {"gain_points": value, "gain_low": value - 0.6, "gain_high": value + 0.6}
                    row |= {"gain_scene_low": value - 1, "gain_scene_high": value + 1.5}
                    row |= {key: column[number] for key, column in cells.items()}
                rows.append(row)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def gain_table(path, segmenters=("fpn",), sources=("cascade",), ratios=(1, 2, 3), datasets=("a",), n=3, alone=None, paper=None):
    """The CSV of a gain table: mIoU 50 for D, 51, 52, ... with R, 3 lower for each further segmenter; `paper` maps R to its number."""
    rows = []
    for dataset in datasets:
        for number, segmenter in enumerate(segmenters):
            lead = {"dataset": dataset, "size": 64, "segmenter": segmenter, "n": n, "miou_se_pct": 0.2 if n > 1 else np.nan}
            none = {"source": None, "method": None, "ratio": np.nan}
            rows.append(lead | {"arm": "constant", **none, "miou_pct": 6, "miou_se_pct": np.nan, "n": 1})
            arms = [("real", None, 0), *(("union", source, ratio) for source in sources for ratio in ratios)]
            arms += [("synthetic", sources[0], 1)] if alone else []
            for arm, source, ratio in arms:
                row = lead | {
                    "arm": arm,
                    "source": source,
                    "method": method_of(source),
                    "ratio": ratio,
                    "miou_pct": 50 + ratio - 3 * number,
                }
                row |= {"miou_pct": alone} if arm == "synthetic" else {}
                rows.append(row | ({} if paper is None else {"paper_miou_pct": paper.get(ratio) if arm != "synthetic" else None}))
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Inputs and config of every view."""
    root = tmp_path_factory.mktemp("tables")
    table = class_table(root / "classes.csv")
    gains = gain_table(root / "gain.csv", ("fpn", "pspnet"), ("cascade", "cutout"), datasets=("a", "b"), paper={0: 51, 2: 53.5})
    return {
        "occurrence": ({"title": "Gain and occurrence", "confidence": 0.9, "segmenter": None}, {"table": [table]}),
        "class_forest": ({"title": "Gain of every class", "ratio": None}, {"table": [table]}),
        "ratio_curve": ({"title": "mIoU against R"}, {"table": [gains]}),
    }


VIEWS = ("occurrence", "class_forest", "ratio_curve")


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_draw_gives_the_same_bytes_whatever_the_users_settings(world, tmp_path, view):
    check_repeatable(view, *world[view], tmp_path)


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_leaves_the_figure_or_covers_another(world, tmp_path, view):
    check_legible(view, *world[view], tmp_path)


def test_every_view_has_a_caption():
    assert set(VIEWS) | {"gain", "per_class", "summary", "dataset"} <= set(CAPTIONS)
    assert "is cut" in CAPTIONS["ratio_curve"]


def marked(axes, marker="o"):
    return np.concatenate([line.get_xydata() for line in axes.lines if line.get_marker() == marker and len(line.get_xydata())])


def test_occurrence_shows_foreground_classes_at_the_smallest_r_and_their_correlation(world):
    cfg, inputs = world["occurrence"]
    first, second = compose("occurrence", cfg, inputs).axes
    assert first.get_xscale() == "log"
    assert marked(first) == pytest.approx(np.column_stack([SHARES[1:], GAINS[1:]]))
    bars = first.collections[0].get_segments()
    assert bars == [pytest.approx(np.array([[share, gain - 1], [share, gain + 1.5]])) for share, gain in zip(SHARES[1:], GAINS[1:])]
    assert {text.get_text() for text in first.texts} - {""} == set(NAMES[1:])
    r = stats.pearsonr(SHARES[1:], GAINS[1:])
    low, high = r.confidence_interval(0.9)
    told = f"Pearson r = {r.statistic:+.2f} (90 %: {low:+.2f} to {high:+.2f}), n = 6 classes".replace("-", "−")
    assert first.get_title(loc="left").split("\n") == ["fpn (demo, 64 px, cascade, R\u00a0=\u00a01)", told]
    assert second.get_title(loc="left").startswith("pspnet")
    assert len(compose("occurrence", cfg | {"segmenter": "pspnet"}, inputs).axes) == 1


def test_occurrence_calls_an_augmentation_by_its_name(tmp_path):
    table = class_table(tmp_path / "t.csv", ("fpn",), sources=("cutout",))
    (axes,) = compose("occurrence", {"title": "t", "confidence": 0.9}, {"table": [table]}).axes
    assert axes.get_title(loc="left").replace("\u00a0", " ").startswith("fpn (demo, 64 px, D ∪ Cutout, R = 1)\n")


def test_occurrence_is_linear_for_even_shares_and_gives_zero_a_place_on_a_log_axis(tmp_path):
    cfg = {"title": "t", "confidence": 0.95, "segmenter": None}
    even = class_table(tmp_path / "even.csv", shares=(90, 60, 50, 40, 30, 20, 10))
    assert compose("occurrence", cfg, {"table": [even]}).axes[0].get_xscale() == "linear"
    unseen = class_table(tmp_path / "unseen.csv", shares=(*SHARES[:-1], 0.0))
    axes = compose("occurrence", cfg, {"table": [unseen]}).axes[0]
    places = marked(axes)[:, 0]
    assert axes.get_xlim()[0] < places[-1] < 0.8 and places[:-1] == pytest.approx(SHARES[1:-1])
    assert "0" in [text.get_text() for text in axes.texts]


def test_occurrence_says_so_where_nothing_can_be_correlated(tmp_path):
    table = class_table(tmp_path / "two.csv", ("fpn",), names=("background", "roof"), shares=(97, 30), gains=(0.1, 2.0))
    axes = compose("occurrence", {"title": "t", "confidence": 0.95, "segmenter": None}, {"table": [table]}).axes[0]
    assert axes.get_title(loc="left").endswith("Pearson r is not defined, n = 1 class")
    none = [np.nan] * len(NAMES)
    table = class_table(tmp_path / "none.csv", gain_points=none, gain_scene_low=none, gain_scene_high=none)
    axes = compose("occurrence", {"title": "t", "confidence": 0.95}, {"table": [table]}).axes[0]
    assert axes.get_title(loc="left").endswith("n = 0 classes")


def test_forest_orders_classes_by_occurrence_and_fills_only_shown_differences(world):
    axes = compose("class_forest", *world["class_forest"]).axes
    assert [each.get_title(loc="left") for each in axes] == ["fpn", "pspnet"]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    lines = [label.get_text().split(" (")[0] for label in axes[0].get_yticklabels()]
    order = sorted(range(len(NAMES)), key=lambda number: -SHARES[number])
    assert lines == [NAMES[number] for number in order]
    points = {line.get_ydata()[0]: line for line in axes[0].lines if line.get_marker() == "o"}
    for place, number in enumerate(order):
        assert points[place].get_xdata() == pytest.approx([GAINS[number]])
        shown = abs(GAINS[number]) > (1 if GAINS[number] > 0 else 1.5)
        assert (points[place].get_markerfacecolor() != "white") == shown
    thick, thin = (sorted(tuple(line.get_xdata()) for line in axes[0].lines if line.get_linewidth() == width) for width in (5, 1.1))
    assert thick == [pytest.approx((gain - 0.6, gain + 0.6)) for gain in sorted(GAINS)]
    assert thin == [pytest.approx((gain - 1, gain + 1.5)) for gain in sorted(GAINS)]


def test_forest_takes_the_r_asked_for_and_puts_each_source_in_a_block(tmp_path):
    table = class_table(tmp_path / "t.csv", sources=("cascade", "cutout", "my_mix"))
    figure = compose("class_forest", {"title": "t", "ratio": 3}, {"table": [table]})
    names = [part.get_suptitle().replace("\u00a0", " ") for part in figure.subfigs]
    assert names == [f"demo, 64 px, {name}, R = 3" for name in ("cascade", "D ∪ Cutout", "D ∪ CutMix (my_mix)")]
    assert sorted(marked(figure.axes[0])[:, 0]) == pytest.approx(sorted(3 * gain for gain in GAINS))


def test_without_intervals_over_seeds_nothing_is_filled_and_absent_classes_get_a_dash(tmp_path):
    none, gains = [np.nan] * 7, [*GAINS[:-1], np.nan]
    table = class_table(tmp_path / "t.csv", gain_low=none, gain_high=none, gain_points=gains, gain_scene_low=none, gain_scene_high=none)
    figure = compose("class_forest", {"title": "t", "ratio": None}, {"table": [table]})
    axes = figure.axes[0]
    assert {line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"} == {"white"}
    assert [text.get_text() for text in axes.texts] == ["–"]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any("interval over" in text for text in said) and any("absent" in text for text in said)


@pytest.mark.parametrize("view", ["occurrence", "class_forest"])
def test_bad_tables_of_classes_are_named(view, world, tmp_path):
    cfg = world[view][0]
    gain = gain_table(tmp_path / "gain.csv")
    with pytest.raises(DataError, match=r"no per-class table.*train_occurrence_pct"):
        compose(view, cfg, {"table": [gain]})
    with pytest.raises(DataError, match="no training set with both"):
        compose(view, cfg, {"table": [class_table(tmp_path / "real.csv", ratios=())]})
    key, value = ("segmenter", "unet") if view == "occurrence" else ("ratio", 7)
    with pytest.raises(ConfigError, match=f"no {key} {value}"):
        compose(view, cfg | {key: value}, world[view][1])


@pytest.mark.parametrize("classes", [2, 16, 255])
def test_class_figures_hold_few_and_many_classes(classes, tmp_path):
    names = tuple(f"{NAMES[number % 7]}_{number}" for number in range(classes))
    spread = {"shares": np.geomspace(100, 0.1, classes), "gains": np.sin(np.arange(classes)), "names": names}
    table = class_table(tmp_path / "t.csv", ("fpn",), ratios=(1,), **spread)
    axes = compose("occurrence", {"title": "t", "confidence": 0.95, "segmenter": None}, {"table": [table]}).axes[0]
    assert len({text.get_text() for text in axes.texts} - {""}) == min(classes - 1, 30)
    assert len(compose("class_forest", {"title": "t", "ratio": None}, {"table": [table]}).axes[0].get_yticks()) == classes


def test_ratio_curve_has_a_panel_a_dataset_and_a_line_for_every_segmenter_and_source(world):
    figure = compose("ratio_curve", *world["ratio_curve"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a, 64 px", "b, 64 px"]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4 and line.get_marker() in ("", "None")]
    assert [list(line.get_ydata()) for line in lines] == [[50, 51, 52, 53]] * 2 + [[47, 48, 49, 50]] * 2
    assert all(np.round(line.get_xdata()).tolist() == [0, 1, 2, 3] for line in lines)
    assert len({to_hex(line.get_color()) for line in lines}) == 4
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[1:5] == [f"D ∪ {added} ({segmenter})" for segmenter in ("fpn", "pspnet") for added in ("D′", "Cutout")]
    assert said[5:] == ["paper (CVPR 2024)", "± standard error (n = 3)"]


def test_ratio_curve_draws_the_papers_points_hollow_beside_ours_and_cuts_the_axis_where_they_are_far(tmp_path):
    near = gain_table(tmp_path / "near.csv", paper={0: 50.25, 1: 51.11, 3: 52.13})
    (axes,) = compose("ratio_curve", {"title": "t"}, {"table": [near]}).axes
    points = next(line for line in axes.lines if line.get_color() == "#888888")
    assert points.get_markerfacecolor() == "white" and points.get_linestyle() == "None"
    assert points.get_ydata().tolist() == [50.25, 51.11, 52.13] and np.floor(points.get_xdata()).tolist() == [0, 1, 3]
    far = gain_table(tmp_path / "far.csv", paper={0: 80, 3: 82}, alone=20)
    above, main, below = compose("ratio_curve", {"title": "t"}, {"table": [far]}).axes
    assert below.get_ylim()[0] < 20 < below.get_ylim()[1] < main.get_ylim()[0] < 50 < 53 < main.get_ylim()[1] < above.get_ylim()[0] < 80


def test_ratio_curve_tells_sources_of_synthetic_pairs_apart_and_augmentations_by_name(tmp_path):
    table = gain_table(tmp_path / "t.csv", sources=("cascade", "onehot", "cutout", "my_mix"), ratios=(1,))
    figure = compose("ratio_curve", {"title": "t"}, {"table": [table]})
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[1:5] == ["D ∪ D′ (cascade)", "D ∪ D′ (onehot)", "D ∪ Cutout", "D ∪ CutMix (my_mix)"]
    assert figure.axes[0].get_xlabel() == "R (added pairs per real pair)"
    alone = gain_table(tmp_path / "alone.csv", sources=("cutout",), alone=20)
    said = [text.get_text() for text in compose("ratio_curve", {"title": "t"}, {"table": [alone]}).legends[0].get_texts()]
    assert said[1:3] == ["D ∪ Cutout", "Cutout alone"]
    check_legible("ratio_curve", {"title": "t"}, {"table": [table]}, tmp_path)


def test_ratio_curve_says_that_one_seed_has_no_standard_error(tmp_path):
    figure = compose("ratio_curve", {"title": "t"}, {"table": [gain_table(tmp_path / "one.csv", n=1)]})
    assert figure.legends[0].get_texts()[-1].get_text() == "n = 1, no standard error"
    check_legible("ratio_curve", {"title": "t"}, {"table": [tmp_path / "one.csv"]}, tmp_path)
