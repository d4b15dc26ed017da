"""Why a job would run again, over entries of state written here."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lineage_fixtures import STATE, STORE, finish, planned, told_of, write_road

from satsynth.reporting.explanation import again
from satsynth.reporting.lineage import Lineage
from satsynth.reporting.reasons import Planned, config_key, judge
from satsynth.runtime import files, state


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def road():
    return write_road()


def test_each_kind_of_change_is_told_and_nothing_else(road):
    assert told_of(road, planned(road)) == ("stays", [], "It would not: nothing that it depends on has changed.")
    for changes, kind, what in (
        ({"cfg": {"bootstrap_seed": 6}}, "config", "bootstrap_seed"),
        ({"cfg": {"bootstrap_seed": 5, "extra": {"deep": 1}}}, "config", "extra"),
        ({"code": {"table.py": "c", "new.py": "d"}}, "code", "new.py"),
        ({"raw": "other"}, "raw", "tabulate"),
        ({"inputs": ("results/run-0.json", "results/run-1.json")}, "input", STORE),
    ):
        fate, found, words = told_of(road, planned(road, runs=True, **changes))
        assert (fate, found) == ("computed", [(kind, what)]) and what in words


def test_a_job_that_is_started_for_nothing_comes_back_from_state(road):
    fate, found, words = told_of(road, planned(road, runs=True))
    assert (fate, found) == ("restored", []) and "come back from state" in words and "Forced execution" in words


def test_an_input_of_two_roles_counts_twice_as_in_the_key_of_state(road):
    finish("twice", "results/t.csv", "1", [STORE, "results/run-0.json", STORE])
    job = Planned("twice", {}, None, None, None, (STORE, "results/run-0.json", STORE), ("results/t.csv",), True)
    assert judge([*planned(road), job], Lineage(STATE), {})["results/t.csv"].fate == "restored"


def test_another_content_of_an_input_is_told(road):
    Path("results/run-1.json").unlink()
    Path("results/run-1.json").write_text("by hand")
    assert told_of(road, planned(road, runs=True))[:2] == ("computed", [("input", "results/run-1.json")])


def test_what_is_made_of_work_that_is_done_again_waits_for_it_and_is_grouped(road):
    jobs = [
        Planned(
            job.rule, job.wildcards, {"rate": 0.2} if job.rule == "train" else job.cfg, job.code, job.raw, job.inputs, job.outputs, True
        )
        for job in planned(road)
        if job.rule != "tile"
    ]
    fate, found, words = told_of(road, [*planned(road)[:1], *jobs])
    assert (fate, found) == ("follows", []) and words.count("config rate: 0.1 -> 0.2") == 1
    assert "train seed=0" in words and "train seed=1" in words and "2 jobs before it" in words


def test_inputs_that_come_back_from_state_are_known_before_they_are_there(road):
    Path("results/run-0.json").unlink()
    jobs = planned(road, runs=True)
    jobs[1] = replace(jobs[1], runs=True)
    assert told_of(road, jobs)[:2] == ("restored", [])


def test_what_was_never_made_is_one_paragraph_a_rule(road):
    tile, *jobs = planned(road)
    jobs = [replace(job, runs=True, outputs=(f"results/other/{job.outputs[0]}",)) for job in jobs]
    jobs[2] = replace(jobs[2], inputs=(jobs[0].outputs[0], jobs[1].outputs[0]))
    _, found, words = told_of(jobs[2].outputs[0], [tile, *jobs])
    assert found == [("outputs", "tabulate"), ("record", jobs[2].outputs[0])]
    begins = words.split("where it begins:\n")[1]
    assert begins.count("nothing of what it makes is there") == 1


def test_what_was_never_made_begins_with_the_jobs_whose_inputs_are_there():
    jobs = [
        Planned("tile", {}, None, None, None, (), (STORE,), True),
        Planned("train", {}, None, None, None, (STORE,), ("results/run.json",), True),
        Planned("tabulate", {}, None, None, None, ("results/run.json",), ("results/t.csv",), True),
    ]
    fate, _, words = told_of("results/t.csv", jobs[::-1])
    assert fate == "follows" and "2 jobs before it would be started; where it begins:\n  tile\n" in words
    assert "train" not in words and words.count("nothing of what it makes is there") == 1


def test_changes_of_later_jobs_are_counted_and_listed_when_all_is_asked_for(road):
    jobs = [replace(job, cfg={"seed": 4} if job.rule == "tile" else {"rate": 0.2}, runs=True) for job in planned(road)]
    judged = judge(jobs, Lineage(STATE), {})[road]
    few, all_of_it = "\n".join(again(judged)), "\n".join(again(judged, deep=True))
    assert "Of the jobs after these 2 have changes of their own too" in few and "rate: 0.1 -> 0.2" not in few.split("begins:")[1]
    assert "train seed=1" not in few and all_of_it.index("config seed: 3 -> 4") < all_of_it.index("train seed=1")


def test_who_forgot_the_overlays_is_asked_for_them(road):
    few = {"bootstrap_seed": 6, "a": 1, "b": 2}
    for cfg, asked in ((few, False), ({**few, "c": 3}, True)):
        assert ("Made with other overlays? Name them: CONFIG=" in told_of(road, planned(road, runs=True, cfg=cfg))[2]) == asked


def test_keys_are_told_where_they_were_written():
    config = {"segmenters": {"fpn": {"rate": 1}, "exposures": {"extends": "fpn", "share": 2}, "deep": {"extends": "exposures"}}}
    resolved = {"segmenters": {name: {"rate": 1, "share": 2, "size": 3} for name in config["segmenters"]}}
    for name, key, now, found in (
        ("exposures", "rate", 1, "segmenters.fpn.rate"),
        ("deep", "rate", 1, "segmenters.fpn.rate"),
        ("deep", "share", 2, "segmenters.exposures.share"),
        ("deep", "size", 3, "segmenters.deep.size"),  # of the preset
    ):
        assert config_key(key, now, {"segmenter": name}, resolved, config) == found
    assert config_key("rate", 1, {"segmenter": "deep"}, resolved) == "segmenters.deep.rate"


def test_rules_of_one_dataset_tell_its_keys():
    finish("tile_patches_town", "results/t.csv", "1", cfg={"size": 64}, code={})
    job = Planned("tile_patches_town", {"split": "val"}, {"size": 32}, {}, None, (), ("results/t.csv",), True)
    resolved = {"datasets": {"town": {"patches": {"size": 32}}, "patches_town": {"size": 32}}}
    changes = judge([job], Lineage(STATE), resolved)["results/t.csv"].changes
    assert [change.what for change in changes if change.kind == "config"] == ["datasets.town.patches.size"]


def exported(**changes):
    """A job that wrote a card and a folder, as the rules have it now."""
    job = {"rule": "export_pairs_mine", "wildcards": {}, "cfg": {"ratio": 1, "source": "g"}, "code": {}, "raw": None, "inputs": ()}
    key = state.key(job["rule"], {}, job["cfg"], job["code"], None, [])
    entry = state.State(STATE, job["rule"], key)
    card, folder = "results/exports/mine/README.md", "results/exports/mine/train"
    if not entry.manifest.is_file():
        entry.begin()
        for path, text in ((entry.staged(card), "card"), (entry.staged(folder) / "images/a.png", "a")):
            files.write_text(path, text)
        files.write_json(entry.provenance, job | {"inputs": {}, "ended": "2026-01-01T00:01:00+00:00"})
        entry.publish([card, folder])
    return Planned(**job | {"outputs": (card, folder), "runs": False} | changes), entry


def test_a_folder_is_an_output_like_any_other():
    job, entry = exported()
    resolved = {"exports": {"mine": {"ratio": 2, "source": "g"}}}

    def told(job):
        found = judge([job], Lineage(STATE), resolved)[job.outputs[0]]
        return found.fate, [(change.kind, change.what) for change in found.changes]

    assert told(job) == ("stays", [])
    assert told(exported(cfg={"ratio": 2, "source": "g"}, runs=True)[0]) == ("computed", [("config", "exports.mine.ratio")])
    shutil.rmtree(job.outputs[1])
    assert told(exported(runs=True)[0]) == ("restored", [("output", "results/exports/mine/train")])
    (entry.staged(job.outputs[1]) / "images/a.png").write_text("b")
    assert told(exported(runs=True)[0])[0] == "computed"


def test_many_files_of_one_fate_are_folded(road):
    code = {"table.py": "c", **{f"new_{place}.py": "d" for place in range(5)}}
    _, found, words = told_of(road, planned(road, runs=True, code=code))
    assert len(found) == 5 and words.count("is new among its code") == 3 and "likewise 2 files more" in words


def test_lists_of_maps_that_grow_are_told_as_a_whole(road):
    finish("list", "results/l.csv", "1", cfg={"runs": [{"seed": 0}, {"seed": 1}]})
    for runs, what in (([{"seed": 0}, {"seed": 2}], "runs[1].seed"), ([{"seed": 0}], "runs")):
        job = Planned("list", {}, {"runs": runs}, None, None, (), ("results/l.csv",), True)
        _, found, words = told_of("results/l.csv", [job])
        assert found == [("config", what)]
        assert ("2 entries -> 1 entries" in words) == (what == "runs")


def test_keys_are_told_as_the_config_has_them_where_that_is_beyond_doubt():
    resolved = {
        "segmenters": {"fpn": {"training": {"rate": 1, "steps": 5}, "loss": {"steps": 5}, "size": 8, "encoder": {"size": 8}}},
        "sources": {"cascade": {"sampler": {"steps": 2}, "then_sampler": {"steps": 2}}},
        "measures": {"pixels": 9},
    }
    fpn, cascade = {"segmenter": "fpn", "dataset": "demo"}, {"source": "cascade"}
    for key, now, wildcards, found in (
        ("training.rate", 1, fpn, "segmenters.fpn.training.rate"),
        ("rate", 1, fpn, "segmenters.fpn.training.rate"),
        ("rate", 2, fpn, "rate"),  # another value: it comes from somewhere else
        ("steps", 5, fpn, "steps"),  # of the training or of the loss
        ("size", 8, fpn, "segmenters.fpn.size"),  # not that of the encoder
        ("samplers[1].steps", 2, cascade, "sources.cascade.then_sampler.steps"),
        ("pixels", 9, {}, "measures.pixels"),
    ):
        assert config_key(key, now, wildcards, resolved) == found
