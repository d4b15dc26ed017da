"""Finished work comes back from state; nothing half-written or changed ever does."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from satsynth.runtime import files, state
from satsynth.runtime.errors import DiskError, SatsynthError

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = [Path("results/d/weights"), Path("results/d/card.json")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def entry(key: str = "0" * 32) -> state.State:
    return state.State("results/state", "train", key)


def done(key: str = "0" * 32, outputs: list[Path] = OUTPUTS) -> state.State:
    made = entry(key)
    with made.locked():
        made.begin()
        (made.work / "checkpoint").write_text("step 7")
        for output in outputs:
            made.staged(output).parent.mkdir(parents=True, exist_ok=True)
            made.staged(output).write_text(f"content of {output.name}")
        made.publish(outputs)
    return made


def work_key(**changes: object) -> str:
    parts = {"rule": "train", "wildcards": {"seed": "0"}, "cfg": {"rate": 0.1}, "code": {"a.py": "1f"}, "raw": None}
    parts["inputs"] = ["in/card.json", "in/images.npy"]
    return state.key(**parts | changes)


# The key ------------------------------------------------------------------------------------------------------------------------


def test_the_key_depends_on_everything_that_the_result_depends_on():
    files.write_json("in/card.json", {"count": 1})
    files.write_json("in/other.json", {"count": 1})
    first = work_key()
    assert len(first) == 32 and int(first, 16) >= 0
    changes = [
        {"rule": "evaluate"},
        {"wildcards": {"seed": "1"}},
        {"cfg": {"rate": 0.2}},
        {"cfg": {"rate": 0.1, "clip": None}},
        {"code": {"a.py": "2e"}},
        {"raw": "ab"},
        {"inputs": ["in/other.json"]},
        {"inputs": ["in/card.json", "in/other.json"]},
        {"inputs": ["in/other.json", "in/card.json"]},
    ]
    assert len({first, *(work_key(**change) for change in changes)}) == len(changes) + 1
    files.write_json("in/card.json", {"count": 2})
    assert work_key() != first


def test_the_key_does_not_depend_on_order_times_places_or_arrays(here):
    files.write_json("in/card.json", {"count": 1})
    first = work_key(cfg={"a": 1, "b": 2})
    os.utime("in/card.json", (1, 1))
    assert work_key(cfg={"b": 2, "a": 1}) == first
    assert work_key(cfg={"a": 1, "b": 2}, inputs=[here / "in/card.json"]) == first
    assert work_key(cfg={"a": 1, "b": 2}, inputs=["in/card.json", "in/weights.safetensors"]) == first


# Publishing and restoring -------------------------------------------------------------------------------------------------------


def test_published_outputs_are_hard_links_and_checkpoints_are_gone():
    made = done()
    for output in OUTPUTS:
        assert output.read_text() == f"content of {output.name}"
        assert output.samefile(made.staged(output))
    assert not made.work.exists()
    assert entry().finished(OUTPUTS)
    assert not entry("1" * 32).finished(OUTPUTS)


def test_deleted_outputs_come_back_as_new_files():
    made = done()
    os.utime(OUTPUTS[0], (1, 1))
    shutil.rmtree("results/d")
    before = Path("marker")
    before.touch()
    made.restore(OUTPUTS)
    assert OUTPUTS[0].read_text() == "content of weights"
    assert OUTPUTS[0].stat().st_mtime >= before.stat().st_mtime
    made.restore(OUTPUTS)  # over outputs that are there already
    assert names("results/d") == ["card.json", "weights"]


def test_restoring_replaces_what_stands_there_and_does_not_write_into_it():
    made = done()
    OUTPUTS[0].unlink()
    OUTPUTS[0].write_text("other work")
    os.link(OUTPUTS[0], "linked")
    made.restore(OUTPUTS)
    assert OUTPUTS[0].read_text() == "content of weights" and Path("linked").read_text() == "other work"


def test_where_hard_links_do_not_reach_outputs_are_copied(monkeypatch):
    def across(*_):
        raise OSError(errno.EXDEV, "other device")

    monkeypatch.setattr(state.os, "link", across)
    made = done()
    assert OUTPUTS[0].read_text() == "content of weights" and not OUTPUTS[0].samefile(made.staged(OUTPUTS[0]))


def test_outputs_outside_the_working_folder_are_staged_inside_the_entry(here):
    made = entry()
    for declared in (here.parent / "away/x.csv", Path("../away/x.csv")):
        assert made.staging in made.staged(declared).parents
        assert ".." not in made.staged(declared).parts
    assert made.staged(here / "results/a.csv") == made.staged("results/a.csv") == made.staging / "results/a.csv"


@pytest.mark.parametrize(
    "harm",
    [
        lambda made: OUTPUTS[0].write_text("Content of weights"),  # in place, the same size: the link shares it
        lambda made: made.staged(OUTPUTS[0]).write_text("half"),
        lambda made: made.staged(OUTPUTS[0]).unlink(),
        lambda made: made.manifest.write_text('{"files": {'),
        lambda made: made.manifest.write_text("[]"),
        lambda made: files.write_json(made.manifest, {"files": {}}),
    ],
)
def test_an_entry_that_is_not_whole_is_logged_and_discarded(harm, caplog):
    made = done()
    harm(made)
    assert not made.finished(OUTPUTS)
    assert "the entry is discarded" in caplog.text and str(made.folder) in caplog.text
    assert not made.manifest.exists() and not made.staging.exists()


def test_an_entry_without_a_newly_declared_output_is_not_finished():
    assert not done().finished([*OUTPUTS, Path("results/d/history.csv")])


def test_an_output_that_was_not_written_is_named_and_nothing_is_published():
    made = entry()
    made.begin()
    made.staged(OUTPUTS[0]).parent.mkdir(parents=True)
    made.staged(OUTPUTS[0]).write_text("content")
    with pytest.raises(SatsynthError, match=r"results/d/card\.json: the job ended without writing"):
        made.publish(OUTPUTS)
    assert not Path("results/d").exists() and not made.finished(OUTPUTS)


def test_a_new_attempt_keeps_checkpoints_and_drops_half_written_outputs():
    made = entry()
    made.begin()
    (made.work / "checkpoint").write_text("step 7")
    made.staged("results/half").parent.mkdir(parents=True)
    made.staged("results/half").write_text("half")
    made.begin()
    assert (made.work / "checkpoint").read_text() == "step 7"
    assert not made.staged("results/half").exists()


def test_what_a_kill_left_half_written_goes_with_the_next_attempt():
    left = [
        Path("results/d/.weights.4711.partial"),
        entry().folder / ".manifest.json.4711.partial",
        entry().work / ".checkpoint.4711.partial",
    ]
    others = [Path("results/d/.weights2.4711.partial"), Path("results/d/weights.partial"), entry().work / "checkpoint"]
    for path in left + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    entry().begin()
    assert left[0].exists() and not [path for path in left[1:] if path.exists()] and others[2].exists()
    done()
    assert not left[0].exists() and all(path.exists() for path in others[:2])


def test_a_full_disk_while_publishing_loses_nothing(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(state.os, "link", full)
        patch.setattr(state.shutil, "copyfile", full)
        with pytest.raises(DiskError):
            done()
    assert not OUTPUTS[0].exists()
    assert entry().finished(OUTPUTS)  # the work itself was whole: the next run only places it
    entry().restore(OUTPUTS)
    assert OUTPUTS[0].read_text() == "content of weights"


def test_the_second_with_the_same_key_waits_and_finds_the_work_done():
    seen, begun = [], threading.Event()

    def second() -> None:
        begun.set()
        with entry().locked():
            seen.append(entry().finished(OUTPUTS))

    with entry().locked():
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        thread.join(0.2)
        assert not seen
        made = entry()
        made.begin()
        for output in OUTPUTS:
            made.staged(output).parent.mkdir(parents=True, exist_ok=True)
            made.staged(output).write_text("content")
        made.publish(OUTPUTS)
    thread.join()
    assert seen == [True]


# Pruning ------------------------------------------------------------------------------------------------------------------------


def old(key: str) -> state.State:
    made = entry(key)
    made.begin()
    (made.work / "checkpoint").write_text("step 7")
    os.utime(made.work / "checkpoint", (1, 1))
    return made


def test_pruning_frees_what_nothing_needs_and_nothing_else():
    kept = done("a" * 32, [Path("results/a")])
    replaced = done("b" * 32, [Path("results/b")])
    newer = done("c" * 32, [Path("results/b")])  # the same output of a newer configuration
    gone = done("d" * 32, [Path("results/d")])
    Path("results/d").unlink()
    stale = old("e" * 32)
    working = entry("f" * 32)
    working.begin()
    (working.work / "checkpoint").write_text("step 7")
    would = state.prune("results/state", days=3, dry_run=True)
    assert all(each.folder.exists() for each in (replaced, gone, stale))
    removed = state.prune("results/state", days=3)
    assert removed == would
    assert {one.folder for one in removed} == {replaced.folder, gone.folder, stale.folder}
    assert all(each.folder.exists() for each in (kept, newer, working))
    assert Path("results/b").read_text() == "content of b"
    assert names("results/state/train") == ["a" * 32, "c" * 32, "f" * 32]


def test_pruning_leaves_copies_whose_output_stands_and_entries_in_use(monkeypatch):
    busy = old("e" * 32)
    with busy.locked():
        assert state.prune("results/state", days=3) == []
    assert [one.folder for one in state.prune("results/state", days=3)] == [busy.folder]
    made = done()
    for output in OUTPUTS:
        shutil.copy(output, "copy")
        os.replace("copy", output)
    real = Path.stat
    # As if the outputs lay on another file system, where only copies can be.
    monkeypatch.setattr(Path, "stat", lambda path, **how: other_device(real(path, **how)) if path in OUTPUTS else real(path, **how))
    assert state.prune("results/state") == []
    assert made.folder.exists()


def other_device(facts: os.stat_result) -> os.stat_result:
    values = list(facts)
    values[2] += 1
    return os.stat_result(values)


def test_pruning_a_wrong_folder_removes_nothing():
    for path in (Path("results/dubai/64px/card.json"), Path("results/tables/gain.csv")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))
    assert state.prune("results", days=0) == []
    assert Path("results/dubai/64px/card.json").exists()


def test_the_command_says_what_it_freed():
    made = done()
    OUTPUTS[0].unlink()
    OUTPUTS[1].unlink()
    command = [sys.executable, "-m", "satsynth.runtime.state", "prune", "results/state"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run([*command, "--dry-run"], env=environment, capture_output=True, text=True, check=True).stdout
    assert "its outputs are gone" in said and "Would free 0.0 MB in 1 entries." in said and made.folder.exists()
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "Freed 0.0 MB in 1 entries." in said and not made.folder.exists()
