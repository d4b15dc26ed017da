"""Figures of systems: confusion matrices and predictions, and how they call a system."""

import json

import numpy as np
import pytest
from figure_checks import check_legible, check_repeatable, compose, pixels, places_of
from matplotlib.text import Text
from reporting_fixtures import SPACE, blur, write_classes, write_json, write_pairs

from satsynth.pairs import LabelSpace, Store
from satsynth.reporting.captions import CAPTIONS
from satsynth.reporting.figures.systems import heading
from satsynth.runtime.errors import ConfigError, StoreError

SHOWN = {"dataset": "demo", "experiment": "table1b"}
SYSTEMS = [
    {"segmenter": "fpn", "arm": arm, "source": source, "ratio": ratio, "seed": seed}
    for arm, source, ratio in (("real", None, 0), ("union", "cascade", 1))
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Inputs and config of every view."""
    root = tmp_path_factory.mktemp("results")
    classes = write_classes(root)
    val = write_pairs(root / "val", count=6, size=16)
    truth = np.load(val / "masks.npy")
    made = {"confusions": [], "masks": [], "cards": []}
    for number, system in enumerate(SYSTEMS):
        made["confusions"].append(root / f"confusion{number}.npy")
        np.save(made["confusions"][-1], blur(truth, 0.3 if system["arm"] == "real" else 0.2, number))
        made["masks"].append(root / f"masks{number}.npy")
        np.save(made["masks"][-1], np.roll(truth[[4, 1]], number, axis=1))
        made["cards"].append(write_json(root / f"card{number}.json", {"rows": [4, 1]}))
    picked = {"masks": made["masks"][1:3], "cards": made["cards"][1:3]}
    return {
        "confusion": ({"title": "Confusion", **SHOWN, "systems": SYSTEMS}, {"confusions": made["confusions"], "classes": [classes]}),
        "predictions": (
            {"title": "Predictions", **SHOWN, "cell": 160, "systems": SYSTEMS[1:3]},
            {"val": [val], "classes": [classes], **picked},
        ),
    }


VIEWS = ("confusion", "predictions")


@pytest.mark.parametrize("view", VIEWS)
def test_a_second_draw_gives_the_same_bytes_whatever_the_users_settings(world, tmp_path, view):
    check_repeatable(view, *world[view], tmp_path)


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_leaves_the_figure_or_covers_another(world, tmp_path, view):
    check_legible(view, *world[view], tmp_path)


def test_both_views_have_captions():
    assert set(VIEWS) <= set(CAPTIONS)


def test_confusion_sums_images_and_seeds_and_shows_the_difference(world):
    cfg, inputs = world["confusion"]
    axes = [each for each in compose("confusion", cfg, inputs).axes if each.images]
    sums = [sum(np.load(path).sum(0) for path in inputs["confusions"][start : start + 2]) for start in (0, 2)]
    shares = [100 * total / total.sum(1, keepdims=True) for total in sums]
    good = 2 * np.eye(3) - 1  # more on the diagonal is good, more off it is bad, and the colour says which
    shown = [each.images[0].get_array() for each in axes]
    assert [np.asarray(each) for each in shown] == [pytest.approx(good * value) for value in (*shares, shares[1] - shares[0])]
    assert [each.get_title(loc="left").split("\n") for each in axes[:2]] == [
        ["D", "fpn, 2 seeds"],
        ["D\u00a0∪\u00a0D′, R\u00a0=\u00a01", "fpn, 2 seeds"],
    ]
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (-100, 100)
    low, high = axes[2].images[0].get_clim()
    assert low == -high == -abs(shares[1] - shares[0]).max()
    written = {text.get_position(): text.get_text() for text in axes[0].texts}
    assert written[1, 0] == f"{shares[0][0, 1]:.1f}"
    lost = axes[2].texts[0].get_text()
    assert lost == f"{(shares[1] - shares[0])[0, 0]:+.1f}".replace("-", "−")


def test_confusion_colours_hits_and_mistakes_as_opposites_and_says_which_is_which(world):
    cfg, inputs = world["confusion"]
    figure = compose("confusion", cfg, inputs)
    panels, scales = ([each for each in figure.axes if bool(each.images) == flag] for flag in (True, False))
    for panel in panels[:2]:
        red, _, blue, _ = np.moveaxis(panel.images[0].to_rgba(panel.images[0].get_array()), -1, 0)
        assert (np.sign(np.round(blue - red, 2)) == 2 * np.eye(3) - 1).all()
    difference = np.asarray(panels[2].images[0].get_array())
    red, _, blue, _ = np.moveaxis(panels[2].images[0].to_rgba(difference), -1, 0)
    assert (np.diag(difference) > 0).all() and ((blue > red) == (difference > 0))[np.abs(difference) > 1].all()
    said = [[text.get_text() for text in scale.texts] for scale in scales]
    assert said == [["wrong (%)", "right (%)"], ["wrong (%)", "right (%)"], ["worse", "better"]]


def test_confusion_can_be_read_on_a_telephone(world):
    figure = compose("confusion", *world["confusion"])
    wide = figure.get_size_inches()[0]
    shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in shown) * 360 / (72 * wide) > 8  # CSS pixels at the width of a telephone


def test_confusion_says_that_a_class_is_never_hit(world, tmp_path):
    cfg, inputs = world["confusion"]
    counts = np.load(inputs["confusions"][0])
    counts[:, 2, 0] += counts[:, 2, 2]
    counts[:, 2, 2] = 0
    np.save(tmp_path / "c.npy", counts)
    (panel,) = (
        each
        for each in compose("confusion", cfg | {"systems": SYSTEMS[:1]}, inputs | {"confusions": [tmp_path / "c.npy"]}).axes
        if each.images
    )
    assert {text.get_position(): text.get_text() for text in panel.texts}[2, 2] == "0.0"


def test_confusion_greys_rows_without_truth_and_compares_only_pairs_of_systems(world, tmp_path):
    cfg, inputs = world["confusion"]
    counts = np.load(inputs["confusions"][0])
    counts[:, 1] = 0
    np.save(tmp_path / "c.npy", counts)
    axes = compose("confusion", cfg | {"systems": SYSTEMS[:1]}, inputs | {"confusions": [tmp_path / "c.npy"]}).axes
    panels = [each for each in axes if each.images]
    assert len(panels) == 1
    assert panels[0].images[0].get_array().mask.all(1).tolist() == [False, True, False]
    assert [text.get_position()[1] for text in panels[0].texts if text.get_text() == "–"] == [1]
    three = [SYSTEMS[0] | {"segmenter": name} for name in ("a", "b", "c")]
    axes = compose("confusion", cfg | {"systems": three}, inputs | {"confusions": [tmp_path / "c.npy"] * 3}).axes
    assert [each.get_title(loc="left") for each in axes if each.images] == [f"D\n{name}, 1 seed" for name in ("a", "b", "c")]


@pytest.mark.parametrize("classes", [2, 16, 255])
def test_confusion_holds_few_and_many_classes(classes, tmp_path):
    names = tuple(f"ground_track_field_{number}" for number in range(classes))
    space = LabelSpace(names, tuple((number, 255 - number, 9) for number in range(classes)))
    counts = np.stack([np.eye(classes, dtype=np.int64) * 90 + np.eye(classes, k=1, dtype=np.int64) * 10] * 2)
    np.save(tmp_path / "c.npy", counts)
    cfg = {"title": "t", **SHOWN, "systems": [SYSTEMS[0], SYSTEMS[2]]}
    inputs = {"confusions": [tmp_path / "c.npy"] * 2, "classes": [write_classes(tmp_path, space)]}
    figure = compose("confusion", cfg, inputs)
    panel = figure.axes[0]
    assert bool(panel.texts) == (classes <= 16)
    assert ([label.get_text() for label in panel.get_xticklabels()] == list(names)) == (classes <= 40)
    if classes <= 16:
        check_legible("confusion", cfg, inputs, tmp_path)


def test_bad_confusions_and_systems_are_named(world, tmp_path):
    cfg, inputs = world["confusion"]
    with pytest.raises(ConfigError, match="3 systems are named for 4 confusion matrices"):
        compose("confusion", cfg | {"systems": SYSTEMS[:3]}, inputs)
    with pytest.raises(ConfigError, match="'both' is no arm"):
        compose("confusion", cfg | {"systems": [*SYSTEMS[:3], SYSTEMS[3] | {"arm": "both"}]}, inputs)
    counts = np.load(inputs["confusions"][3])
    np.save(tmp_path / "wide.npy", np.pad(counts, ((0, 0), (0, 1), (0, 1))))
    with pytest.raises(StoreError, match="does not fit 3 classes"):
        compose("confusion", cfg, inputs | {"confusions": [*inputs["confusions"][:3], tmp_path / "wide.npy"]})
    np.save(tmp_path / "other.npy", counts + 1)
    with pytest.raises(StoreError, match="true pixels are not those"):
        compose("confusion", cfg, inputs | {"confusions": [*inputs["confusions"][:3], tmp_path / "other.npy"]})


def test_predictions_stand_beside_their_pair_pixel_by_pixel(world, tmp_path):
    cfg, inputs = world["predictions"]
    drawn = pixels("predictions", cfg, inputs, tmp_path)
    store = Store.open(inputs["val"][0])
    lines = []
    for line, row in enumerate((4, 1)):
        cells = [store.images[row], SPACE.paint(np.asarray(store.masks[row]))]
        cells += [SPACE.paint(np.load(path)[line]) for path in inputs["masks"]]
        lines.append([places_of(drawn, cell.repeat(10, 0).repeat(10, 1)) for cell in cells])
    places = np.array(lines)
    assert places.shape == (2, 4, 1, 2)
    places = places[:, :, 0]
    assert (places[:, :, 0] == places[:, :1, 0]).all() and (places[:, :, 1] == places[:1, :, 1]).all()
    assert (np.diff(places[:, :, 1]) >= 160).all() and (np.diff(places[:, :, 0], axis=0) >= 160).all()


def test_predictions_of_several_seeds_say_which(world):
    cfg, inputs = world["predictions"]
    texts = [text.get_text() for text in compose("predictions", cfg | {"systems": SYSTEMS[:2]}, inputs).texts]
    assert texts == ["Predictions (demo, 16 px, table1b)", "image", "truth", "D\nfpn, seed 0", "D\nfpn, seed 1"]


@pytest.mark.parametrize(
    ("arm", "source", "method", "said"),
    [
        ("union", "cascade", "satsynth", "D ∪ D′, R = 1\nfpn"),
        ("union", "cutout", "cutout", "D ∪ Cutout, R = 1\nfpn"),
        ("union", "wide", "cutout", "D ∪ Cutout (wide), R = 1\nfpn"),
        ("synthetic", "copy_paste", "copy_paste", "Copy-Paste alone, R = 1\nfpn"),
        ("real", None, None, "D\nfpn"),
    ],
)
def test_systems_are_called_by_what_is_added_to_d(world, arm, source, method, said):
    system = {"segmenter": "fpn", "arm": arm, "source": source, "method": method, "ratio": int(arm != "real"), "seed": 0}
    for view, suffix in (("predictions", ""), ("confusion", ", 1 seed")):
        cfg, inputs = world[view]
        one = {name: paths[:1] for name, paths in inputs.items()}
        figure = compose(view, cfg | {"systems": [system]}, one)
        texts = [*(text.get_text() for text in figure.texts), *(axes.get_title(loc="left") for axes in figure.axes)]
        assert said + suffix in [text.replace("\u00a0", " ") for text in texts]


def test_sources_are_named_where_there_are_several():
    made = [
        {"segmenter": "fpn", "arm": "union", "source": source, "method": "satsynth", "ratio": 1, "seed": 0} for source in ("wide", "narrow")
    ]
    cut = {**made[0], "source": "cutout", "method": "cutout"}
    said = [heading(system, [*made, cut]).replace("\u00a0", " ") for system in (*made, cut)]
    assert said == ["D ∪ D′, R = 1\nfpn, wide", "D ∪ D′, R = 1\nfpn, narrow", "D ∪ Cutout, R = 1\nfpn"]
    assert heading(made[0], [made[0], cut]).endswith("\nfpn")


def test_bad_predictions_are_named(world, tmp_path):
    cfg, inputs = world["predictions"]
    other = tmp_path / "card.json"
    other.write_text(json.dumps({"rows": [4, 2]}))
    with pytest.raises(StoreError, match="names other pairs"):
        compose("predictions", cfg, inputs | {"cards": [inputs["cards"][0], other]})
    other.write_text(json.dumps({"rows": [4, 6]}))
    with pytest.raises(StoreError, match="not pairs of a store of 6"):
        compose("predictions", cfg, inputs | {"cards": [other, other]})
    with pytest.raises(ConfigError, match="2 systems are named for 1 files of cards"):
        compose("predictions", cfg, inputs | {"cards": inputs["cards"][:1]})
    bad = tmp_path / "masks.npy"
    for masks, said in ((np.zeros((3, 16, 16), np.uint8), "do not fit"), (np.full((2, 16, 16), 3, np.uint8), "none of the 3")):
        np.save(bad, masks)
        with pytest.raises(StoreError, match=said):
            compose("predictions", cfg, inputs | {"masks": [inputs["masks"][0], bad]})
