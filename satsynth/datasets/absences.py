"""Why no image, or no mask, was found where it was looked for: what lies there instead."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from satsynth.datasets import patterns
from satsynth.datasets.rasters import SUFFIXES
from satsynth.datasets.scenes import files_under
from satsynth.runtime.errors import DataError

SOME = 3  # kinds of files that are told


def why(root: Path, places: Mapping[str, str]) -> str:
    """A sentence for each key of the stanza that has found no file; with a blank before it.

    Args:
        root: what the places are relative to.
        places: key -> folder or pattern (its stars named) in which no file was found.
    """
    return "".join(f" {key}: {_why(root, place)}" for key, place in places.items())


def _why(root: Path, place: str) -> str:
    pattern = place if patterns.WILDCARD.search(place) else None
    folder = root / (patterns.fixed_folder(pattern) if pattern else place)
    suffixes = patterns.suffixes(place)
    if "\\" in place:
        return "a backslash parts no folders; write /."
    try:
        lying = files_under(folder, ("",))
    except DataError as error:
        return f"{folder} cannot be looked at: {error.cause}"
    known = [path for path in lying if path.name.lower().endswith(suffixes)]
    if not lying:
        return f"no file lies in {folder}."
    if not known:
        kinds = Counter(path.suffix or "without a suffix" for path in lying).most_common(SOME)
        read = ", ".join(suffix.lstrip(".") for suffix in suffixes)
        there = [f"{count} file{'s' if count > 1 else ''} {kind}" for kind, count in kinds]
        return f"in {folder} lie {' and '.join(there)}; {read} are read."
    if pattern is None:
        return f"the {len(known)} files in {folder} are masks of others."
    fits = patterns.fitting(pattern, re.IGNORECASE)
    alike = [path for path in known if fits(path.relative_to(root).as_posix())]
    if alike:
        return f"{len(alike)} files fit but for upper and lower case, such as {alike[0]}."
    return f"{len(known)} files lie in {folder}, such as {known[0]}, and none fits the pattern."


def missing_file(path: Path) -> DataError:
    """The error of one file that is named and not there."""
    if path.is_symlink():
        return DataError(path, f"it is a link to {path.readlink()}, which is missing.", "Fetch that file, or remove the link.")
    beside = sorted(other.name for other in path.parent.iterdir() if other.suffix.lower() in SUFFIXES) if path.parent.is_dir() else []
    some = f" Beside it lie {', '.join(beside[:SOME])}{', ...' if len(beside) > SOME else ''}." if beside else ""
    return DataError(path, f"this file does not exist.{some}", "Mend the path; a folder or a pattern may be given, too.")
