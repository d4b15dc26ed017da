"""What the evaluator, a segmenter trained on real pairs and then frozen, sees in the images of a store (paper, section 5.2)."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from satsynth.pairs import Store
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, WeightsError
from satsynth.runtime.logs import Progress
from satsynth.segmentation.segmenter import Segmenter, load, pad

BATCH = 64
SPATIAL_SIDE, SPATIAL_CHANNELS = 16, 7  # of the Inception features that sFID was defined on (Nash et al. 2021): 17 x 17 x 7
PAPER_SIDE = 128  # pixels of the paper's patches, where a stage has a map of 16 x 16
log = logging.getLogger(__name__)


class Features(NamedTuple):
    """Of B images, on the device: pooled (B,D) and spatial (B,S) float32, probabilities (B,2,K) and entropy (B,) float64."""

    pooled: torch.Tensor
    spatial: torch.Tensor
    probabilities: torch.Tensor
    entropy: torch.Tensor


def open_evaluator(weights: Path, card: Path, store: Path, device: str | torch.device) -> tuple[Segmenter, Store, dict]:
    """The evaluator in evaluation mode, the store that it shall describe, and what the card of a description says of both.

    Args:
        weights: safetensors file of the evaluator.
        card: its card.
        store: folder of the pairs; only their images are looked at.
        device: "cpu" or "cuda".

    Returns:
        Evaluator, store and {count, evaluator_sha256 (of the weights), evaluator_data (what they learned, see
        `satsynth.segmentation.learned.check_evaluator`), store_sha256 (of the store's card)}.

    Raises:
        WeightsError: the weights cannot be read, or are made for another number of classes or another size than the store's: features at
            a size that the evaluator was not trained at compare with nothing.
        ConfigError: the evaluator's network has no encoder that gives a map a stage.
        StoreError: the store is damaged.
    """
    segmenter, facts = load(weights, card, device)
    pairs = Store.open(store)
    for known, held, unit in ((facts["classes"], pairs.classes, "classes"), (facts["size"], pairs.size, "px")):
        if known != held:
            cause = f"the evaluator was trained on {known} {unit}, but {store} has {held}."
            raise WeightsError(weights, cause, "Use the evaluator that was trained on this dataset at this size.")
    _check_encoder(segmenter, facts["segmenter"]["network"])
    judge = {"evaluator_sha256": facts["weights_sha256"], "evaluator_data": facts["data"]}
    return segmenter, pairs, {"count": len(pairs), **judge, "store_sha256": files.sha256(pairs.folder / "card.json")}


def batches(store: Store, batch: int, device: str | torch.device, first: int = 0, last: int | None = None) -> Iterator[torch.Tensor]:
    """Images (B,H,W,3) uint8 on the device, `batch` at a time: the store's rows from `first` up to `last`, which is left out."""
    images = store.images[first:last]
    for start in range(0, len(images), batch):
        yield torch.from_numpy(np.array(images[start : start + batch])).to(device)


@torch.inference_mode()
def encode(segmenter: Segmenter, images: torch.Tensor) -> list[torch.Tensor]:
    """The encoder's maps (B,C,h,w) of images (B,H,W,3) uint8, finest first, without the image itself and stages that have no channels."""
    inputs = pad(segmenter.normalised(images), segmenter.multiple)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=segmenter.half):
        return _stages(segmenter.network.encoder(inputs))


def pool(maps: list[torch.Tensor]) -> torch.Tensor:
    """(B,D) float32: the last stage averaged over its map."""
    return maps[-1].float().mean((2, 3))


def choose_stage(sides: list[int], size: int) -> int:
    """Number of the stage whose map takes the part of Inception's 17 x 17 in sFID: the one nearest 16 x 16.

    Where patches are smaller than the paper's 128 px, no larger map will do, though it may be nearer.

    Args:
        sides: of the stages' square maps.
        size: side of a patch in pixels.
    """
    allowed = [number for number, side in enumerate(sides) if size >= PAPER_SIDE or side <= SPATIAL_SIDE]
    return min(allowed or range(len(sides)), key=lambda number: abs(sides[number] - SPATIAL_SIDE))


@torch.inference_mode()
def describe(segmenter: Segmenter, images: torch.Tensor) -> Features:
    """All features of images (B,H,W,3) uint8, by one pass through the network; see `extract`."""
    seen: list[torch.Tensor] = []
    hook = segmenter.network.encoder.register_forward_hook(lambda module, inputs, outputs: seen.extend(_stages(outputs)))
    try:
        logits = segmenter(images).double()
    finally:
        hook.remove()
    chosen = seen[choose_stage([stage.shape[2] for stage in seen], images.shape[1])]
    surprise = logits.log_softmax(1)
    probabilities = surprise.exp()
    entropy = -(probabilities * surprise).sum(1).mean((1, 2))
    means = torch.stack([probabilities.mean((2, 3)), logits.mean((2, 3)).softmax(1)], 1)
    return Features(pool(seen), chosen[:, :SPATIAL_CHANNELS].float().flatten(1), means, entropy)


def extract(
    weights: Path,
    card: Path,
    store: Path,
    *,
    pooled: Path,
    spatial: Path,
    probabilities: Path,
    entropy: Path,
    card_out: Path,
    batch: int = BATCH,
    device: str | torch.device,
) -> dict:
    """Write an evaluator's features of every image of a store, in its order; batch by batch, so that memory does not grow with the store.

    A store without pairs (a shard of which nothing was admitted) has features of no rows.

    Args:
        weights, card, store, device: see `open_evaluator`.
        pooled: npy file to write, (N,D) float32: the last encoder stage averaged over its map (ResNet-50: D = 2048), for FID, KID and
            neighbours.
        spatial: npy file to write, (N,S) float32: the first 7 channels of the stage that `choose_stage` names, as (channel, row, column),
            flattened (ResNet-50 at 128 px: the third, 16 x 16, S = 1792; the stem is the first), for sFID.
        probabilities: npy file to write, (N,2,K) float64, for the Inception score: [:, 0] the mean over pixels of their class
            probabilities, [:, 1] the class probabilities of the logits' mean over pixels.
        entropy: npy file to write, (N,) float64: the mean over pixels of the entropy of their class probabilities, in nats.
        card_out: JSON file to write, last: what `open_evaluator` says, classes, size, pooled_width, spatial_width, spatial_stage (from 1
            for the finest), sha256 of the arrays by name. Content only.
        batch: images at a time; changes speed and memory only.

    Returns:
        What was written to `card_out`.

    Raises:
        ConfigError, StoreError, WeightsError: see `open_evaluator`; WeightsError also where a feature is NaN or Inf.
    """
    segmenter, pairs, origin = open_evaluator(weights, card, store, device)
    paths = dict(zip(Features._fields, (pooled, spatial, probabilities, entropy)))
    progress = Progress("features", len(pairs), "images")
    # Of a blank image, where there is no other, only the widths are taken.
    blank = [torch.zeros((1, pairs.size, pairs.size, 3), dtype=torch.uint8, device=device)]
    with contextlib.ExitStack() as stack:
        append: dict[str, Callable[[np.ndarray], object]] = {}
        for first, images in zip(range(0, max(1, len(pairs)), batch), batches(pairs, batch, device) if len(pairs) else blank):
            found = describe(segmenter, images)._asdict()
            for name, values in found.items():
                if not values.isfinite().all():
                    cause = f"a feature ({name}) of an image among rows {first} to {first + len(images) - 1} of {store} is NaN or Inf."
                    raise WeightsError(weights, cause, "Train the evaluator again, in float32 or at a lower learning rate.")
                array = values[: len(pairs) - first].cpu().numpy()
                if name not in append:
                    append[name] = stack.enter_context(appending(paths[name], (len(pairs), *array.shape[1:]), array.dtype))
                append[name](array)
            progress.update(min(first + len(images), len(pairs)))
    sides = [stage.shape[2] for stage in encode(segmenter, images[:1])]
    values = {
        **origin,
        "classes": pairs.classes,
        "size": pairs.size,
        "pooled_width": found["pooled"].shape[1],
        "spatial_width": found["spatial"].shape[1],
        "spatial_stage": choose_stage(sides, pairs.size) + 1,
        "sha256": {f"{name}.npy": files.sha256(path) for name, path in paths.items()},
    }
    files.write_json(card_out, values)
    return values


@contextlib.contextmanager
def appending(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[Callable[[np.ndarray], object]]:
    """A function that appends to an npy file; the file appears when the block ends. A memory map would die of a full disk unheard."""
    with files.replacing(path) as partial, open(partial, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        yield lambda array: file.write(np.ascontiguousarray(array).data)


def _stages(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    return [stage for stage in maps[1:] if stage.shape[1]]


def _check_encoder(segmenter: Segmenter, network: str) -> None:
    encoder = getattr(segmenter.network, "encoder", None)
    if isinstance(encoder, torch.nn.Module):
        with torch.inference_mode():
            side = segmenter.multiple
            maps = encoder(torch.zeros(1, 3, side, side, device=segmenter.scale.device))
        maps = maps if isinstance(maps, list | tuple) else ()
        if len(maps) > 1 and all(torch.is_tensor(stage) and stage.dim() == 4 for stage in maps):
            return
    cause = f"'{network}' has no encoder that gives a map a stage, so there are no features."
    raise ConfigError("measures.evaluator", cause, "Name a segmenter of a network such as unet, the paper's evaluator.")
