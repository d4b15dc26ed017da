"""A scene: one image with its mask. Finding scenes on disk, and saying why none were found."""

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from satsynth.datasets.rasters import SUFFIXES
from satsynth.datasets.wording import some
from satsynth.randomness import derive
from satsynth.runtime import files
from satsynth.runtime.errors import DataError, SatsynthError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block:
    """A rectangle of a scene, in pixels of the scene after any resize, that counts as a scene of its own under `name`."""

    name: str
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Scene:
    """One raw image and its mask (or the file that its labels are drawn from).

    `name` is unique in the dataset: the image's relative path without suffix, or what the format uses. `blocks` are the parts of the scene
    that belong to a split, from top to bottom; without any the whole scene does.
    """

    name: str
    image: Path
    mask: Path
    blocks: tuple[Block, ...] = ()


class Stopping:
    """What a reader does with something that is not as it should be: it stops at an error, and logs what may be meant."""

    def error(self, error: SatsynthError) -> None:
        """Something that cannot be used; a reader that comes back from here goes on without it."""
        raise error

    def warning(self, text: str) -> None:
        """Something that can be used, but is seldom meant."""
        log.warning("%s", text)

    def hint(self, text: str) -> None:
        """Something worth knowing, though nothing is wrong."""
        log.info("%s", text)

    def needed(self, images: dict[str, Path]) -> Collection[str]:
        """Of all images, by the names of their scenes, those that must have a mask: every one."""
        return images

    def unpaired(self, images: list[Path], masks: list[Path]) -> None:
        """Images without a mask, and masks without an image; an error or a warning about them follows."""

    def divided(self, split: str, wildcard: str, values: list[str]) -> None:
        """The values that a split holds of a wildcard by which train and val were divided."""


class Collecting(Stopping):
    """Keeps everything instead, each thing once, so that it can be told in one go; of two remedies for one thing the later one."""

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], SatsynthError] = {}  # by subject and cause
        self.warnings: dict[str, None] = {}
        self.hints: dict[str, None] = {}
        self.lone_images: dict[Path, None] = {}
        self.lone_masks: dict[Path, None] = {}
        self.values: dict[str, dict[str, list[str]]] = {}  # split -> wildcard -> values

    def error(self, error: SatsynthError) -> None:
        """Keep the error."""
        self.errors[error.subject, error.cause] = error

    def warning(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.setdefault(text)

    def hint(self, text: str) -> None:
        """Keep the hint."""
        self.hints.setdefault(text)

    def unpaired(self, images: list[Path], masks: list[Path]) -> None:
        """Keep the files; both splits of a dataset may be paired from the same ones."""
        self.lone_images |= dict.fromkeys(images)
        self.lone_masks |= dict.fromkeys(masks)

    def divided(self, split: str, wildcard: str, values: list[str]) -> None:
        """Keep the values."""
        self.values.setdefault(split, {})[wildcard] = values


STOPPING = Stopping()


def natural(text: str) -> list:
    """A sort key under which P2 comes before P10."""
    # The parts of odd number are the digits. `isdigit` would also say so of signs such as a superscript two, which are no numbers.
    parts = enumerate(re.split(r"([0-9]+)", text))
    return [(0, int(part), part) if number % 2 else (1, 0, part) for number, part in parts]


def files_under(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """All files of these suffixes at any depth under `folder`, in natural order; hidden files are left out. Links are followed.

    Raises:
        DataError: the folder does not exist, holds a link to a folder that the link lies in, or a file whose name is no UTF-8
            or has control characters.
    """
    if not folder.is_dir():
        raise DataError(
            folder, f"this folder does not exist.{_beside(folder)}", "Put the data there, or mend root or the paths of the dataset."
        )
    found = []
    for base, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in folders:
            if files.leads_back(Path(base) / name):
                raise DataError(printable(Path(base) / name), "it is a link to a folder that it lies in.", "Remove the link.")
        found += [Path(base) / name for name in names if not name.startswith(".") and name.lower().endswith(suffixes)]
    for path in found:
        if printable(path) != str(path):
            cause = "the name of this file holds control characters or is no UTF-8, so it cannot stand in an index of patches."
            raise DataError(printable(path), cause, "Rename it.")
    return sorted(found, key=lambda path: natural(path.as_posix()))


def _beside(folder: Path) -> str:
    """What lies where a missing folder was looked for, as a sentence."""
    above = next((parent for parent in folder.parents if parent.is_dir()), None)
    names = sorted(printable(path.name) for path in above.iterdir() if path.is_dir() and not path.name.startswith(".")) if above else []
    return f" In {above} there are: {some(names, 8)}." if names else ""


def printable(path: str | Path) -> str:
    """A path or other text from outside as it can be written to a log: what is no UTF-8 and control characters stand as \\xff and \\n."""
    # Bytes of a name on disk stand as U+DC80 to U+DCFF; of text from a file any other half of a surrogate pair may come.
    whole = re.sub(r"[\ud800-\udc7f\udd00-\udfff]", lambda found: repr(found[0])[1:-1], os.fspath(path))
    text = os.fsencode(whole).decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


def lines_of(path: Path) -> list[str]:
    """The lines of a list of names, without blanks around them; empty ones are left out.

    Raises:
        DataError: the file cannot be read, or is no UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows begin a text with a mark
    except OSError as error:
        raise DataError(path, f"this list cannot be read ({error.strerror}).", "Mend its permissions.") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"this list is no UTF-8 text ({error}).", "Save it as plain text, a name a line.") from error
    return [line.strip() for line in lines if line.strip()]


def by_key(pairs: Iterable[tuple[object, Path]], findings: Stopping = STOPPING) -> dict[object, Path]:
    """A dict of files by key; of two files under one key the first is kept, where `findings` goes on.

    Raises:
        DataError: two files have one key (as a.png and a.jpg have).
    """
    table: dict[object, Path] = {}
    for key, path in pairs:
        if key in table:
            cause = f"it goes by the same name as {table[key]}."
            findings.error(DataError(path, cause, "Keep one of the two, or tell them apart by a pattern."))
        table.setdefault(key, path)
    return table


def paired(images: dict, masks: dict, where: str, name=str, findings: Stopping = STOPPING, why: Callable[[], str] = str) -> list[Scene]:
    """Join images and masks of equal keys into scenes, in natural order of their names.

    Args:
        images: key -> image file.
        masks: key -> mask file.
        where: what was looked for, as in "images in A and masks in B".
        name: the scene's name from its key.
        findings: what is done about images without a mask, and which need one.
        why: says, with a blank before it, why there may be no pair; asked only where there is none.

    Raises:
        DataError: no pair at all (the message counts both sides and shows unmatched names), or an image without a mask.
    """
    needed = findings.needed({name(key): path for key, path in images.items()})
    lone_images = [key for key in images if key not in masks and name(key) in needed]
    lone_masks = [key for key in masks if key not in images]
    findings.unpaired([images[key] for key in lone_images], [masks[key] for key in lone_masks])
    if not images.keys() & masks.keys():
        examples = [
            f"{side} {table[keys[0]]}" for side, table, keys in (("image", images, lone_images), ("mask", masks, lone_masks)) if keys
        ]
        unmatched = f" Unmatched are, for example, {' and '.join(examples)}." if examples else ""
        alike = ", none of the same name" if images and masks else ""
        cause = f"no pair was found: {len(images)} images and {len(masks)} masks{alike}.{why()}{unmatched}"
        findings.error(DataError(where, cause, "Mend root, images or labels, so that an image and its mask go by one name."))
        return []
    if lone_images:
        number = f"{len(lone_images)} of {len(images)} images have none; looked for: {where}"
        cause = f"there is no mask {name(lone_images[0])} for it ({number})."
        findings.error(DataError(images[lone_images[0]], cause, "Add the mask, or take the image out of the folder."))
    if lone_masks:
        # OpenEarthMap comes without the xBD images, so this is no error.
        such = f"such as {masks[lone_masks[0]]}; they are left out."
        findings.warning(f"{len(lone_masks)} of {len(masks)} masks have no image, {such}")
    scenes = [Scene(name(key), path, masks[key]) for key, path in images.items() if key in masks]
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
