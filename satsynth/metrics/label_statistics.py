"""How the labels of two sets of pairs differ: class shares, Jensen-Shannon distance, sizes of connected components, code quality.

Masks are (N,H,W) of whole numbers, 0 to K - 1 or 255 (ignore), memory-mapped or not, or a list of such arrays: the shards of a source. They
are read a few images at a time.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import rel_entr
from scipy.stats import wasserstein_distance

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import MeasureError

BLOCK_PIXELS = 1 << 20
EIGHT_CONNECTED = np.ones((3, 3), bool)
Masks = np.ndarray | Sequence[np.ndarray]


class LabelStatistics(NamedTuple):
    """Of a set of pairs with K classes.

    `pixel_shares` (K,) float64: the share of the labelled pixels that each class has, adding up to 1. `presence_shares` (K,) float64: the
    share of the pairs that contain each class, 0 to 1 (paper, Fig. 2c); a pair may count for several. `component_sizes`: areas in pixels
    of the 8-connected components of each class, K arrays of int64 in reading order. Components end at the edge of their mask, and ignored
    pixels separate. A class that never occurs has shares of 0 and no component.
    """

    pixel_shares: np.ndarray
    presence_shares: np.ndarray
    component_sizes: list[np.ndarray]


def describe(masks: Masks, classes: int) -> LabelStatistics:
    """All statistics of a set, in one pass over its masks.

    Raises:
        MeasureError: no pixel is labelled, or a mask holds a value that is no class.
    """
    pixels, present, pairs = np.zeros(classes, np.int64), np.zeros(classes, np.int64), 0
    sizes: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for block, counts in _blocks(masks, classes):
        pixels += counts.sum(0)
        present += (counts > 0).sum(0)
        pairs += len(block)
        for number in np.flatnonzero(counts.any(0)):
            sizes[number].append(_component_sizes(block[counts[:, number] > 0] == number))
    if not pixels.any():
        raise MeasureError("masks", "no pixel is labelled.", "Measure pairs that hold labels.")
    return LabelStatistics(pixels / pixels.sum(), present / pairs, [np.concatenate([np.zeros(0, np.int64), *parts]) for parts in sizes])


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon distance between two histograms (K,): the square root of the divergence to base 2, in [0, 1].

    Each is divided by its sum, so shares of pairs will do as well as shares of pixels. A class that only one of them holds adds half its
    share there to the divergence, which so stays finite; a class that neither holds adds nothing. There is no smoothing.

    Raises:
        MeasureError: lengths differ, a value is negative or not finite, or a histogram is all zero.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.ndim != 1 or p.shape != q.shape:
        raise MeasureError("histograms", f"shapes {p.shape} and {q.shape} do not compare.", "Compare histograms over one label space.")
    for histogram in (p, q):
        if not (np.isfinite(histogram).all() and (histogram >= 0).all()):
            raise MeasureError("histograms", "a value is negative or not finite.", "Give counts or shares.")
        if not histogram.any():
            raise MeasureError("histograms", "one is zero for every class.", "Measure pairs that hold labels.")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum() / (2 * np.log(2))
    return float(np.sqrt(np.clip(divergence, 0, 1)))  # equal histograms give -1e-17 at times


def size_distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Wasserstein-1 distance between the distributions of log2 component sizes, all classes pooled: 1 where components are twice as large.

    Args:
        a: `component_sizes` of one set.
        b: the same for the other, over the same classes.

    Raises:
        MeasureError: the sets differ in classes.
    """
    if len(a) != len(b):
        raise MeasureError("components", f"{len(a)} and {len(b)} classes do not compare.", "Compare sets of one label space.")
    return float(wasserstein_distance(*(np.log2(np.concatenate(sizes)) for sizes in (a, b))))


def code_quality(index: pd.DataFrame) -> dict[str, float]:
    """Means over a store's index of `invalid`, the share of pixels whose code names no class, and `margin`, by which the nearest code won.

    NaN for a column that the store's maker did not write: real pairs and augmented ones have no codes.

    Raises:
        MeasureError: the index has no row.
    """
    if len(index) == 0:
        raise MeasureError("index", "it has no row.", "Measure at least one pair.")
    return {column: float(index[column].mean()) if column in index else float("nan") for column in ("invalid", "margin")}


def _component_sizes(hits: np.ndarray) -> np.ndarray:
    """Areas of the components of masks (B,H,W) bool, none of which reaches from one mask to the next."""
    # One tall image with an empty line below every mask: one call for all of them.
    tall = np.pad(hits, ((0, 0), (0, 1), (0, 0))).reshape(-1, hits.shape[2])
    labels, _ = ndimage.label(tall, EIGHT_CONNECTED)
    return np.bincount(labels.ravel())[1:]


def _blocks(masks: Masks, classes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A few masks at a time (B,H,W), with how many pixels of each class each of them holds, (B,K) int64."""
    for array in masks if isinstance(masks, list | tuple) else [masks]:
        array = np.asarray(array)
        if array.ndim != 3 or array.dtype.kind not in "iu":
            cause = f"an array of shape {array.shape} and type {array.dtype} holds no masks."
            raise MeasureError("masks", cause, "Give whole numbers of shape (N,H,W).")
        at_once = max(1, BLOCK_PIXELS // max(1, array[0].size if len(array) else 1))
        for begin in range(0, len(array), at_once):
            block = np.asarray(array[begin : begin + at_once])
            ids = block.astype(np.intp).reshape(len(block), -1)
            wrong = ids[((ids < 0) | (ids >= classes)) & (ids != IGNORE)]
            if wrong.size:
                cause = f"they hold the value {wrong[0]}, and there are {classes} classes."
                raise MeasureError("masks", cause, "Measure masks of one label space.")
            places = np.arange(len(block))[:, None] * (IGNORE + 1) + ids
            counts = np.bincount(places.ravel(), minlength=len(block) * (IGNORE + 1)).reshape(len(block), -1)
            yield block, counts[:, :classes]
