"""A look at raw data before any training: everything that is there, and everything that is wrong with it, in one go.

report, shown, strange = inspect("folder", Path("data/mytown"), cfg, space)
"""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from satsynth.datasets.duplicates import Window
from satsynth.datasets.judging import Judge
from satsynth.datasets.labels import Labels
from satsynth.datasets.orientation import Turned
from satsynth.datasets.rasters import fitted, opened, rgb_rows
from satsynth.datasets.scenes import Block, Collecting, Scene, printable
from satsynth.datasets.standins import StandIns
from satsynth.datasets.tallies import Shown, Tally, Without
from satsynth.datasets.tiling import Decoder, blocks_of, cut, kept, windows
from satsynth.datasets.unknown import Unknown
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime.errors import ConfigError, SatsynthError
from satsynth.runtime.logs import Progress

SPLITS = ("train", "val")
LEAST_WINDOW = 128  # px: smaller windows look alike too easily
EXAMPLES = 3  # files named for an unknown value
MOST_NAMED = 200  # files, values or windows that a report names


class Inspection:
    """One look at a dataset: what was found of files, values and pixels so far.

    Args:
        decoder: of the labels; its `note` and `stand_ins` are taken.
        space, root, cfg: see `inspect`.
        findings: takes errors and warnings.
    """

    def __init__(self, decoder: Decoder, space: LabelSpace, root: Path, cfg: dict, findings: Collecting):
        self.decoder, self.root, self.cfg, self.findings = decoder, root, cfg, findings
        self.tallies = {split: Tally() for split in SPLITS}
        self.images, self.masks = Counter(), Counter()  # what a file is -> files
        self.sides: list[tuple[int, int]] = []
        self.turned = Turned()
        self.without = {"images": Without(), "masks": Without()}
        self.scenes: list[Scene] = []  # one an image
        self.unknown = Unknown()  # in places (labels, image)
        self.best: dict[int, tuple[int, Shown]] = {}  # class -> the most pixels of it in a patch, and that patch
        self._seen = self._met = Counter()  # unknown value -> pixels, or category -> annotations: of a reading, of an image
        self.stand_ins = StandIns(decoder.classes, space.colours)
        decoder.stand_ins = self.stand_ins.ids
        decoder.note = lambda _, strange: self._seen.update(strange)

    def look(self, parts: dict[str, Scene]) -> None:
        """Look at one image, of which each split may have a scene (both do where it is cut into blocks)."""
        scene = next(iter(parts.values()))
        self.scenes.append(scene)
        self._met = Counter()
        sound = [self._opened(scene.image, self.images)]
        if isinstance(self.decoder, Labels):
            sound.append(self._opened(scene.mask, self.masks))
        if not all(sound) or not all([self._patches(split, part) for split, part in parts.items()]):
            self._read_alone(scene)
        self.unknown.add((scene.mask, scene.image), self._met)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep an error; keep the unknown values of this reading, if it met more of them than an earlier one of the same image."""
        self._seen = Counter()
        try:
            yield
        except SatsynthError as error:
            self.findings.error(error)
        self._met = max(self._met, self._seen, key=Counter.total)

    def _opened(self, path: Path, kinds: Counter) -> bool:
        """Whether a file can be opened; says what it is."""
        try:
            with opened(path, self.cfg["max_pixels"]) as raster:
                palette = " with a palette" if raster.palette is not None else ""
                bands = f"{raster.bands} band{'s' if raster.bands > 1 else ''}"
                kinds[f"{path.suffix.lower().lstrip('.')}, {bands}, {raster.dtype}{palette}"] += 1
                if kinds is self.images:
                    self.sides.append((raster.width, raster.height))
                    self.turned.add(raster)
                    self.without["images"].add(raster, raster.nodata, self.cfg["bands"])
                else:
                    self.without["masks"].add(raster, self.decoder.without_data(raster), None)
        except SatsynthError as error:
            self.findings.error(error)
            return False
        return True

    def _read_alone(self, scene: Scene) -> None:
        """Read image and mask each by itself to the end, where they could not be read together: both may be at fault."""
        with self._reading(), opened(scene.image, self.cfg["max_pixels"]) as image:
            _read_through(rgb_rows(image, self.cfg["bands"], self.cfg["scale"]), image.height)
        if isinstance(self.decoder, Labels):
            with self._reading(), opened(scene.mask, self.cfg["max_pixels"]) as mask:
                _read_through(self.decoder.rows(mask), mask.height)

    def _patches(self, split: str, scene: Scene) -> bool:
        """Count the pixels of a scene in a split, and keep windows and patches of it; whether it could be read."""
        tally, size, side = self.tallies[split], self.cfg["size"], max(self.cfg["size"], LEAST_WINDOW)
        with opened(scene.image, self.cfg["max_pixels"]) as image:
            blocks = {block.name: block for block in blocks_of(scene, *fitted(image.height, image.width, self.cfg["resize"]))}
        tiled = {name: self._tiled(block, split) for name, block in blocks.items()}
        pixels = {name: np.zeros(256, np.int64) for name in blocks}
        patches, without_data, finished = 0, 0, False
        with self._reading():
            for patch, inside in self._windows(scene, blocks, size, tiled):
                counts = np.bincount(patch.mask.ravel(), minlength=256)
                if (patch.row, patch.column) in tiled[patch.scene] and kept(self._ignored(counts), self.cfg):
                    patches += 1
                    self._show(tally, patch, counts)
                if inside is not None:
                    counts[IGNORE] -= patch.mask.size - patch.mask[inside].size  # the padding
                    pixels[patch.scene] += counts
                    without_data += np.count_nonzero(patch.image[inside][..., 3:] == 0)  # three channels have none
                    if side == size:
                        tally.details.add(*_window(patch, blocks[patch.scene], scene, side))
            finished = True
        if finished and side > size:
            with self._reading():
                for patch, _ in self._windows(scene, blocks, side):
                    tally.details.add(*_window(patch, blocks[patch.scene], scene, side))
        if finished:
            tally.patches += patches
            tally.without_data += without_data
            tally.left_out += sum(map(len, tiled.values())) - patches
            for name, block in blocks.items():
                tally.add_scene(name, pixels[name], self.decoder.classes)
                if min(block.height, block.width) < size:
                    tally.small.append(f"{name} ({block.width} x {block.height})")
        return finished

    def _tiled(self, block: Block, split: str) -> set[tuple[int, int]]:
        """Where tiling cuts patches out of a block: row and column of each."""
        return set(windows(block.height, block.width, self.cfg["size"], self.cfg["stride"], self.cfg["remainder"][split]))

    def _ignored(self, counts: np.ndarray) -> int:
        """Pixels that tiling takes for unlabelled, of counts (256,) by id; what stops it, unknown values, is none of them."""
        return int(counts[IGNORE] + (0 if self.cfg["unknown"] == "error" else counts[self.decoder.classes : IGNORE].sum()))

    def _show(self, tally: Tally, patch: Shown, counts: np.ndarray) -> None:
        """Keep a patch for the preview if the draw, or the number of its pixels of a class, has it there."""
        tally.show(patch)
        for number in np.flatnonzero(counts[: self.decoder.classes]).tolist():
            if counts[number] > self.best.get(number, (0, None))[0]:
                self.best[number] = int(counts[number]), patch.copy()

    def _windows(
        self, scene: Scene, blocks: dict[str, Block], side: int, more: dict[str, set] | None = None
    ) -> Iterator[tuple[Shown, tuple[slice, slice] | None]]:
        """Windows of `side` pixels side by side, padded at the borders, each pixel of a scene once: the window, and what lies inside of it.

        Windows at places of `more`, by block, come between them, with None where they are not of that grid.
        """
        grid = {name: set(windows(block.height, block.width, side, side, "pad")) for name, block in blocks.items()}
        more = more or {}
        for window in cut(scene, self.decoder, {**self.cfg, "size": side}, lambda block: grid[block.name] | more.get(block.name, set())):
            patch = Shown(*window)
            block = blocks[patch.scene]
            inside = np.s_[: block.height - patch.row, : block.width - patch.column]
            yield patch, inside if (patch.row, patch.column) in grid[patch.scene] else None

    def report(self, names: tuple[str, ...]) -> dict:
        """Everything that was found, as plain JSON; what the counts say is added to the errors and warnings first.

        Args:
            names: of the classes.
        """
        findings = self.findings
        judge = Judge(self.decoder, self.cfg, names, findings, self.tallies)
        if self.turned.count:
            findings.warning(self.turned.warning())
        judge.values(self.unknown)
        judge.counts(self.root, self.scenes, self.unknown)
        pairs = judge.leaks()
        return {
            "files": {
                "images": dict(sorted(self.images.items())),
                "masks": dict(sorted(self.masks.items())),
                "annotations": None if isinstance(self.decoder, Labels) else sorted({str(scene.mask) for scene in self.scenes}),
                "images_without_mask": [printable(path) for path in findings.lone_images][:MOST_NAMED],
                "images_without_mask_count": len(findings.lone_images),
                "masks_without_image": [printable(path) for path in findings.lone_masks][:MOST_NAMED],
                "masks_without_image_count": len(findings.lone_masks),
                "without_data": {
                    what: {"said": dict(sorted(found.said.items())), "files": found.said.total(), "pixels": found.pixels}
                    for what, found in self.without.items()
                },
                "pixels": sum(width * height for width, height in self.sides),
                "sides": [list(side) for side, _ in Counter(self.sides).most_common(MOST_NAMED)],
                "smallest": list(min(self.sides, key=np.prod, default=())),
                "largest": list(max(self.sides, key=np.prod, default=())),
            },
            "unknown": [
                {
                    "value": printable(value),
                    "colour": self.stand_ins.colour(value),
                    "count": count,
                    "files": self.unknown.places[value],
                    "examples": [printable(path) for path in self._examples(value)],
                }
                for value, count in self.unknown.pixels.most_common(MOST_NAMED)
            ],
            "classes": list(names),
            "splits": {
                split: {
                    "scenes": tally.scenes,
                    "names": list(map(printable, tally.names)),
                    "values": {wildcard: list(map(printable, values)) for wildcard, values in findings.values.get(split, {}).items()},
                    "patches": tally.patches,
                    "left_out": tally.left_out,
                    "pixels": tally.pixels[: len(names)].tolist(),
                    "ignored": int(tally.pixels[IGNORE]),
                    "in_scenes": tally.in_scenes[: len(names)].tolist(),
                    "windows": tally.details.seen,
                    "plain": tally.details.plain,
                }
                for split, tally in self.tallies.items()
            },
            "window": max(self.cfg["size"], LEAST_WINDOW),
            "near_duplicates": pairs[:MOST_NAMED],
            "near_duplicates_count": len(pairs),
            "errors": [
                {"subject": printable(error.subject), "cause": printable(error.cause), "remedy": error.remedy}
                for error in findings.errors.values()
            ],
            "warnings": list(map(printable, findings.warnings)),
            "hints": [*map(printable, findings.hints), *judge.hints(self.sides)],
        }

    def _examples(self, value: str) -> list[Path]:
        """The files with most of an unknown value: masks, or the images whose annotations they are."""
        places = self.unknown.examples(value, EXAMPLES)
        return [mask if isinstance(self.decoder, Labels) else image for mask, image in places]


def _window(patch: Shown, block: Block, scene: Scene, side: int) -> tuple[Window, np.ndarray, tuple[int, int]]:
    """Where a patch of `side` pixels lies in its file (its rows and columns count from the corner of its block), what of it lies inside,
    and height and width of a whole one there.
    """
    window = Window(patch.scene, block.top + patch.row, block.left + patch.column, str(scene.image))
    inside = patch.image[: block.height - patch.row, : block.width - patch.column]
    return window, inside, (min(side, block.height), min(side, block.width))


def _place(patch: Shown) -> dict:
    """Where a patch of the preview lies, as plain JSON."""
    place = {"scene": printable(patch.scene), "row": patch.row, "column": patch.column}
    return place | ({"class": patch.title} if patch.title else {})


def _read_through(rows: Callable[[int, int], np.ndarray], height: int) -> None:
    for top in range(0, height, 512):
        rows(top, min(top + 512, height))


def inspect(
    format_name: str, root: Path, cfg: dict, space: LabelSpace, trouble: list[str] | None = None
) -> tuple[dict, dict[str, list[Shown]], np.ndarray]:
    """Look at both splits of a dataset; broken data are told, never raised.

    Args:
        format_name: a module of this package (isaid, loveda, openearthmap, folder, demo).
        root: where the raw data are; nothing is written there.
        cfg: as `tiling.tile` reads it, but `remainder` is a map of both splits.
        space: names and colours of the classes.
        trouble: subject, cause and remedy of what was found wrong with the root before, or None.

    Returns:
        The report (plain JSON; see `Inspection.report`); patches to show by heading: `train`, `val` (drawn at random) and `classes`
        (for each class the patch with most of it); and a table (256,3) uint8 of the colours of those ids in their masks that are neither
        of a class nor 255: what no class has.
    """
    findings = Collecting()
    module = import_module(f"satsynth.datasets.{format_name}")
    images: dict[Path, dict[str, Scene]] = defaultdict(dict)
    if trouble:
        findings.error(ConfigError(*trouble))
    for split in SPLITS if root.is_dir() or not trouble else ():
        try:
            for scene in module.scenes(root, split, cfg, findings):
                images[scene.image][split] = scene
        except SatsynthError as error:
            findings.error(error)
    try:
        looking = Inspection(module.labels(cfg), space, root, cfg, findings)
    except SatsynthError as error:
        findings.error(error)
        looking = Inspection(Labels(space.count, values={0: 0}, unknown="ignore"), space, root, cfg, findings)
        images = {}
    progress = Progress("check", len(images), "images")
    for number, parts in enumerate(images.values(), 1):
        looking.look(parts)
        progress.update(number)
    met = {error.subject for error in findings.errors.values()}
    if trouble and any(str(Path(name).absolute()) in met for name in re.findall("'([^']+)'", trouble[1])):
        findings.errors.pop((trouble[0], trouble[1]))  # the reader, which met the same file, says more about it
    report = looking.report(space.names)
    shown = {split: looking.tallies[split].chosen() for split in SPLITS}
    shown["classes"] = [patch._replace(title=space.names[number]) for number, (_, patch) in sorted(looking.best.items())]
    report["shown"] = {heading: list(map(_place, patches)) for heading, patches in shown.items()}
    return report, shown, looking.stand_ins.table()
