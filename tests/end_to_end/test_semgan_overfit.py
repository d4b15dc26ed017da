"""SemGAN draws near its sixteen training pairs, and finds their labels by search in its own latent space."""

import numpy as np
import pytest
from likeness import agreement, distances
from PIL import Image

from satsynth.adversarial import semgan
from satsynth.diffusion.sampling import sample_shard
from satsynth.pairs import Store, StoreWriter
from satsynth.runtime.files import read_json
from satsynth.segmentation.prediction import evaluate
from satsynth.segmentation.semgan_training import train_encoder
from satsynth.segmentation.training import train

SIZE, SMALL, PAIRS, CLASSES = 32, 16, 16, 3
NEAR = 0.125  # RMS over all pixels and colours, of a range of 1; fresh pairs of the same kind lie 0.18 from the nearest, the noise is 0.016
COLOURS = np.array([[70, 110, 60], [40, 50, 110], [190, 180, 170]])
TRAINING = {"optimizer": "adamw", "learning_rate": 2.0e-3, "betas": [0.9, 0.99], "weight_decay": 0.0, "batch": 16, "accumulate": 1}
RECIPE = {**TRAINING, "warmup": 10, "decay": "cosine", "power": 1.0, "clip": 5.0, "log_every": 50}
SEGMENTER = {"encoder": "resnet18", "encoder_weights": "none", "precision": "float32", "head_rate": 1.0, "exposures": 1.0}
GENERATOR = {
    "kind": "semgan",
    "size": SIZE,
    "network": {"latent": 64, "mapping_layers": 4, "channel_base": 768, "max_channels": 48, "label_width": 8},
    "r1": {"weight": 5.0, "every": 16},  # StyleGAN2's 10 is for large images; in proportion to the pixels it would be far less
    "path_length": {"weight": 2.0, "every": 8, "decay": 0.01, "shrink": 2},
    "feature_matching": 2.0,
    "mixing": 0.9,
    "flips": "d4",
    "precision": "float32",
    "seed": 1,
    "previews": {"count": 8, "sampler": {"truncation": 1.0}},
    "training": {
        "steps": 600,
        "batch": 16,
        "learning_rate": 2.0e-3,
        "betas": [0.0, 0.99],
        "log_every": 50,
        "ema": {"decay": 0.98, "warmup": False},
    },
}
BY_HEART = {
    **GENERATOR,
    "size": SMALL,
    "r1": {"weight": 1.0, "every": 16},
    "path_length": {**GENERATOR["path_length"], "every": 0},
    "mixing": 0.0,
    "flips": "none",
    "network": {**GENERATOR["network"], "max_channels": 64},
    "training": {**GENERATOR["training"], "steps": 2000, "decay": "cosine"},
}
ENCODER = {
    **SEGMENTER,
    "network": "semgan",
    "style_width": 64,
    "loss": {"perceptual": 10.0, "labels": 1.0},
    "background": None,
    "training": {**RECIPE, "steps": 450, "learning_rate": 3.0e-3},
}
# A generator this young makes any image with any labels: the search must stay near styles that the encoder knows.
SEARCH = {"steps": 30, "learning_rate": 0.02, "pixels": 0.1, "noise": 100.0, "consistency": 1.0, "seed": 0}


def write_pairs(folder, size=SIZE, count=PAIRS, seed=0):
    """Fields with straight borders: every pixel has the class of the nearest of three sites, which lie apart."""
    numbers = np.random.default_rng(seed)
    grid = np.stack(np.mgrid[:size, :size], -1)
    with StoreWriter(folder, size=size, classes=CLASSES) as writer:
        for _ in range(count):
            angles = numbers.uniform(0, 2 * np.pi) + np.array([0.0, 2.1, 4.2])
            sites = size / 2 + size / 3 * np.stack([np.sin(angles), np.cos(angles)], -1) + numbers.normal(0, 2, (3, 2))
            squares = ((grid[:, :, None] - sites) ** 2).sum(-1)
            mask = numbers.permutation(CLASSES)[squares.argmin(-1)].astype(np.uint8)
            image = COLOURS[mask] + numbers.normal(0, 10, 3) + numbers.normal(0, 4, (size, size, 3))
            writer.append(image.clip(0, 255).astype(np.uint8), mask)
    return folder


def outputs(folder) -> dict:
    names = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv", "work": "work"}
    return {key: folder / name for key, name in names.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_semgan_segments_its_sixteen_training_pairs(tmp_path):
    store = write_pairs(tmp_path / "store")
    files = {name: outputs(tmp_path / name) for name in ("evaluator", "generator", "encoder")}
    common = {"device": "cpu", "wall_seconds": None}
    previews = tmp_path / "previews.png"
    train([store], [], {**SEGMENTER, "network": "unet", "training": {**RECIPE, "steps": 60}}, 0, **files["evaluator"], **common)
    semgan.train({SIZE: store}, GENERATOR, **files["generator"], previews=previews, **common)
    frozen = {name: (files[name]["weights"], files[name]["card"]) for name in ("generator", "evaluator")}
    train_encoder([store], [], ENCODER, 0, **frozen, train_store=store, **files["encoder"], **common)
    weights, card = (files["encoder"][name] for name in ("weights", "card"))
    scores = {"metrics": tmp_path / "metrics.json", "confusion": tmp_path / "confusion.npy", "device": "cpu"}
    found = evaluate(weights, card, store, **scores, batch=16, mode="patches", overlap=None, inference={"search": SEARCH})
    assert found["miou"] >= 0.9 and not found["absent"]
    with Image.open(previews) as sheet:
        assert np.array(sheet).std() > 20


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_samples_lie_near_the_sixteen_pairs_and_their_labels_belong_to_their_images(tmp_path):
    real = Store.open(write_pairs(tmp_path / "real", SMALL))
    fresh = Store.open(write_pairs(tmp_path / "fresh", SMALL, count=200, seed=1))
    files = outputs(tmp_path / "generator")
    semgan.train({SMALL: real.folder}, BY_HEART, **files, previews=tmp_path / "previews.png", device="cpu", wall_seconds=None)
    stage = {"weights": files["weights"], "card": read_json(files["card"]), "sampler": {"truncation": 1.0}}
    sample_shard([stage], folder=tmp_path / "made", seed=0, block=64, first=0, last=64, device="cpu", classes=CLASSES)
    made = Store.open(tmp_path / "made")
    images, masks = made.images[:], made.masks[:]
    apart = distances(images, real.images)
    nearest, unseen = apart.argmin(1), distances(fresh.images, real.images).min(1)
    # A latent between two pairs makes a picture between them: samples lie around the pairs, where a diffusion model's are the pairs.
    assert np.median(apart.min(1)) < NEAR < 0.75 * np.median(unseen), np.sort(apart.min(1))
    assert len(set(nearest)) >= PAIRS / 2
    shown = ((images.astype(float)[..., None, :] - COLOURS) ** 2).sum(-1).argmin(-1)
    assert np.median(agreement(masks, shown)) >= 0.9
    assert np.median(agreement(masks, shown[np.arange(len(shown)) - 1])) < 0.7  # not so with the image of another, which may be much alike
    assert np.median(agreement(masks, real.masks[:][nearest])) >= 0.85
