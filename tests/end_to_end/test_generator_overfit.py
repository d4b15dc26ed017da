"""Every diffusion generator can learn 16 pairs by heart: its samples are those pairs, and every label belongs to its image."""

import numpy as np
import pytest
import torch
from likeness import agreement, distances
from presets import preset

from satsynth import kinds
from satsynth.datasets import demo
from satsynth.datasets.tiling import area_mean, majority
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.stacks import decode, encode
from satsynth.pairs import IGNORE, Store, StoreWriter
from satsynth.plan.config import merge, resolve
from satsynth.randomness import torch_stream
from satsynth.runtime.files import read_json

SIZE, FULL, PAIRS, SAMPLES = 8, 16, 16, 32
# RMS over all pixels and colours, of a range of 1; the pairs lie 0.079 or more from each other, their mean 0.057 from the nearest.
SMALL_DISTANCE = 0.03
STEPS = {"method": "ancestral", "variance": "fixed_small", "steps": 50, "spacing": "karras", "rho": 7, "sigma_min": 0.02, "sigma_max": 80.0}
SAMPLER = {**STEPS, "clip": True, "condition_level": None}
DIFFUSION = {
    "kind": "ddpm",
    "network": {"channels": 32, "multipliers": [1, 2, 2], "blocks": 1, "attention": [], "norm_groups": 8, "unshuffle": 1},
    "training": {"learning_rate": 4.0e-3, "steps": 600, "batch": 32},
    "previews": {"count": 2, "sampler": SAMPLER},
}
EDM = {"sigma_data": [0.45, 0.9], "p_mean": -0.4, "p_std": 1.0}
MEASURED = {"sigma_data": [0.3, 0.7], "p_mean": -0.3, "p_std": 1.0, "prior": "measured"}
X0 = {"prediction": "x0", "min_snr": 5.0}
UPSCALER = {**X0, "kind": "upscaler", "size": FULL, "low": SIZE, "condition_noise": None}
VARIANTS = {
    "edm": {"prediction": "edm", "edm": {**EDM, "prior": None}},
    "edm_measured": {"prediction": "edm", "edm": MEASURED, "training": {"steps": 2400}},
    "paper": {"prediction": "epsilon", "training": {"steps": 1200}},
    "onehot": {**X0, "codes": "onehot"},
    "images_alone": {"codes": "none", "training": {"steps": 1000}},
    "x0": X0,
    "v": {"prediction": "v", "schedule": {"kind": "cosine", "zero_terminal_snr": True}, "training": {"steps": 1000}},
    "upscaler": {**UPSCALER, "network": {"unshuffle": 2}, "training": {"learning_rate": 6.0e-3, "steps": 400}},
    "upscaler_measured": {
        **{**UPSCALER, "prediction": "edm", "min_snr": None},
        "edm": {"sigma_data": [0.15, 0.5], "p_mean": -1.4, "p_std": 1.2, "prior": "measured"},
        "network": {"unshuffle": 2},
        "training": {"steps": 200},
    },
}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """16 patches of the demo world, one a scene, in which three classes fill 15 % or more each: a store a side, of the same rows."""
    folders = {side: tmp_path_factory.mktemp("pairs") / str(side) for side in (FULL, SIZE)}
    writers = {side: StoreWriter(folder, size=side, classes=len(demo.NAMES)) for side, folder in folders.items()}
    with writers[FULL] as full, writers[SIZE] as half:
        for number in range(100):
            image, mask = demo.scene(number, {"size": 256, "zoom": 2, "seed": 0})
            for row, column in np.ndindex(256 // FULL, 256 // FULL):
                part = slice(row * FULL, row * FULL + FULL), slice(column * FULL, column * FULL + FULL)
                if (np.bincount(mask[part].ravel(), minlength=7) > 0.15 * FULL**2).sum() >= 3:
                    full.append(image[part], mask[part], scene=str(number))
                    half.append(area_mean(image[part], FULL // SIZE), majority(mask[part], FULL // SIZE), scene=str(number))
                    break
            if len(full.rows) == PAIRS:
                break
    return {side: Store.open(folder) for side, folder in folders.items()}


def trained(stanza, real, folder):
    """Weights and card of a generator with the demo's recipe, trained on the pairs without flips."""
    stanza = {"size": SIZE, "flips": "none", "precision": "float32", **stanza}
    cfg = resolve({"preset": "demo", "run": [], "generators": {"small": stanza}}, preset("demo"))["generators"]["small"]
    files = {"weights": folder / "weights.safetensors", "card": folder / "card.json", "history": folder / "history.csv"}
    work = {"previews": folder / "previews.png", "work": folder / "work"}
    stores = {side: store.folder for side, store in real.items()}
    kinds.module(cfg["kind"]).train(stores, cfg, **files, **work, device="cpu", wall_seconds=None)
    return files["weights"], read_json(files["card"])


def sampled(weights, card, sampler, folder):
    """Images (32,S,S,3) and masks (32,S,S) that a generator makes of noise alone."""
    stages = [{"weights": weights, "card": card, "sampler": sampler}]
    sample_shard(stages, folder=folder, seed=0, block=SAMPLES, first=0, last=SAMPLES, device="cpu", classes=card["classes"])
    made = Store.open(folder)
    return made.images[:], made.masks[:]


def enlarged(weights, card, sampler, real):
    """Images (32,S,S,3) and masks (32,S,S) that G_SR makes of every pair at half the side, twice."""
    upscaler, codes = kinds.module("upscaler"), card_codes(card)
    low = encode(*(torch.from_numpy(np.array(array)) for array in (real[SIZE].images, real[SIZE].masks)), codes)
    with torch.no_grad():
        stream = torch_stream(0, "sample", device="cpu")
        stacks = upscaler.draw(upscaler.load(weights, card, "cpu"), sampler, SAMPLES, stream, torch.cat([low, low]))
    return decode(stacks, codes)[:2]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", list(VARIANTS))
def test_samples_are_the_training_pairs(name, real, tmp_path):
    weights, card = trained(merge(DIFFUSION, VARIANTS[name]), real, tmp_path)
    conditional = card["kind"] == "upscaler"
    images, masks = enlarged(weights, card, SAMPLER, real) if conditional else sampled(weights, card, SAMPLER, tmp_path / "made")
    pairs = real[card["size"]]
    apart = distances(images, pairs.images)
    nearest, least = apart.argmin(1), apart.min(1)
    between = distances(pairs.images, pairs.images)[~np.eye(PAIRS, dtype=bool)]
    assert between.min() > SMALL_DISTANCE  # so that a sample can be that near to one pair only by being it
    assert (least < SMALL_DISTANCE).mean() >= 0.9, np.sort(least)
    assert (nearest == np.arange(SAMPLES) % PAIRS).all() if conditional else len(set(nearest)) >= PAIRS / 2
    if name == "images_alone":
        assert (masks == IGNORE).all()
        return
    right, wrong = (agreement(masks, pairs.masks[:][(nearest + shift) % PAIRS]) for shift in (0, 1))
    assert (right >= 0.9).mean() >= 0.95, np.sort(right)
    assert np.median(wrong) < 0.5  # labels of another pair do not agree
