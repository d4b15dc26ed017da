"""The stanzas of exports: what they become, what they are made of, and what of them is refused."""

import presets
import pytest
from presets import preset

from satsynth.plan import exports, layout
from satsynth.runtime.errors import ConfigError


def planned(stanza: dict, **over: object) -> tuple[dict, layout.Layout]:
    _, plan = presets.planned({"run": ["mine"], "exports": {"mine": stanza}, **over})
    return plan.resolved, plan


def test_defaults_come_from_the_preset_and_the_dataset_from_the_config():
    resolved, plan = planned({"source": "cascade"})
    assert resolved["exports"]["mine"] == {**preset("paper")["exports"], "dataset": "demo", "source": "cascade"}
    assert exports.folders(resolved, "mine") == {part: f"results/exports/mine/{part}" for part in ("train", "val")}
    assert exports.outputs("mine")["card"] == "results/exports/mine/README.md"
    counted, large = exports.inputs(plan, "mine")
    assert len(counted["cards"]) == 4 and counted["val_cards"] == ["results/demo/64px/real/val/card.json"]
    assert counted["fidelity"] == [f"results/demo/64px/fidelity/fpn-0/{measured}.json" for measured in ("cascade", "real")]
    assert len(large["neighbours"]) == 4 and len(large["pairs"]) == 12


def test_more_units_add_shards_and_archives_folders():
    resolved, plan = planned(
        {"source": "base", "ratio": 3, "real": True, "val": False, "webdataset": True, "parquet": True, "measures": False}
    )
    counted, large = exports.inputs(plan, "mine")
    assert counted["cards"][-1] == "results/demo/32px/base/shard-0011/card.json"
    assert set(counted) == {"cards", "real_cards", "classes", "generators"} and set(large) == {"pairs", "real_pairs"}
    assert list(exports.folders(resolved, "mine")) == ["train", "webdataset", "parquet"]
    cfg = exports.export(resolved, "mine")
    assert (cfg["size"], cfg["generators"]) == (32, ["satsynth"]) and "evaluator" not in cfg and list(cfg) == sorted(cfg)


def test_an_augmentation_can_be_exported():
    _, plan = planned({"source": "cutout"})
    counted, _ = exports.inputs(plan, "mine")
    assert counted["generators"] == [] and counted["cards"] == ["results/demo/64px/cutout/shard-0000/card.json"]


def test_an_admitted_source_brings_its_decisions():
    _, plan = planned({"source": "chosen"}, sources={"chosen": {"admit": "cascade"}})
    counted, _ = exports.inputs(plan, "mine")
    assert counted["decisions"] == [f"results/demo/64px/chosen/shard-000{shard}/decisions.csv" for shard in range(4)]
    assert counted["generators"] == [f"results/demo/generators/{name}/card.json" for name in ("satsynth", "upscaler")]


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ({}, "exports.mine.source: this key is missing"),
        ({"source": "cascad"}, "exports.mine.source: 'cascad' is no source. Did you mean 'cascade'"),
        ({"source": "cascade", "dataset": "dem"}, "exports.mine.dataset: 'dem' is no dataset. Did you mean 'demo'"),
        ({"source": "cascade", "rato": 2}, "exports.mine.rato: this key is not known. Did you mean 'ratio'"),
        ({"source": "cascade", "ratio": 0}, "exports.mine.ratio: 0 is below 1"),
        ({"source": "blind"}, "exports.mine.source: 'blind' makes images without masks"),
        ({"source": "odd"}, "exports.mine.source: 'odd' is trained on 16 px, which 'demo' does not have"),
        ({"source": "small"}, "exports.mine.source: 'small' makes pairs of 16 px, which 'demo' does not have. It has"),
    ],
)
def test_what_cannot_be_exported_is_refused(stanza, said):
    more = {
        "generators": {
            "blind": {"kind": "ddpm", "size": 64, "codes": "none", "prediction": "epsilon"},
            "odd": {"extends": "satsynth", "size": 16},
        },
        "sources": {"blind": {"generator": "blind"}, "odd": {"generator": "odd"}, "small": {"augment": "cutout", "size": 16}},
    }
    with pytest.raises(ConfigError, match=said):
        planned(stanza, **more)


def test_names_are_of_one_thing():
    with pytest.raises(ConfigError, match="exports: 'gain' is a table or figure too"):
        planned({"source": "cascade"}, exports={"gain": {"source": "cascade"}})
    with pytest.raises(ConfigError, match=r"run: 'min' is no table, figure or export\. Did you mean 'mine'"):
        planned({"source": "cascade"}, run=["min"], exports={"mine": {"source": "cascade"}})


def test_an_export_that_no_run_names_need_not_fit_but_names_what_is_there():
    """Each has a rule of its own, so that a target may ask for it."""
    sources = {"small": {"augment": "cutout", "size": 16}}
    resolved, _ = planned({"source": "cascade"}, run=["gain"], sources=sources, exports={"mine": {"source": "small"}})
    assert exports.named(resolved) == [] and exports.export(resolved, "mine")["size"] == 16
    with pytest.raises(ConfigError, match=r"exports.mine.source: 'cascad' is no source. Did you mean 'cascade'"):
        planned({"source": "cascad"}, run=["gain"])
