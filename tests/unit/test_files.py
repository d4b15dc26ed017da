"""A reader sees a whole file or none, on a full disk too."""

import errno
import hashlib
import os

import pytest

from satsynth.runtime import files
from satsynth.runtime.errors import DiskError


def names(folder):
    return [path.name for path in folder.iterdir()]


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "file"
    with files.replacing(path) as partial:
        partial.write_bytes(b"whole")
        assert not path.exists() and partial.parent == path.parent
    assert path.read_bytes() == b"whole"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch, place):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": 1})
    monkeypatch.setattr(files.os, place, full)
    with pytest.raises(DiskError, match=r"card\.json: the disk is full.*Free some space"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert names(tmp_path) == ["card.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_writing_leaves_nothing(tmp_path, number):
    with pytest.raises(DiskError), files.replacing(tmp_path / "images.npy") as partial:
        partial.write_bytes(b"half")
        raise OSError(number, "no room")
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_the_kernels_own_full_disk_is_recognised(tmp_path):
    with pytest.raises(DiskError), files.replacing(tmp_path / "file") as partial:
        partial.symlink_to("/dev/full")
        partial.write_text("text")
    assert names(tmp_path) == []


def test_other_errors_pass_and_leave_nothing(tmp_path):
    with pytest.raises(PermissionError), files.replacing(tmp_path / "file") as partial:
        partial.write_text("half")
        raise PermissionError(errno.EACCES, "not yours")
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "file") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_json_is_sorted_and_refuses_nan(tmp_path):
    files.write_json(tmp_path / "card.json", {"b": 1, "a": [2.5]})
    assert (tmp_path / "card.json").read_text() == '{\n "a": [\n  2.5\n ],\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "other.json", {"a": float("nan")})
    assert names(tmp_path) == ["card.json"]


def test_sha256_is_that_of_the_content(tmp_path):
    content = bytes(range(256)) * (files.BLOCK // 128)
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


class SafetensorError(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("1000000 requested and 124984 written"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_recognised_however_its_writer_says_so(tmp_path, error):
    with pytest.raises(DiskError, match="disk is full"), files.replacing(tmp_path / "x") as partial:
        partial.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(SafetensorError), files.replacing(tmp_path / "x") as partial:
        partial.write_text("half")
        raise SafetensorError("tensors share memory (os error 2)")
    assert list(tmp_path.iterdir()) == []


def test_a_private_temporary_file_is_published_with_the_usual_mode(tmp_path):
    with files.replacing(tmp_path / "x") as partial:
        partial.write_text("all")
        partial.chmod(0o600)
    (tmp_path / "y").write_text("usual")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode
