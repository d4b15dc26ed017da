"""Small stores, a small segmenter's config, and its training and evaluation in one call each."""

import numpy as np

from satsynth.pairs import IGNORE, StoreWriter
from satsynth.runtime import files
from satsynth.segmentation.features import Features, extract
from satsynth.segmentation.prediction import evaluate
from satsynth.segmentation.training import train

CLASSES = 3
TRAINING = {
    "steps": 4,
    "batch": 4,
    "accumulate": 1,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "momentum": 0.9,
    "weight_decay": 1.0e-4,
    "warmup": 0,
    "decay": "poly",
    "power": 0.9,
    "clip": None,
    "log_every": 1,
}
CFG = {
    "network": "fpn",
    "encoder": "resnet18",
    "encoder_weights": "none",
    "precision": "float32",
    "head_rate": 1.0,
    "exposures": 1.0,
    "training": TRAINING,
}


def shapes(count, size, seed, mark=0):
    """Pairs of noisy fields (class 0) with a dark disc (1) and a bright square (2); the pixel at (0, 0) of each image counts the pairs."""
    stream = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    for number in range(count):
        mask = np.zeros((size, size), np.uint8)
        y, x, r = stream.integers(size // 4, 3 * size // 4, 3)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < (r / 2) ** 2] = 1
        y, x = stream.integers(0, size - 2 * size // 5, 2)
        mask[y : y + 2 * size // 5, x : x + 2 * size // 5] = 2
        image = np.array([[90, 120, 70], [30, 40, 90], [200, 190, 180]])[mask] + stream.normal(0, 12, (size, size, 3))
        image = image.clip(0, 255).astype(np.uint8)
        image[0, 0] = mark, number, 0
        yield image, mask


def make_store(folder, count=6, size=32, seed=0, mark=0, ignored=False, classes=CLASSES):
    with StoreWriter(folder, size=size, classes=classes) as writer:
        for image, mask in shapes(count, size, seed, mark):
            writer.append(image, np.full_like(mask, IGNORE) if ignored else mask)
    return folder


def run(folder, real_stores, synthetic_stores, seed=0, wall_seconds=None, device="cpu", **changes):
    training = {**TRAINING, **changes.pop("training", {})}
    card = train(
        real_stores,
        synthetic_stores,
        {**CFG, **changes, "training": training},
        seed,
        weights=folder / "weights.safetensors",
        card=folder / "card.json",
        history=folder / "history.csv",
        work=folder / "work",
        device=device,
        wall_seconds=wall_seconds,
    )
    assert card == files.read_json(folder / "card.json")
    return card


def score(folder, store, **changes):
    outputs = {"metrics": folder / "metrics.json", "confusion": folder / "confusion.npy"}
    options = {**outputs, "device": "cpu", "batch": 4, "mode": "patches", "overlap": None}
    return evaluate(folder / "weights.safetensors", folder / "card.json", store, **{**options, **changes})


def write_features(folder, weights, card, store, **options):
    """The card of an evaluator's features of a store, which are written to a folder."""
    arrays = {name: folder / f"{name}.npy" for name in Features._fields}
    return extract(weights, card, store, **arrays, card_out=folder / "card.json", **{"device": "cpu", **options})
