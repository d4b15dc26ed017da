"""What a segmenter's jobs depend on: how a trained network predicts is read by the jobs that predict, and by no training."""

import pytest
from presets import preset

from satsynth.plan import slices
from satsynth.plan.closure import declared, registered
from satsynth.plan.config import merge, resolve
from satsynth.plan.stanzas import NETWORKS, takes_parts

CONFIG = {
    "preset": "tiny",
    "run": ["table"],
    "dataset": "demo",
    "datasets": {"demo": {"format": "demo"}},
    "generators": {"gan": {"kind": "semgan", "size": 64}},
    "segmenters": {"segdiff": {}, "semgan": {"generator": "gan"}, "fpn": {}},
    "experiments": {"table": {"view": "gain", "size": 64, "grid": [{"segmenters": ["segdiff"], "sources": [], "ratios": [0]}]}},
    "figures": {"shown": {"view": "predictions", "experiment": "table"}},
}


def sliced(name, over=None):
    """What training, scoring and drawing of one segmenter depend on."""
    resolved = resolve(merge(CONFIG, {"segmenters": {name: over or {}}}), preset("tiny"))
    stanza = resolved["segmenters"][name]
    trained = slices.encoder(resolved, "demo", name) if takes_parts(stanza) else slices.segmenter(stanza)
    return trained, slices.evaluation(stanza), slices.predictions(resolved, "shown", name)


@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("segdiff", {"ensemble": {"generations": 9}}),
        ("segdiff", {"ensemble": {"combine": "vote"}}),
        ("segdiff", {"ensemble": {"seed": 1}}),
        ("segdiff", {"sampler": {"method": "ancestral", "steps": 25}}),
        ("semgan", {"search": {"steps": 7}}),
        ("semgan", {"search": {"seed": 1}}),
    ],
)
def test_another_way_to_predict_is_another_evaluation_of_the_same_training(name, over):
    (trained, scored, drawn), (again, rescored, redrawn) = sliced(name), sliced(name, over)
    assert trained == again
    assert scored != rescored and drawn != redrawn
    (key,) = over
    assert key not in trained and merge(scored["inference"], over) == rescored["inference"] == redrawn["inference"]


@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("segdiff", {"schedule": {"steps": 50}}),
        ("segdiff", {"prediction": "epsilon"}),
        ("semgan", {"style_width": 12}),
        ("fpn", {"head_rate": 2.0}),
    ],
)
def test_another_network_or_recipe_is_another_training(name, over):
    (trained, *predicted), (again, *others) = sliced(name), sliced(name, over)
    assert trained != again and predicted == others


def test_networks_that_need_nothing_beside_their_weights_are_told_nothing():
    trained, scored, drawn = sliced("fpn")
    assert sorted(scored) == ["batch", "mode", "overlap"] and sorted(drawn) == ["batch", "count", "seed"]
    assert "encoder" in trained and "evaluation" not in trained


def test_no_key_is_read_by_training_and_by_prediction_alone():
    found = {name: declared(NETWORKS, name, "INFERENCE") for name in registered(NETWORKS)}
    assert {name: keys for name, keys in found.items() if keys} == {"segdiff": ("sampler", "ensemble"), "semgan": ("search",)}
    for name, keys in found.items():
        assert not set(keys) & set(declared(NETWORKS, name, "STRUCTURE"))
        assert set(keys) <= set(preset("paper")["segmenters"][name])
