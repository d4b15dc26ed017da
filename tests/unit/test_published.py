"""The paper's numbers: tables that must agree with each other, the facts of its text, and what they are looked up by."""

import numpy as np
import pandas as pd
import pytest

from satsynth.metrics.confusion import f1_of, macro
from satsynth.reporting import published
from satsynth.reporting.tables.summary import summarise

NETWORKS = ("pfsegnet", "farseg", "segformer", "fpn", "pspnet")
ARMS = ((None, 0), ("satsynth", 1))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("arm", ARMS, ids=("D", "union"))
def test_class_ious_have_the_printed_means(network, arm):
    iou = np.array(published.class_iou("isaid", 256, network, *arm))
    score = published.score("isaid", 256, network, *arm)
    assert len(iou) == 16 and abs(macro(iou) - score.miou) <= 0.01
    assert abs(100 * macro(f1_of(iou / 100)) - score.f1) <= (0.07 if (network, arm) == ("pspnet", ARMS[0]) else 0.0115)


def test_facts_of_the_text_follow_from_the_classes():
    gains = pd.DataFrame(published.class_gains("isaid", 256, "satsynth", 1))
    assert tuple(gains) == NETWORKS
    found = summarise(gains)
    field, helicopter, court, pool = 13, 10, 5, 11
    assert found["largest_gain_points"].idxmax() == field and found["largest_drop_points"].idxmin() == helicopter
    assert found.loc[field, "largest_gain_points"] == pytest.approx(15.26) and found.loc[field, "largest_gain_segmenter"] == "pspnet"
    assert found.loc[helicopter, "largest_drop_points"] == pytest.approx(-2.79)
    assert found.loc[helicopter, "largest_drop_segmenter"] == "segformer"
    assert found.loc[court, "mean_gain_points"] == pytest.approx(5.55, abs=0.005)
    assert found.loc[court, "median_gain_points"] == pytest.approx(4.75) and gains["pfsegnet"][court] == pytest.approx(8.98)
    assert gains.index[gains["pfsegnet"] < 0].tolist() == [pool]


def test_gain_of_pspnet_is_the_one_of_the_text():
    real, union = (published.score("isaid", 256, "pspnet", *arm) for arm in ARMS)
    assert union.miou - real.miou == pytest.approx(7.59)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (("isaid", 256, "fpn", "satsynth_direct", 1), ("Table 4", 60.30)),
        (("isaid", 128, "fpn", None, 0), ("Table 5", 50.25)),
        (("isaid", 128, "fpn", "satsynth", 3), ("Table 3", 52.13)),
        (("isaid", 128, "fpn", "satsynth_onehot", 1), ("Table 3", 47.98)),
        (("isaid", 128, "fpn", "copy_paste", 1), ("Table 5", 50.51)),
        (("loveda", 128, "fpn", "satsynth", 1), ("Table 1b", 48.97)),
        (("loveda", 128, "fpn", "satsynth", 3), ("Table 1b", 48.97)),
        (("openearthmap", 128, "fpn", "satsynth", 3), ("Table 1b", 62.24)),
        (("isaid", 128, "segdiff", None, 0), ("Table 1b", 41.25)),
        (("openearthmap", 128, "semgan", None, 0), ("Table 1b", 40.43)),
    ],
)
def test_entries_are_found_by_what_they_are(entry, said):
    score = published.score(*entry)
    assert (score.table, score.miou) == said


@pytest.mark.parametrize(
    "entry",
    [
        ("demo", 256, "fpn", None, 0),
        ("isaid", 512, "fpn", None, 0),
        ("isaid", 256, "unet", None, 0),
        ("isaid", 256, "farseg", "satsynth_direct", 1),
        ("isaid", 256, "fpn", "satsynth", 3),
        ("isaid", 128, "fpn", "cutout", 3),
        ("isaid", 128, "fpn", "satsynth", 2),
        ("isaid", 128, "pspnet", None, 0),
        ("loveda", 128, "fpn", None, 0),
        ("loveda", 128, "fpn", "satsynth", 2),
        ("loveda", 256, "fpn", "satsynth", 1),
        ("loveda", 128, "pspnet", "satsynth", 1),
        ("openearthmap", 128, "fpn", "cutout", 1),
    ],
)
def test_what_the_paper_lacks_is_not_found(entry):
    assert published.score(*entry) is None
    assert published.class_iou(*entry) is None


def test_gains_by_class_exist_for_one_method_and_ratio_only():
    assert published.class_gains("isaid", 256, "satsynth", 3) == {}
    assert published.class_gains("isaid", 128, "satsynth", 1) == {}
    assert published.class_gains("isaid", 256, None, 0) == {}


def test_an_f1_that_cannot_be_read_is_none():
    assert published.score("loveda", 128, "fpn", "satsynth", 3).f1 == 64.83
    assert np.isnan(published.score("openearthmap", 128, "fpn", "satsynth", 3).f1)


def test_table_1b_and_table_3_agree_on_isaid():
    score = published.score("isaid", 128, "fpn", "satsynth", 3)
    assert (score.miou, score.f1) == (52.13, 66.13)  # the row "Ours" of Table 1b


# Table 1a: rows of methods, columns of datasets, each FID, sFID, IS.
DATASETS = ("isaid", "loveda", "openearthmap")
TABLE_1A = {
    "semgan": ((10.21, 3.63, 1.11), (37.47, 7.16, 3.29), (16.20, 4.89, 3.13)),
    "image_only": ((17.50, 7.07, 1.03), (22.70, 2.10, 3.44), (15.35, 4.87, 3.31)),
    "satsynth": ((8.66, 3.10, 1.17), (13.87, 1.87, 3.88), (12.09, 2.76, 3.16)),
}


def test_visual_quality_is_that_of_table_1a_at_128_px_only():
    found = {method: tuple(published.quality(dataset, 128, method) for dataset in DATASETS) for method in TABLE_1A}
    assert found == TABLE_1A
    assert published.quality("isaid", 64, "satsynth") is None
    assert published.quality("isaid", 128, "cutout") is None
    assert published.quality("demo", 128, "satsynth") is None


# Table 1b: generative segmenters of D, mIoU and F1 by dataset; the fractions of the F1 on OpenEarthMap cannot be read.
TABLE_1B = {
    "semgan": ((13.01, 18.08), (31.75, 42.74), (40.43, np.nan)),
    "segdiff": ((41.25, 54.77), (36.60, 49.93), (51.23, np.nan)),
}


@pytest.mark.parametrize("network", TABLE_1B)
def test_generative_segmenters_have_the_scores_of_table_1b(network):
    found = [published.score(dataset, 128, network, None, 0) for dataset in DATASETS]
    assert [score.table for score in found] == ["Table 1b"] * 3
    np.testing.assert_equal([(score.miou, score.f1) for score in found], TABLE_1B[network])
    assert all(np.isnan([score.miou_se, score.f1_se]).all() for score in found)
