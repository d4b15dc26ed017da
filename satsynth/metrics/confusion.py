"""Confusion matrices and what is read off them: IoU, F1, mIoU and macro-F1 (paper, Tables 2 and 6).

Rows are the truth and columns the prediction; counts are int64. The means are taken over all classes, background included,
of one matrix summed over the whole set: this is what reproduces the paper's Table 6.
"""

import numpy as np

from satsynth.pairs import IGNORE
from satsynth.runtime.errors import DataError


def confusion(truth: np.ndarray, prediction: np.ndarray, classes: int, ignore: int = IGNORE) -> np.ndarray:
    """Count pixels: truth and prediction (...) of any integer dtype -> (K,K) int64.

    Pixels whose truth is `ignore` are left out.

    Raises:
        DataError: the shapes differ, or a value that counts is not below `classes`.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise DataError("confusion", f"truth {truth.shape} and prediction {prediction.shape} differ in shape.", "Compare equal shapes.")
    counted = truth != ignore
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, values in (("truth", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise DataError("confusion", f"the {name} holds a value outside 0 to {classes - 1}.", "Mend label_map or classes.")
    return np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def f1_of(iou: np.ndarray) -> np.ndarray:
    """F1 (Dice) of an IoU between 0 and 1: 2 IoU / (1 + IoU), the same as 2TP / (2TP + FP + FN)."""
    iou = np.asarray(iou, np.float64)
    return 2 * iou / (1 + iou)


def macro(values: np.ndarray) -> float:
    """Unweighted mean over the classes (K,) that are not NaN; NaN where all are."""
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def scores(counts: np.ndarray) -> dict:
    """Scores of a confusion matrix.

    Args:
        counts: (K,K) or (N,K,K) integers, one matrix an image; these are summed first, never averaged.

    Returns:
        `miou` and `f1` (macro means, 0 to 1); `iou` and `f1_per_class`, (K,) float64 with NaN for a class that neither the truth nor the
        prediction holds (such classes are in no mean); `absent`, their ids; `pixels`, the labelled ones; `pixel_accuracy`.

    Raises:
        DataError: no labelled pixel was counted, so that no score is defined.
    """
    counts = np.asarray(counts)
    total = counts.reshape(-1, *counts.shape[-2:]).sum(0, dtype=np.int64)
    pixels = int(total.sum())
    if pixels == 0:
        raise DataError("confusion", "no labelled pixel was counted.", "Score a set in which not every pixel is ignored.")
    hits = np.diagonal(total).astype(np.float64)
    union = total.sum(0) + total.sum(1) - np.diagonal(total)
    iou = np.full(len(total), np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    f1 = f1_of(iou)
    return {
        "miou": macro(iou),
        "f1": macro(f1),
        "iou": iou,
        "f1_per_class": f1,
        "absent": [int(number) for number in np.flatnonzero(union == 0)],
        "pixels": pixels,
        "pixel_accuracy": float(hits.sum() / pixels),
    }


def constant_class(train_pixels: np.ndarray, val_pixels: np.ndarray) -> dict:
    """Scores of answering every pixel with the class that is most frequent in training: the floor of any segmenter.

    Exact: with that class c and validation pixels v, IoU_c = v_c / sum(v), every other class that is present has 0, and a class without
    validation pixels (other than c) is absent.

    Args:
        train_pixels: (K,) pixels a class in the training set; ties go to the lowest id.
        val_pixels: (K,) pixels a class in the validation set.

    Returns:
        What `scores` returns, and `class`, the id of c.
    """
    chosen = int(np.argmax(np.asarray(train_pixels)))
    counts = np.zeros((len(val_pixels), len(val_pixels)), np.int64)
    counts[:, chosen] = val_pixels
    return {**scores(counts), "class": chosen}
