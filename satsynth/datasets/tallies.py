"""What a look at a dataset counts of one split, and the patches of it that are shown."""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from satsynth.datasets.duplicates import Details
from satsynth.datasets.nodata import NoData
from satsynth.datasets.rasters import Raster, chosen_bands
from satsynth.pairs import IGNORE
from satsynth.randomness import derive

SHOWN = 9  # patches of a split in the preview


class Shown(NamedTuple):
    """A patch of the preview: where it lies, its image (S,S,3) (as it comes from `patches` perhaps (S,S,4)) and mask (S,S), uint8, and what
    it is shown for, if anything.
    """

    scene: str
    row: int
    column: int
    image: np.ndarray
    mask: np.ndarray
    title: str = ""

    def copy(self) -> "Shown":
        """The same with arrays of its own, (S,S,3) and (S,S): a patch is a view of a strip as wide as the scene."""
        return self._replace(image=self.image[..., :3].copy(), mask=self.mask.copy())


@dataclass
class Tally:
    """What is counted of one split: `pixels` and `in_scenes` (256,) int64 by class id; `small`: scenes smaller than a patch.

    Every pixel of a scene counts once, also one that lies in no patch. `patches`: those that tiling makes; `left_out`: those that it does
    not, for being unlabelled by more than `max_ignore`.
    `without_data`: pixels of which the file of the image says that they have none; they are counted as unlabelled.
    `unknown`: pixels of a value or colour that no class has, which are counted as unlabelled, too. `names` are those of the scenes (or
    blocks) that could be read.
    """

    names: list[str] = field(default_factory=list)
    patches: int = 0
    left_out: int = 0
    without_data: int = 0
    unknown: int = 0
    small: list[str] = field(default_factory=list)
    details: Details = field(default_factory=Details)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    in_scenes: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    _drawn: list[tuple[int, tuple, Shown]] = field(default_factory=list)  # a heap; first what is given up first

    @property
    def scenes(self) -> int:
        """How many could be read."""
        return len(self.names)

    def add_scene(self, name: str, pixels: np.ndarray, classes: int) -> None:
        """Take in the pixels (256,) int64 by id of a scene or block; ids from `classes` to 254 stand for what no class has."""
        self.names.append(name)
        unknown = int(pixels[classes:IGNORE].sum())
        pixels = np.concatenate([pixels[:classes], np.zeros(IGNORE - classes, np.int64), [pixels[IGNORE] + unknown]])
        self.unknown += unknown
        self.pixels += pixels
        self.in_scenes += pixels > 0

    def show(self, patch: Shown) -> None:
        """Keep a patch if the draw puts it among the first `SHOWN`; those that are mostly padding or unlabelled come last."""
        poor = np.count_nonzero(patch.mask == IGNORE) > patch.mask.size // 2
        rank = derive(0, "preview", patch.scene, patch.row, patch.column) + (int(poor) << 63)
        if len(self._drawn) < SHOWN:
            heapq.heappush(self._drawn, (-rank, patch[:3], patch.copy()))
        elif -rank > self._drawn[0][0]:
            heapq.heapreplace(self._drawn, (-rank, patch[:3], patch.copy()))

    def chosen(self) -> list[Shown]:
        """The patches that were kept, in the order of the draw."""
        return [patch for _, _, patch in sorted(self._drawn, key=lambda entry: -entry[0])]


class Without:
    """Files that say which of their pixels have no data: how many by what says so (`said`), and how many such pixels (`pixels`)."""

    def __init__(self) -> None:
        self.said: Counter[str] = Counter()
        self.pixels = 0

    def add(self, raster: Raster, nodata: NoData, bands: list[int] | None) -> None:
        """Read an open file to its end, if `nodata` holds anything; `bands` as the key of that name.

        Raises:
            DataError: it cannot be read, or lacks a band.
        """
        if not nodata:
            return
        self.said[str(nodata)] += 1
        for top in range(0, raster.height, 512):
            _, valid = raster.read_valid(top, min(top + 512, raster.height), chosen_bands(raster, bands), nodata)
            self.pixels += int(np.count_nonzero(~valid))
