"""Images and masks as text that a browser shows."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from satsynth.pairs import LabelSpace, View
from satsynth.runtime import files

EFFORT = 4  # of WebP, 0 to 6: seven milliseconds a picture of 256 px
STRIP_SIDE = 96


def image(array: np.ndarray, side: int, quality: int) -> str:
    """An image (H,H,3) uint8 as WebP of `side` x `side` pixels, in base64; reduced by area means where it is larger."""
    return _text(_resized(array, side), "WEBP", quality=quality, method=EFFORT)


def mask(array: np.ndarray, side: int, space: LabelSpace) -> str:
    """A mask (H,H) uint8 as PNG of `side` x `side` pixels, in base64; an ignored pixel is clear, every other one has its class's colour.

    A smaller one takes the pixel in the middle of each cell, so that no class arises that the mask does not hold.
    """
    places = (np.arange(side) * 2 + 1) * len(array) // (2 * side)
    small = array[np.ix_(places, places)]
    clear = space.count
    picture = Image.fromarray(np.where(small == 255, clear, small).astype(np.uint8))
    picture.putpalette([part for colour in (*space.colours, (0, 0, 0)) for part in colour])
    return _text(picture, "PNG", transparency=clear)


def strip(view: View, space: LabelSpace, count: int, path: Path) -> None:
    """The first `count` pairs side by side as a JPEG, each image above its mask."""
    columns = []
    for row in range(count):
        pixels, labels = view.pair(row)
        columns.append(np.concatenate([_enlarged(pixels), _enlarged(space.paint(labels))]))
    gap = np.full((len(columns[0]), 4, 3), 255, np.uint8)
    laid = [part for column in columns for part in (column, gap)][:-1]
    with files.replacing(path) as partial:
        Image.fromarray(np.concatenate(laid, axis=1)).save(partial, "JPEG", quality=85)


def _enlarged(array: np.ndarray) -> np.ndarray:
    how = Image.Resampling.NEAREST if len(array) <= STRIP_SIDE else Image.Resampling.BOX
    return np.asarray(Image.fromarray(array).resize((STRIP_SIDE, STRIP_SIDE), how))


def _resized(array: np.ndarray, side: int) -> Image.Image:
    picture = Image.fromarray(array)
    return picture if side == len(array) else picture.resize((side, side), Image.Resampling.BOX)


def _text(picture: Image.Image, kind: str, **options: object) -> str:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return base64.b64encode(written.getvalue()).decode("ascii")
