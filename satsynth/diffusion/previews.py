"""Contact sheets of uncurated samples, drawn while a generator trains."""

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image

from satsynth.pairs import IGNORE
from satsynth.runtime import files

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
