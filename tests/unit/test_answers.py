import numpy as np
import pandas as pd
import pytest

from satsynth.metrics.memorisation import calibrated, chance
from satsynth.reporting.answers import CHANCE, answers, made, memorised, significant

NULL = np.linspace(1, 2, 200)


def plain(text):
    return text.replace("\u00a0", " ")


def card(near: int, count: int = 500, **other):
    """A place of the gallery, `near` of whose pairs lie below every null distance."""
    found = np.r_[np.full(near, 0.5), np.full(count - near, 1.5)]
    copies = {kind: calibrated(found, NULL, 0.01)._asdict() for kind in ("feature", "pixel")}
    told = {"dataset": "town", "source": "cascade", "name": "town-64px-cascade", "size": 64, "total": count, "nearest": None}
    return told | {"copies": {"quantile": 0.01, **copies}} | other


def test_few_near_copies_are_no_sign_and_many_are_told():
    few, many = (plain(memorised([card(near)], [])) for near in (5, 40))
    assert "1.0 % by the evaluator&#x27;s features and 1.0 % by pixels lie nearer" in few
    assert "the 1 % quantile of 200 held-out real patches" in few and "1.0 % is expected" in few and "no sign of copies" in few
    assert "8.0 % by the evaluator" in many and "more than chance explains (p &lt; 0.001" in many and "no sign" not in many


def test_what_chance_is_worth_is_said_with_it():
    """The chance holds for val drawn like train: how val differs and what the nearest pairs hold stand beside it."""
    nearest = {"pairs": 12, "class": "sand <b>", "share": 0.98, "shown": 0.5}
    real = {"name": "town", "size": "64", "names": ["sand", "road"], "train_pixels": [500, 500], "val_pixels": [100, 300]}
    text = plain(memorised([card(40, nearest=nearest)], [], [real]))
    assert "If val is drawn like train, that is more than chance explains" in text and "it need be none" in text
    assert "Of val&#x27;s labelled pixels 25.0 % are sand, of train&#x27;s 50.0 %; the share of no other class differs more." in text
    assert "Of the labelled pixels of the 12 nearest pairs in the gallery 98.0 % are sand &lt;b&gt;, of all its pairs 50.0 %." in text
    few = plain(memorised([card(5)], [], [real | {"within": True}, real | {"size": "32"}]))
    assert "If val is drawn like train, that is no more than chance allows" in few and "labelled pixels" not in few


def test_the_nearest_pairs_are_linked_in_the_gallery():
    text = memorised([card(40), card(5, source="base", name="town-32px-base")], [])
    assert 'href="gallery.html#place=town-64px-cascade&amp;sort=distance"' in text and "#place=town-32px-base&amp;sort" in text


def test_the_lesser_of_two_probabilities_counts_twice():
    """Of 500 pairs alike to the 200 held-out ones, 14 or more below their second least are one in 23: of two measures no sign."""
    limit = calibrated(np.r_[np.full(14, 0.5), np.full(486, 1.5)], NULL, 0.01)
    assert CHANCE / 2 < chance(limit) < CHANCE
    assert f"no more than chance allows (p = {2 * chance(limit):.2f} for the two together)" in plain(memorised([card(14)], []))
    assert "more than chance explains" in plain(memorised([card(20)], []))


def test_a_table_answers_where_the_gallery_does_not():
    row = {"dataset": "town", "size": 64, "copies_features": 0.031, "copies_pixels": 0.0, "copies_expected": 0.01}
    frame = pd.DataFrame([row | {"source": "cascade"}, row | {"source": "base"}, row | {"source": "real", "copies_features": np.nan}])
    text = plain(memorised([card(5)], [frame]))
    assert text.count("cascade on town") == 1 and "base on town, 64 px: 3.1 % by" in text and "real on town" not in text
    assert "no source was searched" in memorised([card(5, copies=None)], [])


def gain(points, low, high, **other):
    row = {"arm": "union", "method": "satsynth", "gain_points": points, "gain_low": low, "gain_high": high}
    return row | {"gain_scene_low": low, "gain_scene_high": high} | other


def test_significance_counts_gains_losses_and_what_is_open():
    rows = [gain(1, 0.5, 2), gain(-1, -2, -0.5), gain(1, -0.5, 2), gain(1, 0.5, 2, method="cutout"), gain(9, 8, 10, arm="real")]
    text = significant({"main": (pd.DataFrame(rows), ["One.", "Two, and 1 at the Bonferroni level of 98 %."])})
    assert "3 differences of mIoU between D ∪ D′ and D: 1 shown to be a gain, 1 a loss, 1 undecided" in text
    counts = text.split("1 undecided")[1].split("Two, and 1")[0]
    assert "only D ∪ D′ with synthetic pairs is counted" in counts and "counts every difference of the table" in counts
    assert "Bonferroni level of 98 %" in text and "One." not in text and 'href="#table-main"' in text
    assert "counts every difference" not in significant({"main": (pd.DataFrame(rows), ["One."])})
    assert "nothing was trained" in significant({"main": (pd.DataFrame(rows[3:]), [])})


def test_overlays_are_named_where_a_file_is_explained():
    assert "<code>make explain FILE=results/tables/…</code>" in made({}, {}) and '<code>CONFIG="my.yaml"</code>' in made({}, {})


@pytest.mark.parametrize("title", ["<script>", 'a"b'])
def test_names_are_text(title):
    class Unknown:
        records = ()

    text = made({"gain": Unknown()}, {"gain": title})
    assert "<script>" not in text and "not known here" in text and 'href="#made-gain"' in text
    whole = answers([card(3, source=title, dataset=title)], [], {}, {"gain": Unknown()}, {"gain": title})
    assert "<script>" not in whole and whole.count("<article") == 3
