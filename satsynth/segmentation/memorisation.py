"""The nearest real training patch of every pair of a store: is a synthetic set a set of copies?

For synthetic pairs and, as the null, for held-out real ones; see satsynth.metrics.memorisation for the number that compares them.

Cost of 40,000 pairs under eight turns against 40,000 patches. First the evaluator encodes 320,000 turned images: with a ResNet-50 at 128 px
(1.3 GMAC) 860 TFLOP, three and a half hours of one CPU core that does 68 GFLOP a second. Then 13 billion distances of 2,048 features
(52 TFLOP) take it 13 minutes (extrapolated from a run of benchmarks/neighbours.py; it prints the figure of any machine), and half as long
again those of the 3,072 numbers of a 32 px image. By the same count, not measured, an accelerator that keeps up 50 TFLOP a second needs
twenty seconds for all of it. Memory: a block of distances (67 MB), a few blocks of vectors (34 MB each), and the reduced training images
(0.5 GB on the host); the training features stay in their file.
"""

import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from satsynth.metrics.neighbours import BLOCK, Bank
from satsynth.pairs import Store
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError, WeightsError
from satsynth.runtime.logs import Progress
from satsynth.segmentation.features import BATCH, batches, encode, open_evaluator, pool
from satsynth.segmentation.learned import check_evaluator
from satsynth.segmentation.segmenter import Segmenter
from satsynth.symmetries import SETS, turn

TURNS = np.array(SETS["d4"])
PIXELS = 32
COLUMNS = tuple(f"{measure}_{part}" for measure in ("feature", "pixel") for part in ("distance", "row", "turn", "ratio"))
log = logging.getLogger(__name__)


def find(
    weights: Path,
    card: Path,
    store: Path,
    train_store: Path,
    train_features_folder: Path,
    *,
    out_csv: Path,
    card_out: Path,
    batch: int = BATCH,
    device: str | torch.device,
    pixels: int = PIXELS,
    learned: Path | None = None,
) -> dict:
    """Find the nearest training patch of every pair under the eight flips and rotations, in features and in pixels; exact.

    Args:
        weights, card, store, device: see `satsynth.segmentation.features.open_evaluator`; `store` holds the pairs that ask.
        train_store: folder of the real training pairs.
        train_features_folder: pooled.npy and card.json that satsynth.segmentation.features.extract wrote of `train_store` with this
            evaluator. Features of the turned queries are never stored.
        out_csv: CSV file to write, a row a pair, sorted by `row` (of `store`). In pooled evaluator features, Euclidean: `feature_distance`
            to the nearest training patch, `feature_row` of it in `train_store`, `feature_turn` of the query that is so near (bits: 1
            transposes, then 2 mirrors left-right, then 4 mirrors top-bottom), `feature_ratio` of this distance to that of the second
            nearest patch, each under its own best turn: 0 for the copy of one patch, 1 where two are as near. `pixel_distance`,
            `pixel_row`, `pixel_turn` and `pixel_ratio` are the same in pixels: the root mean square difference, on the scale 0 to 255,
            over pixels and colour channels of images that were reduced to `pixels` x `pixels` by area means.
        card_out: JSON file to write, last: what `open_evaluator` says, train_count, train_store_sha256 (of the store's card), pixels (the
            side that was compared), sha256 of the CSV file. Content only.
        batch: images that the network takes at a time; changes speed and memory only.
        pixels: side of the reduced images; smaller stores are compared as they are.
        learned: folder of the real pairs that the evaluator must have learned, and no others; None: `train_store`.

    Returns:
        What was written to `card_out`.

    Raises:
        ConfigError: `pixels` is not positive, `store` is the training set itself, or see `open_evaluator`.
        WeightsError: the weights do not fit the stores, or learned other pairs than `learned`, or the features are another evaluator's.
        StoreError: the stores differ in size or classes, there are fewer than two training patches, or the features are another store's.
        MeasureError: a feature is NaN or Inf.
    """
    if pixels < 1:
        raise ConfigError("measures.pixels", f"images of {pixels} px cannot be compared.", "Give 1 or more.")
    segmenter, pairs, origin = open_evaluator(weights, card, store, device)
    train, train_hash = _open_train(pairs, train_store, origin["store_sha256"])
    check_evaluator(weights, origin["evaluator_data"], learned or train.folder)
    bank = Bank(_train_features(Path(train_features_folder), origin["evaluator_sha256"], train_hash, len(train)), device)
    side = min(pixels, train.size)
    width = 3 * side**2
    small, filled = np.empty((len(train), width), np.float32), 0
    for images in batches(train, batch, device):
        small[filled : filled + len(images)] = _reduce(images, side).flatten(1).cpu().numpy()
        filled += len(images)
    pixel_bank = Bank(small, device)
    progress = Progress("nearest training patches", len(pairs), "pairs")
    parts = []
    # As many pairs at a time as fill a block of queries with their turns.
    step = BLOCK // len(TURNS)
    for first in range(0, len(pairs), step):
        chosen = batches(pairs, max(1, batch // len(TURNS)), device, first, first + step)
        described = [(_features(segmenter, images), _pixels(images, side)) for images in chosen]
        features, colours = (np.concatenate(queries) for queries in zip(*described))
        parts.append({**_nearest(bank, features, 1.0, "feature"), **_nearest(pixel_bank, colours, width, "pixel")})
        progress.update(min(first + step, len(pairs)))
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts] or [np.empty(0)]) for name in COLUMNS})
    table.insert(0, "row", range(len(table)))
    text = io.StringIO()
    table.to_csv(text, index=False, float_format="%.7g", lineterminator="\n")
    files.write_text(out_csv, text.getvalue())
    facts = {"train_count": len(train), "train_store_sha256": train_hash, "pixels": side}
    values = {**origin, **facts, "sha256": files.sha256(out_csv)}
    files.write_json(card_out, values)
    log.info("%s: median distance to the nearest of %d training patches: %s", store, len(train), _medians(table))
    return values


def _open_train(pairs: Store, train_store: Path, store_hash: str) -> tuple[Store, str]:
    """The training set and the hash of its card."""
    train = Store.open(train_store)
    if (train.size, train.classes) != (pairs.size, pairs.classes):
        cause = f"{train.size} px and {train.classes} classes do not fit {pairs.folder} ({pairs.size} px, {pairs.classes})."
        raise StoreError(train_store, cause, "Compare stores of one dataset and size only.")
    if len(train) < 2:
        raise StoreError(train_store, f"{len(train)} training patch has no second nearest.", "Tile more of the imagery.")
    train_hash = files.sha256(train.folder / "card.json")
    if train_hash == store_hash:
        cause = "these are the training patches themselves: each is its own nearest."
        raise ConfigError(f"store {pairs.folder}", cause, "Ask with synthetic or held-out pairs.")
    return train, train_hash


def _train_features(folder: Path, evaluator: str, store: str, count: int) -> np.ndarray:
    again = "Delete the features and run again."
    try:
        facts = files.read_json(folder / "card.json")
        pooled = np.load(folder / "pooled.npy", mmap_mode="r")
        made_by, made_of, known = facts["evaluator_sha256"], facts["store_sha256"], (facts["count"], facts["pooled_width"])
    except (ValueError, KeyError, EOFError, OSError) as error:
        raise StoreError(folder, f"the features of the training set cannot be read ({error}).", again) from error
    if made_by != evaluator:
        raise WeightsError(folder / "card.json", "the features were made by another evaluator.", again)
    if made_of != store or known[0] != count:
        raise StoreError(folder / "card.json", "the features were made of another store.", again)
    if pooled.shape != known or pooled.dtype != np.float32:
        raise StoreError(folder / "pooled.npy", f"an array of {pooled.shape} {pooled.dtype} is not what the card says.", again)
    return pooled


def _turned(images: torch.Tensor) -> torch.Tensor:
    """Images (B,H,H,3) -> (8B,H,H,3): all under the first turn, then all under the second."""
    return turn(images.repeat(len(TURNS), 1, 1, 1), TURNS.repeat(len(images)))


def _features(segmenter: Segmenter, images: torch.Tensor) -> np.ndarray:
    """(B,8,D) float32."""
    pooled = pool(encode(segmenter, _turned(images)))
    return pooled.unflatten(0, (len(TURNS), len(images))).transpose(0, 1).cpu().numpy()


def _reduce(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images (B,H,H,3) uint8 -> (B,side,side,3) float32, 0 to 255, by area means."""
    return functional.interpolate(images.permute(0, 3, 1, 2).float(), size=(side, side), mode="area").permute(0, 2, 3, 1)


def _pixels(images: torch.Tensor, side: int) -> np.ndarray:
    """(B,8,3·side²) float32: area means turn with the image, so it is reduced once."""
    turned = _turned(_reduce(images, side)).flatten(1)
    return turned.unflatten(0, (len(TURNS), len(images))).transpose(0, 1).cpu().numpy()


def _nearest(bank: Bank, queries: np.ndarray, width: float, name: str) -> dict[str, np.ndarray]:
    """The nearest row under any turn, and how it compares with the second nearest: queries (B,8,D) -> four columns of B."""
    count, turns, _ = queries.shape
    # Two a turn suffice: under the best turn of the second nearest patch, only the nearest one can be nearer.
    squared, rows = bank.search(queries.reshape(count * turns, -1), 2)
    squared, rows = squared.reshape(count, -1), rows.reshape(count, -1)
    labels = np.broadcast_to(np.repeat(TURNS, 2), rows.shape)
    order = np.lexsort((labels, rows, squared))
    squared, rows, labels = (np.take_along_axis(array, order, 1) for array in (squared, rows, labels))
    every, second = np.arange(count), (rows != rows[:, :1]).argmax(1)
    nearest, next_nearest = np.sqrt(squared[:, 0] / width), np.sqrt(squared[every, second] / width)
    ratio = np.divide(nearest, next_nearest, out=np.ones(count), where=next_nearest > 0)
    return {f"{name}_distance": nearest, f"{name}_row": rows[:, 0], f"{name}_turn": labels[:, 0], f"{name}_ratio": ratio}


def _medians(table: pd.DataFrame) -> str:
    return ", ".join(f"{name} {table[f'{name}_distance'].median():.4g}" for name in ("feature", "pixel"))
