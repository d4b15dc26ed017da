"""How many labels change from one mask to another."""

import numpy as np

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import MeasureError


def changed_shares(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of the pixels labelled in both masks of a pair whose label differs: (N,) float64 in [0, 1].

    Args:
        masks: (N,H,W) of whole numbers, 255 for ignore.
        others: the same shape; row i is compared with row i.

    Returns:
        NaN for a pair of masks without a pixel that is labelled in both.

    Raises:
        MeasureError: shapes differ.
    """
    if masks.shape != others.shape or masks.ndim != 3:
        raise MeasureError("masks", f"shapes {masks.shape} and {others.shape} do not compare.", "Give two arrays of one shape (N,H,W).")
    both = (masks != IGNORE) & (others != IGNORE)
    pixels, differing = both.sum((1, 2)), ((masks != others) & both).sum((1, 2))
    return np.divide(differing, pixels, out=np.full(len(masks), np.nan), where=pixels > 0)
