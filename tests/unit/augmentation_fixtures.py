"""Traceable stores and what augmentation makes of them.

The three colours of a traceable pixel are its row, its column and its pair, so that every pixel of a result tells where it came from, and a
label that did not move with it is found.
"""

import numpy as np

from satsynth.augmentation.making import make_shard
from satsynth.pairs import IGNORE, Store, StoreWriter

SIZE = 32
OPTIONS = {
    "cutout": {"hole": 0.25, "fill": "mean", "label": IGNORE},
    "cutmix": {"alpha": 1.0},
    "copy_paste": {"scale": [0.8, 1.25], "flip": 0.5, "min_area": 4, "keep": 0.5, "donors": 10, "components": [1, 3]},
}
STILL = {"scale": [1.0, 1.0], "flip": 0.0}  # Copy-Paste without jitter: pixels stay where they are
METHODS = tuple(OPTIONS)


def write(folder, masks, classes=4, paint=None):
    """A traceable store, or one whose images are paint(pair)."""
    size = masks[0].shape[0]
    y, x = np.mgrid[:size, :size]
    with StoreWriter(folder, size=size, classes=classes) as writer:
        for number, mask in enumerate(masks):
            image = np.stack([y, x, np.full_like(y, number)], -1) if paint is None else paint(number)
            writer.append(image.astype(np.uint8), mask.astype(np.uint8), scene="a")
    return folder


def patchy(count=6, classes=4, size=SIZE, seed=0, ignored=True):
    """Masks of 4 px blocks of random classes, half of them class 0, with some ignore blocks."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, classes, (count, size // 4, size // 4)) * rng.integers(0, 2, (count, size // 4, size // 4))
    if ignored:
        blocks[rng.random(blocks.shape) < 0.1] = IGNORE
    return blocks.repeat(4, 1).repeat(4, 2)


def make(folders, out, method, first=0, last=60, *, seed=3, background=None, **options):
    cfg = {"augment": method, "seed": seed, "shards": 1, "options": {**OPTIONS[method], **options}, "background": background}
    make_shard(folders if isinstance(folders, list) else [folders], out, cfg, first, last)
    return Store.open(out, verify=True)


def traced(store, pair, masks):
    """Where the pixels of a traceable result came from: rows, columns, pairs; and the labels that they had there."""
    y, x, number = np.moveaxis(store.images[pair].astype(int), -1, 0)
    return y, x, number, np.asarray(masks)[number, y, x]
