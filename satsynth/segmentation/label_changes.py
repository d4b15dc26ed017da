"""How many labels change between two samplings of one generator that begin with the same noise: the stores of two sources, pair by pair."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics.label_changes import changed_shares
from satsynth.pairs import View, open_view
from satsynth.runtime.errors import StoreError

BLOCK_PIXELS = 1 << 20
KEY = ["seed", "index"]  # of a pair: the seed of its noise and its absolute index, which name its starting noise


def compare(measured: Sequence[Path], baseline: Sequence[Path]) -> dict[str, float | int | None]:
    """Compare the pairs of two sets that bear the same seed and absolute index; they are read in blocks from the mapped files.

    Args:
        measured: folders of the stores of one set; index.csv has columns seed and index.
        baseline: those of the other.

    Returns:
        count, the pairs that both sets have and that share labelled pixels; changed and changed_se, mean of `changed_shares` over these
        and its standard error; unrelated, the mean where each pair is compared with the next one of the baseline (the last with the
        first) instead: what two draws of different noise have. A number that is not defined is null.

    Raises:
        StoreError: the sets have no pair in common, differ in size or classes, do not say which noise made their pairs, or hold
            shards that were not made alike.
    """
    first, second = open_view(measured), open_view(baseline)
    if (first.size, first.classes) != (second.size, second.classes):
        cause = f"{first.size} px and {first.classes} classes do not compare with {second.size} px and {second.classes}."
        raise StoreError(measured[0], cause, "Compare sources of one dataset and size.")
    found = _rows(first).merge(_rows(second), on=KEY, suffixes=("", "_other")).sort_values(KEY)
    if found.empty:
        cause = f"it has no pair of the same seed and index as {baseline[0]}."
        raise StoreError(measured[0], cause, "Compare sources of one seed.")
    rows, others = found["row"].to_numpy(), found["row_other"].to_numpy()
    shares = _shares(first, rows, second, others)
    shares = shares[~np.isnan(shares)]
    unrelated = _shares(first, rows, second, np.roll(others, -1)) if len(rows) > 1 else np.array([])
    return {
        "count": len(shares),
        "changed": float(shares.mean()) if len(shares) else None,
        "changed_se": float(shares.std(ddof=1) / len(shares) ** 0.5) if len(shares) > 1 else None,
        "unrelated": float(np.nanmean(unrelated)) if (~np.isnan(unrelated)).any() else None,
    }


def _rows(view: View) -> pd.DataFrame:
    """Seed and absolute index of every pair of a view, and its row there."""
    for store in view.stores:
        if not set(KEY) <= set(store.index):
            cause = "it does not say the seed and the absolute index of its pairs."
            raise StoreError(store.folder / "index.csv", cause, "Compare sources that sample a generator.")
    keys = pd.concat([store.index[KEY] for store in view.stores], ignore_index=True)
    return keys.assign(row=np.arange(len(keys)))


def _shares(first: View, rows: np.ndarray, second: View, others: np.ndarray) -> np.ndarray:
    at_once = max(1, BLOCK_PIXELS // first.size**2)
    blocks = [slice(begin, begin + at_once) for begin in range(0, len(rows), at_once)]
    return np.concatenate([changed_shares(_masks(first, rows[block]), _masks(second, others[block])) for block in blocks])


def _masks(view: View, rows: np.ndarray) -> np.ndarray:
    return np.stack([view.pair(row)[1] for row in rows.tolist()])
