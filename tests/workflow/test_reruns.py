"""What runs again, and what does not: code, touched files, raw files, units of R."""

import os
import re
import shutil
import time

import pytest
from checkout import PARTS, TINY

from satsynth.plan.closure import digests

LIBRARY = [
    ("satsynth/metrics/confusion.py", {"evaluate_segmenter", "tabulate_runs", "draw_figure", "write_report"}),
    ("satsynth/segmentation/losses.py", {"train_segmenter", "evaluate_segmenter", "tabulate_runs", "draw_figure", "write_report"}),
    (
        "satsynth/diffusion/samplers.py",
        {"train_generator", "sample_pairs", "train_segmenter", "evaluate_segmenter", "tabulate_runs", "draw_figure", "write_report"}
        | {"pack_gallery", "build_gallery"},
    ),
    ("satsynth/reporting/gallery/pictures.py", {"pack_gallery", "build_gallery", "write_report"}),
    ("satsynth/reporting/gallery/document.py", {"build_gallery"}),
    ("satsynth/reporting/figures/ratio_curve.py", {"draw_figure", "write_report"}),
    ("satsynth/reporting/page.py", {"write_report"}),
    ("satsynth/runtime/logs.py", set()),
]


def test_a_complete_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("-n")


def test_touching_every_tracked_file_runs_nothing(copy):
    for part in PARTS:
        for path in [copy.folder / part, *(copy.folder / part).rglob("*")]:
            os.utime(path)
    assert copy.planned() == {}
    assert copy.planned("--workflow-profile", "profiles/slurm") == {}


def test_jobs_of_an_executor_have_the_same_threads_wherever_the_rules_are_read(finished):
    """The rules are read by the head, which may have no accelerator, and again by every job on its node."""

    def threads(*arguments, devices):
        return re.findall(
            r"^ +threads: .*$", finished.run("-n", "--forceall", "--quiet", "host", *arguments, CUDA_VISIBLE_DEVICES=devices), re.MULTILINE
        )

    profile = ("--workflow-profile", "profiles/slurm")
    assert threads(*profile, devices="") == threads(*profile, devices="0") != []
    assert threads(devices="") != threads(devices="0")  # on one machine they follow what is there


def test_a_touched_result_runs_nothing(copy):
    for path in (copy.folder / "results").rglob("*"):
        if path.is_file() and "state" not in path.parts:
            os.utime(path)
    assert copy.planned() == {}


@pytest.mark.parametrize(("folder", "rule"), [("gallery/static/3_tiles.js", "build_gallery"), ("static/page.css", "write_report")])
def test_what_a_page_does_in_a_browser_runs_the_rule_of_the_page(copy, folder, rule):
    path = copy.folder / "satsynth/reporting" / folder
    path.write_text(path.read_text() + "\n")
    assert copy.planned() == {rule: 1}


@pytest.mark.parametrize(("file", "rules"), LIBRARY)
def test_a_comment_runs_nothing_and_a_statement_its_stage(copy, file, rules):
    path = copy.folder / file
    source = path.read_text()
    path.write_text(source.replace('"""', '"""Said otherwise. ', 1) + "\n# A remark.\n")
    assert copy.planned() == {}
    path.write_text(source + "\nNEW_STATEMENT = 1\n")
    assert set(copy.planned()) == rules


def test_a_changed_script_runs_its_rule(copy):
    path = copy.folder / "workflow_scripts/write_report.py"
    path.write_text(path.read_text() + "\nNEW_STATEMENT = 1\n")
    assert copy.planned() == {"write_report": 1}


def test_closures_follow_imports_and_leave_the_runtime_out():
    found = digests("workflow_scripts/train_segmenter.py", ("satsynth.segmentation.networks.fpn",))
    assert "satsynth/fitting.py" in found and "satsynth/segmentation/networks/fpn.py" in found and "satsynth/pairs.py" in found
    assert not any(name.startswith(("satsynth/runtime", "satsynth/plan", "satsynth/diffusion")) for name in found)


def test_more_units_of_r_sample_only_what_is_missing(finished):
    grid = [{"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [0, 1, 3], "alone": False, "controls": ["fpn_exposures"]}]
    more = finished.overlay("more.yaml", {"experiments": {"gain": {"grid": grid}}})
    planned = finished.planned(configs=(TINY, more))
    # Two shards a unit, R = 3 opens two units; one seed of D ∪ D' at R = 3; nothing of R = 1 again.
    assert planned["sample_pairs"] == 4 and planned["train_segmenter"] == 1 and planned["evaluate_segmenter"] == 1
    assert not {"train_generator", "tile_patches_demo"} & set(planned)


def test_fewer_steps_of_the_sampler_run_the_shards_of_that_source(finished):
    fewer = finished.overlay("fewer.yaml", {"sources": {"cascade": {"then_sampler": {"steps": 3}}}})
    planned = finished.planned(configs=(TINY, fewer))
    assert planned["sample_pairs"] == 2 and "train_generator" not in planned  # the shards of `base` stay
    assert planned["train_segmenter"] == 2  # D' alone and D ∪ D'


def folder_set(finished, root):
    """The demo's raw scenes as somebody's own imagery."""
    shutil.copytree(finished.folder / "results/demo/raw", root / "town", dirs_exist_ok=True)
    names = ["field", "tree", "soil", "water", "road", "building", "car"]
    stanza = {"root": "town", "images": "images", "labels": "masks", "classes": names, "ignore": None}
    return {"data_root": str(root), "datasets": {"town": stanza}}


def test_raw_files_added_removed_or_changed_run_their_dataset_wherever_they_lie(copy, tmp_path):
    town = copy.overlay("town.yaml", folder_set(copy, tmp_path / "data"))
    target = "results/town/64px/real/train/card.json"
    copy.run(target, configs=(TINY, town))
    assert copy.planned(target, configs=(TINY, town)) == {}
    scene = tmp_path / "data/town/images/scene_000.png"
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    moved = copy.overlay("moved.yaml", {"data_root": str(tmp_path / "moved")})
    assert copy.planned(target, configs=(TINY, town, moved)) == {}, "the place of the raw files counts"
    os.utime(scene, (time.time() + 60, time.time() + 60))
    assert copy.planned(target, configs=(TINY, town)) == {"tile_patches_town": 1}
    shutil.copy2(tmp_path / "moved/town/images/scene_000.png", scene)
    assert copy.planned(target, configs=(TINY, town)) == {}
    for part in ("images", "masks"):
        (tmp_path / "data/town" / part / "scene_003.png").unlink()
    assert copy.planned(target, configs=(TINY, town)) == {"tile_patches_town": 1}
