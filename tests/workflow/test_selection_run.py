"""Admission and selection in a small run: what is scored once, what a threshold runs again, and that the choice is what the scores say."""

import numpy as np
import pandas as pd
import pytest
from checkout import TINY, Checkout

from satsynth.pairs import Store
from satsynth.reporting import statistics
from satsynth.runtime.files import read_json, sha256

CHOSEN = {
    "run": ["selection"],
    "generators": {"small_fit": {"extends": "satsynth", "split": "fit"}},
    "sources": {
        "small_fit": {"generator": "small_fit", "shards": 2},
        # With as few held pairs as here, the quantile of their distances is the least of them.
        "admitted_fit": {"admit": "small_fit", "thresholds": {"distance_quantile": None}},
    },
    "admission": {"min_pixels": 50},
    "experiments": {
        "selection": {
            "view": "selection",
            "size": 32,
            "base": "fit",
            "seeds": [0, 1],
            "grid": [{"segmenters": ["fpn"], "sources": ["small_fit", "admitted_fit"], "ratios": [0, 1]}],
        }
    },
}
PLACE = "results/demo/32px"


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("chosen") / "satsynth")
    checkout.overlay("chosen.yaml", CHOSEN)
    checkout.run(configs=(TINY, "chosen.yaml"))
    return checkout


def again(checkout, over):
    return checkout.planned(configs=(TINY, "chosen.yaml", checkout.overlay("over.yaml", over)))


def test_a_threshold_looks_at_no_image_again(chosen):
    planned = again(chosen, {"sources": {"admitted_fit": {"thresholds": {"max_masked": 0.9}}}})
    assert planned == {"admit_pairs": 2, "train_segmenter": 2, "evaluate_segmenter": 2, "tabulate_selection": 1, "write_report": 1}


def test_a_calibration_scores_nothing_again_and_another_judge_does(chosen):
    planned = again(chosen, {"admission": {"min_pixels": 60}})
    assert planned["calibrate_admission"] == 1 and planned["admit_pairs"] == 2 and "score_pairs" not in planned
    planned = again(chosen, {"admission": {"seed": 1}})  # it is trained already
    assert planned["score_pairs"] == 3 and planned["describe_bank"] == 1
    assert planned["train_segmenter"] == 2 and "train_generator" not in planned and "sample_pairs" not in planned


def test_another_level_trains_nothing(chosen):
    planned = again(chosen, {"experiments": {"selection": {"choice_confidence": 0.5}}})
    assert planned == {"tabulate_selection": 1, "write_report": 1}


def test_a_complete_run_has_nothing_to_do(chosen):
    assert chosen.planned(configs=(TINY, "chosen.yaml")) == {}


def test_a_leak_is_refused_before_any_job(chosen):
    wanted = f"{PLACE}/segmentation/fit+base-r1/fpn/seed-0/metrics.json"
    said = chosen.run("-n", wanted, configs=(TINY, "chosen.yaml"), check=False)
    assert "'base' is made from the whole of train, which holds the pairs that `fit` is judged on." in said


def test_generator_and_judge_learned_fit_alone(chosen):
    fit = sha256(chosen.folder / PLACE / "real/fit/card.json")
    assert read_json(chosen.folder / "results/demo/generators/small_fit/card.json")["data"] == {"32": fit}
    assert read_json(chosen.folder / PLACE / "segmentation/fit/fpn/seed-0/card.json")["data"] == {"real": [fit], "synthetic": []}


def test_admitted_shards_are_stores_and_their_yields_add_up(chosen):
    pairs = 0
    for shard in ("shard-0000", "shard-0001"):
        parent = Store.open(chosen.folder / PLACE / "small_fit" / shard, verify=True)
        store = Store.open(chosen.folder / PLACE / "admitted_fit" / shard, verify=True)
        decisions = pd.read_csv(store.folder / "decisions.csv", keep_default_na=False)
        facts = store.card["admission"]
        assert sum(facts["decisions"].values()) == len(parent) == len(decisions) == facts["parent_count"]
        assert len(store) == (decisions["decision"] != "rejected").sum() == len(parent) - facts["decisions"]["rejected"]
        assert facts["parent"] == sha256(parent.folder / "card.json")
        rows = decisions.loc[decisions["decision"] != "rejected", "pair"].to_numpy()
        np.testing.assert_array_equal(store.images[:], parent.images[:][rows])
        pairs += len(store)
    card = read_json(chosen.folder / PLACE / "segmentation/fit+admitted_fit-r1/fpn/seed-0/card.json")
    assert card["synthetic_pairs"] == pairs
    assert read_json(chosen.folder / PLACE / "segmentation/fit/fpn/seed-0/card.json")["steps"] == card["steps"]


def test_the_choice_is_what_the_scores_say(chosen):
    (each,) = read_json(chosen.folder / "results/tables/selection.choice.json")["choices"]

    def scores(training_set):
        runs = {seed: chosen.folder / PLACE / f"segmentation/{training_set}/fpn/seed-{seed}" for seed in (0, 1)}
        scenes = pd.read_csv(chosen.folder / PLACE / "real/held/index.csv", dtype=str)["scene"].tolist()
        sums = np.stack([statistics.sum_scenes(np.load(run / "confusion.npy"), scenes) for run in runs.values()])
        return {seed: read_json(run / "metrics.json")["miou"] for seed, run in runs.items()}, sums

    base, tried = scores("fit"), {name: scores(f"fit+{name}-r1") for name in ("small_fit", "admitted_fit")}
    shown = {}
    for name, (miou, sums) in tried.items():
        seeds = statistics.paired(miou, base[0], each["level"])
        scenes = statistics.bootstrap_scenes(sums, base[1], replicates=50, confidence=each["level"], seed=0)
        if statistics.outcome(seeds.interval, scenes.interval) == "gain":
            shown[name] = np.mean(list(miou.values()))
    # Networks that learned for four steps may score the same, so scores are compared, and not names.
    means = {name: np.mean(list(miou.values())) for name, (miou, _) in tried.items()}
    assert means[each["best"]["source"]] == max(means.values()) == pytest.approx(each["best"]["miou_pct"] / 100)
    named = each["chosen"] if each["chosen"] == "none" else each["chosen"]["source"]
    assert (named == "none") == (not shown) and (not shown or shown[named] == max(shown.values()))
    assert each["candidates"] == 2 and each["seeds"] == [0, 1] and each["level"] == pytest.approx(1 - (1 - 0.6827) / 2)
    page = (chosen.folder / "results/report/index.html").read_text()
    words = "Do not use synthetic data here" if named == "none" else "Chosen on held-out training data"
    assert words in page and 'id="table-selection"' in page


def test_the_table_tells_the_yield(chosen):
    printed = (chosen.folder / "results/tables/selection.md").read_text()
    assert "admitted_fit (demo, 32 px): of" in printed and "admitted whole" in printed
