"""Small scenes on disk in the `folder` layout, for the tests of readers and labels."""

import numpy as np
from PIL import Image

from satsynth.datasets import folder, tiling
from satsynth.randomness import numpy_stream

CFG = {
    "images": "images",
    "labels": "masks",
    "class_count": 3,
    "label_map": None,
    "ignore": 255,
    "unknown": "error",
    "split": {"by": "scene", "val": 0.25, "seed": 0},
    "size": 16,
    "stride": 16,
    "remainder": "pad",
    "max_ignore": 1.0,
    "resize": None,
    "max_pixels": 500_000_000,
    "bands": None,
    "scale": None,
}


def save(path, array, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def picture(height=20, width=24, seed=0):
    return numpy_stream(seed, "picture").integers(0, 256, (height, width, 3), dtype=np.uint8)


def ids(classes=3, height=20, width=24, seed=0):
    return numpy_stream(seed, "ids").integers(0, classes, (height, width), dtype=np.uint8)


def pair(root, name="a", image=None, mask=None):
    save(root / "images" / f"{name}.png", picture() if image is None else image)
    save(root / "masks" / f"{name}.png", ids() if mask is None else mask)


def whole(module, scene, cfg):
    with tiling.open_scene(scene, module.labels(cfg), cfg) as (height, _, image, mask):
        return image(0, height)[..., :3], mask(0, height)


def only(root, cfg=CFG):
    """Image and mask of the first scene of a folder dataset of which all but one scene is for training."""
    if len(list((root / "images").iterdir())) == 1:
        pair(root, "zz")
    found = [scene for part in ("train", "val") for scene in folder.scenes(root, part, cfg)]
    return whole(folder, min(found, key=lambda scene: scene.name), cfg)


def shares(masks):
    pixels = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
    return {int(i): 100 * pixels[i] / pixels.sum() for i in np.flatnonzero(pixels)}


def names(root, part, **changes):
    return [scene.name for scene in folder.scenes(root, part, {**CFG, **changes})]
