"""Contact sheets of uncurated samples, drawn while a generator trains."""

import colorsys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from satsynth.codes import Codes
from satsynth.diffusion.stacks import decode
from satsynth.pairs import IGNORE
from satsynth.randomness import torch_stream
from satsynth.runtime import files

# (trained network, sampler config, number of stacks, generator, low-resolution stacks or None) -> stacks in [-1, 1].
Drawer = Callable[[object, dict, int, torch.Generator, torch.Tensor | None], torch.Tensor]
MILESTONES = (0.25, 0.5, 0.75, 1.0)

SMALLEST_TILE = 96  # px on the sheet; smaller pairs are enlarged by whole factors
GAP = 2


def palette(classes: int) -> np.ndarray:
    """Colours (256,3) uint8 for class ids; names and display colours of a dataset are no business of a training."""
    table = np.zeros((256, 3), np.uint8)
    for number in range(classes):
        # Steps of the golden ratio keep neighbouring ids far apart on the colour circle.
        hue, value = number * 0.618034 % 1, (0.95, 0.7)[number % 2]
        table[number] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.65, value)]
    table[IGNORE] = 0
    return table


def save(path: Path, images: np.ndarray, masks: np.ndarray | None) -> None:
    """Keep the pairs of one milestone until the sheet is drawn; atomically, so that a killed run leaves none half-written."""
    arrays = {"images": images} if masks is None else {"images": images, "masks": masks}
    with files.replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """What `save` kept."""
    with np.load(path) as arrays:
        return arrays["images"], arrays.get("masks")


def sheet(rows: list[tuple[np.ndarray, np.ndarray | None]], classes: int) -> np.ndarray:
    """Draw pairs, or images alone, as one picture.

    Args:
        rows: of images (B,H,W,3) and masks (B,H,W) or None, uint8; sides may differ from row to row.
        classes: K.

    Returns:
        (height, width, 3) uint8: for every row a band of images, above a band of painted masks where it has some, enlarged by nearest
        neighbour.
    """
    table = palette(classes)
    tile = max(max(images.shape[1] for images, _ in rows), SMALLEST_TILE)
    tile = max(tile // images.shape[1] * images.shape[1] for images, _ in rows)
    count = max(len(images) for images, _ in rows)
    bands = []
    for images, masks in rows:
        for band in (images,) if masks is None else (images, table[masks]):
            picture = np.full((tile + GAP, count * (tile + GAP), 3), 255, np.uint8)
            factor = tile // band.shape[1]
            for number, item in enumerate(band):
                large = item.repeat(factor, 0).repeat(factor, 1)
                left = number * (tile + GAP)
                picture[: len(large), left : left + len(large)] = large
            bands.append(picture)
        bands.append(np.full((3 * GAP, count * (tile + GAP), 3), 255, np.uint8))
    return np.concatenate(bands[:-1])


def write(path: Path, rows: list[tuple[np.ndarray, np.ndarray | None]], classes: int) -> None:
    """Write the sheet as a PNG, atomically."""
    with files.replacing(path) as partial:
        Image.fromarray(sheet(rows, classes)).save(partial, format="png")


class Previews:
    """Samples of the same noise at every milestone; kept in files, so that a resumed training shows the early ones too.

    Args:
        cfg: the generator's config: `seed`, and `previews`: count, sampler.
        steps: of the training; the milestones are a quarter, half, three quarters and all of them.
        codes: of the labels.
        work: folder of the samples so far.
        draw: see `Drawer`.
        device: where the noise is made.
        low: (count,C,h,h) stacks that the samples start from, or None.
    """

    def __init__(self, cfg: dict, steps: int, codes: Codes, work: Path, draw: Drawer, device: str, low: torch.Tensor | None = None):
        self.settings, self.seed, self.codes, self.work, self.draw, self.device = cfg["previews"], cfg["seed"], codes, work, draw, device
        self.milestones = sorted({max(1, round(share * steps)) for share in MILESTONES})
        self.low, self._known = low, []
        if low is not None:
            images, masks, *_ = decode(low, codes)
            self._known = [(images, self._shown(masks))]
        self._quality = None, None

    def _shown(self, masks: np.ndarray) -> np.ndarray | None:
        """The masks, where the generator makes some."""
        return masks if self.codes.channels else None

    def _path(self, step: int) -> Path:
        return self.work / f"preview-{step}.npz"

    def take(self, network: object, step: int) -> None:
        """Draw and keep the samples of one milestone."""
        stream = torch_stream(self.seed, "previews", device=self.device)
        stacks = self.draw(network, self.settings["sampler"], self.settings["count"], stream, self.low)
        images, masks, margins, invalid = decode(stacks, self.codes)
        if self.codes.channels:
            self._quality = float(margins.mean()), float(invalid.mean())
        save(self._path(step), images, self._shown(masks))

    def write(self, path: Path) -> tuple[float | None, float | None]:
        """Draw the sheet, the low-resolution conditions first; the mean margin and share of invalid codes of the last samples, if any."""
        rows = [load(self._path(step)) for step in self.milestones if self._path(step).is_file()]
        write(path, [*self._known, *rows], self.codes.classes)
        return self._quality
