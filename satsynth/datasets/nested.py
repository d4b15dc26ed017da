"""Folders that lie one or two levels below where they were looked for: which patterns find what is in them."""

import glob
import os
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from satsynth.datasets.rasters import SUFFIXES
from satsynth.datasets.scenes import natural, printable
from satsynth.runtime.errors import DataError

DEPTHS = (1, 2)  # folders between the root and those that are looked for


def check(root: Path, keys: dict[str, str]) -> None:
    """Say so where a folder is missing, but folders below the root have one of that name each, as in Tile 1/images, Tile 2/images.

    Args:
        root: what the folders are relative to.
        keys: key of the stanza -> folder. The first is looked for; where it lies deeper, the patterns of all that lie beside it are told.

    Raises:
        DataError: with patterns made of what is there.
    """
    parts = Path(next(iter(keys.values()))).parts
    if root.joinpath(*parts).is_dir() or {"..", os.sep} & set(parts):
        return
    found = next((hits for depth in DEPTHS if (hits := _below(root, depth, parts))), [])
    if not found:
        return
    above = [path.relative_to(root).parts[: -len(parts)] for path in found]
    names = _pattern(list(zip(*above)))
    beside = {key: root.joinpath(*above[0], folder) for key, folder in keys.items()}
    patterns = [
        f'{key}: "{"/".join([*names, *Path(keys[key]).parts, "{name}" + _suffix(folder)])}"'
        for key, folder in beside.items()
        if folder.is_dir()
    ]
    raise DataError(
        root.joinpath(*parts),
        f"this folder does not exist, but lies deeper in {len(found)} folders, such as {printable(found[0])}.",
        f"Give patterns with the same {{wildcards}} instead of folders, such as {', '.join(map(printable, patterns))}.",
    )


def _below(root: Path, depth: int, parts: Sequence[str]) -> list[Path]:
    found = root.glob("/".join(["*"] * depth + [glob.escape(part) for part in parts]))
    return sorted((path for path in found if path.is_dir()), key=lambda path: natural(str(path)))


def _pattern(levels: list[Sequence[str]]) -> list[str]:
    """For each level of folders its one name, or what all names begin with and a wildcard that is called after it."""
    pattern, taken = [], {"name"}
    for names in levels:
        # What a pattern would read as its own cannot stand in it as a name.
        if len(set(names)) == 1 and not set("{}*") & set(names[0]):
            pattern.append(names[0])
            continue
        start = "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names))).rstrip("0123456789")
        start = "" if set("{}*") & set(start) else start
        wildcard = re.sub(r"[^a-z]", "", start.lower()) or "folder"
        while wildcard in taken:
            wildcard += "_"
        taken.add(wildcard)
        pattern.append(f"{start}{{{wildcard}}}")
    return pattern


def _suffix(folder: Path) -> str:
    """That of the first raster in a folder."""
    found = sorted(path.suffix for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return found[0] if found else SUFFIXES[0]
