"""Outputs that are folders: published whole or not at all, restored by links, noticed when changed."""

import os
from pathlib import Path

import pytest

from satsynth.reporting.lineage import Lineage
from satsynth.runtime import files, state
from satsynth.runtime.errors import SatsynthError

OUTPUTS = [Path("results/set/README.md"), Path("results/set/train")]
FILES = {"images/a.png": "a", "images/b.png": "b", "masks/a.png": "m"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written() -> state.State:
    entry = state.State("results/state", "export", "0" * 32)
    with entry.locked():
        entry.begin()
        for name, text in FILES.items():
            files.write_text(entry.staged(OUTPUTS[1]) / name, text)
        files.write_text(entry.staged(OUTPUTS[0]), "card")
    return entry


def done() -> state.State:
    entry = written()
    entry.publish(OUTPUTS)
    return entry


def contents(folder) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files.walk(folder)}


def test_a_folder_is_published_as_hard_links():
    entry = done()
    assert contents(OUTPUTS[1]) == FILES
    assert (OUTPUTS[1] / "masks/a.png").samefile(entry.staged(OUTPUTS[1]) / "masks/a.png")
    assert entry.finished(OUTPUTS)


def test_a_deleted_or_changed_folder_comes_back_whole():
    entry = done()
    (OUTPUTS[1] / "images/a.png").unlink()
    (OUTPUTS[1] / "masks.cache").write_text("somebody else's")
    assert entry.finished(OUTPUTS)
    before = OUTPUTS[1].stat().st_mtime_ns
    entry.restore(OUTPUTS)
    assert contents(OUTPUTS[1]) == FILES and OUTPUTS[1].stat().st_mtime_ns >= before
    assert sorted(path.name for path in OUTPUTS[1].parent.iterdir()) == ["README.md", "train"]


@pytest.mark.parametrize("harm", ["change", "remove", "add", "all"])
def test_an_entry_whose_folder_was_changed_is_discarded(harm):
    entry = done()
    folder = entry.staged(OUTPUTS[1])
    if harm == "change":
        (folder / "masks/a.png").write_text("x")
    elif harm == "remove":
        (folder / "masks/a.png").unlink()
    elif harm == "add":
        (folder / "masks/c.png").write_text("c")
    else:
        state.shutil.rmtree(folder)
    assert not entry.finished(OUTPUTS) and not entry.manifest.exists()


def test_a_kill_while_publishing_declares_nothing_half(monkeypatch):
    entry, links = written(), []

    def killed(source, target):
        links.append(target)
        if len(links) == 3:
            raise KeyboardInterrupt
        os.link(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(state, "_link", killed)
        entry.publish(OUTPUTS)
    assert not OUTPUTS[1].exists()
    # What a SIGKILL would have left beside it goes with the next attempt, which finds the work done.
    left = OUTPUTS[1].with_name(".train.99.partial")
    files.write_text(left / "images/a.png", "a")
    assert entry.finished(OUTPUTS)
    entry.restore(OUTPUTS)
    assert contents(OUTPUTS[1]) == FILES and not left.exists()


def test_a_folder_that_was_not_written_is_named():
    entry = state.State("results/state", "export", "1" * 32)
    with entry.locked():
        entry.begin()
        files.write_text(entry.staged(OUTPUTS[0]), "card")
        with pytest.raises(SatsynthError, match="results/set/train: the job ended without writing"):
            entry.publish(OUTPUTS)


def test_pruning_keeps_an_entry_whose_folder_stands():
    done()
    OUTPUTS[0].unlink()
    assert state.prune("results/state") == []
    state.shutil.rmtree(OUTPUTS[1])
    (removed,) = state.prune("results/state")
    assert removed.reason == "its outputs are gone"


def test_the_digest_of_a_folder_is_of_names_and_contents():
    entry = done()
    facts = files.digest_folder(OUTPUTS[1])
    assert (facts["files"], facts["size"]) == (3, 3) and facts == files.digest_folder(entry.staged(OUTPUTS[1]))
    (OUTPUTS[1] / "masks/a.png").rename(OUTPUTS[1] / "masks/b.png")
    assert files.digest_folder(OUTPUTS[1])["sha256"] != facts["sha256"]


def test_a_file_of_a_folder_is_told_by_what_its_job_wrote_beside_it():
    done()
    lineage = Lineage("results/state")
    beside = OUTPUTS[0].as_posix()
    assert lineage.spokesman(OUTPUTS[1] / "images/a.png") == beside and lineage.spokesman(OUTPUTS[1] / "images/none.png") == beside
    assert lineage.spokesman(OUTPUTS[0]) == beside and lineage.spokesman("results/other/train/a.png") == "results/other/train/a.png"
    assert lineage.maker(beside).folder.name == "0" * 32
