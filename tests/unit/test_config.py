"""Presets, overlays and examples resolve; names, units and slices of a config."""

import re
from pathlib import Path

import pytest
import yaml
from presets import ROOT, load, preset, read

from satsynth.plan import raw
from satsynth.plan.config import merge
from satsynth.plan.layout import Layout
from satsynth.plan.names import TrainingSet, parse_training_set, shard_names
from satsynth.plan.slices import tiles
from satsynth.plan.validation import validate
from satsynth.runtime.errors import ConfigError

SCHEMA = read("rules/schemas/config.schema.yaml")
PRESETS = sorted(path.stem for path in (ROOT / "rules/presets").glob("*.yaml"))
OVERLAYS = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_follows_the_schema(name):
    whole = preset(name)
    parts = {"devices": whole["devices"], "report": whole["report"], "preset": name, "run": []}
    parts["datasets"], parts["generators"] = whole["datasets"], whole["generators"]
    parts["sources"], parts["segmenters"] = whole["sources"], whole["segmenters"]
    titles = whole["experiments"]["title"]
    parts["experiments"] = {view: whole["experiments"] | {"view": view, "title": title} for view, title in titles.items()}
    assert set(titles) == set(SCHEMA["$defs"]["experiment"]["properties"]["view"]["enum"])
    parts["figures"] = {view: {"view": view, **stanza} for view, stanza in whole["figures"].items()}
    parts["exports"] = {"any": whole["exports"]}
    validate(parts, SCHEMA)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"tiny"}))
def test_no_recipe_ends_in_its_warm_up(name):
    whole = preset(name)
    for stanza in [*whole["generators"].values(), *whole["segmenters"].values()]:
        recipe = {**whole["segmenters"]["any"]["training"], **stanza.get("training", {})}
        assert recipe["warmup"] < recipe["steps"], stanza


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_every_number_that_the_paper_preset_gives(name):
    def keys(value, path=()):
        if isinstance(value, dict):
            for key, entry in value.items():
                yield from keys(entry, (*path, key))
        else:
            yield path

    # A value may be null in one preset and a map in another: then its key still leads there.
    found = {path[:depth] for path in keys(preset(name)) for depth in range(1, len(path) + 1)}
    assert set(keys(preset("paper"))) <= found


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_overlay_resolves(name):
    # dubai_accelerator.yaml lies over dubai.yaml, and so on; where sizes are an accelerator's, the data's overlay says them, too.
    below = [other for other in OVERLAYS if name.startswith(other.removesuffix(".yaml") + "_") and not other.startswith("tiny")]
    if name.endswith("_accelerator.yaml") and name != "dubai_accelerator.yaml":
        below = ["dubai.yaml", "dubai_accelerator.yaml", *below]
    resolved = load(*(read(f"configs/{entry}") for entry in [*below, name]))
    assert resolved["run"]


def test_the_accelerator_overlay_lies_over_dubai():
    resolved = load(read("configs/dubai.yaml"), read("configs/dubai_accelerator.yaml"))
    assert resolved["experiments"]["gain"]["size"] == 256 and resolved["generators"]["satsynth"]["size"] == 128


def examples(page):
    """The YAML blocks of a page of documentation."""
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)]


def test_the_readmes_overlays_resolve_and_leave_the_demo_alone():
    change, own = examples("README.md")
    assert {segmenter for entry in load(change)["experiments"]["gain"]["grid"] for segmenter in entry["segmenters"]} == {"fpn", "unet"}
    layout = Layout(merge(read("config.yaml"), own), load(own))
    shown = {run.dataset for name in layout.experiments() for run in layout.runs(name)}
    assert shown == {"mytown"} and not [name for name in layout.figures() if "demo" in str(layout.figure_inputs(name))]


def test_the_segmentation_pages_examples_resolve():
    blocks = examples("docs/segmentation.md")
    assert len(blocks) == 6
    for block in blocks:  # table2's says that it lies over the paper's preset, the others lie over the demo
        load(read("configs/paper.yaml"), block) if "table2" in block.get("experiments", {}) else load(block)


def test_the_selection_pages_examples_resolve_over_the_demo():
    fit, admitted, chosen = examples("docs/selection.md")
    load(fit), load(admitted)
    assert load(fit, chosen)["run"] == ["selection"]


def test_the_data_pages_stanzas_resolve():
    """The whole stanza, and each variant of keys laid over it."""
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    whole, *variants = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert len(variants) == 7
    for variant in ({}, *variants):
        stanza = load(whole, {"datasets": {"mytown": variant}})["datasets"]["mytown"]
        merged = {"split", "patches"}  # with what the preset says
        assert {key: stanza[key] for key in variant.keys() - merged} == {key: variant[key] for key in variant.keys() - merged}
        assert stanza["patches"] == {**stanza["patches"], **variant.get("patches", {})}
        assert tiles(stanza, "train")["class_count"] == 3


def test_a_tilde_is_a_home_in_roots(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SATSYNTH_DATA", raising=False)
    assert raw.root_of({"root": "~/town"}, "/data") == raw.root_of({"root": "town"}, "~") == tmp_path / "town"
    assert raw.root_of({"root": "town~"}, "/data") == Path("/data/town~")
    monkeypatch.setenv("SATSYNTH_DATA", "~/raw")
    assert raw.root_of({"root": "town"}, "/data") == tmp_path / "raw/town"
    assert raw.root_of({"root": "~nobody_is_called_so/town"}, None) == tmp_path / "raw/~nobody_is_called_so/town"


def test_a_stanzas_own_patches_outrank_an_overlays():
    """As docs/datasets.md says: with further sides they serve the demo's numbers and those of configs/fast.yaml."""
    whole, *_ = examples("docs/datasets.md")
    narrow, both = ({"datasets": {"mytown": {"patches": {"size": 256, "reduced": sides}}}} for sides in ([64, 32], [128, 64, 32]))
    load(whole, narrow), load(whole, both)
    assert load(whole, both, read("configs/fast.yaml"))["datasets"]["mytown"]["patches"]["reduced"] == [128, 64, 32]
    with pytest.raises(ConfigError, match="trained on 128 px, which 'mytown' does not have"):
        load(whole, narrow, read("configs/fast.yaml"))


def test_the_measures_pages_examples_resolve_over_the_demo():
    blocks = examples("docs/measures.md")
    assert len(blocks) == 2
    for block in blocks:
        named = [*block["experiments"], *block.get("figures", {})]
        assert set(block.get("run", named)) == set(named)
        load(block, {"run": named})  # tables and figures that `run` does not name are not checked


def test_training_sets_are_written_as_they_are_read():
    for text in ("real", "fit", "real+cascade-r1", "cascade-r3", "real+cascade-r1+base-r2"):
        assert str(parse_training_set(text, {"cascade": {}, "base": {}})) == text
    assert parse_training_set("real+cascade-r2", {"cascade": {}}) == TrainingSet("real", (("cascade", 2),))


def test_units_of_r_begin_with_the_same_shards():
    assert shard_names(3, 4)[:4] == shard_names(1, 4) == ["0000", "0001", "0002", "0003"]
    assert len(shard_names(3, 4)) == 12


def test_overlays_replace_lists_and_merge_maps():
    assert merge({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}}


def test_names_and_colours_of_classes_are_no_part_of_the_patches():
    stanza = {"root": "x", "images": "i", "labels": "m", "classes": ["a", {"name": "b", "color": "#112233"}], "label_map": {7: "a", 9: "b"}}
    other = {**stanza, "classes": ["a", {"name": "c", "color": "#445566"}], "label_map": {7: "a", 9: "c"}}
    one, two = (load({"datasets": {"town": town}})["datasets"]["town"] for town in (stanza, other))
    assert tiles(one, "train") == tiles(two, "train")


def test_annotations_go_by_the_names_of_the_classes_and_what_the_map_adds():
    stanza = {
        "root": "x",
        "images": "i",
        "labels": "a.json",
        "classes": ["land", "road"],
        "label_map": {"street": "road", "cloud": "ignore"},
    }
    assert tiles(stanza_of(stanza), "train")["label_map"] == {"cloud": 255, "land": 0, "road": 1, "street": 1}
    stanza["label_map"]["road"] = "land"  # the map has the last word
    assert tiles(stanza_of(stanza), "train")["label_map"]["road"] == 0
    vectors = {"root": "x", "images": "i", "labels": "a.gpkg", "classes": ["land", "building"], "label_class": "building"}
    assert tiles(stanza_of(vectors), "train")["label_map"] == {"": 1}


def stanza_of(town):
    return load({"datasets": {"town": town}})["datasets"]["town"]


def test_fit_is_judged_on_held_and_everything_else_on_val():
    layout = Layout(read("config.yaml"), load())
    assert layout.test_store("demo", 64, "fit+cascade-r1").endswith("real/held")
    assert layout.test_store("demo", 64, "cascade-r1").endswith("real/val")
    assert layout.training_stores("demo", 64, "cascade-r1")[0] == []


def test_a_pairs_figure_shows_all_shards_of_r_1_beside_real_pairs_or_alone():
    def stores(**figure):
        overlay = {"sources": {"cascade": {"shards": 3}}, "figures": {"pairs": figure}}
        return Layout(merge(read("config.yaml"), overlay), load(overlay)).figure_inputs("pairs")[1]

    shards = [f"results/demo/64px/cascade/shard-{number:04d}" for number in range(3)]
    assert stores() == {"real": ["results/demo/64px/real/train"], "synthetic": shards}
    assert stores(real=False) == {"synthetic": shards}


def test_no_two_sheets_of_the_paper_begin_with_the_same_pairs():
    figures = load(read("configs/paper.yaml"))["figures"].values()
    drawn = [(figure["dataset"], figure["source"], figure["seed"]) for figure in figures if figure["view"] == "pairs"]
    assert len(drawn) > 6 and len(set(drawn)) == len(drawn)


def test_the_datasets_of_a_run_are_those_of_its_tables_and_figures():
    def used(**overlay):
        paper = read("configs/paper.yaml") | overlay
        return Layout(merge(read("config.yaml"), paper), load(paper)).datasets()

    assert used() == ["isaid", "loveda", "openearthmap"]
    assert used(run=["table2", "figure5_curves", "figure3"]) == ["isaid"]  # a curve names a table, not data
    assert used(run=["figure9", "table2"]) == ["isaid", "openearthmap"]


def test_a_table_never_bears_the_title_of_the_one_it_extends():
    titles = preset("demo")["experiments"]["title"]
    own = {"gain": {"title": "Mine"}, "heir": {"extends": "gain"}, "classes": {"extends": "gain", "view": "per_class", "title": "Classes"}}
    overlay = {"experiments": own | {"other": {"extends": "classes", "view": "summary"}, "third": {"extends": "other", "seeds": [7]}}}
    found = load(overlay)["experiments"]
    assert {name: found[name]["title"] for name in ("gain", "heir", "classes", "other", "third")} == {
        **{"gain": "Mine", "heir": titles["gain"], "classes": "Classes", "other": titles["summary"], "third": titles["summary"]}
    }
    assert found["third"]["grid"] == found["gain"]["grid"] and found["third"]["seeds"] == [7]  # everything else is


def test_the_conda_environment_pins_what_the_lock_pins():
    lines = [line.split("#")[0].strip() for line in (ROOT / "envs/requirements.txt").read_text().splitlines()]
    pip = next(entry["pip"] for entry in read("envs/satsynth.yaml")["dependencies"] if isinstance(entry, dict))
    assert pip == [line for line in lines if line] and all("==" in line for line in pip)
