"""What real pairs that the judge never learned look like to it: the measure by which synthetic ones are admitted.

Held-out pairs are right by definition, and none is a copy. What the judge loses on a class there is what its label costs where nothing is
wrong with it, and how near they lie to the fit pairs is how near images of one region come to each other by themselves.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import MeasureError, StoreError

# Multiples of the class means at which the calibration says what share of the held pixels lies above: to read `max_masked` by.
FACTORS = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
CHUNK = 256  # pairs at a time
AGAIN = "Delete the scores and run again; finished work comes back from results/state."
log = logging.getLogger(__name__)


def open_scores(folder: Path, store: Path) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Losses (N,H,W) float16 memory-mapped, neighbours (N rows) and card of the scores of a store.

    Args:
        folder: what `satsynth.selection.scoring.score` wrote: losses.npy, neighbours.csv, card.json.
        store: folder of the pairs.

    Raises:
        StoreError: the scores cannot be read, or are those of another store.
    """
    folder = Path(folder)
    try:
        card = files.read_json(folder / "card.json")
        losses = np.load(folder / "losses.npy", mmap_mode="r")
        neighbours = pd.read_csv(folder / "neighbours.csv")
        known, count = card["store_sha256"], card["count"]
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise StoreError(folder, f"the scores cannot be read ({error}).", AGAIN) from error
    if known != files.sha256(Path(store) / "card.json") or (len(losses), len(neighbours)) != (count, count):
        raise StoreError(folder, f"they are not the scores of {store}.", AGAIN)
    return losses, neighbours, card


def class_means(losses: np.ndarray, masks: np.ndarray, classes: int, min_pixels: int) -> dict:
    """The mean loss of every class on real pairs.

    Args:
        losses: (N,H,W) float, in nats.
        masks: (N,H,W) uint8 class ids, 255 where unlabelled.
        classes: K.
        min_pixels: a class with fewer labelled pixels has no mean of its own: the largest of those that have one stands in for it, the
            mildest that the judge is known by. What a rare class really costs is higher, if anything, and its pixels are the last to lose.

    Returns:
        means (K floats), pixels (K counts), fallback (ids of the classes without a mean of their own).

    Raises:
        MeasureError: no class has enough pixels.
    """
    sums, pixels = np.zeros(IGNORE + 1), np.zeros(IGNORE + 1, np.int64)
    for first in range(0, len(masks), CHUNK):
        labels = np.asarray(masks[first : first + CHUNK]).ravel()
        sums += np.bincount(labels, np.asarray(losses[first : first + CHUNK], np.float64).ravel(), IGNORE + 1)
        pixels += np.bincount(labels, minlength=IGNORE + 1)
    sums, pixels = sums[:classes], pixels[:classes]
    known = pixels >= min_pixels
    if not known.any():
        cause = f"no class has {min_pixels} labelled pixels in held; the most frequent has {pixels.max()}."
        raise MeasureError(
            "admission.min_pixels", cause, "Hold out more scenes (datasets.*.held.share), or set admission.min_pixels lower."
        )
    means = np.divide(sums, pixels, out=np.zeros(classes), where=known)
    means[~known] = means[known].max()
    return {"means": means.tolist(), "pixels": pixels.tolist(), "fallback": np.flatnonzero(~known).tolist()}


def limits_of(means: list[float], factor: float | None) -> np.ndarray:
    """(256,) loss by class id above which a label is doubted: `factor` times the mean of its class; None doubts none, nor does 255."""
    limits = np.full(IGNORE + 1, np.inf)
    if factor is not None:
        limits[: len(means)] = factor * np.asarray(means)
    return limits


def masked_shares(losses: np.ndarray, masks: np.ndarray, means: list[float], factor: float | None) -> np.ndarray:
    """(N,) share of the labelled pixels of each pair whose loss is above `limits_of` their class; NaN without labels."""
    limits = limits_of(means, factor)
    shares = np.full(len(masks), np.nan)
    for first in range(0, len(masks), CHUNK):
        labels = np.asarray(masks[first : first + CHUNK])
        above = (np.asarray(losses[first : first + CHUNK], np.float64) > limits[labels]).sum((1, 2))
        labelled = (labels != IGNORE).sum((1, 2))
        np.divide(above, labelled, out=shares[first : first + CHUNK], where=labelled > 0)
    return shares


def calibrate(store: Path, scores: Path, out: Path, *, min_pixels: int) -> dict:
    """Write what the held-out pairs say about the judge.

    Args:
        store: folder of the held pairs.
        scores: folder of their scores, with neighbours among the fit pairs.
        out: JSON file to write: pairs; class_losses (nats), class_pixels and fallback (see `class_means`); masked, for each of `FACTORS`
            the mean and the 95 % quantile over pairs of the share of their pixels above it; distances, of every pair to its nearest fit
            pair in the judge's features, sorted; evaluator_sha256 (the judge's weights), store_sha256 and scores_sha256 (cards).
        min_pixels: see `class_means`.

    Returns:
        What was written.

    Raises:
        StoreError: the scores are not those of the store. MeasureError: no class has enough pixels.
    """
    pairs = Store.open(store)
    losses, neighbours, card = open_scores(scores, store)
    found = class_means(losses, pairs.masks, pairs.classes, min_pixels)
    masked = []
    for factor in FACTORS:
        shares = masked_shares(losses, pairs.masks, found["means"], factor)
        shares = shares[~np.isnan(shares)]
        masked.append({"factor": factor, "mean": round(float(shares.mean()), 6), "q95": round(float(np.quantile(shares, 0.95)), 6)})
    values = {
        "pairs": len(pairs),
        "class_losses": [round(mean, 6) for mean in found["means"]],
        "class_pixels": found["pixels"],
        "fallback": found["fallback"],
        "masked": masked,
        "distances": sorted(neighbours["feature_distance"].tolist()),
        "evaluator_sha256": card["evaluator_sha256"],
        "store_sha256": card["store_sha256"],
        "scores_sha256": files.sha256(Path(scores) / "card.json"),
    }
    files.write_json(out, values)
    log.info("%s: class losses %s, of %s pixels", store, values["class_losses"], found["pixels"])
    return values
