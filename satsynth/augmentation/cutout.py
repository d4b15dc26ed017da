"""Cutout (DeVries and Taylor 2017), adapted to masks (paper, supplement C): one square is blanked out of image and mask."""

import numpy as np

from satsynth.pairs import IGNORE, View
from satsynth.runtime.errors import ConfigError

OPTIONS = ("hole", "fill", "label")
FILLS = ("mean", "black")
BLOCK = 256


def prepare(pairs: View, cfg: dict) -> dict:
    """The colour of the hole, `colour` (3,) uint8.

    Raises:
        ConfigError: a hole, fill or label that cannot be used.
    """
    options = cfg["options"]
    hole, fill, label = (options[name] for name in OPTIONS)
    if not 0 < hole <= 1:
        raise ConfigError("options.hole", f"{hole} is no share of the patch's side.", "Give more than 0 and at most 1.")
    if fill not in FILLS:
        raise ConfigError("options.fill", f"'{fill}' is no fill.", f"Use one of {', '.join(FILLS)}.")
    if label != IGNORE and not 0 <= label < pairs.classes:
        cause = f"{label} is no class of {pairs.classes}."
        raise ConfigError("options.label", cause, f"Give a class id (0 to {pairs.classes - 1}) or {IGNORE} (ignore).")
    return {"colour": mean_colour(pairs) if fill == "mean" else np.zeros(3, np.uint8)}


def augment(pairs: View, row: int, stream: np.random.Generator, cfg: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """Blank one square of a pair.

    Args:
        pairs: the real training pairs.
        row: the pair to cut a hole into.
        stream: random numbers of this pair alone.
        cfg: `options`: hole (side of the square as a share of the patch's side, rounded to pixels, at least one), fill ("mean", the mean
            colour of all images, near 0 after normalisation; or "black") and label (what the mask says of the hole: a class id, or 255);
            and `prepared`.

    Returns:
        image (H,W,3) uint8, mask (H,W) uint8, and the visible hole: top, left, bottom, right in pixels, the last two exclusive.
    """
    images, masks = pairs.gather([row])
    image, mask = images[0], masks[0]
    top, left, bottom, right = window(stream, pairs.size, max(round(cfg["options"]["hole"] * pairs.size), 1))
    image[top:bottom, left:right] = cfg["prepared"]["colour"]
    mask[top:bottom, left:right] = cfg["options"]["label"]
    return image, mask, {"top": top, "left": left, "bottom": bottom, "right": right}


def window(stream: np.random.Generator, size: int, side: int) -> tuple[int, int, int, int]:
    """A square of `side` pixels whose centre is uniform over the image's pixels, clipped at its borders: top, left, bottom, right."""
    top, left = (int(centre) - side // 2 for centre in stream.integers(size, size=2))
    return max(top, 0), max(left, 0), min(top + side, size), min(left + side, size)


def mean_colour(pairs: View) -> np.ndarray:
    """Mean colour (3,) uint8 of all pixels of all images, rounded; read in blocks and summed in integers, so it is exact."""
    total = np.zeros(3, np.int64)
    for store in pairs.stores:
        for start in range(0, len(store), BLOCK):
            block = store.images[start : start + BLOCK]
            # Adding whole images first keeps the inner loop long; 256 x 255 fits 32 bits.
            total += block.reshape(len(block), -1).sum(0, dtype=np.uint32).reshape(-1, 3).sum(0, dtype=np.int64)
    return np.round(total / (len(pairs) * pairs.size**2)).astype(np.uint8)
