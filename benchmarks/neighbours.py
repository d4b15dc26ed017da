"""The nearest training patch in evaluator features: the blocked exact search against one matrix of all distances.

    .venv/bin/python -m benchmarks.neighbours

Both sides find the two nearest of 2,048-wide vectors, one thread. The blocked search pays for exactness (planted copies at distance 0) and
for memory that does not grow with the sets; printed too is what 40,000 queries under eight turns against 40,000 patches take at its speed.
Aim: at least 0.8 times the speed of the matrix.
"""

import numpy as np
import torch

from benchmarks.interleaved import AT_MOST, Bench, measure
from benchmarks.memory import peak
from satsynth.metrics.neighbours import BLOCK, Bank

QUERIES, ROWS, WIDTH, K = 2048, 8192, 2048, 2
COPIES = 100
LARGE, TURNS = 40_000, 8


def features() -> tuple[np.ndarray, np.ndarray]:
    """Non-negative vectors of few degrees of freedom, as pooled features are, the first queries exact copies."""
    rng = np.random.default_rng(0)
    basis = rng.normal(0, 1, (40, WIDTH)).astype(np.float32)
    queries, bank = ((rng.normal(0, 1, (count, 40)).astype(np.float32) @ basis).clip(0) for count in (QUERIES, ROWS))
    queries[:COPIES] = bank[:COPIES]
    return queries, bank


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    queries, bank = features()
    whole = torch.from_numpy(queries), torch.from_numpy(bank)

    def matrix() -> np.ndarray:
        return torch.cdist(*whole).topk(K, largest=False).values.numpy()

    def blocked() -> np.ndarray:
        return np.sqrt(Bank(bank).search(queries, K)[0])

    before = peak()
    copies = blocked()[:COPIES, 0]
    print(f"Memory of the blocked search beyond the vectors: {peak() - before:.0f} MB")
    bench.record("distance between a vector and its exact copy", [copies.max()], aim=0.0, sense=AT_MOST, unit="")
    seconds = measure({"one matrix (torch.cdist)": matrix, "blocked and exact": blocked}, bench.chosen.rounds)
    units = dict.fromkeys(seconds, QUERIES * ROWS)
    bench.compare("exact nearest neighbours against one matrix of distances", seconds, units=units, unit="pairs", aim=0.8)
    speed = QUERIES * ROWS / np.median(seconds["blocked and exact"])
    pairs = TURNS * LARGE**2
    print(f"{LARGE} queries under {TURNS} turns against {LARGE} vectors, at this speed")
    print(f"  {2 * WIDTH * speed / 1e9:.0f} GFLOP per CPU second: {pairs / speed / 60:.0f} minutes of CPU time")
    print(f"  distances held at a time: {4 * BLOCK**2 / 1e6:.0f} MB; one matrix would hold {4 * pairs / 1e9:.0f} GB")
    bench.close()


if __name__ == "__main__":
    main()
