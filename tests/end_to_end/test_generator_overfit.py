"""A generator can learn 16 pairs by heart: its samples are those pairs, and every label belongs to its image."""

import numpy as np
import pytest
from presets import preset

from satsynth.datasets import demo
from satsynth.diffusion import ddpm
from satsynth.diffusion.sampling import sample_shard
from satsynth.pairs import IGNORE, Store, StoreWriter
from satsynth.plan.config import resolve
from satsynth.runtime.files import read_json

SIZE, PAIRS, SAMPLES = 16, 16, 32
SMALL_DISTANCE = 0.05  # RMS over all pixels and colours, of a range of 1; the pairs lie 0.10 from their nearest neighbours
LEVELS = {"sigma_min": 0.02, "sigma_max": 80.0}
SAMPLER = {"method": "unipc", "steps": 20, "spacing": "karras", "rho": 7, "clip": True, "condition_level": None, **LEVELS}
NETWORK = {"channels": 32, "multipliers": [1, 2, 2], "blocks": 1, "attention": [], "dropout": 0.0, "norm_groups": 8}
# (changes, unshuffle, recipe). Networks that return the noise of pairs learn faster unfolded: a narrow folded one cannot carry it.
VARIANTS = {
    "edm": ({"edm": {"sigma_data": [0.45, 0.9], "p_mean": -0.4, "p_std": 1.0}}, 1, {"learning_rate": 4.0e-3, "steps": 800}),
    "images_alone": ({"codes": "none"}, 2, {"learning_rate": 6.0e-3, "steps": 800}),
    "x0": ({"prediction": "x0", "min_snr": 5.0}, 2, {"learning_rate": 6.0e-3, "steps": 800}),
    "v": ({"prediction": "v", "schedule": {"kind": "cosine", "zero_terminal_snr": True}}, 1, {"learning_rate": 4.0e-3, "steps": 800}),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """16 patches of the demo world, one a scene, in which three classes fill 15 % or more each."""
    folder = tmp_path_factory.mktemp("pairs") / "train"
    with StoreWriter(folder, size=SIZE, classes=len(demo.NAMES)) as writer:
        for number in range(100):
            image, mask = demo.scene(number, {"size": 256, "zoom": 2, "seed": 0})
            for row, column in np.ndindex(256 // SIZE, 256 // SIZE):
                part = slice(row * SIZE, row * SIZE + SIZE), slice(column * SIZE, column * SIZE + SIZE)
                if (np.bincount(mask[part].ravel(), minlength=7) > 0.15 * SIZE**2).sum() >= 3:
                    writer.append(image[part], mask[part], scene=str(number))
                    break
            if len(writer.rows) == PAIRS:
                break
    return Store.open(folder)


def learnt(name, real, folder):
    """32 samples of a small G with the demo's recipe, trained on the pairs without flips."""
    changes, unshuffle, recipe = VARIANTS[name]
    stanza = {
        "kind": "ddpm",
        "size": SIZE,
        "flips": "none",
        "precision": "float32",
        "network": {**NETWORK, "unshuffle": unshuffle},
        **changes,
    }
    stanza |= {"training": {**recipe, "batch": 32}, "previews": {"count": 2, "sampler": SAMPLER}}
    resolved = resolve({"preset": "demo", "run": [], "generators": {"small": stanza}}, preset("demo"))
    cfg = resolved["generators"]["small"]
    files = {"weights": folder / "weights.safetensors", "card": folder / "card.json", "history": folder / "history.csv"}
    ddpm.train({SIZE: real.folder}, cfg, **files, previews=folder / "previews.png", work=folder / "work", device="cpu", wall_seconds=None)
    stages = [{"weights": files["weights"], "card": read_json(files["card"]), "sampler": SAMPLER}]
    sample_shard(stages, folder=folder / "made", seed=0, block=SAMPLES, first=0, last=SAMPLES, device="cpu", classes=real.classes)
    return Store.open(folder / "made")


def distances(images, others):
    """RMS difference of every image (N,H,W,3) from each of the others (M,H,W,3), (N,M), of a range of 1."""
    return np.array([np.sqrt(((image.astype(float) - others) ** 2).mean((1, 2, 3))) for image in images]) / 255


@pytest.mark.slow
@pytest.mark.parametrize("name", list(VARIANTS))
def test_samples_are_the_training_pairs(name, real, tmp_path):
    made = learnt(name, real, tmp_path)
    apart = distances(made.images, real.images)
    nearest, least = apart.argmin(1), apart.min(1)
    between = distances(real.images, real.images)[~np.eye(PAIRS, dtype=bool)]
    assert between.min() > SMALL_DISTANCE  # so that a sample can be that near to one pair only by being it
    assert np.median(least) < SMALL_DISTANCE and (least < 1.5 * SMALL_DISTANCE).mean() >= 0.9, np.sort(least)
    assert len(set(nearest)) >= PAIRS / 2
    if name == "images_alone":
        assert (made.masks[:] == IGNORE).all()
        return
    agreement = np.array([(mask == real.masks[number]).mean() for mask, number in zip(made.masks, nearest, strict=True)])
    wrong = np.array([(mask == real.masks[(number + 1) % PAIRS]).mean() for mask, number in zip(made.masks, nearest, strict=True)])
    assert np.median(agreement) >= 0.9 and (agreement >= 0.9).mean() >= 0.65, np.sort(agreement)
    assert np.median(wrong) < 0.6  # labels of another pair do not agree
