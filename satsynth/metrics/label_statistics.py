"""How the labels of two sets of pairs differ: class shares, Jensen-Shannon distance, sizes of connected components, code quality.

Masks are (N,H,W) of whole numbers, 0 to K - 1 or 255 (ignore), memory-mapped or not, or a list of such arrays: the shards of a source. They
are read a few images at a time.
"""

from collections.abc import Iterator, Sequence

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


def pixel_shares(masks: Masks, classes: int) -> np.ndarray:
    """Share of the labelled pixels that each class has: (K,) float64, adding up to 1; 0 for a class that never occurs.

    Raises:
        MeasureError: no pixel is labelled, or a mask holds a value that is no class.
    """
    pixels = sum(counts.sum(0) for _, counts in _blocks(masks, classes))
    if not np.any(pixels):
        raise MeasureError("masks", "no pixel is labelled.", "Measure pairs that hold labels.")
    return pixels / pixels.sum()


def presence_shares(masks: Masks, classes: int) -> np.ndarray:
    """Share of the pairs that contain each class (paper, Fig. 2c): (K,) float64 in [0, 1]; a pair may count for several classes.

    Raises:
        MeasureError: there is no pair, or a mask holds a value that is no class.
    """
    present, pairs = 0, 0
    for _, counts in _blocks(masks, classes):
        present, pairs = present + (counts > 0).sum(0), pairs + len(counts)
    if pairs == 0:
        raise MeasureError("masks", "there is no pair.", "Measure at least one pair.")
    return present / pairs


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


def component_sizes(masks: Masks, classes: int) -> list[np.ndarray]:
    """Areas in pixels of the 8-connected components of each class: K arrays of int64, in reading order, empty for a class without any.

    Components end at the edge of their mask, and ignored pixels separate.

    Raises:
        MeasureError: a mask holds a value that is no class.
    """
    found: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for block, counts in _blocks(masks, classes):
        for number in np.flatnonzero(counts.any(0)):
            hits = block[counts[:, number] > 0] == number
            # One tall image with an empty line below every mask: one call for all of them.
            tall = np.pad(hits, ((0, 0), (0, 1), (0, 0))).reshape(-1, block.shape[2])
            labels, _ = ndimage.label(tall, EIGHT_CONNECTED)
            found[number].append(np.bincount(labels.ravel())[1:])
    return [np.concatenate([np.zeros(0, np.int64), *parts]) for parts in found]


def size_distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Wasserstein-1 distance between the distributions of log2 component sizes, all classes pooled: 1 where components are twice as large.

    Args:
        a: what `component_sizes` returned for one set.
        b: the same for the other, over the same classes.

    Raises:
        MeasureError: the sets differ in classes, or one has no component at all.
    """
    if len(a) != len(b):
        raise MeasureError("components", f"{len(a)} and {len(b)} classes do not compare.", "Compare sets of one label space.")
    pooled = [np.concatenate([np.zeros(0, np.int64), *sizes]) for sizes in (a, b)]
    if not all(map(len, pooled)):
        raise MeasureError("components", "a set has no component.", "Measure pairs that hold labels.")
    return float(wasserstein_distance(*map(np.log2, pooled)))


def code_quality(index: pd.DataFrame) -> dict[str, float]:
    """Means over a store's index of `invalid`, the share of pixels whose code names no class, and `margin`, by which the nearest code won.

    NaN for a column that the store's maker did not write: real pairs and augmented ones have no codes.

    Raises:
        MeasureError: the index has no row.
    """
    if len(index) == 0:
        raise MeasureError("index", "it has no row.", "Measure at least one pair.")
    return {column: float(index[column].mean()) if column in index else float("nan") for column in ("invalid", "margin")}


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
