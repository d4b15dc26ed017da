"""Exact nearest neighbours among many vectors, block by block, on a device.

Distances of a block of queries to a block of the bank come from one matrix product in float32, |a|² + |b|² - 2ab. Its rounding error has a
bound, and whatever that bound leaves open is computed again from the differences, in float64: an exact copy is at distance 0, the order
of neighbours is the true one, and ties go to the lowest row. What is computed again is computed on the host, vector by vector in one fixed
order, so the result depends neither on the device nor on the size of the blocks.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from satsynth.runtime.errors import MeasureError

BLOCK = 4096
SPARE = 8  # candidates beyond k: enough of them to show, nearly always, that no other vector can be among the nearest k
UNIT = 2.0**-24  # unit roundoff of float32
CHUNK = 1 << 20  # numbers of a float64 recomputation at a time


class Bank:
    """Vectors to be searched.

    Args:
        rows: (N,D) float32, an array or a memory map; it is read in blocks and never held on the device as a whole.
        device: where matrix products are computed.
        block: vectors at a time on either side; memory grows with block², the result does not depend on it.
        name: what errors call the vectors.

    Raises:
        MeasureError: there is no vector, it is no matrix, or it holds NaN, Inf or values whose squares overflow.
    """

    def __init__(self, rows: np.ndarray, device: str | torch.device = "cpu", block: int = BLOCK, name: str = "bank"):
        self.rows, self.device, self.block = _matrix(rows, name), torch.device(device), block
        # Features after a ReLU lie far from the origin; about their mean the norms, and with them all rounding errors, are small. (Any
        # centre is right that is the same for both sides.)
        blocks = [slice(first, first + block) for first in range(0, len(self.rows), block)]
        with np.errstate(over="ignore", invalid="ignore"):
            centre = sum(self.rows[part].sum(0) / len(self.rows) for part in blocks)
        self._centre = torch.from_numpy(np.asarray(centre, np.float32)).to(self.device)
        self._norms = torch.cat([_norms(self._centred(self.rows[part]), name) for part in blocks])
        self._longest = float(self._norms.max())
        self._relative = (self.rows.shape[1] / 2 + 32) * UNIT

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest vectors of every query, nearest first.

        Args:
            queries: (M,D) float32, an array or a memory map.
            k: 1 to N.

        Returns:
            Squared Euclidean distances (M,k) float64 and rows of the bank (M,k) int64.

        Raises:
            MeasureError: the queries are not of the bank's width or not finite, or there are fewer than k vectors.
        """
        queries = self._checked(queries)
        if not 1 <= k <= len(self):
            raise MeasureError("neighbours", f"{k} of {len(self)} vectors are asked for.", "Compare larger sets, or use a smaller k.")
        squared, rows = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
        with _full_precision():
            for first in range(0, len(queries), self.block):
                part = slice(first, first + self.block)
                squared[part], rows[part] = self._search(np.asarray(queries[part]), k)
        return squared, rows

    def count_balls(self, queries: np.ndarray, squared_radii: np.ndarray) -> np.ndarray:
        """How many balls about the bank's vectors hold each query.

        Args:
            queries: (M,D) float32.
            squared_radii: (N,) float64, of the closed balls, as `search` gives squared distances.

        Returns:
            (M,) int64.

        Raises:
            MeasureError: the queries are not of the bank's width or not finite.
        """
        queries = self._checked(queries)
        counts = np.zeros(len(queries), np.int64)
        with _full_precision():
            for first in range(0, len(queries), self.block):
                part = slice(first, first + self.block)
                counts[part] = self._count_balls(np.asarray(queries[part]), squared_radii)
        return counts

    def _search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        centred = self._centred(queries)
        norms = _norms(centred, "queries")
        keep = min(k + SPARE, len(self))
        near = torch.empty((len(queries), 0), device=self.device)
        rows = torch.empty((len(queries), 0), dtype=torch.int64, device=self.device)
        for first, others, lengths in self._parts():
            found = _squared(centred, norms, others, lengths).topk(min(keep, len(others)), largest=False, sorted=False)
            near, rows = torch.cat([near, found.values], 1), torch.cat([rows, found.indices + first], 1)
            if near.shape[1] > keep:
                near, chosen = near.topk(keep, largest=False, sorted=False)
                rows = rows.gather(1, chosen)
        candidates = rows.cpu().numpy()
        exact = self._exact(queries, np.repeat(np.arange(len(queries)), keep), candidates.ravel()).reshape(-1, keep)
        order = np.lexsort((candidates, exact))[:, :k]
        squared, rows = np.take_along_axis(exact, order, 1), np.take_along_axis(candidates, order, 1)
        if keep < len(self):
            # No vector that was dropped can be nearer than this.
            nearest_dropped = near.amax(1).cpu().numpy() - self._error(norms, self._longest)
            unsure = np.flatnonzero(squared[:, -1] >= nearest_dropped)
            if unsure.size:
                squared[unsure], rows[unsure] = self._search_all(queries[unsure], squared[unsure, -1], k)
        return squared, rows

    def _search_all(self, queries: np.ndarray, reach: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest by exact distances to every vector that may lie within the squared distance `reach` (M,), which k of them do."""
        centred = self._centred(queries)
        norms = _norms(centred, "queries")
        limit = torch.from_numpy((reach + self._error(norms, self._longest)).astype(np.float32)).to(self.device)
        owners, rows, squared = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        for first, others, lengths in self._parts():
            within = _squared(centred, norms, others, lengths) <= limit[:, None]
            owner, place = (part.cpu().numpy() for part in within.nonzero(as_tuple=True))
            owners, rows = np.concatenate([owners, owner]), np.concatenate([rows, place + first])
            squared = np.concatenate([squared, self._exact(queries, owner, place + first)])
            order = np.lexsort((rows, squared, owners))
            rank = np.arange(len(order)) - np.searchsorted(owners[order], owners[order])
            kept = order[rank < k]
            owners, rows, squared = owners[kept], rows[kept], squared[kept]
        return squared.reshape(-1, k), rows.reshape(-1, k)

    def _count_balls(self, queries: np.ndarray, squared_radii: np.ndarray) -> np.ndarray:
        centred = self._centred(queries)
        norms = _norms(centred, "queries")
        counts = np.zeros(len(queries), np.int64)
        for first, others, lengths in self._parts():
            radii = torch.from_numpy(squared_radii[first : first + self.block].astype(np.float32)).to(self.device)
            excess = _squared(centred, norms, others, lengths) - radii
            error = torch.from_numpy(self._error(norms, float(lengths.max())).astype(np.float32)).to(self.device)[:, None]
            counts += (excess < -error).sum(1).cpu().numpy()
            number, place = (part.cpu().numpy() for part in (excess.abs() <= error).nonzero(as_tuple=True))
            inside = self._exact(queries, number, place + first) <= squared_radii[place + first]
            counts += np.bincount(number[inside], minlength=len(queries))
        return counts

    def _exact(self, queries: np.ndarray, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Squared distances (P,) float64 of pairs of a query and a row; a difference of two float32 numbers is exact there."""
        squared = np.empty(len(rows))
        step = max(1, CHUNK // self.rows.shape[1])
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            gap = queries[numbers[part]].astype(np.float64) - self.rows[rows[part]]
            squared[part] = np.einsum("ij,ij->i", gap, gap)
        return squared

    def _error(self, norms: torch.Tensor, longest: float) -> np.ndarray:
        """The most by which `_squared` is wrong, (M,) float64: of the product of D terms in any order, of the norms and of centring."""
        return self._relative * (norms.cpu().numpy().astype(np.float64) ** 0.5 + longest**0.5) ** 2

    def _parts(self) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """The bank in blocks: first row, centred vectors and their squared norms."""
        for first in range(0, len(self.rows), self.block):
            part = slice(first, first + self.block)
            yield first, self._centred(self.rows[part]), self._norms[part]

    def _centred(self, vectors: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(vectors)).to(self.device).sub_(self._centre)

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        queries = _matrix(queries, "queries")
        if queries.shape[1] != self.rows.shape[1]:
            cause = f"vectors of {queries.shape[1]} numbers are compared with vectors of {self.rows.shape[1]}."
            raise MeasureError("neighbours", cause, "Compare features of one evaluator at one size.")
        return queries


def _squared(left: torch.Tensor, left_norms: torch.Tensor, right: torch.Tensor, right_norms: torch.Tensor) -> torch.Tensor:
    return torch.addmm(right_norms, left, right.T, alpha=-2).add_(left_norms[:, None])


def _matrix(vectors: np.ndarray, name: str) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)  # a memory map of float32 stays one: nothing is read here
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise MeasureError(f"neighbours: {name}", f"an array of shape {vectors.shape} holds no vectors.", "Give one row a vector.")
    return vectors


def _norms(centred: torch.Tensor, name: str) -> torch.Tensor:
    """Squared norms (B,) float32 of vectors, right to the last place or two."""
    norms = centred.square().sum(1, dtype=torch.float64).float()
    if not norms.isfinite().all():
        cause = "a vector holds NaN, Inf or a number too large to square."
        raise MeasureError(f"neighbours: {name}", cause, "Train the evaluator again and extract the features anew.")
    return norms


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 as such: the bound on the error knows nothing of TF32 and bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
