"""What raw data are: relative names, sizes and modification times, never the place where they lie."""

import functools
import hashlib
import os
from pathlib import Path

from satsynth.runtime.errors import ConfigError


def root_of(stanza: dict, data_root: str | None) -> Path:
    """Where a dataset's raw files lie: its root under SATSYNTH_DATA, else under `data_root`, else as it stands."""
    place = os.environ.get("SATSYNTH_DATA") or data_root
    root = Path(stanza["root"])
    return Path(place) / root if place else root


@functools.cache
def digest(root: Path, dataset: str) -> str:
    """Digest of (relative name, size, modification time) of every file below `root`; hidden files do not count.

    Raises:
        ConfigError: there is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(
            f"datasets.{dataset}.root",
            f"there is no folder {root.absolute()} (SATSYNTH_DATA is {os.environ.get('SATSYNTH_DATA') or 'not set'}).",
            "Mend the root, set data_root, or set SATSYNTH_DATA to the folder that holds your datasets.",
        )
    entries = []
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        raise ConfigError(
                            f"datasets.{dataset}.root",
                            f"{entry.path} is a link to a file that is not there.",
                            "Fetch the file (git annex get, git lfs pull), or remove the link.",
                        ) from None
                    entries.append((os.path.relpath(entry.path, root), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(sorted(entries)).encode()).hexdigest()[:16]
