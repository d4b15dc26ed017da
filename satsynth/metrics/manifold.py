"""How well a set of samples stays on, and covers, the manifold of real features: precision, recall, density and coverage; exact."""

import numpy as np
import torch

from satsynth.metrics.neighbours import BLOCK, Bank
from satsynth.runtime.errors import MeasureError


class Manifold:
    """The union of closed balls about the vectors of a set, each as large as the distance to its vector's k-th nearest other one.

    Where all vectors are equal it is that point.

    Args:
        vectors: (N,D) float32 features.
        k: the largest one that balls are asked for.
        device: where distances are computed.
        block: vectors at a time; changes speed and memory only.
        name: what errors call the set.

    Raises:
        MeasureError: there are no more than k vectors, or they hold NaN or Inf.
    """

    def __init__(self, vectors: np.ndarray, k: int, device: str | torch.device = "cpu", block: int = BLOCK, name: str = "manifold"):
        self.bank = Bank(vectors, device, block, name)
        if k < 1 or len(self.bank) <= k:
            cause = f"the {k}-th nearest neighbour in a set of {len(self.bank)} vectors is not defined."
            raise MeasureError(name, cause, f"Compare sets of at least {max(k, 1) + 1} with k of at least 1.")
        self._squared, _ = self.bank.search(self.bank.rows, k + 1)

    def squared_radii(self, k: int) -> np.ndarray:
        """Squared distance (N,) float64 of every vector to its k-th nearest other one."""
        return self._squared[:, k]  # the vector itself, or an equal one, comes first

    def count_balls(self, other: "Manifold", k: int) -> np.ndarray:
        """How many balls hold each vector of another set: (M,) int64.

        Raises:
            MeasureError: the sets differ in width.
        """
        return self.bank.count_balls(other.bank.rows, self.squared_radii(k))


def precision_recall(real: Manifold, fake: Manifold, k: int = 3) -> tuple[float, float]:
    """Share of fake vectors on the real manifold, and of real vectors on the fake one (Kynkäänniemi et al. 2019, equations 1 and 2).

    Returns:
        Precision and recall, 0 to 1.

    Raises:
        MeasureError: the sets differ in width.
    """
    return float((real.count_balls(fake, k) > 0).mean()), float((fake.count_balls(real, k) > 0).mean())


def density_coverage(real: Manifold, fake: Manifold, k: int = 5) -> tuple[float, float]:
    """How many real balls hold a fake vector, in units of k, and the share of real balls that hold one (Naeem et al. 2020, section 3).

    Two large samples of one distribution have a density of about 1, which is no upper bound, and a coverage of about 1 - 2^-k. In a set
    compared with itself every vector lies in its own ball and on the edge of k others on average, so its density is (k + 1) / k.

    Returns:
        Density, at least 0, and coverage, 0 to 1. Of the fake set only the vectors count, not its balls.

    Raises:
        MeasureError: the sets differ in width.
    """
    density = real.count_balls(fake, k).mean() / k
    squared, _ = fake.bank.search(real.bank.rows, 1)
    return float(density), float((squared[:, 0] <= real.squared_radii(k)).mean())
