"""How well a set of samples stays on, and covers, the manifold of real features: precision, recall, density and coverage.

The manifold of a set is the union of closed balls about its vectors, each as large as the distance to the vector's k-th nearest neighbour
within the set. Exact, in blocks: see satsynth.metrics.neighbours.
"""

import numpy as np
import torch

from satsynth.metrics.neighbours import BLOCK, Bank
from satsynth.runtime.errors import MeasureError


def precision_recall(
    real: np.ndarray, fake: np.ndarray, k: int = 3, device: str | torch.device = "cpu", block: int = BLOCK
) -> tuple[float, float]:
    """Share of fake vectors on the real manifold, and of real vectors on the fake one (Kynkäänniemi et al. 2019, equations 1 and 2).

    Where all vectors of a set are equal its manifold is that point.

    Args:
        real: (N,D) float32 features.
        fake: (M,D) float32 features.
        k: neighbours that a vector is not counted among itself.
        device: where distances are computed.
        block: vectors at a time; changes speed and memory only.

    Returns:
        Precision and recall, 0 to 1.

    Raises:
        MeasureError: the sets differ in width, hold NaN or Inf, or have no more than k vectors.
    """
    sides = [Bank(vectors, device, block) for vectors in (real, fake)]
    radii = [_squared_radii(side, k) for side in sides]
    precision = (sides[0].count_balls(fake, radii[0]) > 0).mean()
    recall = (sides[1].count_balls(real, radii[1]) > 0).mean()
    return float(precision), float(recall)


def density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5, device: str | torch.device = "cpu", block: int = BLOCK
) -> tuple[float, float]:
    """How many real balls hold a fake vector, in units of k, and the share of real balls that hold one (Naeem et al. 2020, section 3).

    Two large samples of one distribution have a density of about 1, which is no upper bound, and a coverage of about 1 - 2^-k. In a set
    compared with itself every vector lies in its own ball and on the edge of k others on average, so its density is (k + 1) / k.

    Args:
        real: (N,D) float32 features.
        fake: (M,D) float32 features.
        k: neighbours that a vector is not counted among itself.
        device: where distances are computed.
        block: vectors at a time; changes speed and memory only.

    Returns:
        Density, at least 0, and coverage, 0 to 1.

    Raises:
        MeasureError: the sets differ in width, hold NaN or Inf, or the real one has no more than k vectors.
    """
    bank = Bank(real, device, block)
    radii = _squared_radii(bank, k)
    density = bank.count_balls(fake, radii).mean() / k
    squared, _ = Bank(fake, device, block).search(real, 1)
    return float(density), float((squared[:, 0] <= radii).mean())


def _squared_radii(bank: Bank, k: int) -> np.ndarray:
    """Squared distance (N,) of every vector to its k-th nearest other one."""
    if k < 1 or len(bank) <= k:
        cause = f"the {k}-th nearest neighbour in a set of {len(bank)} vectors is not defined."
        raise MeasureError("manifold", cause, f"Compare sets of at least {max(k, 1) + 1} with k of at least 1.")
    return bank.search(bank.rows, k + 1)[0][:, k]  # the vector itself, or an equal one, comes first
