"""Near-duplicate patches of two splits: the same ground twice, perhaps compressed again, brighter, turned or mirrored.

A window is described by its detail: brightness averaged to 32 x 32 cells, less the same blurred. Plain water or a bare field has no detail
and is never compared; two fields of one texture have details that do not correlate, since their grain lies elsewhere. Two windows are near
duplicates where the details correlate above `ALIKE` (1 is the same picture).

`ALIKE` was chosen on 5,317 windows of 128 px of real imagery (99 Mpx of Dubai), each with all others in eight orientations: no two
different ones come above 0.85, and 1 in 100 has a neighbour above 0.62. The same windows after JPEG of quality 50 stay above 0.98 in 95 of
100 cases (0.97 in 99), after noise of 5 grey levels above 0.99 (0.98), after a change of contrast always. At 64 px JPEG leaves 5 in 100
below 0.82, so none smaller than 128 px is compared.

What is drawn into every image, such as a legend or a date, is no ground that val and train share. It fills a part of a window, so a near
duplicate must also agree in `LEAST_PARTS` of its 16 parts, each by itself (`AGREES`). Of 600 windows of Dubai with one legend of a quarter
of their height on all, 7 in 100 pairs came above `ALIKE`, and none of 2,000 of these agreed so; of 1,446 windows after JPEG, noise, a
change of contrast or resampling every one did that came above `ALIKE`. Pixels without data (a fourth channel of 0) are left out, so that
the edge of a collar is no detail.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from satsynth.randomness import numpy_stream

CELLS = 32
ALIKE = 0.9
BLUR = 2.0  # cells: what a cell is compared with is blurred by as much
SUSPECT = 0.65  # of the projected details: those above are compared in full
PROJECTED = 128
LEAST_DETAIL = 1.5  # grey levels of a cell against its surroundings, as a standard deviation
PARTS = 4  # of a window along each side
LEAST_PARTS = 10  # of the 16 parts of a window that must have as much detail: a single straight edge reaches 8
AGREES = 0.7  # correlation of a part that agrees
LEAST_DATA = 0.5  # of a window, or of a cell: what has less is left out
LEAST_SHARE = 0.75  # of each side of a window that a border cuts: of less a legend may be the most, so all parts must agree
MOST = 20_000  # windows of a split; of more, as many are drawn


@dataclass(frozen=True)
class Window:
    """Where a window lies: scene (or block), the image file, and the row and column of its first pixel there (after any resize)."""

    scene: str
    row: int
    column: int
    file: str


def detail(image: np.ndarray) -> np.ndarray | None:
    """The detail of a window (H,W,3 or 4) uint8 as (32,32) float32 of mean 0 and length 1; None where there is too little of it.

    A fourth channel is 0 where a pixel has no data, else 255. A cell with too few pixels that have is 0 in the detail; the others are
    compared with their surroundings as far as these have data.
    """
    valid = image[..., 3] > 0 if image.shape[2] == 4 else None
    if valid is None or valid.all():
        grey = Image.fromarray(image[..., :3]).convert("L").resize((CELLS, CELLS), Image.Resampling.BOX)
        cells = np.asarray(grey, np.float32)
        known = np.ones_like(cells)
        fine = cells - ndimage.gaussian_filter(cells, BLUR)
    else:
        if valid.mean() < LEAST_DATA:
            return None
        grey = np.asarray(Image.fromarray(image[..., :3]).convert("L"), np.float32)
        share, total = (_means(layer) for layer in (valid, grey * valid))
        known = (share >= LEAST_DATA).astype(np.float32)
        cells = known * total / np.maximum(share, LEAST_DATA)
        around = ndimage.gaussian_filter(cells, BLUR) / np.maximum(ndimage.gaussian_filter(known, BLUR), 1e-6)
        fine = known * (cells - around)
    if np.count_nonzero(_in_parts(fine).std(axis=1) >= LEAST_DETAIL) < LEAST_PARTS:
        return None
    fine -= known * (fine.sum() / known.sum())
    return fine / np.linalg.norm(fine)


def _means(layer: np.ndarray) -> np.ndarray:
    """Means of a layer (H,W) over the cells: (32,32) float32."""
    return np.asarray(Image.fromarray(layer.astype(np.float32)).resize((CELLS, CELLS), Image.Resampling.BOX))


def _in_parts(cells: np.ndarray) -> np.ndarray:
    """Cells (32,32) by parts of a window: (16,64)."""
    side = CELLS // PARTS
    return cells.reshape(PARTS, side, PARTS, side).swapaxes(1, 2).reshape(PARTS**2, side**2)


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two details (32,32) float32 over the cells that both have."""
    common = (one != 0) & (other != 0)
    lengths = np.linalg.norm(one[common]) * np.linalg.norm(other[common])
    return float(np.vdot(one[common], other[common]) / max(lengths, 1e-9))


def _agreeing(one: np.ndarray, other: np.ndarray) -> int:
    """In how many of the 16 parts two details (32,32) float32 correlate by `AGREES` or more."""
    parts = [_in_parts(fine) for fine in (one, other)]
    left, right = (part - part.mean(axis=1, keepdims=True) for part in parts)
    least = AGREES * np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.count_nonzero(((left * right).sum(axis=1) >= least) & (least > 0))


class Details:
    """Details of the windows of one split; of more than `MOST` a draw by (seed, number of the window) is kept."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.plain = 0
        self.seen = 0
        self.least: list[int] = []  # parts of each window that must agree
        self._details: list[np.ndarray] = []

    def add(self, window: Window, image: np.ndarray, whole: tuple[int, int]) -> None:
        """Take a window's image (H,W,3 or 4) uint8 in; `whole`: its height and width where no border cuts it."""
        found = detail(image)
        if found is None:
            self.plain += 1
            return
        self.seen += 1
        cut = any(have < LEAST_SHARE * wanted for have, wanted in zip(image.shape, whole))
        entry = window, PARTS**2 if cut else LEAST_PARTS, found.astype(np.float16)
        if len(self.windows) < MOST:
            place = len(self.windows)
        elif (place := int(numpy_stream(0, "duplicates", self.seen).integers(self.seen))) >= MOST:
            return
        for kept, new in zip((self.windows, self.least, self._details), entry):
            kept[place : place + 1] = [new]

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
                left, right = some[place].astype(np.float32), ours[other].astype(np.float32)
                alike = _alike(left, right)
                number = start + int(place)
                least = max(val.least[number], train.least[other])
                if alike >= ALIKE and alike > best.get(number, (0.0, 0))[0] and _agreeing(left, right) >= least:
                    best[number] = alike, int(other)
    return sorted(((alike, number, other) for number, (alike, other) in best.items()), key=lambda found: (-found[0], found[1]))
