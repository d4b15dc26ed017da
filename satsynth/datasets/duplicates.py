"""Near-duplicate patches of two splits: the same ground twice, perhaps compressed again, brighter, turned or mirrored.

A window is described by its detail: brightness averaged to 32 x 32 cells, less the same blurred. Plain water or a bare field has no detail
and is never compared; two fields of one texture have details that do not correlate, since their grain lies elsewhere. Two windows are near
duplicates where the details correlate above `ALIKE` (1 is the same picture).

`ALIKE` was chosen on 5,317 windows of 128 px of real imagery (99 Mpx of Dubai), each with all others in eight orientations: no two
different ones come above 0.85, and 1 in 100 has a neighbour above 0.62. The same windows after JPEG of quality 50 stay above 0.98 in 95 of
100 cases (0.97 in 99), after noise of 5 grey levels above 0.99 (0.98), after a change of contrast always. At 64 px JPEG leaves 5 in 100
below 0.82, so none smaller than 128 px is compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from satsynth.randomness import numpy_stream

CELLS = 32
ALIKE = 0.9
SUSPECT = 0.65  # of the projected details: those above are compared in full
PROJECTED = 128
LEAST_DETAIL = 1.5  # grey levels of a cell against its surroundings, as a standard deviation
LEAST_PARTS = 10  # of the 16 parts of a window that must have as much detail: a single straight edge reaches 8
MOST = 20_000  # windows of a split; of more, as many are drawn


@dataclass(frozen=True)
class Window:
    """Where a window lies: scene (or block), the image file, and the row and column of its first pixel there (after any resize)."""

    scene: str
    row: int
    column: int
    file: str


def detail(image: np.ndarray) -> np.ndarray | None:
    """The detail of a window (H,W,3) uint8 as (32,32) float32 of mean 0 and length 1; None where there is too little of it."""
    grey = Image.fromarray(image).convert("L").resize((CELLS, CELLS), Image.Resampling.BOX)
    cells = np.asarray(grey, np.float32)
    fine = cells - ndimage.gaussian_filter(cells, 2.0)
    quarter = CELLS // 4
    parts = fine.reshape(4, quarter, 4, quarter).std(axis=(1, 3))
    if np.count_nonzero(parts >= LEAST_DETAIL) < LEAST_PARTS:
        return None
    fine -= fine.mean()
    return fine / np.linalg.norm(fine)


class Details:
    """Details of the windows of one split; of more than `MOST` a draw by (seed, number of the window) is kept."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.plain = 0
        self.seen = 0
        self._details: list[np.ndarray] = []

    def add(self, window: Window, image: np.ndarray) -> None:
        """Take a window's image (H,W,3) uint8 in."""
        found = detail(image)
        if found is None:
            self.plain += 1
            return
        self.seen += 1
        found = found.astype(np.float16)
        if len(self.windows) < MOST:
            self.windows.append(window)
            self._details.append(found)
        elif (place := int(numpy_stream(0, "duplicates", self.seen).integers(self.seen))) < MOST:
            self.windows[place], self._details[place] = window, found

    def array(self) -> np.ndarray:
        """All details (n,32,32) float16."""
        return np.array(self._details, np.float16).reshape(-1, CELLS, CELLS)


def _symmetries(details: np.ndarray) -> Iterator[np.ndarray]:
    """Details (n,32,32) in the eight ways that a square can lie."""
    for mirrored in (details, details[:, :, ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns, (1, 2))


def near_duplicates(train: Details, val: Details) -> list[tuple[float, int, int]]:
    """Windows of val that are near duplicates of one of train: (correlation, number in val, number in train), the most alike first.

    Of each window of val only its nearest one in train counts.
    """
    ours, theirs = train.array(), val.array()
    if not len(ours) or not len(theirs):
        return []
    axes = numpy_stream(0, "projection").standard_normal((CELLS * CELLS, PROJECTED)).astype(np.float32)

    def projected(details: np.ndarray) -> np.ndarray:
        short = details.reshape(len(details), -1).astype(np.float32) @ axes
        return short / np.linalg.norm(short, axis=1, keepdims=True)

    known = projected(ours).T
    best: dict[int, tuple[float, int]] = {}
    for turned in _symmetries(theirs):
        for start in range(0, len(turned), 512):
            some = np.ascontiguousarray(turned[start : start + 512])
            for place, other in zip(*np.nonzero(projected(some) @ known > SUSPECT)):
                alike = float(np.vdot(some[place].astype(np.float32), ours[other].astype(np.float32)))
                number = start + int(place)
                if alike >= ALIKE and alike > best.get(number, (0.0, 0))[0]:
                    best[number] = alike, int(other)
    return sorted(((alike, number, other) for number, (alike, other) in best.items()), key=lambda found: (-found[0], found[1]))
