"""The Fréchet distance between Gaussians fitted to two samples of features (FID, sFID), exact at any sample size.

d = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017), covariances with ddof 1, in float64. With any
R1, R2 such that S1 = R1^T R1 and S2 = R2^T R2, the trace of the square root is the sum of the singular values of R1 R2^T: no square root of
a matrix, no complex number and nothing added to a diagonal. Where a sample has no more rows than columns its rows are such an R.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from satsynth.runtime.errors import MeasureError

BLOCK = 4096
EPSILON = float(np.finfo(np.float64).eps)
# Largest error of the trace term, as a share of tr(S1) + tr(S2), at which squared singular values may stand in for singular values.
TOLERANCE = 1e-10
# Smallest reciprocal condition number at which a Cholesky factor is as good as the factor that the eigenvectors give.
WELL_CONDITIONED = 1e-10


def blocks(features: np.ndarray, name: str, rows: int = BLOCK) -> Iterator[np.ndarray]:
    """Features (N,D) of any real dtype, memory-mapped or not, as float64 copies of at most `rows` rows.

    Args:
        features: one row a sample.
        name: what errors call them.
        rows: largest number of rows of a block.

    Raises:
        MeasureError: they are no (N,D) array, or hold NaN or Inf.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise MeasureError(name, f"an array of shape {features.shape} holds no rows of features.", "Give an array of shape (N,D).")
    for begin in range(0, len(features), rows):
        block = np.array(features[begin : begin + rows], np.float64)
        finite = np.isfinite(block).all(1)
        if not finite.all():
            cause = f"row {begin + int(np.argmin(finite))} of the features holds NaN or Inf."
            raise MeasureError(name, cause, "Check the evaluator's weights and compute the features again.")
        yield block


class Sample:
    """What the Fréchet distance needs to know of a sample of features, taken in batch by batch.

    As long as there are no more rows than columns the rows themselves are kept, since their covariance is singular and they are smaller
    than it. Beyond that it is the mean and the scatter matrix, merged D + 1 rows or more at a time (Chan, Golub and LeVeque 1983), all in
    float64. Memory is bounded by D, whatever the number of rows; how these were cut into batches does not matter.

    Args:
        name: what errors call the sample.
    """

    def __init__(self, name: str = "features"):
        self.name, self.count, self.width = name, 0, 0
        self._waiting: list[np.ndarray] = []
        self._merged = 0
        self._mean = self._scatter = None

    @property
    def keeps_rows(self) -> bool:
        """Whether the rows themselves are kept: true up to D rows."""
        return self._scatter is None

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64."""
        return self._spread().mean

    @property
    def covariance(self) -> np.ndarray:
        """(D,D) float64, ddof 1."""
        spread = self._spread()
        return spread.rows.T @ spread.rows if spread.covariance is None else spread.covariance

    def add(self, features: np.ndarray) -> "Sample":
        """Take in a batch (B,D) of any real dtype, copying it; a memory-mapped array of any length will do. Returns the sample itself.

        Raises:
            MeasureError: the batch is no (B,D) array, holds NaN or Inf, or is of another width than the batches before.
        """
        for rows in blocks(features, self.name):
            self.width = self.width or rows.shape[1]
            if rows.shape[1] != self.width:
                cause = f"rows of {rows.shape[1]} features follow rows of {self.width}."
                raise MeasureError(self.name, cause, "Take all features from one evaluator.")
            self._waiting.append(rows)
            self.count += len(rows)
            if self.count - self._merged > self.width:
                self._merge()
        return self

    def _merge(self) -> None:
        mean, centred = _centred(np.concatenate(self._waiting))
        scatter, rows = centred.T @ centred, len(centred)
        self._waiting = []
        if self._scatter is None:
            self._mean, self._scatter = mean, scatter
        else:
            total, step = self._merged + rows, mean - self._mean
            self._scatter += scatter
            self._scatter += np.outer(step, step * (self._merged * rows / total))
            self._mean = self._mean + step * (rows / total)
        self._merged += rows

    def _spread(self) -> "_Spread":
        if self.count < 2:
            cause = f"{self.count} rows of features have no covariance."
            raise MeasureError(self.name, cause, "Measure at least two pairs.")
        if self.keeps_rows:
            mean, centred = _centred(np.concatenate(self._waiting))
            rows = _contrasts(centred) / np.sqrt(self.count - 1)
            return _Spread(mean, np.einsum("nd,nd->d", rows, rows), rows, None)
        if self._waiting:
            self._merge()
        covariance = self._scatter / (self.count - 1)
        return _Spread(self._mean, covariance.diagonal(), None, covariance)


def frechet_distance(a: Sample, b: Sample) -> float:
    """The (squared) Fréchet distance between the Gaussians of two samples, at least 0, in squared units of the features.

    Exact at full rank, with fewer rows than columns, with constant channels and for a point mass (all rows equal, covariance 0). The
    estimate is biased upwards by about D/N: compare distances at equal N only.

    Raises:
        MeasureError: a sample has fewer than two rows, or the widths differ.
    """
    one, other = a._spread(), b._spread()
    if a.width != b.width:
        cause = f"{a.width} features a row do not compare with the {b.width} of {b.name}."
        raise MeasureError(a.name, cause, "Take both samples from the same stage of one evaluator.")
    gap = one.mean - other.mean
    traces = one.variances.sum() + other.variances.sum()
    return max(0.0, float(gap @ gap + traces - 2 * _trace_of_root(one, other)))


@dataclass(frozen=True)
class _Spread:
    """Mean and covariance of a sample: `rows` with covariance = rows^T rows, or the covariance itself, never both."""

    mean: np.ndarray
    variances: np.ndarray
    rows: np.ndarray | None
    covariance: np.ndarray | None

    def within(self, channels: np.ndarray) -> "_Spread":
        """The same of some channels (D,) bool; the mean is left as it is."""
        if channels.all():
            return self
        if self.rows is not None:
            return replace(self, rows=self.rows[:, channels])
        return replace(self, covariance=self.covariance[np.ix_(channels, channels)])

    def root(self) -> np.ndarray:
        """(R,D) with root^T root = covariance, R at most D."""
        if self.rows is not None:
            return self.rows
        lower = _cholesky(self.covariance)
        if lower is not None:
            reciprocal, _ = linalg.lapack.dpocon(lower, np.linalg.norm(self.covariance, 1), uplo="L")
            if reciprocal > WELL_CONDITIONED:
                return lower.T
        values, vectors = linalg.eigh(self.covariance)
        # What lies below is rounding; its square root would not be small.
        kept = values > len(values) * EPSILON * values[-1]
        return np.sqrt(values[kept])[:, None] * vectors[:, kept].T

    def size(self) -> float:
        """Frobenius norm of the covariance."""
        return float(np.linalg.norm(self.covariance if self.rows is None else self.rows @ self.rows.T))


def _trace_of_root(one: _Spread, other: _Spread) -> float:
    """tr (S1 S2)^(1/2).

    Eigenvalues of a symmetric product are twice as fast as singular values of the factors, but their error grows with the square root: they
    are used where a bound on that error is small, as it is at full rank.
    """
    # A channel that is constant in either sample, as that of a dead ReLU, adds nothing; without it Cholesky works.
    channels = (one.variances > 0) & (other.variances > 0)
    if not channels.any():
        return 0.0
    traces = one.variances.sum() + other.variances.sum()
    one, other = one.within(channels), other.within(channels)
    if one.rows is not None and other.rows is not None:
        return float(linalg.svdvals(one.rows @ other.rows.T).sum())
    if other.rows is not None:
        one, other = other, one
    squares = _squares(one, other.covariance)
    if squares is not None:
        noise = EPSILON * one.size() * other.size()
        if (noise / np.sqrt(np.maximum(squares, noise))).sum() <= TOLERANCE * traces:
            return float(np.sqrt(np.maximum(squares, 0)).sum())
    return float(linalg.svdvals(one.root() @ other.root().T).sum())


def _squares(one: _Spread, covariance: np.ndarray) -> np.ndarray | None:
    """Eigenvalues of R1 S2 R1^T, the squares of the singular values of R1 R2^T; None where S1 has no Cholesky factor."""
    if one.rows is not None:
        return linalg.eigvalsh(one.rows @ covariance @ one.rows.T)
    lower = _cholesky(one.covariance)
    if lower is None:
        return None
    product, _ = linalg.lapack.dsygst(covariance, lower, itype=2, lower=1)  # L^T S2 L in a quarter of the products, its lower half alone
    return linalg.eigvalsh(product, lower=True)


def _cholesky(covariance: np.ndarray) -> np.ndarray | None:
    try:
        return linalg.cholesky(covariance, lower=True)
    except linalg.LinAlgError:
        return None


def _centred(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) of the rows and the rows less it. Taken from the first row, so that a constant channel has a variance of exactly 0."""
    centred = rows - rows[0]
    offset = centred.mean(0)
    centred -= offset
    return rows[0] + offset, centred


def _contrasts(centred: np.ndarray) -> np.ndarray:
    """Centred rows (N,D) turned by Helmert's orthonormal contrasts into N - 1 rows of the same scatter.

    Centred rows add up to zero, so one of their N singular values is 0 but for rounding; this leaves it out.
    """
    before = np.arange(1, len(centred))[:, None]
    return (np.cumsum(centred[:-1], 0) - before * centred[1:]) / np.sqrt(before * (before + 1.0))
