"""The plan of a fidelity table: its trainings are those of gain tables."""

from presets import preset, read

from satsynth.plan import measures
from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout

BARE = {"generators": {"bare": {"extends": "satsynth", "size": 64, "codes": "none"}}, "sources": {"bare": {"generator": "bare"}}}


def plan(*overlays):
    config = read("config.yaml")
    for overlay in overlays:
        config = merge(config, overlay)
    return Layout(config, resolve(config, preset("demo")))


def test_trainings_on_sources_alone_are_those_of_gain_tables():
    layout = plan(BARE, {"experiments": {"fidelity": {"sources": ["cascade", "bare"], "alone": "fpn"}}})
    runs = layout.runs("fidelity")
    assert {(run.arm, run.training_set) for run in runs} == {("real", "real"), ("synthetic", "cascade-r1")}, "images alone train nothing"
    assert {run.folder for run in runs} < {run.folder for run in layout.runs("gain")}
    files = measures.table_files(layout, "fidelity")
    assert len(files["confusions"]) == len(runs) == 2 * 3 and files["indices"] == ["results/demo/64px/real/val/index.csv"]


def test_a_table_without_a_segmenter_trains_nothing():
    layout = plan({"experiments": {"fidelity": {"alone": None}}})
    files = measures.table_files(layout, "fidelity")
    assert layout.runs("fidelity") == [] and files["runs"] == files["real"] == files["indices"] == []


def test_the_sets_of_a_row_have_a_card_each():
    layout = plan()
    files, rows = measures.table_files(layout, "fidelity"), measures.table(layout, "fidelity")["rows"]
    assert len(files["stores"]) == len(files["neighbours"]) == sum(row["sets"] for row in rows) == 1 + 4
    assert files["stores"][:2] == ["results/demo/64px/real/val/card.json", "results/demo/64px/cascade/shard-0000/card.json"]
