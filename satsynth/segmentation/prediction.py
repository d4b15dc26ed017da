"""Prediction and evaluation of a trained segmenter."""

import logging
import time
from pathlib import Path

import numpy as np
import torch

from satsynth.fitting import left
from satsynth.metrics.confusion import scores
from satsynth.pairs import IGNORE, Store
from satsynth.randomness import numpy_stream
from satsynth.runtime import checkpoints, files
from satsynth.runtime.errors import BudgetError, ConfigError, StoreError, WeightsError
from satsynth.runtime.logs import Progress
from satsynth.segmentation.scenes import find_covered, locate, predict_scenes, scenes_of
from satsynth.segmentation.segmenter import Segmenter, load, most_probable

MODES = ("patches", "scenes")
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
        masks[first : first + batch] = most_probable(segmenter(chosen)).to(torch.uint8).cpu().numpy()
    return masks


class Tally:
    """One confusion matrix a pair of a store (rows: truth); counted on the device, fetched once at the end.

    Args:
        store: its masks are the truth; a pixel of a scene that several patches cover counts in the first of them only.
        places: of the patches in their scenes, (N,3) int64, or None, where every pixel counts.
        device: where pixels are counted.
    """

    def __init__(self, store: Store, places: np.ndarray | None, device: torch.device):
        self.store, self.device = store, device
        self.covered = {} if places is None else find_covered(places, store.size)
        self.cells = store.classes**2
        self.counts = torch.zeros((len(store), self.cells + 1), dtype=torch.int64, device=device)  # the last cell takes ignored pixels

    def add(self, rows: np.ndarray, answers: torch.Tensor) -> None:
        """Count the pairs in these rows of the store; `answers` (B,S,S) are their predicted class ids."""
        masks = np.asarray(self.store.masks[rows])
        for number, row in enumerate(rows.tolist()):
            for region in self.covered.get(row, ()):
                masks[number][region] = IGNORE
        truth = torch.from_numpy(masks).to(self.device).long()
        cell = torch.where(truth == IGNORE, self.cells, truth * self.store.classes + answers).flatten(1)
        cell += torch.from_numpy(rows).to(self.device)[:, None] * (self.cells + 1)
        # Unlike bincount, which must read the largest value back to size its output, this never waits for the device.
        self.counts.view(-1).scatter_add_(0, cell.view(-1), torch.ones_like(cell).view(-1))

    def resume(self, work: Path | None) -> int:
        """Take up the counts that a killed evaluation kept in `work`; how many steps of its walk through the store they hold."""
        found = checkpoints.load(work) if work is not None else None
        if found is None:
            return 0
        tensors, facts = found
        self.counts.copy_(tensors["counts"])
        log.info("evaluation: resumed behind step %d", facts["done"])
        return facts["done"]

    def keep(self, work: Path, done: int) -> None:
        """Keep the counts of the first `done` steps."""
        checkpoints.save(work, {"counts": self.counts}, {"done": done})

    def matrices(self) -> np.ndarray:
        """What was counted, (N,K,K) int64 in the order of the store."""
        return self.counts[:, : self.cells].cpu().numpy().reshape(-1, self.store.classes, self.store.classes)


class _Keeper:
    """Keeps a tally when a checkpoint is due, and ends the walk when the time is over."""

    def __init__(self, tally: Tally, work: Path | None, wall_seconds: float | None):
        self._tally, self._work, self._wall = tally, work, wall_seconds
        self._begun = self._saved = time.monotonic()

    def step(self, done: int, last: int) -> None:
        now = time.monotonic()
        spent = self._wall is not None and now - self._begun > self._wall
        if self._work is not None and done < last and (spent or now - self._saved > checkpoints.seconds()):
            self._tally.keep(self._work, done)
            self._saved = now
        if spent and done < last:
            cause = f"the time budget of {self._wall:.0f} s ended at step {done} of {last}."
            kept = "what was counted is kept" if self._work is not None else "it begins anew"
            raise BudgetError("evaluation", cause, f"Run again: {kept}.")


@torch.inference_mode()
def count(
    segmenter: Segmenter,
    store: Store,
    *,
    batch: int,
    mode: str,
    overlap: float | None,
    work: Path | None = None,
    wall_seconds: float | None = None,
) -> np.ndarray:
    """One confusion matrix an image (rows: truth), (N,K,K) int64 in the order of the store; no pixel of a scene counts twice.

    Args:
        segmenter: in evaluation mode, on its device.
        store: whose index and card say where its patches lie; where they do not, every pixel counts.
        batch: images, or windows, at a time; changes speed and memory only.
        mode: "patches": every patch is predicted by itself. "scenes": whole scenes are predicted by a sliding window, and the result cut
            back to the patches.
        overlap: of windows, see `predict_scenes`; unused where patches are predicted.
        work: folder of what a killed call of these arguments has counted; None keeps nothing.
        wall_seconds: stop in time when this budget is spent; None for no limit.

    Raises:
        BudgetError: the time budget is spent; what was counted is kept.
        StoreError: mode is "scenes" and the store does not say where its patches lie.
    """
    places = locate(store)
    tally, progress = Tally(store, places, segmenter.scale.device), Progress("evaluation", len(store), "images")
    keeper = _Keeper(tally, work, wall_seconds)
    if mode == "patches":
        firsts = range(0, len(store), batch)
        for step in range(tally.resume(work), len(firsts)):
            rows = np.arange(firsts[step], min(firsts[step] + batch, len(store)))
            images = torch.from_numpy(np.array(store.images[rows[0] : rows[-1] + 1])).to(segmenter.scale.device)
            tally.add(rows, most_probable(segmenter(images)))
            progress.update(int(rows[-1]) + 1)
            keeper.step(step + 1, len(firsts))
        return tally.matrices()
    if places is None:
        cause = "it does not say where the pairs lie in scenes (scene, row and column; patch in the card)."
        raise StoreError(store.folder / "index.csv", cause, "Evaluate in mode patches, or on a store that was tiled from scenes.")
    scenes = scenes_of(store, places)
    before = tally.resume(work)
    done = sum(len(scene.rows) for scene in scenes[:before])
    for step, (scene, mask) in enumerate(predict_scenes(segmenter, scenes[before:], batch=batch, overlap=overlap), before + 1):
        for first in range(0, len(scene.rows), batch):
            patches = slice(first, first + batch)
            tally.add(scene.rows[patches], scene.cut(mask, patches))
        done += len(scene.rows)
        progress.update(done)
        keeper.step(step, len(scenes))
    return tally.matrices()


def evaluate(
    weights: Path,
    card: Path,
    store: Path,
    *,
    metrics: Path,
    confusion: Path,
    device: str | torch.device,
    batch: int,
    mode: str,
    overlap: float | None,
    inference: dict | None = None,
    work: Path | None = None,
    wall_seconds: float | None = None,
) -> dict:
    """Score a trained segmenter on a store; write the confusion matrix of every image, then the metrics.

    Where patches overlap, a pixel of a scene counts once, in the first patch that covers it: counted twice, the same prediction gets
    another mIoU by another tiling.

    Args:
        weights: safetensors file of the segmenter.
        card: its card.
        store: folder of the validation pairs.
        metrics: JSON file to write: miou, f1 (macro, of the matrix of the whole set, 0 to 1), iou and f1_per_class (null for a class that
            is in neither truth nor prediction), absent (their ids), classes, images, pixels (labelled and counted), pixel_accuracy, mode,
            overlap (null in mode patches), confusion_sha256; and inference, where the network needs it.
        confusion: npy file to write, (N,K,K) int64, rows truth, in the order of the store.
        device: "cpu" or "cuda".
        batch: images, or windows, at a time.
        mode: "patches" or "scenes", see `count`.
        overlap: share of a window's side that the next one covers again, 0 <= overlap < 1; unused in mode patches.
        inference: see `satsynth.segmentation.segmenter.load`.
        work: see `count`.
        wall_seconds: see `count`.

    Returns:
        What was written to `metrics`.

    Raises:
        BudgetError: the time budget is spent; what was counted is kept in `work`.
        ConfigError: there is no such mode or overlap, or `inference` is not what the network needs.
        WeightsError: the weights cannot be read or are made for another number of classes.
        StoreError: no pixel of the store is labelled, so that no score is defined; or mode is "scenes" and its patches have no place in
            scenes.
    """
    if mode not in MODES:
        raise ConfigError("evaluation.mode", f"'{mode}' is no mode of evaluation.", f"Write one of {', '.join(MODES)}.")
    if mode == "scenes" and not 0 <= overlap < 1:
        raise ConfigError("evaluation.overlap", f"windows cannot overlap by {overlap} of their side.", "Give at least 0 and less than 1.")
    begun = time.monotonic()
    segmenter, pairs, _ = _open(weights, card, store, device, inference)
    if not any(pairs.card["class_pixels"]):
        raise StoreError(store, "no pixel is labelled, so no score is defined.", "Evaluate on a split that has masks.")
    counts = count(segmenter, pairs, batch=batch, mode=mode, overlap=overlap, work=work, wall_seconds=left(wall_seconds, begun))
    with files.replacing(confusion) as partial, open(partial, "wb") as file:
        np.save(file, counts)
    found = scores(counts)
    values = {
        **found,
        "iou": _plain(found["iou"]),
        "f1_per_class": _plain(found["f1_per_class"]),
        "classes": pairs.classes,
        "images": len(pairs),
        "mode": mode,
        "overlap": overlap if mode == "scenes" else None,
        "confusion_sha256": files.sha256(confusion),
        **_told(inference),
    }
    files.write_json(metrics, values)
    log.info(
        "%s: mIoU %.4f, F1 %.4f over %d images (%s); absent classes %s",
        store,
        found["miou"],
        found["f1"],
        len(pairs),
        mode,
        found["absent"],
    )
    return values


def predict_rows(
    weights: Path,
    card: Path,
    store: Path,
    *,
    masks: Path,
    rows_card: Path,
    count: int,
    seed: int,
    device: str | torch.device,
    batch: int,
    inference: dict | None = None,
) -> dict:
    """Predict a few pairs of a store that a seed draws, whatever they look like, and write their masks.

    The draw depends on seed and number of pairs only: all segmenters predict the same rows of a store.

    Args:
        weights: safetensors file of the segmenter.
        card: its card.
        store: folder of the pairs.
        masks: npy file to write, (M,H,W) uint8 class ids; M = `count`, or what the store has.
        rows_card: JSON file to write: rows (of the store, in the order of `masks`), masks_sha256 (a figure is drawn again where they
            change), store_sha256 (of the store's card), weights_sha256; and inference, where the network needs it.
        count: pairs to draw.
        seed: of the draw.
        device: "cpu" or "cuda".
        batch: images at a time.
        inference: see `satsynth.segmentation.segmenter.load`.

    Returns:
        What was written to `rows_card`.

    Raises:
        ConfigError: `count` is not positive, or `inference` is not what the network needs.
        WeightsError: the weights cannot be read or are made for another number of classes.
    """
    if count < 1:
        raise ConfigError("count", f"{count} pairs cannot be drawn.", "Give 1 or more.")
    segmenter, pairs, facts = _open(weights, card, store, device, inference)
    rows = numpy_stream(seed, "panels").permutation(len(pairs))[:count]
    with files.replacing(masks) as partial, open(partial, "wb") as file:
        np.save(file, predict(segmenter, pairs.images[rows], batch))
    values = {
        "rows": rows.tolist(),
        "masks_sha256": files.sha256(masks),
        "store_sha256": files.sha256(Path(store) / "card.json"),
        "weights_sha256": facts["weights_sha256"],
        **_told(inference),
    }
    files.write_json(rows_card, values)
    return values


def _open(weights: Path, card: Path, store: Path, device: str | torch.device, inference: dict | None) -> tuple[Segmenter, Store, dict]:
    """A segmenter, the store that it shall predict, and the segmenter's card."""
    segmenter, facts = load(weights, card, device, inference)
    pairs = Store.open(store)
    if facts["classes"] != pairs.classes:
        raise WeightsError(
            weights,
            f"they tell {facts['classes']} classes apart, but {store} has {pairs.classes}.",
            "Evaluate on the dataset of the training.",
        )
    return segmenter, pairs, facts


def _told(inference: dict | None) -> dict:
    """What other masks of the same weights come from must stand beside them: what is made of them counts by these cards."""
    return {"inference": inference} if inference else {}


def _plain(values: np.ndarray) -> list[float | None]:
    """NaN is no JSON: null stands for it."""
    return [None if np.isnan(value) else float(value) for value in values]
