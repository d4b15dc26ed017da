"""CutMix (Yun et al. 2019), adapted to masks (paper, supplement C): a box of another pair covers the same box, labels and all."""

import numpy as np

from satsynth.augmentation.cutout import window
from satsynth.pairs import View
from satsynth.runtime.errors import ConfigError

OPTIONS = ("alpha",)


def prepare(pairs: View, cfg: dict) -> dict:
    """Nothing.

    Raises:
        ConfigError: an alpha that makes no Beta distribution.
    """
    alpha = cfg["options"]["alpha"]
    if not 0 < alpha < float("inf"):
        raise ConfigError("options.alpha", f"Beta({alpha}, {alpha}) is no distribution.", "Give a number above 0; 1 makes it uniform.")
    return {}


def augment(pairs: View, row: int, stream: np.random.Generator, cfg: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """Paste a box of a random other pair.

    Args:
        pairs: the real training pairs.
        row: the pair to paste onto.
        stream: random numbers of this pair alone.
        cfg: `options`: alpha, of lambda ~ Beta(alpha, alpha), the share that the original keeps. The box has the shape of the patch, sides
            sqrt(1 - lambda) times as long and rounded to pixels, and a uniform centre; what reaches past the border is lost.

    Returns:
        image (H,W,3) uint8, mask (H,W) uint8, and the facts: donor (row), lambda (as drawn), and the visible box: top, left, bottom, right
        in pixels, the last two exclusive.
    """
    donor = another_row(stream, row, len(pairs))
    mix = float(stream.beta(cfg["options"]["alpha"], cfg["options"]["alpha"]))
    top, left, bottom, right = window(stream, pairs.size, round(np.sqrt(1 - mix) * pairs.size))
    (image, other), (mask, labels) = pairs.gather([row, donor])
    box = np.s_[top:bottom, left:right]
    image[box], mask[box] = other[box], labels[box]
    return image, mask, {"donor": donor, "lambda": round(mix, 6), "top": top, "left": left, "bottom": bottom, "right": right}


def another_row(stream: np.random.Generator, row: int, count: int) -> int:
    """A row other than `row`, all of them equally likely; where there is one row only, that row."""
    if count == 1:
        return row
    drawn = int(stream.integers(count - 1))
    return drawn + (drawn >= row)
