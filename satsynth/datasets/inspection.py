"""A look at raw data before any training: everything that is there, and everything that is wrong with it, in one go.

report, shown = inspect("folder", Path("data/mytown"), cfg)
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from satsynth.datasets.duplicates import Window, near_duplicates
from satsynth.datasets.labels import Labels, unknown_values
from satsynth.datasets.orientation import Turned
from satsynth.datasets.rasters import fitted, opened, rgb_rows
from satsynth.datasets.scenes import Block, Collecting, Scene, printable
from satsynth.datasets.shapes import unknown_categories
from satsynth.datasets.standins import StandIns
from satsynth.datasets.tallies import Shown, Tally, Without
from satsynth.datasets.tiling import Decoder, blocks_of, overlapping, patches, small_windows, windows
from satsynth.datasets.unknown import Unknown
from satsynth.pairs import IGNORE
from satsynth.runtime.errors import ConfigError, DataError, SatsynthError
from satsynth.runtime.logs import Progress

SPLITS = ("train", "val")
LEAST_WINDOW = 128  # px: smaller windows look alike too easily
EXAMPLES = 3  # files named for an unknown value
FEW_SCENES = 2  # of val: below this no interval over scenes can be given
MOST_NAMED = 200  # files, values or windows that a report names


class Inspection:
    """One look at a dataset: what was found of files, values and pixels so far.

    Args:
        decoder: of the labels; its `note` and `stand_ins` are taken.
        cfg: see `inspect`.
    """

    def __init__(self, decoder: Decoder, cfg: dict, findings: Collecting):
        self.decoder, self.cfg, self.findings = decoder, cfg, findings
        self.tallies = {split: Tally() for split in SPLITS}
        self.images, self.masks = Counter(), Counter()  # what a file is -> files
        self.sides: list[tuple[int, int]] = []
        self.turned = Turned()
        self.without = {"images": Without(), "masks": Without()}
        self.labels: set[Path] = set()
        self.unknown = Unknown()  # in places (labels, image)
        self.best: dict[int, tuple[int, Shown]] = {}  # class -> the most pixels of it in a patch, and that patch
        self._seen = self._met = Counter()  # unknown value -> pixels, or category -> annotations: of a reading, of an image
        self.stand_ins = StandIns(decoder.classes)
        if isinstance(decoder, Labels):
            decoder.stand_ins = self.stand_ins.ids
        decoder.note = lambda _, strange: self._seen.update(strange)

    def look(self, parts: dict[str, Scene]) -> None:
        """Look at one image, of which each split may have a scene (both do where it is cut into blocks)."""
        scene = next(iter(parts.values()))
        self.labels.add(scene.mask)
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
        pixels = {name: np.zeros(256, np.int64) for name in blocks}
        finished = False
        with self._reading():
            for patch, inside in self._grid(scene, blocks, size):
                counts = np.bincount(patch.mask[inside].ravel(), minlength=256)
                pixels[patch.scene] += counts
                tally.show(patch)
                for number in np.flatnonzero(counts[: self.decoder.classes]).tolist():
                    if counts[number] > self.best.get(number, (0, None))[0]:
                        self.best[number] = int(counts[number]), patch.copy()
                if side == size:
                    tally.details.add(*_window(patch, blocks[patch.scene], scene, side))
            finished = True
        if finished and side > size:
            with self._reading():
                for patch, _ in self._grid(scene, blocks, side):
                    tally.details.add(*_window(patch, blocks[patch.scene], scene, side))
        for name, block in blocks.items() if finished else ():
            tally.names.append(name)
            unknown = pixels[name][self.decoder.classes : IGNORE]
            tally.unknown += int(unknown.sum())
            pixels[name][IGNORE] += unknown.sum()
            unknown[:] = 0
            tally.pixels += pixels[name]
            tally.in_scenes += pixels[name] > 0
            tally.patches += len(windows(block.height, block.width, size, self.cfg["stride"], self.cfg["remainder"][split]))
            if min(block.height, block.width) < size:
                tally.small.append(f"{name} ({block.width} x {block.height})")
        return finished

    def _grid(self, scene: Scene, blocks: dict[str, Block], side: int) -> Iterator[tuple[Shown, tuple[slice, slice]]]:
        """Patches of `side` pixels side by side, padded at the borders, and what of them lies inside: each pixel once, none left out."""
        for patch in map(
            Shown._make, patches(scene, self.decoder, {**self.cfg, "size": side, "stride": side, "remainder": "pad", "max_ignore": 1.0})
        ):
            block = blocks[patch.scene]
            yield patch, np.s_[: block.height - patch.row, : block.width - patch.column]

    def report(self, names: tuple[str, ...]) -> dict:
        """Everything that was found, as plain JSON; what the counts say is added to the errors and warnings first.

        Args:
            names: of the classes.
        """
        self._judge_values()
        self._judge_counts(names)
        pairs = self._leaks()
        findings = self.findings
        return {
            "files": {
                "images": dict(sorted(self.images.items())),
                "masks": dict(sorted(self.masks.items())),
                "annotations": None if isinstance(self.decoder, Labels) else sorted(map(str, self.labels)),
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
                    "colour": self.stand_ins.colour(value) if isinstance(self.decoder, Labels) else None,
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
            "hints": self._hints(),
        }

    def _examples(self, value: str) -> list[Path]:
        """The files with most of an unknown value: masks, or the images whose annotations they are."""
        places = self.unknown.examples(value, EXAMPLES)
        return [mask if isinstance(self.decoder, Labels) else image for mask, image in places]

    def _judge_values(self) -> None:
        """One error about all unknown values, at the file with most of them."""
        if not self.unknown:
            return
        labels, image = self.unknown.worst()
        total = self.unknown.pixels
        if isinstance(self.decoder, Labels):
            found = unknown_values(labels, total, len(self.unknown))
        else:
            found = unknown_categories(labels, total, self.decoder.targets, image)
        if self.cfg["unknown"] == "error":
            self.findings.error(found)
        else:
            self.findings.warning(f"{found.subject}: {found.cause} They are unlabelled, since unknown: ignore is set.")

    def _judge_counts(self, names: tuple[str, ...]) -> None:
        """What the numbers of scenes, patches and pixels say."""
        if self.turned.count:
            self.findings.warning(self.turned.warning())
        learned = self.tallies["train"].pixels > 0
        for split, tally in self.tallies.items():
            if not tally.scenes:
                continue
            labelled = tally.pixels[: len(names)]
            # What the error about unknown values or categories explains is not told as well.
            strict, drawn = self.cfg["unknown"] == "error", not isinstance(self.decoder, Labels)
            unknown = strict and bool(len(self.unknown) if drawn else tally.unknown)
            share = 100 * (tally.pixels[IGNORE] - (tally.unknown if strict else 0)) / max(1, tally.pixels.sum())
            if not labelled.any() and not unknown:
                cause = f"every pixel of its {tally.scenes} scenes is unlabelled, so nothing can be learned or measured."
                self.findings.error(DataError(f"split.{split}", cause, REMEDY_UNLABELLED))
            # What train has not is told once.
            missing = [name for place, name in enumerate(names) if not labelled[place] and (split == "train" or learned[place])]
            if missing and (labelled.any() or unknown) and not (unknown and len(missing) <= len(self.unknown.pixels)):
                what = "cannot be learned" if split == "train" else "has no IoU"
                remedy = f" {REMEDY_MISSING}" if "labels" in self.cfg else ""
                self.findings.warning(f"split.{split}: no pixel of {', '.join(missing)}, which {what}.{remedy}")
            if labelled.any() and share > 50:
                self.findings.warning(f"split.{split}: {share:.1f} % of all pixels are unlabelled.")
            if not tally.patches:
                size = self.cfg["size"]
                cause = f"no patch of {size} px fits into any of its {tally.scenes} scenes, such as {tally.small[0]}."
                remedy = "Choose a smaller patches.size, or patches.remainder: pad."
                self.findings.error(DataError(f"split.{split}", cause, remedy))
            elif tally.small:
                some = f"{', '.join(tally.small[:3])}{', ...' if len(tally.small) > 3 else ''}"
                fate = "left out" if self.cfg["remainder"][split] == "drop" else "padded"
                self.findings.warning(
                    f"split.{split}: {len(tally.small)} of {tally.scenes} scenes are smaller than a patch of {self.cfg['size']} px and are "
                    f"{fate}: {some}. Choose a smaller patches.size."
                )
        if 0 < self.tallies["val"].scenes < FEW_SCENES:
            self.findings.warning("split.val: 1 scene only, so no interval over scenes can be given; raise split.val or add scenes.")
        if self.cfg["stride"] < self.cfg["size"]:
            self.findings.warning(overlapping(self.cfg["stride"], self.cfg["size"]))

    def _hints(self) -> list[str]:
        """What could be done better, though nothing is wrong."""
        sides = [fitted(height, width, self.cfg["resize"]) for width, height in self.sides]
        hint = small_windows(self.tallies["train"].patches, self.cfg["size"], self.cfg["reduced"], sides)
        return [*map(printable, self.findings.hints), *([hint] if hint else [])]

    def _leaks(self) -> list[dict]:
        """Near-duplicate windows of train and val, the most alike first; any is an error."""
        train, val = (self.tallies[split].details for split in SPLITS)
        found = [
            {"alike": round(alike, 3), "val": vars(val.windows[number]), "train": vars(train.windows[other])}
            for alike, number, other in near_duplicates(train, val)
        ]
        if found:
            worst = found[0]
            cause = (
                f"{len(found)} of {len(val.windows)} windows are near duplicates of a window of train, such as row {worst['val']['row']}, "
                f"column {worst['val']['column']}: it is row {worst['train']['row']}, column {worst['train']['column']} of "
                f"{worst['train']['file']} (correlation {worst['alike']})."
            )
            self.findings.error(DataError(worst["val"]["file"], cause, REMEDY_LEAK))
        return found


REMEDY_UNLABELLED = (
    "Mend label_map or ignore: for masks of 0 and 255 give label_map: {0: background, 255: building}, as 255 means unlabelled where "
    "nothing is said; for annotations set background to the id of what none covers."
)
REMEDY_MISSING = "If its raw value is that of `ignore`, give a label_map; if it is rare, choose the split so that both parts have it."
REMEDY_LEAK = "Keep one of the two, or both in one split (split by a wildcard or lists): val must be ground that train has not seen."


def _window(patch: Shown, block: Block, scene: Scene, side: int) -> tuple[Window, np.ndarray, tuple[int, int]]:
    """Where a patch of `side` pixels lies in its file (its rows and columns count from the corner of its block), what of it lies inside,
    and height and width of a whole one there.
    """
    window = Window(patch.scene, block.top + patch.row, block.left + patch.column, str(scene.image))
    inside = patch.image[: block.height - patch.row, : block.width - patch.column]
    return window, inside, (min(side, block.height), min(side, block.width))


def _read_through(rows: Callable[[int, int], np.ndarray], height: int) -> None:
    for top in range(0, height, 512):
        rows(top, min(top + 512, height))


def inspect(
    format_name: str, root: Path, cfg: dict, names: tuple[str, ...], trouble: list[str] | None = None
) -> tuple[dict, dict[str, list[Shown]], np.ndarray]:
    """Look at both splits of a dataset; broken data are told, never raised.

    Args:
        format_name: a module of this package (isaid, loveda, openearthmap, folder, demo).
        root: where the raw data are; nothing is written there.
        cfg: as `tiling.tile` reads it, but `remainder` is a map of both splits.
        names: of the classes.
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
        looking = Inspection(module.labels(cfg), cfg, findings)
    except SatsynthError as error:
        findings.error(error)
        looking = Inspection(Labels(len(names), values={0: 0}, unknown="ignore"), cfg, findings)
        images = {}
    progress = Progress("check", len(images), "images")
    for number, parts in enumerate(images.values(), 1):
        looking.look(parts)
        progress.update(number)
    report = looking.report(names)
    shown = {split: looking.tallies[split].chosen() for split in SPLITS}
    shown["classes"] = [patch for _, (_, patch) in sorted(looking.best.items())]
    report["shown"] = {
        heading: [{"scene": printable(patch.scene), "row": patch.row, "column": patch.column} for patch in patches]
        for heading, patches in shown.items()
    }
    return report, shown, looking.stand_ins.table()
