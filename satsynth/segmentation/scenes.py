"""Whole scenes, put together again from the patches of a store, and their masks by a sliding window.

    places = locate(store)
    for scene, mask in predict_scenes(segmenter, scenes_of(store, places), batch=64, overlap=0.5):
        ...

No raw file is read: the index of a store says where its patches lie. What the tiling left out is missing, and what it added (padding)
is there.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from satsynth.pairs import Store
from satsynth.segmentation.segmenter import Segmenter, most_probable

Region = tuple[slice, slice]


def locate(store: Store) -> np.ndarray | None:
    """Where the patches of a store lie: (N,3) int64 of scene (numbered as they come), row and column of the first pixel.

    Rows and columns are in pixels of the store. In a store reduced by f, a patch whose place in the full-size scene is no multiple of f
    (one that the tiling shifted to the border) is set at the next smaller pixel.

    Returns:
        None where index and card do not say it, as in stores that were not tiled.
    """
    index, patch = store.index, store.card.get("patch", 0)
    if not {"scene", "row", "column"} <= set(index) or patch < store.size or patch % store.size:
        return None
    numbers, _ = pd.factorize(index["scene"], use_na_sentinel=False)  # a scene may be called "nan"
    factor = patch // store.size
    return np.stack([numbers, index["row"] // factor, index["column"] // factor], axis=1).astype(np.int64)


def find_covered(places: np.ndarray, size: int) -> dict[int, list[Region]]:
    """The parts of patches that an earlier patch of the same scene covers too.

    A pixel of a scene belongs to the first patch, in the order of the store, that covers it: whoever leaves these parts out counts no
    pixel twice.

    Args:
        places: (N,3) int64, as `locate` gives them.
        size: side of a patch in pixels.

    Returns:
        Row of the store -> slices of rows and columns within the patch; patches of which nothing is covered are not in it.
    """
    # Patches that overlap lie in neighbouring cells of a grid as coarse as a patch.
    cells: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)
    covered: dict[int, list[Region]] = {}
    for row, (scene, top, left) in enumerate(places.tolist()):
        down, right = top // size, left // size
        regions = [
            (slice(max(y - top, 0), min(y - top, 0) + size), slice(max(x - left, 0), min(x - left, 0) + size))
            for cell in itertools.product((scene,), (down - 1, down, down + 1), (right - 1, right, right + 1))
            for y, x in cells.get(cell, ())
            if abs(y - top) < size and abs(x - left) < size
        ]
        if regions:
            covered[row] = regions
        cells[scene, down, right].append((top, left))
    return covered


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene of a store.

    Args:
        store: the store.
        rows: (P,) rows of the store that hold the scene's patches, ascending.
        tops: (P,) first pixel rows of these patches in the scene, int64.
        lefts: (P,) first pixel columns.
    """

    store: Store
    rows: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray

    @property
    def height(self) -> int:
        """Down to the end of the lowest patch, in pixels; never less than the side of a patch."""
        return int(self.tops.max()) + self.store.size

    @property
    def width(self) -> int:
        """To the end of the rightmost patch, in pixels; never less than the side of a patch."""
        return int(self.lefts.max()) + self.store.size

    def windows(self, stride: int) -> Iterator[tuple[int, int]]:
        """First pixels (row, column) of windows as large as a patch, row by row; the last ones are shifted back to the border."""
        size = self.store.size
        sides = [[*range(0, side - size, stride), side - size] for side in (self.height, self.width)]
        return itertools.product(*sides)

    def read(self, top: int, left: int) -> np.ndarray | None:
        """The image (S,S,3) uint8 below the window at this place, S the side of a patch: 0 where no patch is, None where none is at all."""
        size = self.store.size
        down, right = self.tops - top, self.lefts - left
        found = np.flatnonzero((np.abs(down) < size) & (np.abs(right) < size))
        if not len(found):
            return None
        image = np.zeros((size, size, 3), np.uint8)
        for number in found[::-1]:  # the first patch that covers a pixel is written last
            y, x = int(down[number]), int(right[number])
            part = self.store.images[self.rows[number], max(-y, 0) : size - max(y, 0), max(-x, 0) : size - max(x, 0)]
            image[max(y, 0) : max(y, 0) + part.shape[0], max(x, 0) : max(x, 0) + part.shape[1]] = part
        return image

    def cut(self, mask: torch.Tensor, patches: slice) -> torch.Tensor:
        """Those parts of the scene's mask (height,width) that lie below some of its P patches: (B,S,S) of the same dtype."""
        size = self.store.size
        corners = zip(self.tops[patches].tolist(), self.lefts[patches].tolist())
        return torch.stack([mask[top : top + size, left : left + size] for top, left in corners])


def scenes_of(store: Store, places: np.ndarray) -> list[Scene]:
    """The scenes of a store in the order of their first patches; `places` as `locate` gives them."""
    order = np.argsort(places[:, 0], kind="stable")
    bounds = np.flatnonzero(np.diff(places[order, 0])) + 1
    return [Scene(store, rows, places[rows, 1], places[rows, 2]) for rows in np.split(order, bounds) if len(rows)]


class Band:
    """Sums class probabilities over the windows of a scene, holding no more rows of them than a window has.

    The sum of a pixel is divided by no count of windows: that would not change which class is the largest.

    Args:
        scene: windows are as large as its patches.
        classes: K.
        device: where the sums (K,S,width) float32 and the mask are held.
    """

    def __init__(self, scene: Scene, classes: int, device: torch.device):
        self._size, self._top = scene.store.size, 0
        self._sums = torch.zeros((classes, self._size, scene.width), device=device)
        self._mask = torch.zeros((scene.height, scene.width), dtype=torch.uint8, device=device)

    def add(self, top: int, left: int, probabilities: torch.Tensor) -> None:
        """Add a window (K,S,S); windows must come row by row."""
        if top > self._top:
            self._finish_rows(top)
        self._sums[:, :, left : left + self._size] += probabilities

    def finish(self) -> torch.Tensor:
        """The mask (height,width) uint8; 0 where no window was."""
        self._finish_rows(len(self._mask))
        return self._mask

    def _finish_rows(self, top: int) -> None:
        count = min(top - self._top, self._size, len(self._mask) - self._top)
        self._mask[self._top : self._top + count] = most_probable(self._sums[:, :count], 0)
        self._sums = self._sums.roll(-count, 1)
        self._sums[:, self._size - count :] = 0
        self._top = top


@torch.inference_mode()
def predict_scenes(segmenter: Segmenter, scenes: Iterable[Scene], *, batch: int, overlap: float) -> Iterator[tuple[Scene, torch.Tensor]]:
    """The most probable class of every pixel of whole scenes.

    A window as large as a patch slides over the scene; where windows overlap, their class probabilities (softmax) are averaged. Windows
    below which there is no patch are left out.

    Args:
        segmenter: in evaluation mode, on its device.
        scenes: of one store.
        batch: windows at a time, whatever row or scene they belong to; changes speed and memory only.
        overlap: share of a window's side that the next one covers again, 0 <= overlap < 1.

    Yields:
        A scene and its mask (height,width) uint8 on the device of the segmenter; 0 where no patch is.
    """
    for scene, windows in itertools.groupby(_slide(segmenter, scenes, batch, overlap), key=lambda window: window[0]):
        band = Band(scene, scene.store.classes, segmenter.scale.device)
        for _, top, left, probabilities in windows:
            band.add(top, left, probabilities)
        yield scene, band.finish()


def _slide(segmenter: Segmenter, scenes: Iterable[Scene], batch: int, overlap: float) -> Iterator[tuple[Scene, int, int, torch.Tensor]]:
    images = (
        (scene, top, left, image)
        for scene in scenes
        for top, left in scene.windows(max(1, round(scene.store.size * (1 - overlap))))
        if (image := scene.read(top, left)) is not None
    )
    while windows := list(itertools.islice(images, batch)):
        chosen = torch.from_numpy(np.stack([image for *_, image in windows])).to(segmenter.scale.device)
        for (scene, top, left, _), probabilities in zip(windows, segmenter(chosen).softmax(1)):
            yield scene, top, left, probabilities
