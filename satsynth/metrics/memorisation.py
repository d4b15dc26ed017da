"""One calibrated number on copied training patches: the share of synthetic pairs nearer to one than real patches ever are."""

from typing import NamedTuple

import numpy as np
from scipy.stats import betabinom

from satsynth.runtime.errors import MeasureError


class Calibration(NamedTuple):
    """What `calibrated` finds.

    `share`, 0 to 1, of the synthetic distances that are below `threshold`; `expected`, the share that distances distributed as the null
    would have on average; the numbers of distances on both sides.
    """

    share: float
    threshold: float
    expected: float
    synthetic_count: int
    null_count: int


def calibrated(synthetic: np.ndarray, null: np.ndarray, quantile: float = 0.01) -> Calibration:
    """The share of synthetic pairs that are strictly nearer to a training patch than the given quantile of held-out real patches.

    The quantile of n null distances is their lower order statistic, number floor(quantile (n - 1)) from 0, never a value in between.
    Fewer than 1 / quantile + 1 nulls (101 for 1 %) cannot tell their quantile from their least value, which then is the threshold, so that
    a synthetic pair counts if it is nearer than every null; `expected` says by how much this differs: with j the statistic's number,
    (j + 1) / (n + 1) of the distances drawn like the null lie below it, 1 in n + 1 for few nulls. A tie is no copy: where held-out
    patches have exact twins in the training set (blank ones, say) at that quantile, the threshold is 0 and no pair can count.

    Args:
        synthetic: (M,) distances of synthetic pairs to their nearest training patch.
        null: (n,) distances of held-out real patches to theirs, in the same measure.
        quantile: 0 < quantile < 1.

    Raises:
        MeasureError: there is no distance on one side, one is NaN, Inf or negative, or the quantile is none.
    """
    synthetic, null = _distances(synthetic, "synthetic"), _distances(null, "null")
    if not 0 < quantile < 1:
        raise MeasureError("memorisation", f"{quantile} is no quantile.", "Give more than 0 and less than 1, such as 0.01.")
    number = int(quantile * (len(null) - 1))
    threshold = float(np.sort(null)[number])
    return Calibration(float((synthetic < threshold).mean()), threshold, (number + 1) / (len(null) + 1), len(synthetic), len(null))


def chance(limit: Calibration) -> float:
    """How probable it is that as many of the synthetic distances as were found, or more, lie below the threshold where none is a copy.

    If the M synthetic and the n null distances are drawn alike, the number of the former below the j-th of the latter has the beta-binomial
    distribution of M, j and n + 1 - j, whatever that they are drawn from (ties only make it smaller). Pairs that resemble one another, as
    patches of one scene do, vary more than that.
    """
    place = round(limit.expected * (limit.null_count + 1))
    found = round(limit.share * limit.synthetic_count)
    return float(betabinom.sf(found - 1, limit.synthetic_count, place, limit.null_count + 1 - place))


def _distances(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or values.min() < 0:
        cause = f"the {name} distances are none, or not all of them finite and at least 0."
        raise MeasureError("memorisation", cause, "Search the nearest training patches again.")
    return values
