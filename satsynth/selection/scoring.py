"""What a judge says of the pairs of a store: how well every label fits its image, and how near every image is to a real one.

The judge is a segmenter trained on the fit pairs. Nothing is decided here: thresholds are another job's, so that a change of them looks at
no image again.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from satsynth.pairs import IGNORE, Store
from satsynth.runtime import files
from satsynth.runtime.errors import WeightsError
from satsynth.runtime.logs import Progress
from satsynth.segmentation.features import BATCH, appending
from satsynth.segmentation.memorisation import PIXELS, find
from satsynth.segmentation.segmenter import Segmenter, load

LARGEST = float(np.finfo(np.float16).max)


@torch.inference_mode()
def pixel_losses(segmenter: Segmenter, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every pixel's label under a segmenter, in nats.

    Args:
        segmenter: in evaluation mode, on its device.
        images: (B,H,W,3) uint8 on the device.
        masks: (B,H,W) uint8 class ids, 255 where unlabelled.

    Returns:
        (B,H,W) float32, 0 or more; 0 where unlabelled.
    """
    return functional.cross_entropy(segmenter(images), masks.long(), ignore_index=IGNORE, reduction="none")


def score(
    weights: Path,
    card: Path,
    store: Path,
    bank: Path,
    bank_features: Path,
    learned: Path,
    *,
    losses: Path,
    neighbours: Path,
    card_out: Path,
    batch: int = BATCH,
    device: str | torch.device,
    pixels: int = PIXELS,
) -> dict:
    """Score every pair of a store, in its order.

    Args:
        weights, card: of the judge.
        store: folder of the pairs that are scored.
        bank: folder of the real pairs that they might be copies of.
        bank_features: folder of the judge's features of these (`satsynth.segmentation.features.extract`).
        learned: folder of the fit pairs, which alone the judge must have learned.
        losses: npy file to write, (N,H,W) float16: see `pixel_losses`.
        neighbours: CSV file to write: see `satsynth.segmentation.memorisation.find`.
        card_out: JSON file to write, last: what `find` says, and losses_sha256. Content only.
        batch: images at a time; changes speed and memory only.
        device: "cpu" or "cuda".
        pixels: see `find`.

    Returns:
        What was written to `card_out`.

    Raises:
        ConfigError, StoreError, WeightsError, MeasureError: see `find`; WeightsError also where a loss is NaN.
    """
    common = {"out_csv": neighbours, "card_out": card_out, "batch": batch, "device": device, "pixels": pixels}
    values = find(weights, card, store, bank, bank_features, learned=learned, **common)
    segmenter, _ = load(weights, card, device)
    pairs = Store.open(store)
    progress = Progress("losses", len(pairs), "pairs")
    with appending(losses, pairs.masks.shape, np.dtype(np.float16)) as append:
        for first in range(0, len(pairs), batch):
            part = slice(first, first + batch)
            images, masks = (torch.from_numpy(np.array(array[part])).to(device) for array in (pairs.images, pairs.masks))
            found = pixel_losses(segmenter, images, masks)
            if found.isnan().any():
                cause = f"the loss of a pixel among pairs {first} to {first + len(images) - 1} of {store} is NaN."
                raise WeightsError(weights, cause, "Train the judge again, in float32 or at a lower learning rate.")
            append(found.clamp(max=LARGEST).half().cpu().numpy())
            progress.update(first + len(images))
    values["losses_sha256"] = files.sha256(losses)
    files.write_json(card_out, values)
    return values
