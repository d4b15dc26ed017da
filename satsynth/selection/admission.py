"""Synthetic pairs by their scores: admitted whole, admitted with the pixels ignored whose label is doubted, or rejected.

The rule for pixels is FreeMask's (Yang et al. 2023): a synthetic pixel is ignored where its loss under a segmenter trained on real pairs
exceeds 1.25 times the mean loss of its class on real pairs. Theirs are the training pairs; here they are held-out ones.
"""

import io
import logging
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics.memorisation import calibrated
from satsynth.pairs import IGNORE, Store, StoreWriter
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError
from satsynth.selection.calibration import AGAIN, limits_of, masked_shares, open_scores

DECISIONS = ("admitted", "masked", "rejected")
# Why a pair is rejected -> what it says to a reader.
REASONS = {
    "margin": "code margin too small",
    "invalid": "too many invalid codes",
    "disagreement": "too many doubted labels",
    "copy": "near copy of a real pair",
    "unlabelled": "no label, or none that is not doubted",
}
THRESHOLDS = {
    "margin": "min_margin",
    "invalid": "max_invalid",
    "disagreement": "max_masked",
    "copy": "distance_quantile",
    "unlabelled": "pixel_factor",
}
COLUMNS = ("pair", "index", "margin", "invalid", "masked", "distance", "decision", "reasons")
log = logging.getLogger(__name__)


def decide(scores: pd.DataFrame, thresholds: dict, null: np.ndarray) -> pd.DataFrame:
    """What becomes of every pair.

    Args:
        scores: a row a pair: pair, index, margin, invalid, masked (share of labelled pixels whose label is doubted; NaN without labels),
            distance (to the nearest real pair). A score that a pair does not have is NaN, and nothing is asked of it.
        thresholds: min_margin, max_invalid, max_masked, distance_quantile; None asks for nothing.
        null: (n,) distances of held-out real pairs.

    Returns:
        The scores with `decision` (one of `DECISIONS`; masked: admitted with some pixels ignored) and `reasons` (keys of `REASONS`,
        joined by ";"; "" for a pair that is not rejected). A score at its threshold is kept.
    """
    found = scores.copy()
    wrong = {
        "margin": _beyond(found["margin"], thresholds["min_margin"], -1),
        "invalid": _beyond(found["invalid"], thresholds["max_invalid"], 1),
        "disagreement": _beyond(found["masked"], thresholds["max_masked"], 1),
        "copy": _beyond(found["distance"], distance_threshold(null, thresholds["distance_quantile"]), -1),
        "unlabelled": ~(found["masked"] < 1).to_numpy(),  # NaN too; nothing is learned from a pair whose pixels are all ignored
    }
    found["reasons"] = [";".join(name for name in REASONS if wrong[name][row]) for row in range(len(found))]
    kept = np.where(found["masked"] > 0, "masked", "admitted")
    found["decision"] = np.where(found["reasons"] != "", "rejected", kept)
    return found[list(COLUMNS)]


def distance_threshold(null: np.ndarray, quantile: float | None) -> float | None:
    """The distance below which a pair is a copy (see `satsynth.metrics.memorisation.calibrated`); None where nothing is asked."""
    null = np.asarray(null, np.float64)
    return None if quantile is None else calibrated(null, null, quantile).threshold


def _beyond(values: pd.Series, limit: float | None, sign: int) -> np.ndarray:
    """(N,) bool: above the limit (sign 1), or below it (-1); NaN is neither."""
    return np.zeros(len(values), bool) if limit is None else (sign * (values - limit) > 0).to_numpy()


def admit(store: Path, scores: Path, calibration: Path, *, folder: Path, decisions: Path, thresholds: dict) -> dict:
    """Write the admitted pairs of one shard as a store, and what became of every pair.

    Args:
        store: folder of the shard that is admitted from.
        scores: folder of its scores (see `satsynth.selection.scoring.score`).
        calibration: JSON file of `satsynth.selection.calibration.calibrate`.
        folder: where the store goes. Its index has the rows of the parent's with parent_pair (row there), masked and distance; its card the
            parent's `source`, and `admission`: parent and calibration (SHA-256 of the card and the file), parent_count, thresholds,
            limits (class losses above which a pixel is ignored, and distance), decisions and reasons (counts), loosen (the thresholds
            that rejected a pair), pixels (labelled ones of the pairs that were kept, before) and masked_pixels. It may hold no pair.
        decisions: CSV file to write, a row a pair of the parent: see `decide`.
        thresholds: pixel_factor (None ignores no pixel) and those of `decide`.

    Returns:
        The card.

    Raises:
        StoreError: scores and calibration are not of this store or not by one judge.
    """
    pairs = Store.open(store)
    losses, neighbours, scored = open_scores(scores, store)
    known = files.read_json(calibration)
    if scored["evaluator_sha256"] != known["evaluator_sha256"]:
        raise StoreError(scores, f"they were given by another judge than {calibration}.", AGAIN)
    doubt = (known["class_losses"], thresholds["pixel_factor"])
    limits = limits_of(*doubt)
    table = pd.DataFrame({"pair": pairs.index["pair"]})
    for name in ("index", "margin", "invalid"):
        table[name] = pairs.index.get(name, np.nan)
    table["masked"] = masked_shares(losses, pairs.masks, *doubt).round(6)
    table["distance"] = neighbours["feature_distance"].to_numpy()
    found = decide(table, thresholds, known["distances"])
    facts = {
        "parent": scored["store_sha256"],
        "parent_count": len(pairs),
        "calibration": files.sha256(calibration),
        "thresholds": thresholds,
        "limits": {
            "losses": [float(limit) if math.isfinite(limit) else None for limit in limits[: pairs.classes]],
            "distance": distance_threshold(known["distances"], thresholds["distance_quantile"]),
        },
        **_counts(found),
    }
    kept = found.index[found["decision"] != "rejected"]
    facts |= {"pixels": 0, "masked_pixels": 0}  # counted below, before the card is written
    known_rows = pairs.index.drop(columns="pair").to_dict("records")
    inherited = {key: pairs.card[key] for key in ("source",) if key in pairs.card}
    with StoreWriter(folder, size=pairs.size, classes=pairs.classes, facts={**inherited, "admission": facts}) as writer:
        for row in kept:
            mask = np.array(pairs.masks[row])
            doubted = np.asarray(losses[row], np.float64) > limits[mask]
            facts["pixels"] += int((mask != IGNORE).sum())
            facts["masked_pixels"] += int(doubted.sum())
            mask[doubted] = IGNORE
            told = {"parent_pair": row, "masked": found["masked"][row], "distance": found["distance"][row]}
            writer.append(pairs.images[row], mask, **{**known_rows[row], **told})
    text = io.StringIO()
    found.to_csv(text, index=False, lineterminator="\n")
    files.write_text(decisions, text.getvalue())
    log.info("%s: %s", store, tell(facts))
    return files.read_json(Path(folder) / "card.json")


def _counts(found: pd.DataFrame) -> dict:
    decided, reasons = Counter(found["decision"]), Counter(word for text in found["reasons"] for word in text.split(";") if word)
    loosen = [key for name, key in THRESHOLDS.items() if reasons[name]]
    return {
        "decisions": {name: decided[name] for name in DECISIONS},
        "reasons": {name: reasons[name] for name in REASONS},
        "loosen": loosen,
    }


def tell(facts: dict) -> str:
    """The yield of an admission in words, from `admission` of a card (or its numbers summed over cards)."""
    counts, total = facts["decisions"], facts["parent_count"]
    why = [f"{REASONS[name]}: {count}" for name, count in facts["reasons"].items() if count]
    said = f"of {total} pairs {counts['admitted']} admitted whole, {counts['masked']} with pixels ignored, {counts['rejected']} rejected"
    return said + (f" ({', '.join(why)})" if why else "")
