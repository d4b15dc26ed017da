"""Figures of measures: nearest training pairs, colour and contrast of two sources; and the diagram of the method."""

import numpy as np
import pandas as pd
import pytest
import torch
from figure_checks import check_legible, check_repeatable, compose, pixels, places_of
from matplotlib.figure import Figure
from reporting_fixtures import SPACE, write_classes, write_pairs

from satsynth.codes import Codes
from satsynth.pairs import LabelSpace, Store, StoreWriter, open_view
from satsynth.reporting.captions import CAPTIONS
from satsynth.reporting.figures import DPI
from satsynth.reporting.figures.contrast import appearance
from satsynth.reporting.figures.diagram import Scene, bits
from satsynth.reporting.figures.placing import text_width
from satsynth.runtime.errors import ConfigError, DataError, MeasureError, StoreError
from satsynth.symmetries import turned

VIEWS = ("memorisation", "contrast", "methods")
SHEET = {"rows": 2, "columns": 3, "cell": 64, "count": 6, "seed": 0}


def neighbours(path, feature, pixel=None, train=9, turns=None, rows=None):
    """A CSV of nearest training pairs: pair i has training pair i mod `train` and, without `turns`, turn i mod 8."""
    numbers = np.arange(len(feature))
    table = {"row": numbers if rows is None else rows}
    for kind, distance in (("feature", feature), ("pixel", feature if pixel is None else pixel)):
        found = {"distance": distance, "row": numbers % train, "turn": numbers % 8 if turns is None else turns, "ratio": 0.5}
        table |= {f"{kind}_{name}": value for name, value in found.items()}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def world(root):
    """Config and inputs of every view: two synthetic stores of 7 and 5 pairs, of which two lie below the threshold of 1."""
    classes = write_classes(root)
    stores = {name: write_pairs(root / name, count=count, size=32, seed=count) for name, count in (("train", 9), ("a", 7), ("b", 5))}
    found = [
        neighbours(root / "a.csv", [3.0, 2.0, 0.25, 5.0, 4.0, 6.0, 7.0], [30, 20, 10, 50, 40, 60, 70]),
        neighbours(root / "b.csv", [2.5, 0.5, 3.5, 4.5, 5.5], [25, 15, 35, 45, 55]),
    ]
    null = neighbours(root / "null.csv", np.linspace(1, 8, 40), np.linspace(5, 90, 40))
    synthetic = [stores["a"], stores["b"]]
    return {
        "memorisation": (
            {"title": "Nearest training pairs", "dataset": "demo", "source": "base", "count": 5, "cell": 64, "quantile": 0.01},
            {"classes": [classes], "synthetic": synthetic, "neighbours": found, "null": [null], "train": [stores["train"]]},
        ),
        "contrast": (
            {"title": "Contrast", "dataset": "demo", "first": "direct", "second": "cascade"} | SHEET,
            {"classes": [classes], "real": [stores["train"]], "first": [stores["a"]], "second": synthetic},
        ),
        "methods": ({"title": "Method", "low": 128, "high": 256, "timesteps": 1000, "prediction": "epsilon"}, {"classes": [classes]}),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return world(tmp_path_factory.mktemp("measure_figures"))


@pytest.fixture
def texts(made):
    """The words of a view's figure, with config keys and inputs replaced."""

    def read(view, cfg=None, inputs=None):
        figure = compose(view, made[view][0] | (cfg or {}), made[view][1] | (inputs or {}))
        return [text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")) if text.get_text()]

    return read


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_draw_gives_the_same_bytes_whatever_the_users_settings(made, tmp_path, view):
    check_repeatable(view, *made[view], tmp_path)


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_leaves_the_figure_or_covers_another(made, tmp_path, view):
    check_legible(view, *made[view], tmp_path)


@pytest.mark.parametrize(
    ("view", "changes"),
    [
        ("memorisation", {"count": 1}),
        ("memorisation", {"count": 12, "cell": 32}),
        ("contrast", {"rows": 1, "columns": 1, "cell": 32, "first": "a_source_with_a_long_name", "second": "b"}),
    ],
)
def test_small_and_large_sheets_are_legible_too(made, tmp_path, view, changes):
    check_legible(view, made[view][0] | changes, made[view][1], tmp_path)


@pytest.mark.parametrize(("count", "high"), [(2, None), (255, 256)])
def test_the_diagram_holds_from_two_classes_to_255(made, tmp_path, count, high):
    colours = tuple((number, 255 - number, 90) for number in range(count))
    classes = write_classes(tmp_path, LabelSpace(tuple(f"ground_track_field_number_{number}" for number in range(count)), colours))
    check_legible("methods", made["methods"][0] | {"high": high}, {"classes": [classes]}, tmp_path)


def test_every_view_has_a_caption():
    assert set(VIEWS) <= set(CAPTIONS)


def cells_of(figure):
    """The whole-pixel pictures of a figure, in the order in which they were placed."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_the_nearest_pairs_come_first_each_turned_beside_its_training_pair(made):
    cfg, inputs = made["memorisation"]
    cells = cells_of(compose("memorisation", cfg, inputs))
    train, (first, second) = Store.open(inputs["train"][0]), (Store.open(folder) for folder in inputs["synthetic"])
    assert len(cells) == 4 * cfg["count"]
    # The least distances are 0.25, pair 2 of the first store, then 0.5, pair 1 of the second; both matched under a turn.
    for place, (store, row) in enumerate(((first, 2), (second, 1), (first, 1))):
        image, mask = np.asarray(store.images[row]), np.asarray(store.masks[row])
        wanted = (turned(image, row), SPACE.paint(turned(mask, row)), train.images[row], SPACE.paint(np.asarray(train.masks[row])))
        for cell, array in zip(cells[4 * place : 4 * place + 4], wanted):
            assert (cell == np.asarray(array).repeat(2, 0).repeat(2, 1)).all()


def test_shares_below_the_threshold_and_distances_in_its_units_are_written(texts):
    words = texts("memorisation")
    # 2 of 12 lie below the least null, 1; an equal distribution would put 1 in 41 there.
    assert any("16.7 % of 12 synthetic pairs" in text and "2.4 % expected" in text and text.endswith(": 1") for text in words)
    assert [text for text in words if "×" in text] == [f"{value} × threshold" for value in ("0.25", "0.50", "2.00", "2.50", "3.00")]
    assert any(text.startswith("0.0 % of 12") and text.endswith(": 5") for text in words)


def test_curves_are_the_empirical_distributions(made):
    axes = compose("memorisation", *made["memorisation"]).axes[0]
    curve = next(line for line in axes.lines if "synthetic" in line.get_label())
    distances = np.sort([3.0, 2.0, 0.25, 5.0, 4.0, 6.0, 7.0, 2.5, 0.5, 3.5, 4.5, 5.5])
    assert curve.get_xdata()[1:] == pytest.approx(distances)
    assert curve.get_ydata()[1:] == pytest.approx(100 * np.arange(1, 13) / 12)


def test_a_shard_without_pairs_changes_nothing(made, tmp_path):
    cfg, inputs = made["memorisation"]
    empty = flat(tmp_path / "empty", [], Store.open(inputs["synthetic"][0]).size)
    more = {
        "synthetic": [empty, *inputs["synthetic"]],
        "neighbours": [neighbours(tmp_path / "empty.csv", np.ones(0)), *inputs["neighbours"]],
    }
    before, after = (cells_of(compose("memorisation", cfg, given)) for given in (inputs, inputs | more))
    assert len(before) == len(after) and all((one == other).all() for one, other in zip(before, after))
    alone = {name: paths[:1] for name, paths in more.items()}
    with pytest.raises(StoreError, match="no synthetic pair to show"):
        compose("memorisation", cfg, inputs | alone)


def test_a_threshold_of_zero_gives_plain_distances(texts, tmp_path):
    words = texts("memorisation", inputs={"null": [neighbours(tmp_path / "null.csv", np.zeros(30))]})
    assert "distance 0.25" in words and not any("×" in text for text in words)


def test_neighbours_that_do_not_fit_are_named(made, tmp_path):
    cfg, inputs = made["memorisation"]

    def draw(**other):
        compose("memorisation", cfg, inputs | other)

    with pytest.raises(StoreError, match="2 stores come with 1 files"):
        draw(neighbours=inputs["neighbours"][:1])
    for name, other in (("row", {"rows": [0, 7]}), ("feature_row", {"train": 10, "feature": np.ones(10), "rows": 0})):
        path = neighbours(tmp_path / "bad.csv", **({"feature": np.ones(2)} | other))
        with pytest.raises(StoreError, match=f"its {name} names"):
            draw(neighbours=[path, inputs["neighbours"][1]])
    (tmp_path / "short.csv").write_text("row,feature_distance\n0,1\n")
    with pytest.raises(DataError, match="it lacks feature_row"):
        draw(null=[tmp_path / "short.csv"])
    with pytest.raises(DataError, match="it holds no pair"):
        draw(null=[neighbours(tmp_path / "empty.csv", np.ones(0))])
    with pytest.raises(DataError, match="negative or no number"):
        draw(null=[neighbours(tmp_path / "nan.csv", np.array([1.0, np.nan]))])
    with pytest.raises(MeasureError, match="no quantile"):
        compose("memorisation", cfg | {"quantile": 1.0}, inputs)


def flat(folder, colours, size=8):
    """A store of images of the given pixels (two halves, if a pair of colours)."""
    with StoreWriter(folder, size=size, classes=3) as writer:
        for left, right in colours:
            image = np.empty((size, size, 3), np.uint8)
            image[:, : size // 2], image[:, size // 2 :] = left, right
            writer.append(image, np.zeros((size, size), np.uint8), scene="a")
    return folder


def test_saturation_brightness_and_contrast_are_known_for_plain_colours(tmp_path):
    black, white, red, grey = (0, 0, 0), (255, 255, 255), (255, 0, 0), (102, 102, 102)
    view = open_view([flat(tmp_path / "x", [(black, black), (white, white), (red, red), (grey, grey), (black, white), (red, grey)])])
    found = appearance(view, np.arange(6))
    assert found == pytest.approx(
        np.array([[0, 0, 0], [0, 1, 0], [1, 0.299, 0], [0, 0.4, 0], [0, 0.5, 0.5], [0.5, 0.3495, 0.0505]]), abs=1e-6
    )


def test_medians_of_each_source_are_written(texts, tmp_path):
    greys = [((value,) * 3, (value,) * 3) for value in (51, 102, 153)]
    inputs = {"real": [flat(tmp_path / "r", greys)], "first": [flat(tmp_path / "f", [greys[0]] * 2)]}
    inputs["second"] = [flat(tmp_path / "s", [((255, 0, 0),) * 2])]
    words = texts("contrast", {"cell": 32}, inputs)
    assert [text for text in words if len(text) == 5 and text[1] == "."] == [
        *("0.000", "0.000", "1.000"),
        *("0.400", "0.200", "0.299"),
        *("0.000", "0.000", "0.000"),
    ]
    assert any("1 to 3 random images" in text for text in words)


def test_images_are_drawn_by_the_seed(made):
    cfg, inputs = made["contrast"]
    first = cells_of(compose("contrast", cfg, inputs))
    store = Store.open(inputs["real"][0])
    row = np.random.Generator(np.random.Philox(cfg["seed"])).permutation(len(store))[0]
    assert (first[0][:64, :64] == store.images[row].repeat(2, 0).repeat(2, 1)).all()
    assert (cells_of(compose("contrast", cfg | {"seed": 1}, inputs))[0] != first[0]).any()


def test_pairs_of_each_kind_stand_image_above_mask_over_the_classes(made):
    cfg, inputs = made["contrast"]
    figure = compose("contrast", cfg, inputs)
    for canvas, role in zip(cells_of(figure), ("real", "first", "second"), strict=True):
        view = open_view(inputs[role])
        images, masks = view.gather(np.random.Generator(np.random.Philox(cfg["seed"])).permutation(len(view))[:6])
        for place, (image, mask) in enumerate(zip(images, SPACE.paint(masks))):
            y, x = place // 3 * (2 * 64 + 15), place % 3 * 68
            assert (canvas[y : y + 64, x : x + 64] == image.repeat(2, 0).repeat(2, 1)).all()
            assert (canvas[y + 67 : y + 131, x : x + 64] == mask.repeat(2, 0).repeat(2, 1)).all()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(SPACE.names)


def test_titles_name_dataset_and_source(texts):
    assert "Contrast (demo, 32 px)" in texts("contrast")
    assert "Nearest training pairs (demo, 32 px, base)" in texts("memorisation")


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_words_are_as_wide_as_they_were_measured(weight):
    words = "ground_track_field: 1\u202f000 pairs of D ∪ D′"
    drawn = Figure(dpi=DPI).text(0, 0, f"x\n{words}", fontsize=9, fontweight=weight, family="DejaVu Sans").get_window_extent().width
    assert drawn - 1 <= text_width(f"x\n{words}", 9, weight) <= 1.06 * drawn
    assert text_width("") == 0


def test_sources_that_cannot_be_compared_are_refused(made, tmp_path):
    cfg, inputs = made["contrast"]
    with pytest.raises(StoreError, match="do not fit"):
        compose("contrast", cfg, inputs | {"first": [write_pairs(tmp_path / "small", count=2, size=16)]})
    with pytest.raises(ConfigError, match="at least 1"):
        compose("contrast", cfg | {"count": 0}, inputs)
    with pytest.raises(ConfigError, match="holds no pair"):
        compose("contrast", cfg, inputs | {"first": [write_pairs(tmp_path / "none", count=0, size=32)]})


@pytest.mark.parametrize("count", [2, 3, 8, 16, 17])
def test_the_diagram_codes_masks_as_the_generator_does(count):
    space = LabelSpace(tuple(f"c{number}" for number in range(count)), tuple((number, 9, 90) for number in range(count)))
    codes, scene = Codes("bits", count), Scene.made_up(space, 1)
    assert bits(count) == codes.channels
    assert scene.mask.max() < count
    assert (scene.planes(count)[3:] == codes.encode(torch.from_numpy(scene.mask)[None])[0].numpy()).all()


def test_the_diagram_says_sizes_classes_and_bits_and_leaves_out_a_cascade_that_is_none(texts):
    words = " ".join(texts("methods", {"low": 32, "high": 64}))
    assert "32 px" in words and "64 px" in words and "K = 3" in words and "n = 2 bit planes" in words and "G_SR" in words
    words = " ".join(texts("methods", {"high": None}))
    assert "G_SR" not in words and "256 px" not in words


def test_impossible_sizes_of_the_diagram_are_refused(made):
    with pytest.raises(ConfigError, match="no cascade leads from 128 px to 64 px"):
        compose("methods", made["methods"][0] | {"high": 64}, made["methods"][1])


def test_pixels_of_patches_stay_crisp(made, tmp_path):
    cfg, inputs = made["memorisation"]
    image = Store.open(inputs["train"][0]).images[2]
    assert places_of(pixels("memorisation", cfg, inputs, tmp_path), image.repeat(2, 0).repeat(2, 1))
