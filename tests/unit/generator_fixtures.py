"""A generator's config, stores and outputs at toy size."""

import numpy as np
from diffusion_fixtures import LINEAR as SCHEDULE

from satsynth.pairs import IGNORE, StoreWriter
from satsynth.runtime import files

SAMPLER = {
    "method": "dpmpp_2m",
    "steps": 4,
    "spacing": "karras",
    "rho": 7.0,
    "sigma_min": 0.01,
    "sigma_max": 40.0,
    "eta": 0.0,
    "clip": True,
    "condition_level": None,
}


def config(kind: str = "ddpm", **changes: object) -> dict:
    cfg = {
        "kind": kind,
        "size": 8 if kind == "ddpm" else 16,
        "low": None if kind == "ddpm" else 8,
        "codes": "bits",
        "prediction": "edm",
        "schedule": SCHEDULE,
        "edm": {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2},
        "min_snr": None,
        "network": {
            "channels": 8,
            "multipliers": [1, 2],
            "blocks": 1,
            "attention": [],
            "dropout": 0.1,
            "unshuffle": 1,
            "norm_groups": 4,
        },
        "flips": "d4",
        "condition_noise": None,
        "precision": "float32",
        "compile": False,
        "recompute": False,
        "seed": 1,
        "previews": {"count": 3, "sampler": SAMPLER},
    }
    cfg["training"] = {
        "optimizer": "adamw",
        "learning_rate": 1.0e-3,
        "weight_decay": 0.0,
        "betas": [0.9, 0.99],
        "steps": 12,
        "batch": 4,
        "accumulate": 2,
        "warmup": 2,
        "decay": "cosine",
        "power": 1.0,
        "clip": 1.0,
        "log_every": 2,
        "ema": {"decay": 0.99, "warmup": True},
    }
    section = changes.pop("training", {})
    return {**cfg, **changes, "training": {**cfg["training"], **section}}


def write_store(folder, size: int, count: int = 10, classes: int = 5, ignored: bool = False, seed: int = 0):
    """Blocks of flat colours whose label is read off the colour; both sizes of a row show the same scene."""
    stream = np.random.default_rng(seed)
    with StoreWriter(folder, size=size, classes=classes) as writer:
        for number in range(count):
            small = stream.integers(0, classes, (4, 4)).astype(np.uint8)
            mask = small.repeat(size // 4, 0).repeat(size // 4, 1)
            image = np.stack([mask * 50, 255 - mask * 50, np.full_like(mask, number)], -1)
            if ignored:
                mask = mask.copy()
                mask[: 1 if number else size] = IGNORE  # pair 0 has no label at all
            writer.append(image, mask)
    return folder


def paths(folder) -> dict:
    names = {"weights": "weights.safetensors", "card": "card.json", "history": "history.csv", "previews": "previews.png", "work": "work"}
    return {key: folder / name for key, name in names.items()}


def train(module, stores: dict, cfg: dict, folder, wall_seconds: float | None = None) -> dict:
    module.train(stores, cfg, **paths(folder), device="cpu", wall_seconds=wall_seconds)
    return files.read_json(folder / "card.json")
