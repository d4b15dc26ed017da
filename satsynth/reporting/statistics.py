"""The statistics behind the tables: means with standard errors, paired differences, the bootstrap over scenes.

Scores are fractions in [0, 1] here; the tables turn them into percent. Sources: the paper's tables give mean ± standard error
over runs (Fig. 5: "error bars ... denote the standard error"); the intervals are this project's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from satsynth.runtime.errors import StoreError


@dataclass(frozen=True)
class Spread:
    """Mean of `n` values; `error` is the standard error of the mean, NaN where n < 2."""

    mean: float
    error: float
    n: int


@dataclass(frozen=True)
class Difference:
    """A difference of means with its two-sided interval; `low` and `high` are NaN where `n` units are too few for one."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def decided(self) -> bool:
        """Whether an interval exists and leaves out zero."""
        return self.low > 0 or self.high < 0


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard error (sample standard deviation with ddof 1, over sqrt n) and n of independent runs."""
    values = np.asarray(values, np.float64)
    n = len(values)
    error = float(values.std(ddof=1) / math.sqrt(n)) if n >= 2 else math.nan
    return Spread(float(values.mean()) if n else math.nan, error, n)


def paired(first: Mapping[int, float], second: Mapping[int, float], confidence: float) -> Difference:
    """Mean of `first - second` over the seeds that both have, with the t-interval of the paired differences.

    Args:
        first, second: score by seed.
        confidence: two-sided level of the interval, in (0, 1).
    """
    seeds = sorted(first.keys() & second.keys())
    gaps = spread([first[seed] - second[seed] for seed in seeds])
    if gaps.n < 2:
        return Difference(gaps.mean, math.nan, math.nan, gaps.n)
    reach = float(stats.t.ppf(0.5 + confidence / 2, gaps.n - 1)) * gaps.error
    return Difference(gaps.mean, gaps.mean - reach, gaps.mean + reach, gaps.n)


def mean_iou(confusion: np.ndarray) -> np.ndarray:
    """Mean IoU (...) of confusion matrices (..., K, K), rows = truth; classes absent from truth and prediction are left out.

    NaN where every class is absent.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _mean_of_present(hits, confusion.sum(-1), confusion.sum(-2))


def _mean_of_present(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    union = truth + predicted - hits
    present = union > 0
    iou = np.divide(hits, union, out=np.zeros(union.shape, np.float64), where=present)
    count = present.sum(-1)
    return np.divide(iou.sum(-1), count, out=np.full(count.shape, np.nan), where=count > 0)


def sum_scenes(confusion: np.ndarray, scenes: Sequence[str]) -> np.ndarray:
    """Confusion matrices per pair (N, K, K) and the scene of each pair -> sums per scene (S, K, K) int64, scenes sorted by name.

    Raises:
        StoreError: the numbers of matrices and of pairs differ.
    """
    if len(confusion) != len(scenes):
        raise StoreError(
            "confusion.npy",
            f"it holds {len(confusion)} matrices, but the validation store {len(scenes)} pairs.",
            "Run the evaluation of this run again.",
        )
    names, owner = np.unique(np.asarray(scenes, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), *confusion.shape[1:]), np.int64)
    np.add.at(sums, owner, confusion)
    return sums


def bootstrap_scenes(first: np.ndarray, second: np.ndarray, *, replicates: int, confidence: float, seed: int) -> Difference:
    """Percentile interval of the mean-IoU difference of two arms, resampling scenes and keeping the two arms paired.

    Whole scenes are drawn, since patches of one scene are alike and would make the interval too narrow. A replicate sums
    each run's confusion matrices over the drawn scenes, takes its mean IoU, and subtracts the means over seeds.

    Args:
        first, second: (runs, S, K, K) int64 sums per scene, the same scenes in both.
        replicates: number of bootstrap replicates.
        confidence: two-sided level in (0, 1).
        seed: of the Philox stream that draws the scenes.

    Returns:
        The difference on the scenes as they are, with `n` = S; the interval is NaN where S < 2.
    """
    scenes = first.shape[1]
    gap = float(mean_iou(first.sum(1)).mean() - mean_iou(second.sum(1)).mean())
    if scenes < 2:
        return Difference(gap, math.nan, math.nan, scenes)
    stream = np.random.Generator(np.random.Philox(seed))
    # Counts of each scene per replicate; float64 products of these whole numbers are exact below 2**53.
    counts = stream.multinomial(scenes, np.full(scenes, 1 / scenes), size=replicates).astype(np.float64)
    gaps = _replicate(first, counts) - _replicate(second, counts)
    low, high = np.nanquantile(gaps, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Difference(gap, float(low), float(high), scenes)


def _replicate(arm: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # The three vectors that the IoU needs are K numbers each, so a replicate costs 3K products a scene instead of K*K.
    scores = [
        _mean_of_present(
            counts @ np.diagonal(run, axis1=-2, axis2=-1).astype(np.float64),
            counts @ run.sum(-1).astype(np.float64),
            counts @ run.sum(-2).astype(np.float64),
        )
        for run in arm
    ]
    return np.mean(scores, axis=0)
