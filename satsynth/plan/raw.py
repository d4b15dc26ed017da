"""What raw data are: relative names, sizes and modification times, never the place where they lie."""

import functools
import hashlib
import os
from pathlib import Path

from satsynth.runtime.errors import ConfigError
from satsynth.runtime.files import leads_back


def root_of(stanza: dict, data_root: str | None) -> Path:
    """Where a dataset's raw files lie: its root under SATSYNTH_DATA, else under `data_root`, else as it stands; ~ is a home."""
    place = os.environ.get("SATSYNTH_DATA") or data_root
    # Path.expanduser raises where there is no such home; the path is then told as it stands.
    root = Path(os.path.expanduser(stanza["root"]))  # noqa: PTH111
    return Path(os.path.expanduser(place)) / root if place else root  # noqa: PTH111


@functools.cache
def digest(root: Path, dataset: str) -> str:
    """Digest of (relative name, size, modification time) of every file below `root`; hidden files do not count, links are followed.

    Raises:
        ConfigError: there is no such folder, it holds or lies in the folder of results, which would be its own input, or a file or
            folder below it cannot be looked at.
    """
    outranking = os.environ.get("SATSYNTH_DATA")
    if not os.path.isdir(root):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
        raise ConfigError(
            f"datasets.{dataset}.root",
            f"there is no folder {root.absolute()} (SATSYNTH_DATA is {outranking or 'not set'}).",
            "Mend the root, or SATSYNTH_DATA: it outranks data_root."
            if outranking
            else "Mend the root, set data_root, or set SATSYNTH_DATA to the folder that holds your datasets.",
        )
    here, results = root.resolve(), Path("results").resolve()
    if here.is_relative_to(results) or results.is_relative_to(here):
        cause = f"{here} and the folder of results, {results}, lie in one another; nothing is ever written below a root."
        raise ConfigError(f"datasets.{dataset}.root", cause, "Name a folder that holds the raw files of this dataset and nothing else.")
    entries = []
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                listed = [entry for entry in found if not entry.name.startswith(".")]
            for entry in listed:
                if not entry.is_dir():
                    status = entry.stat()
                    entries.append((os.path.relpath(entry.path, root), status.st_size, status.st_mtime_ns))
                elif leads_back(entry.path):
                    raise ConfigError(
                        f"datasets.{dataset}.root", f"{entry.path!r} is a link to a folder that it lies in.", "Remove the link."
                    )
                else:
                    waiting.append(entry.path)
        except FileNotFoundError as error:
            raise ConfigError(
                f"datasets.{dataset}.root",
                f"{error.filename!r} is a link to a file that is not there.",
                "Fetch the file (git annex get, git lfs pull), or remove the link.",
            ) from None
        except OSError as error:
            cause = f"{error.filename!r} cannot be looked at ({error.strerror})."
            raise ConfigError(f"datasets.{dataset}.root", cause, "Mend its permissions, or remove it.") from None
    return hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()[:16]
