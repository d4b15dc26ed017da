"""A scene: one image with its mask. Finding scenes on disk, and saying why none were found."""

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from satsynth.datasets.rasters import SUFFIXES
from satsynth.randomness import derive
from satsynth.runtime import files
from satsynth.runtime.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """One raw image and its mask. `name` is unique in the dataset: the image's relative path without suffix, or what the format uses."""

    name: str
    image: Path
    mask: Path


def natural(text: str) -> list:
    """A sort key under which P2 comes before P10."""
    # The parts of odd number are the digits. `isdigit` would also say so of signs such as a superscript two, which are no numbers.
    parts = enumerate(re.split(r"([0-9]+)", text))
    return [(0, int(part), part) if number % 2 else (1, 0, part) for number, part in parts]


def files_under(folder: Path) -> list[Path]:
    """All PNG, JPEG and TIFF files at any depth under `folder`, in natural order; hidden files are left out. Links are followed.

    Raises:
        DataError: the folder does not exist, holds a link to a folder that the link lies in, or a file whose name is no UTF-8
            or has control characters.
    """
    if not folder.is_dir():
        raise DataError(folder, "this folder does not exist.", "Put the data there, or mend root or the paths of the dataset.")
    found = []
    for base, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in folders:
            if files.leads_back(Path(base) / name):
                raise DataError(printable(Path(base) / name), "it is a link to a folder that it lies in.", "Remove the link.")
        found += [Path(base) / name for name in names if not name.startswith(".") and name.lower().endswith(SUFFIXES)]
    for path in found:
        if printable(path) != str(path):
            cause = "the name of this file holds control characters or is no UTF-8, so it cannot stand in an index of patches."
            raise DataError(printable(path), cause, "Rename it.")
    return sorted(found, key=lambda path: natural(path.as_posix()))


def printable(path: str | Path) -> str:
    """A path as it can be written to a log: bytes that are no UTF-8 and control characters stand as \\xff and \\n."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def lines_of(path: Path) -> list[str]:
    """The lines of a list of names, without blanks around them; empty ones are left out.

    Raises:
        DataError: the file is no UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(path, f"this list is no UTF-8 text ({error}).", "Save it as plain text, a name a line.") from error
    return [line.strip() for line in lines if line.strip()]


def by_key(pairs: Iterable[tuple[object, Path]]) -> dict[object, Path]:
    """A dict of files by key.

    Raises:
        DataError: two files have one key (as a.png and a.jpg have).
    """
    table: dict[object, Path] = {}
    for key, path in pairs:
        if key in table:
            raise DataError(path, f"it goes by the same name as {table[key]}.", "Keep one of the two, or tell them apart by a pattern.")
        table[key] = path
    return table


def paired(images: dict, masks: dict, where: str, name=str) -> list[Scene]:
    """Join images and masks of equal keys into scenes, in natural order of their names.

    Args:
        images: key -> image file.
        masks: key -> mask file.
        where: what was looked for, as in "images in A and masks in B".
        name: the scene's name from its key.

    Raises:
        DataError: no pair at all (the message counts both sides and shows unmatched names), or an image without a mask.
    """
    lone_images = [key for key in images if key not in masks]
    lone_masks = [key for key in masks if key not in images]
    if len(lone_images) == len(images):
        examples = [
            f"{side} {table[keys[0]]}" for side, table, keys in (("image", images, lone_images), ("mask", masks, lone_masks)) if keys
        ]
        unmatched = f" Unmatched are, for example, {' and '.join(examples)}." if examples else ""
        raise DataError(
            where,
            f"no pair was found: {len(images)} images and {len(masks)} masks, none of the same name.{unmatched}",
            "Mend root, images or labels, so that an image and its mask go by one name.",
        )
    if lone_images:
        raise DataError(
            images[lone_images[0]],
            f"there is no mask {name(lone_images[0])} for it ({len(lone_images)} of {len(images)} images have none; looked for: {where}).",
            "Add the mask, or take the image out of the folder.",
        )
    if lone_masks:
        # OpenEarthMap comes without the xBD images, so this is no error.
        log.warning("%d of %d masks have no image, such as %s; they are left out.", len(lone_masks), len(masks), masks[lone_masks[0]])
    scenes = [Scene(name(key), path, masks[key]) for key, path in images.items()]
    return sorted(scenes, key=lambda scene: natural(scene.name))


def drawn(names: Iterable[str], share: float, seed: int, purpose: str) -> set[str]:
    """A share of the names, drawn by (seed, purpose, name), so that it hardly changes when names are added.

    Args:
        names: distinct scene or group names.
        share: between 0 and 1, of the number of names; at least one is drawn and at least one is left.
        seed: the seed of the draw.
        purpose: tells draws under one seed apart.

    Raises:
        DataError: fewer than two names.
    """
    order = sorted(set(names), key=lambda name: (derive(seed, purpose, name), name))
    if len(order) < 2:
        raise DataError(purpose, f"{len(order)} scenes cannot be divided in two.", "Give more scenes, or name the parts yourself.")
    return set(order[: min(max(round(share * len(order)), 1), len(order) - 1)])
