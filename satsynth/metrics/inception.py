"""The inception score (Salimans et al. 2016) of the class probabilities that a segmenter gives; the paper has one in Inception's place.

exp of the mutual information between image and class: from 1 to K. A segmenter has a distribution a pixel; the paper does not state how
they become one of the image. `inception_score` takes any distribution an image (the mean of the pixels' is this project's default),
`pixel_inception_score` counts every pixel as a sample of its own.
"""

import numpy as np
from scipy.special import entr, rel_entr

from satsynth.runtime.errors import MeasureError

NAME = "inception score"


def inception_score(probabilities: np.ndarray, splits: int = 1) -> tuple[float, float]:
    """exp E_x KL(p(y|x) || p(y)), the mean over splits.

    Args:
        probabilities: (N,K), rows that add up to 1.
        splits: consecutive parts of (nearly) equal size that are scored on their own; 10 of 5,000 are common, 1 has the least bias.

    Returns:
        Mean over the splits, in [1, K], and its standard error (ddof 1), NaN for one split. 0 log 0 counts as 0.

    Raises:
        MeasureError: fewer than two rows a split, or rows that are no distributions.
    """
    probabilities = _distributions(probabilities, splits)
    scores = [np.exp(rel_entr(part, part.mean(0)).sum(1).mean()) for part in np.array_split(probabilities, splits)]
    return _mean_and_error(scores)


def pixel_inception_score(probabilities: np.ndarray, entropy: np.ndarray, splits: int = 1) -> tuple[float, float]:
    """The score with every pixel as a sample: exp(H(p(y)) - E H(p(y|pixel))), the mean over splits.

    Args:
        probabilities: (N,K), the mean over an image's pixels of their distributions; images of one size.
        entropy: (N,), the mean over an image's pixels of their entropies in nats.
        splits: as in `inception_score`.

    Returns:
        Mean over the splits, in [1, K], and its standard error (ddof 1), NaN for one split.

    Raises:
        MeasureError: as in `inception_score`, or entropies that are not one number an image within [0, log K].
    """
    probabilities, entropy = _distributions(probabilities, splits), np.asarray(entropy, np.float64)
    if entropy.shape != probabilities.shape[:1]:
        cause = f"entropies of shape {entropy.shape} do not fit {len(probabilities)} distributions."
        raise MeasureError(NAME, cause, "Give one entropy an image.")
    most = np.log(probabilities.shape[1])
    if not ((entropy >= -1e-6) & (entropy <= most + 1e-6)).all():
        cause = f"an entropy is not within 0 and log K = {most:.4g} nats."
        raise MeasureError(NAME, cause, "Give means of the pixels' entropies, in nats.")
    parts = zip(np.array_split(probabilities, splits), np.array_split(entropy, splits))
    return _mean_and_error([np.exp(entr(part.mean(0)).sum() - own.mean()) for part, own in parts])


def are_distributions(probabilities: np.ndarray) -> np.ndarray:
    """Which of probabilities (...,K) are at least 0 and add up to 1, but for rounding: (...) bool."""
    with np.errstate(invalid="ignore"):
        return (probabilities >= 0).all(-1) & (np.abs(probabilities.sum(-1) - 1) < 1e-4)


def _distributions(probabilities: np.ndarray, splits: int) -> np.ndarray:
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2:
        raise MeasureError(NAME, f"probabilities of shape {probabilities.shape} are not (N,K).", "Give one distribution an image.")
    if splits < 1 or len(probabilities) < 2 * splits:
        cause = f"{len(probabilities)} images in {splits} splits leave fewer than two a split."
        raise MeasureError(NAME, cause, "Measure more images or take fewer splits.")
    right = are_distributions(probabilities)
    if not right.all():
        cause = f"row {int(np.argmin(right))} is no distribution: a value is negative or not finite, or the sum is not 1."
        raise MeasureError(NAME, cause, "Give probabilities, not logits, and check the evaluator's weights.")
    return probabilities


def _mean_and_error(scores: list[float]) -> tuple[float, float]:
    error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    return float(np.mean(scores)), float(error)
