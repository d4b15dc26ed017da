"""Prediction and evaluation of a trained segmenter."""

import logging
from pathlib import Path

import numpy as np
import torch

from satsynth.metrics.confusion import scores
from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import StoreError, WeightsError
from satsynth.segmentation.segmenter import Segmenter, load

log = logging.getLogger(__name__)


@torch.inference_mode()
def predict(segmenter: Segmenter, images: np.ndarray, batch: int) -> np.ndarray:
    """The most probable class of every pixel: images (N,H,W,3) uint8 -> masks (N,H,W) uint8.

    Args:
        segmenter: in evaluation mode, on its device.
        images: an array, or a memory map.
        batch: images at a time; changes speed and memory only.
    """
    device = segmenter.scale.device
    masks = np.empty(images.shape[:3], np.uint8)
    for first in range(0, len(images), batch):
        chosen = torch.from_numpy(np.array(images[first : first + batch])).to(device)
        masks[first : first + batch] = segmenter(chosen).argmax(1).to(torch.uint8).cpu().numpy()
    return masks


@torch.inference_mode()
def count(segmenter: Segmenter, store: Store, batch: int) -> np.ndarray:
    """One confusion matrix an image (rows: truth), (N,K,K) int64; counted on the device, fetched once at the end."""
    device, classes = segmenter.scale.device, store.classes
    cells = classes * classes
    counts = torch.zeros((len(store), cells + 1), dtype=torch.int64, device=device)  # the last cell takes ignored pixels
    for first in range(0, len(store), batch):
        images = torch.from_numpy(np.array(store.images[first : first + batch])).to(device)
        truth = torch.from_numpy(np.array(store.masks[first : first + batch])).to(device).long()
        answer = segmenter(images).argmax(1)
        cell = torch.where(truth == IGNORE, cells, truth * classes + answer).flatten(1)
        # Unlike bincount, which must read the largest value back to size its output, this never waits for the device.
        counts[first : first + len(images)].scatter_add_(1, cell, torch.ones_like(cell))
    return counts[:, :cells].cpu().numpy().reshape(-1, classes, classes)


def evaluate(weights: Path, card: Path, store: Path, *, metrics: Path, confusion: Path, device: str | torch.device, batch: int) -> dict:
    """Score a trained segmenter on a store; write the confusion matrix of every image, then the metrics.

    Args:
        weights: safetensors file of the segmenter.
        card: its card.
        store: folder of the validation pairs.
        metrics: JSON file to write: miou, f1 (macro, of the matrix of the whole set, 0 to 1), iou and f1_per_class (null for a class that
            is in neither truth nor prediction), absent (their ids), classes, images, pixels (labelled), pixel_accuracy, confusion_sha256.
        confusion: npy file to write, (N,K,K) int64, rows truth, in the order of the store.
        device: "cpu" or "cuda".
        batch: images at a time.

    Returns:
        What was written to `metrics`.

    Raises:
        WeightsError: the weights cannot be read or are made for another number of classes.
        StoreError: no pixel of the store is labelled, so that no score is defined.
    """
    segmenter, facts = load(weights, card, device)
    pairs = Store.open(store)
    if facts["classes"] != pairs.classes:
        raise WeightsError(
            weights,
            f"they tell {facts['classes']} classes apart, but {store} has {pairs.classes}.",
            "Evaluate on the dataset of the training.",
        )
    if not any(pairs.card["class_pixels"]):
        raise StoreError(store, "no pixel is labelled, so no score is defined.", "Evaluate on a split that has masks.")
    counts = count(segmenter, pairs, batch)
    with files.replacing(confusion) as partial, open(partial, "wb") as file:
        np.save(file, counts)
    found = scores(counts)
    values = {
        **found,
        "iou": _plain(found["iou"]),
        "f1_per_class": _plain(found["f1_per_class"]),
        "classes": pairs.classes,
        "images": len(pairs),
        "confusion_sha256": files.sha256(confusion),
    }
    files.write_json(metrics, values)
    log.info("%s: mIoU %.4f, F1 %.4f over %d images; absent classes %s", store, found["miou"], found["f1"], len(pairs), found["absent"])
    return values


def _plain(values: np.ndarray) -> list[float | None]:
    """NaN is no JSON: null stands for it."""
    return [None if np.isnan(value) else float(value) for value in values]
