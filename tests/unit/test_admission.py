"""Which synthetic pairs are admitted: what a judge says, what it is held against, and corrupted pairs that must not pass."""

import numpy as np
import pandas as pd
import pytest
import torch
from segmentation_fixtures import CLASSES, make_store, run, shapes, write_features

from satsynth.metrics.memorisation import calibrated
from satsynth.pairs import IGNORE, Store, StoreWriter, open_view
from satsynth.reporting.fidelity import _distances as distances
from satsynth.reporting.yields import told
from satsynth.runtime import files
from satsynth.runtime.errors import MeasureError, StoreError, WeightsError
from satsynth.segmentation import fidelity
from satsynth.segmentation.batches import Mixture
from satsynth.segmentation.fidelity import Measured
from satsynth.segmentation.segmenter import load
from satsynth.selection.admission import COLUMNS, DECISIONS, admit, decide, distance_threshold, tell
from satsynth.selection.calibration import FACTORS, calibrate, class_means, masked_shares
from satsynth.selection.scoring import pixel_losses, score

THRESHOLDS = {"pixel_factor": 1.25, "max_masked": 0.5, "min_margin": 0.5, "max_invalid": 0.05, "distance_quantile": 0.01}
NOTHING = dict.fromkeys(THRESHOLDS)
GOOD, SHUFFLED, COPIED = range(12), range(12, 18), range(18, 24)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A judge that learned 40 fit pairs, 40 held ones, and a shard of 12 good pairs, 6 of other pairs' labels and 6 copies of fit."""
    folder = tmp_path_factory.mktemp("admission")
    fit, held = make_store(folder / "fit", count=40, seed=0), make_store(folder / "held", count=40, seed=1)
    training = {"optimizer": "adamw", "betas": [0.9, 0.999], "learning_rate": 2e-3, "steps": 60, "batch": 8}
    run(folder / "judge", [fit], [], training=training)
    made = {"folder": folder, "fit": fit, "held": held, "judge": [folder / "judge" / name for name in ("weights.safetensors", "card.json")]}
    write_features(folder / "features", *made["judge"], fit)
    fresh, copied = list(shapes(18, 32, 2)), list(shapes(40, 32, 0))[3:9]
    rows = fresh[:12] + [(fresh[12 + number][0], fresh[(number + 3) % 6][1]) for number in range(6)] + copied
    made["shard"] = folder / "source" / "shard-0000"
    with StoreWriter(made["shard"], size=32, classes=CLASSES, facts={"source": {"weights": ["w"], "seed": 4}}) as writer:
        for number, (image, mask) in enumerate(rows):
            writer.append(image, mask, seed=4, index=100 + number, margin=0.9, invalid=0.0)
    for name in ("held", "shard"):
        judged(made, made[name], folder / f"{name}-scores")
    calibrate(held, folder / "held-scores", folder / "calibration.json", min_pixels=100)
    return made


def judged(made, store, folder, **changes):
    outputs = {"losses": folder / "losses.npy", "neighbours": folder / "neighbours.csv", "card_out": folder / "card.json"}
    given = {"bank": made["fit"], "bank_features": made["folder"] / "features", "learned": made["fit"], **changes}
    return score(*made["judge"], store, **given, **outputs, device="cpu")


def admitted(made, out, store=None, scores=None, **thresholds):
    card = admit(
        store or made["shard"],
        scores or made["folder"] / "shard-scores",
        made["folder"] / "calibration.json",
        folder=out / "admitted" / "shard-0000",
        decisions=out / "admitted" / "shard-0000" / "decisions.csv",
        thresholds={**THRESHOLDS, **thresholds},
    )
    return Store.open(out / "admitted/shard-0000", verify=True), read_decisions(out / "admitted/shard-0000/decisions.csv"), card


def read_decisions(path):
    return pd.read_csv(path, keep_default_na=False, na_values={"margin": [""], "invalid": [""], "masked": [""]})


# Corrupted pairs among good ones


def test_good_pairs_are_kept_and_corrupted_ones_are_not(made, tmp_path):
    _, decisions, card = admitted(made, tmp_path)
    assert list(decisions) == list(COLUMNS) and decisions["pair"].tolist() == list(range(24))
    good, shuffled, copied = (decisions.iloc[list(rows)] for rows in (GOOD, SHUFFLED, COPIED))
    assert (good["decision"] != "rejected").all()
    assert (copied["reasons"] == "copy").all()
    # A label of another image: what does not fit is ignored, or the pair goes.
    assert (shuffled["decision"] != "admitted").all() and not shuffled["reasons"].str.contains("copy").any()
    assert shuffled["masked"].min() > 1.5 * good["masked"].max()
    assert card["admission"]["reasons"]["copy"] == 6 and card["admission"]["loosen"][-1] == "distance_quantile"
    strict = admitted(made, tmp_path / "strict", max_masked=float(good["masked"].max()))[1]
    assert (strict.iloc[list(SHUFFLED)]["reasons"] == "disagreement").all() and (strict.iloc[list(GOOD)]["reasons"] == "").all()


def test_what_is_ignored_is_what_the_rule_says(made, tmp_path):
    store, decisions, card = admitted(made, tmp_path)
    parent, known = Store.open(made["shard"]), files.read_json(made["folder"] / "calibration.json")
    segmenter, _ = load(*made["judge"], "cpu")
    with torch.inference_mode():
        logits = segmenter(torch.from_numpy(np.array(parent.images))).numpy().astype(np.float64)
    surprise = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    pixels = ignored = 0
    for place, row in enumerate(store.index["parent_pair"]):
        mask = np.array(parent.masks[row])
        loss = surprise[row] - np.take_along_axis(logits[row], mask[None], 0)[0]
        limit = 1.25 * np.asarray(known["class_losses"])[mask]
        sure = np.abs(loss - limit) > 0.01 * limit  # beyond what float16 and another order of sums can turn
        np.testing.assert_array_equal((store.masks[place] == IGNORE)[sure], (loss > limit)[sure])
        np.testing.assert_array_equal(store.masks[place][store.masks[place] != IGNORE], mask[store.masks[place] != IGNORE])
        np.testing.assert_array_equal(store.images[place], parent.images[row])
        share = (store.masks[place] == IGNORE).mean()
        assert decisions["masked"][row] == pytest.approx(share, abs=1e-6)
        pixels, ignored = pixels + mask.size, ignored + (store.masks[place] == IGNORE).sum()
    assert (card["admission"]["pixels"], card["admission"]["masked_pixels"]) == (pixels, ignored)
    assert store.index["index"].tolist() == [100 + row for row in store.index["parent_pair"]]
    assert (store.index["seed"] == 4).all() and store.index["seed"].dtype.kind == "i" and (store.index["margin"] == 0.9).all()


def test_yields_add_up_and_the_card_names_its_parent(made, tmp_path):
    store, decisions, card = admitted(made, tmp_path)
    facts = card["admission"]
    counts = decisions["decision"].value_counts().to_dict()
    assert facts["decisions"] == {name: counts.get(name, 0) for name in DECISIONS} and sum(facts["decisions"].values()) == 24
    assert len(store) == 24 - facts["decisions"]["rejected"] and facts["parent_count"] == 24
    assert facts["parent"] == files.sha256(made["shard"] / "card.json") and facts["thresholds"] == THRESHOLDS
    assert facts["calibration"] == files.sha256(made["folder"] / "calibration.json")
    assert card["source"] == {"weights": ["w"], "seed": 4}
    (said,) = told([store.folder / "card.json"])
    assert f"of 24 pairs {counts.get('admitted', 0)} admitted whole" in said and "near copy of a real pair: 6" in said


def test_a_shard_of_which_nothing_is_admitted_is_a_store_like_any_other(made, tmp_path):
    store, decisions, _ = admitted(made, tmp_path, min_margin=0.95)
    assert len(store) == 0 and (decisions["decision"] == "rejected").all() and decisions["reasons"].str.contains("margin").all()
    whole = admitted(made, tmp_path / "whole", **NOTHING)[0]
    fit = open_view([made["fit"]])
    assert Mixture(fit, open_view([store.folder, whole.folder]), "cpu").counts == {"real": 40, "synthetic": 24}
    with pytest.raises(StoreError, match=r"no synthetic pairs. Every pair was rejected: loosen sources.admitted.thresholds \(.*min_margin"):
        Mixture(fit, open_view([store.folder]), "cpu")
    write_features(tmp_path / "features", *made["judge"], store.folder)
    assert np.load(tmp_path / "features/pooled.npy").shape == (0, 512)
    write_features(tmp_path / "others", *made["judge"], whole.folder)
    parts = [(tmp_path / "features", store.folder), (tmp_path / "others", whole.folder)]
    measures = {"pairs": 100, "splits": 1, "subsets": 3, "subset_size": 10, "neighbours": 3, "coverage_neighbours": 5, "seed": 0}
    reference = made["folder"] / "features", made["fit"]
    assert fidelity.score(reference, parts, measures, device="cpu")["count"] == 24
    with pytest.raises(MeasureError, match=r"0 pairs are measured.*Loosen the thresholds of this source"):
        fidelity.score(reference, parts[:1], measures, device="cpu")
    joined = Measured([(tmp_path / "features", store.folder), (made["folder"] / "features", made["fit"])], 10, 0, "measured")
    assert joined.features("pooled").shape == (10, 512) and joined.features("probabilities").shape == (10, 2, CLASSES)
    assert judged(made, store.folder, tmp_path / "scores")["count"] == 0
    assert len(pd.read_csv(tmp_path / "scores/neighbours.csv")) == 0
    both = distances([tmp_path / "scores/neighbours.csv", made["folder"] / "shard-scores/neighbours.csv"])
    assert calibrated(both["features"], both["features"]).synthetic_count == 24
    again, _, _ = admitted(made, tmp_path / "again", store.folder, tmp_path / "scores")
    assert len(again) == 0


def test_null_thresholds_ask_for_nothing(made, tmp_path):
    store, decisions, _ = admitted(made, tmp_path, **NOTHING)
    assert (decisions["decision"] == "admitted").all() and (store.masks[:] == Store.open(made["shard"]).masks[:]).all()


def test_a_pair_without_labels_is_rejected_and_one_without_codes_is_not(made, tmp_path):
    with StoreWriter(tmp_path / "store", size=32, classes=CLASSES) as writer:
        for number, (image, mask) in enumerate(shapes(2, 32, 5)):
            writer.append(image, np.full_like(mask, IGNORE) if number else mask)
    judged(made, tmp_path / "store", tmp_path / "scores")
    store, decisions, _ = admitted(made, tmp_path, tmp_path / "store", tmp_path / "scores", distance_quantile=None, max_masked=None)
    assert decisions["reasons"].tolist() == ["", "unlabelled"] and decisions["margin"].isna().all() and len(store) == 1
    assert store.card["admission"]["loosen"] == ["pixel_factor"]


def test_scores_of_another_store_or_judge_are_refused(made, tmp_path):
    with pytest.raises(StoreError, match="not the scores of"):
        admitted(made, tmp_path, made["held"])
    with pytest.raises(StoreError, match="cannot be read"):
        admitted(made, tmp_path, scores=tmp_path)
    run(tmp_path / "judge", [made["fit"], made["held"]], [], training={"steps": 1})
    other = {**made, "judge": [tmp_path / "judge" / name for name in ("weights.safetensors", "card.json")]}
    write_features(tmp_path / "features", *other["judge"], made["fit"])
    with pytest.raises(WeightsError, match="trained on other pairs"):
        judged(other, made["shard"], tmp_path / "scores", bank_features=tmp_path / "features")


def test_the_bank_may_be_more_than_the_judge_learned(made, tmp_path):
    """Pairs of a generator of the whole of train are compared with the whole of train, held pairs among them."""
    with StoreWriter(tmp_path / "train", size=32, classes=CLASSES) as writer:
        for folder in (made["fit"], made["held"]):
            store = Store.open(folder)
            for row in range(len(store)):
                writer.append(store.images[row], store.masks[row])
    write_features(tmp_path / "features", *made["judge"], tmp_path / "train")
    with StoreWriter(tmp_path / "copies", size=32, classes=CLASSES) as writer:
        for image, mask in list(shapes(40, 32, 1))[:4]:
            writer.append(image, mask)
    judged(made, tmp_path / "copies", tmp_path / "scores", bank=tmp_path / "train", bank_features=tmp_path / "features")
    decisions = admitted(made, tmp_path, tmp_path / "copies", tmp_path / "scores")[1]
    assert (decisions["reasons"] == "copy").all()


# Scores


def test_losses_are_cross_entropy_and_zero_without_a_label(made):
    segmenter, _ = load(*made["judge"], "cpu")
    store = Store.open(made["held"])
    images, masks = torch.from_numpy(np.array(store.images[:3])), torch.from_numpy(np.array(store.masks[:3]))
    masks[:, :4] = IGNORE
    found = pixel_losses(segmenter, images, masks)
    with torch.inference_mode():
        chances = segmenter(images).softmax(1)
    expected = -chances.gather(1, masks.clamp(max=2)[:, None].long())[:, 0].log()
    torch.testing.assert_close(found[:, 4:], expected[:, 4:], rtol=1e-4, atol=1e-5)
    assert (found[:, :4] == 0).all()


def test_a_batch_changes_nothing_but_rounding(made, tmp_path):
    outputs = {"losses": tmp_path / "losses.npy", "neighbours": tmp_path / "neighbours.csv", "card_out": tmp_path / "card.json"}
    given = {"bank": made["fit"], "bank_features": made["folder"] / "features", "learned": made["fit"]}
    score(*made["judge"], made["shard"], **given, **outputs, device="cpu", batch=5)
    known = np.load(made["folder"] / "shard-scores/losses.npy")
    assert known.dtype == np.float16
    np.testing.assert_allclose(np.load(tmp_path / "losses.npy").astype(float), known.astype(float), rtol=5e-3, atol=1e-3)


# Calibration


def test_class_means_by_hand():
    losses = np.array([[[1.0, 3.0], [5.0, 9.0]], [[2.0, 2.0], [0.0, 7.0]]])
    masks = np.array([[[0, 0], [1, 2]], [[0, 1], [IGNORE, 1]]], np.uint8)
    found = class_means(losses, masks, 4, 2)
    assert found["pixels"] == [3, 3, 1, 0] and found["means"][:2] == pytest.approx([2.0, 14 / 3])
    assert found["fallback"] == [2, 3] and found["means"][2:] == pytest.approx([14 / 3] * 2)
    with pytest.raises(MeasureError, match="no class has 4 labelled pixels in held; the most frequent has 3"):
        class_means(losses, masks, 4, 4)


def test_masked_shares_by_hand():
    losses = np.array([[[1.0, 3.0], [5.0, 9.0]], [[9.0, 9.0], [9.0, 9.0]]])
    masks = np.array([[[0, 0], [1, IGNORE]], [[IGNORE, IGNORE], [IGNORE, IGNORE]]], np.uint8)
    found = masked_shares(losses, masks, [2.0, 5.0], 1.0)
    assert found[0] == pytest.approx(1 / 3) and np.isnan(found[1])  # a loss at its limit is kept
    assert masked_shares(losses, masks, [2.0, 5.0], 0.9)[0] == pytest.approx(2 / 3)


def test_the_calibration_says_what_held_pairs_are_like(made):
    known = files.read_json(made["folder"] / "calibration.json")
    store, losses = Store.open(made["held"]), np.load(made["folder"] / "held-scores/losses.npy").astype(float)
    for number in range(CLASSES):
        assert known["class_losses"][number] == pytest.approx(losses[store.masks[:] == number].mean(), abs=1e-6)
    assert known["class_pixels"] == store.card["class_pixels"] and known["fallback"] == [] and known["pairs"] == 40
    assert [entry["factor"] for entry in known["masked"]] == list(FACTORS)
    limit = 1.25 * np.asarray(known["class_losses"])[store.masks[:]]
    assert known["masked"][1]["mean"] == pytest.approx((losses > limit).mean(), abs=1e-4)
    assert known["distances"] == sorted(pd.read_csv(made["folder"] / "held-scores/neighbours.csv")["feature_distance"])


# Decisions


def row(**other):
    return {"pair": 0, "index": 0, "margin": 0.9, "invalid": 0.0, "masked": 0.0, "distance": 5.0, **other}


@pytest.mark.parametrize(
    ("scores", "decision", "reasons"),
    [
        ({}, "admitted", ""),
        ({"masked": 0.2}, "masked", ""),
        ({"masked": 0.5}, "masked", ""),  # at its threshold a score is kept
        ({"masked": 0.51}, "rejected", "disagreement"),
        ({"margin": 0.5}, "admitted", ""),
        ({"margin": 0.49}, "rejected", "margin"),
        ({"invalid": 0.06}, "rejected", "invalid"),
        ({"distance": 1.0}, "admitted", ""),
        ({"distance": 0.99}, "rejected", "copy"),
        ({"masked": np.nan}, "rejected", "unlabelled"),
        ({"masked": 1.0}, "rejected", "disagreement;unlabelled"),
        ({"margin": np.nan, "invalid": np.nan}, "admitted", ""),
        ({"margin": 0.1, "invalid": 0.9, "masked": 0.9, "distance": 0.0}, "rejected", "margin;invalid;disagreement;copy"),
    ],
)
def test_decisions(scores, decision, reasons):
    found = decide(pd.DataFrame([row(**scores)]), THRESHOLDS, [1.0, 2.0, 3.0])
    assert list(found) == list(COLUMNS)
    assert (found["decision"][0], found["reasons"][0]) == (decision, reasons)


def test_a_pair_whose_labels_are_all_doubted_is_rejected_whatever_share_is_allowed():
    found = decide(pd.DataFrame([row(masked=1.0), row(masked=0.99)]), {**THRESHOLDS, "max_masked": None}, [1.0, 2.0, 3.0])
    assert found["reasons"].tolist() == ["unlabelled", ""] and found["decision"].tolist() == ["rejected", "masked"]


def test_the_distance_is_an_order_statistic_of_the_held_pairs():
    null = np.arange(1, 202, dtype=float)
    assert distance_threshold(null, 0.01) == 3.0 and distance_threshold(null[:50], 0.01) == 1.0
    assert distance_threshold(null, None) is None


def test_the_yield_in_words():
    facts = {"parent_count": 9, "decisions": {"admitted": 4, "masked": 2, "rejected": 3}, "reasons": {"margin": 1, "copy": 2, "invalid": 0}}
    expected = "of 9 pairs 4 admitted whole, 2 with pixels ignored, 3 rejected (code margin too small: 1, near copy of a real pair: 2)"
    assert tell(facts) == expected
