"""Writing files so that a reader sees either all of one or nothing of it."""

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from satsynth.runtime.errors import CardError, DiskError

BLOCK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AGAIN = "Delete it and run again; finished work comes back from results/state."
WORKFLOW = "SATSYNTH_WORKFLOW"  # set in jobs that work in another folder than the workflow's
UMASK = os.umask(0)
os.umask(UMASK)


def as_given(path: str | Path) -> Path:
    """Where a path of a config leads: from the folder of the workflow, also in a job that works in another one."""
    return Path(os.environ.get(WORKFLOW, "")) / path


def disk_is_full(error: BaseException) -> bool:
    """Whether an error means a full disk or a spent quota, however its writer says so.

    safetensors raises an error of its own with the number in its text; numpy one without a number when a write falls short.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    short = isinstance(error, OSError) and "requested and" in str(error)
    return short or re.search(rf"\(os error ({'|'.join(map(str, FULL))})\)", str(error)) is not None


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends without an error.

    Raises:
        DiskError: the disk is full or the quota is spent; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.chmod(0o666 & ~UMASK)  # some writers rename a private temporary file of their own
        os.replace(partial, path)
    except Exception as error:
        if disk_is_full(error):
            raise DiskError(
                path, "the disk is full, so the file was not written.", "Free some space and run again; finished work is kept."
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: str | Path, name: str = "*") -> None:
    """Remove what writers of files of this name that were killed left in `folder`; only where nobody else can write there now."""
    for path in Path(folder).glob(f".{name}.[0-9]*.partial"):
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as sorted, indented JSON, atomically; NaN is refused (it is not JSON)."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON file that holds a map, as every card does.

    Raises:
        CardError: the file holds no JSON (NaN is none), or no map.
        OSError: it cannot be read.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CardError(path, f"the file is no JSON ({error}).", AGAIN) from error
    if not isinstance(value, dict):
        raise CardError(path, "the file holds a single value or a list, not a map.", AGAIN)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")


def leads_back(path: str | Path) -> bool:
    """Whether a path is a link to a folder that the path itself goes through: who follows such links never comes to an end."""
    path = Path(path)
    return path.is_symlink() and any(os.path.samefile(path, above) for above in path.absolute().parents if path.exists())  # noqa: PTH121


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def walk(folder: str | Path) -> list[Path]:
    """Every file below a folder, sorted by its path."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def digest_folder(folder: str | Path) -> dict:
    """What a folder holds: number of `files`, their `size` in bytes, and a `sha256` of all relative names and contents."""
    digest, size, found = hashlib.sha256(), 0, walk(folder)
    for path in found:
        size += path.stat().st_size
        digest.update(json.dumps([path.relative_to(folder).as_posix(), sha256(path)]).encode())
    return {"files": len(found), "size": size, "sha256": digest.hexdigest()}
