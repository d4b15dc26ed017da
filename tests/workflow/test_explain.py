"""What `make explain` says of the tiny run: what made a file, and why it would be made again."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from checkout import TINY, surroundings

from satsynth.reporting.provenance import without_times
from satsynth.runtime.files import read_json, sha256

GAIN = "results/tables/gain.csv"
RUN = "results/demo/64px/segmentation/real/fpn/seed-0/weights.safetensors"
WEIGHTS = "results/demo/generators/satsynth/weights.safetensors"
UNCHANGED = "It would not: nothing that it depends on has changed."


def explain(checkout, *files, configs=(TINY,), deep=False, status=0):
    """(what made the first file, why it would run again); of more files, the rest of the text behind the first."""
    command = [sys.executable, "-m", "workflow_scripts.explain", *files, *(["--deep"] if deep else []), "--configfile", *configs]
    done = subprocess.run(command, cwd=checkout.folder, env=surroundings(), capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr == ""
    again, made = done.stdout.split("\nWhy would this run again?", 1)[1].split("\nWhat made this file?\n", 1)
    return made, again


def reasons(text):
    """The lines that name a change."""
    return re.findall(r"^ +((?:config|code|raw files|input|output|state has|its entry) .*)$", text, re.MULTILINE)


def test_a_result_tells_its_job_its_data_and_its_inputs(finished):
    made, again = explain(finished, GAIN, deep=True)
    (folder,) = (finished.folder / "results/state/tabulate_runs").iterdir()
    facts = read_json(folder / "provenance.json")
    assert f"Rule tabulate_runs experiment=gain; its state is results/state/tabulate_runs/{folder.name}." in made
    assert facts["ended"] in made and facts["host"] in made and sha256(finished.folder / GAIN) in made
    assert f"confidence: {facts['cfg']['confidence']}\n" in made and f"title: {facts['cfg']['title']}\n" in made
    for file, digest in facts["code"].items():
        assert f"{digest}  {file}" in made
    assert f"numpy {facts['versions']['numpy']}" in made and "Seeds: 0" in made
    real = "results/demo/64px/real/train/card.json"
    assert f"{sha256(finished.folder / real)[:12]}  {real}: tile_patches_demo split=train" in made
    chain = made.split("All 17 jobs behind it:\n")[1]
    assert len(chain.strip().splitlines()) == 17 and "train_generator" in chain
    assert chain.split()[0] in ("generate_scenes_demo:", "describe_classes")
    assert UNCHANGED in again and reasons(again) == []


def test_an_overlay_that_changes_one_key_is_told_by_that_key_alone(finished):
    before = read_json(next((finished.folder / "results/state/train_segmenter").iterdir()) / "provenance.json")["cfg"]["training"]
    over = finished.overlay("rate.yaml", {"segmenters": {"fpn": {"training": {"learning_rate": 0.0123}}}})
    _, again = explain(finished, GAIN, configs=(TINY, over))
    key = "segmenters.fpn.training.learning_rate"
    change = f"{before['learning_rate']} -> 0.0123"
    # The control inherits it from fpn, where it is written.
    assert reasons(again) == [f"config {key}: {change}"] and "and 1 more of them" in again
    assert "other overlays" not in again
    assert "tabulate_runs experiment=gain would run, because what it reads is made again" in again and TINY in again
    _, alone = explain(finished, RUN, configs=(TINY, over))
    assert reasons(alone) == [f"config {key}: {change}"]
    _, others = explain(finished, WEIGHTS, configs=(TINY, over))
    assert UNCHANGED in others


@pytest.mark.parametrize(
    ("over", "target", "told"),
    [
        ({"sources": {"cascade": {"then_sampler": {"steps": 3}}}}, GAIN, ["config sources.cascade.then_sampler.steps: 2 -> 3"]),
        (
            {"experiments": {"gain": {"title": "Another"}}},
            GAIN,
            ['config experiments.gain.title: "Segmentation of real validation patches" -> "Another"'],
        ),
        ({"report": {"title": "Other"}}, "results/report/index.html", None),
    ],
)
def test_keys_stand_as_a_user_writes_them(finished, over, target, told):
    _, again = explain(finished, target, configs=(TINY, finished.overlay("over.yaml", over)))
    found = reasons(again)
    assert found == told if told else len(found) == 1 and found[0].startswith("config report.title: ") and found[0].endswith('-> "Other"')


def test_a_touch_is_no_reason_and_a_statement_is_one(copy):
    for path in (copy.folder / "satsynth").rglob("*.py"):
        os.utime(path)
    assert UNCHANGED in explain(copy, GAIN)[1]
    path = copy.folder / "satsynth/metrics/confusion.py"
    path.write_text(path.read_text() + "\n# A remark.\n")
    assert UNCHANGED in explain(copy, GAIN)[1]
    path.write_text(path.read_text() + "\nNEW_STATEMENT = 1\n")
    _, again = explain(copy, GAIN)
    assert set(reasons(again)) == {"code satsynth/metrics/confusion.py has other statements"}


def test_what_is_gone_comes_back_from_state(copy):
    (copy.folder / GAIN).unlink()
    made, again = explain(copy, GAIN)
    assert "There is no such file any more; this made it last." in made and "Rule tabulate_runs" in made
    assert "come back from state in seconds" in again and reasons(again) == [f"output {GAIN} is not there"]
    copy.run(GAIN)
    made, again = explain(copy, GAIN)
    assert "brought back from state 1 time since" in made and UNCHANGED in again


def test_work_whose_state_is_gone_is_told_so(copy):
    shutil.rmtree(copy.folder / "results/state/train_segmenter")
    (copy.folder / RUN).unlink()
    made, again = explain(copy, RUN)
    assert "There is no such file, and no job whose state is in results/state made it." in made
    assert reasons(again) == [f"output {RUN} is not there", "state has no record of it: it never finished here, or its state was pruned"]
    assert "results/demo/64px/real/train/card.json: tile_patches_demo" in explain(copy, GAIN)[0]


def test_files_that_no_rule_makes_are_said_to_be_such(finished):
    made, again = explain(finished, "results/tables/nothing.csv", "config.yaml", status=1)
    under = f"under config.yaml, {TINY}; is a CONFIG missing, or misspelt?"
    assert f"No rule makes results/tables/nothing.csv {under}" in again and "There is no such file, and no job" in made
    assert f"No rule makes config.yaml {under}" in made and "No job whose state is in results/state made it." in made


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Name a file: make explain FILE=results/tables/gain.csv"),
        (("results/tables",), "results/tables is a folder. Name a file in it: make explain FILE="),
        ((GAIN, "--configfile", TINY, "nowhere.yaml"), "CONFIG: there is no file nowhere.yaml."),
    ],
)
def test_words_that_do_not_do_are_told_as_make_has_them(finished, words, told):
    command = [sys.executable, "-m", "workflow_scripts.explain", *words]
    done = subprocess.run(command, cwd=finished.folder, env=surroundings(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(told) and done.stderr.count("\n") == 1


def test_who_forgot_the_overlays_of_a_run_is_asked_for_them(finished):
    _, again = explain(finished, GAIN, configs=("configs/fast.yaml",))
    assert again.index("Made with other overlays? Name them: CONFIG=") < again.index("where it begins:")
    assert "generate_scenes_demo" in again and "train_segmenter" not in again.split("where it begins:")[1]


def test_a_table_that_was_changed_in_its_place_is_told_and_made_again_once_it_is_deleted(copy):
    (kept,) = (copy.folder / "results/state/tabulate_runs").glob(f"*/outputs/{GAIN}")
    table, wrote = copy.folder / GAIN, sha256(kept)
    table.unlink()
    table.hardlink_to(kept)  # as the run left it; the fixture's copy knows no links
    text = table.read_text()
    with open(table, "r+") as file:
        file.write("S" + text[1:])
    assert sha256(kept) == sha256(table) != wrote
    made, again = explain(copy, GAIN)
    told = f"{GAIN} was changed after tabulate_runs experiment=gain wrote it (SHA-256 {wrote[:12]} then, {sha256(table)[:12]} now)."
    assert told in again and told in made and UNCHANGED not in again and "computed again, since state has no whole copy" in again
    assert copy.planned(GAIN) == {}  # it is true that Snakemake keeps it
    assert told in explain(copy, "results/report/index.html")[1]
    table.unlink()
    _, again = explain(copy, GAIN)
    assert reasons(again)[-1] == "its entry in state was changed since, so it is computed again" and "in seconds" not in again
    copy.run(GAIN)
    made, again = explain(copy, GAIN)
    assert sha256(table) == wrote and UNCHANGED in again and "broken off" not in made


def test_the_report_holds_times_and_hosts_in_one_part_and_is_not_written_again_for_them(copy):
    page = copy.folder / "results/report/index.html"
    before = page.read_text()
    made = before.split('id="made-gain"')[1].split("</details>")[0]
    assert "17 back to the raw data" in made and "train_segmenter 0" in made and "torch" in made
    (host,) = {read_json(path)["host"] for path in (copy.folder / "results/state").glob("*/*/provenance.json")}
    cell = f">{host}</td>"  # a short name may stand in the data of an image
    assert cell in before and cell not in without_times(before) and "17</td>" in before
    for path in (copy.folder / "results/state").glob("*/*/provenance.json"):
        facts = read_json(path) | {"host": "elsewhere", "started": "2001-01-01T00:00:00+00:00"}
        path.write_text(json.dumps(facts | {"attempts": facts["attempts"] * 2}))
    assert copy.planned() == {}
    shutil.rmtree(copy.folder / "results/state/write_report")
    page.unlink()
    copy.run("results/report/index.html")
    after = page.read_text()
    assert "elsewhere" in after and "2001-01-01 00:00:00" in after and cell not in after
    assert without_times(after) == without_times(before)


def test_raw_files_that_changed_are_a_reason(copy, tmp_path):
    shutil.copytree(copy.folder / "results/demo/raw", tmp_path / "data/town")
    names = ["field", "tree", "soil", "water", "road", "building", "car"]
    stanza = {"root": "town", "images": "images", "labels": "masks", "classes": names, "ignore": None}
    town = copy.overlay("town.yaml", {"data_root": str(tmp_path / "data"), "datasets": {"town": stanza}})
    card = "results/town/64px/real/train/card.json"
    copy.run(card, configs=(TINY, town))
    made, again = explain(copy, card, configs=(TINY, town))
    assert re.search(r"Raw files [0-9a-f]{16} ", made) and UNCHANGED in again
    (tmp_path / "data/town/images/scene_000.png").touch()
    (told,) = reasons(explain(copy, card, configs=(TINY, town))[1])
    assert told.startswith("raw files that tile_patches_town reads were added, removed or changed")
