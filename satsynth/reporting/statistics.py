"""The statistics behind the tables: means with standard errors, paired differences, the bootstrap over scenes, correlation.

Scores are fractions in [0, 1] here; the tables turn them into percent. Sources: the paper's tables give mean ± standard error
over runs (Fig. 5: "error bars ... denote the standard error"); the intervals are this project's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


class Correlation(NamedTuple):
    """Pearson's r of `n` pairs of values with its two-sided interval; NaN where it is not defined."""

    r: float
    low: float
    high: float
    n: int


def outcome(seeds: tuple[float, float], scenes: tuple[float, float]) -> str:
    """gain, loss or undecided: what the intervals (low, high) of one difference allow to say.

    A gain needs an interval over seeds, and every interval at hand must lie above zero; a loss the same below zero.
    """
    if math.isnan(seeds[0]):
        return "undecided"
    known = [interval for interval in (seeds, scenes) if not math.isnan(interval[0])]
    if all(low > 0 for low, _ in known):
        return "gain"
    return "loss" if all(high < 0 for _, high in known) else "undecided"


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


def pearson(x: Sequence[float], y: Sequence[float], confidence: float) -> Correlation:
    """Pearson's r with the interval of Fisher's z: tanh(atanh r ± q / sqrt(n - 3)), q the normal quantile of the level.

    The interval takes the pairs for independent and roughly normal draws.

    Args:
        x, y: as many values each; a pair with a NaN is left out.
        confidence: two-sided level, in (0, 1).

    Returns:
        r, low, high and the n pairs used. All three are NaN for fewer than two pairs or a constant input, the interval for n < 4.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    n = len(x)
    if n < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(math.nan, math.nan, math.nan, n)
    x, y = x - x.mean(), y - y.mean()
    r = float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))
    if n < 4:
        return Correlation(r, math.nan, math.nan, n)
    if abs(r) == 1:
        return Correlation(r, r, r, n)
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) / math.sqrt(n - 3)
    return Correlation(r, math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach), n)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """IoU (..., K) of confusion matrices (..., K, K), rows = truth; NaN for a class in neither truth nor prediction."""
    return _iou(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2))


def mean_iou(confusion: np.ndarray) -> np.ndarray:
    """Mean IoU (...) of confusion matrices (..., K, K), rows = truth; classes absent from truth and prediction are left out.

    NaN where every class is absent.
    """
    return _mean_known(class_iou(confusion), -1)


def _iou(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    union = truth + predicted - hits
    return np.divide(hits, union, out=np.full(union.shape, np.nan), where=union > 0)


def _mean_known(values: np.ndarray, axis: int) -> np.ndarray:
    # nanmean, but without a warning where nothing is known.
    known = ~np.isnan(values)
    count = known.sum(axis)
    return np.divide(np.where(known, values, 0).sum(axis), count, out=np.full(count.shape, np.nan), where=count > 0)


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
    counts = _draw(scenes, replicates, seed)
    gaps = np.mean(_mean_known(_replicate(first, counts), -1), axis=0) - np.mean(_mean_known(_replicate(second, counts), -1), axis=0)
    low, high = np.nanquantile(gaps, _ends(confidence))
    return Difference(gap, float(low), float(high), scenes)


def bootstrap_classes(first: np.ndarray, second: np.ndarray, *, replicates: int, confidence: float, seed: int) -> list[Difference]:
    """Percentile intervals of the IoU difference of two arms, class by class: `bootstrap_scenes` for every class at once.

    All classes share the draws, and these are the ones of `bootstrap_scenes`. The IoU of an arm is the mean over its runs, runs
    without the class left out. A replicate that gives one of the arms no IoU at all (the drawn scenes do not hold the class, and no
    run predicts it) has no difference and is left out of that class's interval.

    Args:
        first, second: (runs, S, K, K) int64 sums per scene, the same scenes in both.
        replicates: number of bootstrap replicates.
        confidence: two-sided level in (0, 1).
        seed: of the Philox stream that draws the scenes.

    Returns:
        K differences on the scenes as they are (NaN for a class that an arm lacks). `n` is the number of scenes whose truth holds the
        class; below two there is no interval, since resampling one scene shows nothing of how scenes differ.
    """
    gap = _mean_known(class_iou(first.sum(1)), 0) - _mean_known(class_iou(second.sum(1)), 0)
    holding = (first[0].sum(-1) > 0).sum(0)
    counts = _draw(first.shape[1], replicates, seed)
    gaps = _mean_known(_replicate(first, counts), 0) - _mean_known(_replicate(second, counts), 0)
    found = []
    for mean, n, values in zip(gap, holding, gaps.T):
        known = values[~np.isnan(values)]
        low, high = np.quantile(known, _ends(confidence)) if n >= 2 and known.size else (math.nan, math.nan)
        found.append(Difference(float(mean), float(low), float(high), int(n)))
    return found


def _ends(confidence: float) -> list[float]:
    return [0.5 - confidence / 2, 0.5 + confidence / 2]


def _draw(scenes: int, replicates: int, seed: int) -> np.ndarray:
    # How often each scene is drawn (replicates, S); float64 products of these whole numbers are exact below 2**53.
    stream = np.random.Generator(np.random.Philox(seed))
    return stream.multinomial(scenes, np.full(scenes, 1 / scenes), size=replicates).astype(np.float64)


def _replicate(arm: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # IoU (runs, replicates, K). The three vectors that it needs are K numbers each: 3K products a scene instead of K*K.
    return np.stack(
        [
            _iou(
                counts @ np.diagonal(run, axis1=-2, axis2=-1).astype(np.float64),
                counts @ run.sum(-1).astype(np.float64),
                counts @ run.sum(-2).astype(np.float64),
            )
            for run in arm
        ]
    )
