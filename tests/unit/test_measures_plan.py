"""The plan of a fidelity table: its trainings are those of gain tables, and labels are compared where the noise is the same."""

import pytest
from presets import planned, preset, read

from satsynth.diffusion.levels import sigma_grid
from satsynth.diffusion.schedule import make_schedule
from satsynth.plan import measures
from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout

BARE = {"generators": {"bare": {"extends": "satsynth", "size": 64, "codes": "none"}}, "sources": {"bare": {"generator": "bare"}}}


def plan(*overlays):
    return planned(*overlays)[1]


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


def test_labels_are_compared_where_the_noise_is_the_same():
    own = {
        "fast": {"extends": "cascade", "sampler": {"steps": 7}},
        "seeded": {"extends": "cascade", "seed": 1},
        "blocked": {"extends": "cascade", "block": 9},
        "shared": {"extends": "cascade", "shards": 2},
    }
    table = {"fidelity": {"sources": ["cascade", *own, "bare", "cutout"], "baseline": "cascade"}}
    layout = plan(BARE, {"sources": own, "experiments": table})
    rows = measures.table(layout, "fidelity")["rows"]
    assert [row["source"] for row in rows if row["compared"]] == ["fast", "shared"]
    assert measures.table_files(layout, "fidelity")["changes"] == [
        f"results/demo/64px/label_changes/{source}-cascade.json" for source in ("fast", "shared")
    ]
    assert measures.table_files(plan(), "fidelity")["changes"] == []


@pytest.mark.parametrize(("overlay", "name"), [("sampler_sweep", "demo"), ("sampler_sweep", "dubai"), ("paper", "paper")])
def test_the_sampler_sweep_compares_every_row_with_a_thousand_ancestral_steps(overlay, name):
    config = merge(read("config.yaml"), read(f"configs/{overlay}.yaml"))
    resolved = resolve(config, preset(name))
    layout = Layout(config, resolved)
    for table, key, stage, prefix in (("samplers", "sampler", "generator", ""), ("samplers_sr", "then_sampler", "then", "sr_")):
        rows = measures.table(layout, table)["rows"]
        baseline = resolved["experiments"][table]["baseline"]
        assert {row["source"] for row in rows if not row["compared"]} == {"real", baseline}
        found, first = {}, []
        for row in rows[1:]:
            source = resolved["sources"][row["source"]]
            generator, sampler = resolved["generators"][source[stage]], source[key]
            grid = sigma_grid(sampler, make_schedule(generator["schedule"]), generator["prediction"])
            assert len(grid) == sampler["steps"] + 1
            found[row["source"]] = sampler["method"], sampler["steps"]
            first.append(source["sampler"])
        assert found[baseline] == ("ancestral", 1000) and found[f"{prefix}ddim50"] == ("ddim", 50)
        for method, short in (("dpmpp_2m", "dpmpp"), ("unipc", "unipc")):
            assert all(found[f"{prefix}{short}{steps}"] == (method, steps) for steps in (10, 15, 20, 30))
        # Only what the table is about differs.
        assert stage == "generator" or all(sampler == first[0] for sampler in first)
        assert (table in resolved["run"]) == (overlay == "sampler_sweep")
        if overlay == "sampler_sweep":  # what the presets use is a row of the table
            chosen = {"sampler": "sde20", "then_sampler": "sr_dpmpp10"}[key]
            assert resolved["sources"]["cascade"][key] == resolved["sources"][chosen][key]
