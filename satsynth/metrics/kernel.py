"""The kernel inception distance (Binkowski et al. 2018): a squared maximum mean discrepancy without the bias of the Fréchet distance."""

import numpy as np

from satsynth.metrics.frechet import blocks
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import MeasureError


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    subsets: int,
    subset_size: int,
    seed: int,
    names: tuple[str, str] = ("first sample", "second sample"),
) -> tuple[float, float]:
    """Unbiased MMD^2 under the kernel (x.y / D + 1)^3, the mean over random subsets.

    Unbiased, so below 0 now and then where the samples are of one distribution.

    Args:
        a: (N,D) features of any real dtype, memory-mapped or not.
        b: (M,D) features of the same evaluator.
        subsets: how many pairs of subsets are compared, at least 1.
        subset_size: rows of a subset, drawn without replacement; from 2 to the smaller of N and M (1000 is common).
        seed: subset i is a function of (seed, i, N) and (seed, i, M) alone.
        names: what errors call the samples.

    Returns:
        Mean over the subsets, and its standard error (ddof 1), NaN for one subset. Subsets of one sample overlap: the error tells how
        exactly this sample's distance is known, not how far another sample's would be.

    Raises:
        MeasureError: fewer than two rows, NaN or Inf, widths that differ, or subsets that the samples cannot fill.
    """
    a, b = np.asarray(a), np.asarray(b)
    for features, name in zip((a, b), names):
        for _ in blocks(features, name):  # every row is looked at, also one that no subset draws
            pass
        if len(features) < 2:
            raise MeasureError(name, f"{len(features)} rows of features make no distance.", "Measure at least two pairs.")
    if a.shape[1] != b.shape[1]:
        cause = f"{a.shape[1]} features a row do not compare with the {b.shape[1]} of {names[1]}."
        raise MeasureError(names[0], cause, "Take both samples from the same stage of one evaluator.")
    if subsets < 1 or not 2 <= subset_size <= min(len(a), len(b)):
        cause = f"{subsets} subsets of {subset_size} cannot be drawn from samples of {len(a)} and {len(b)}."
        raise MeasureError("kernel distance", cause, "Take at least one subset, of two rows or more and no more than a sample has.")
    values = [
        _discrepancy(_subset(a, subset_size, seed, "first", number), _subset(b, subset_size, seed, "second", number))
        for number in range(subsets)
    ]
    error = np.std(values, ddof=1) / np.sqrt(subsets) if subsets > 1 else np.nan
    return float(np.mean(values)), float(error)


def _subset(features: np.ndarray, size: int, seed: int, side: str, number: int) -> np.ndarray:
    stream = numpy_stream(seed, "kernel_distance", side, number)
    rows = np.sort(stream.choice(len(features), size, replace=False))  # in order, for memory-mapped files
    return features[rows].astype(np.float64)


def _discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased MMD^2 of equally many rows (Gretton et al. 2012, eq. 3): no row is compared with itself."""
    count = len(a)
    within = sum(kernel.sum() - np.trace(kernel) for kernel in (_kernel(a, a), _kernel(b, b)))
    return float(within / (count * (count - 1)) - 2 * _kernel(a, b).mean())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3
