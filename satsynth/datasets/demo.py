"""The embedded demo: a made-up aerial world, written to disk in the `folder` layout, so that it walks the road of real data.

`generate` reads `scenes` (how many), `size` (side of a scene in px), `zoom` (how many px a unit of the world takes) and `seed`; scene i
depends on (seed, i), `size` and `zoom` only.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from satsynth.datasets import demo_objects, demo_world, folder
from satsynth.datasets.labels import Labels
from satsynth.datasets.scenes import STOPPING, Scene, Stopping
from satsynth.pairs import LabelSpace
from satsynth.randomness import numpy_stream
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError

# Common classes first; the order is that of `demo_world`. The colours stay at least 30 apart in CIELAB to a normal eye and
# to each of the three kinds of dichromats.
NAMES = ("field", "tree", "soil", "water", "road", "building", "car")
COLOURS = ((250, 240, 170), (0, 90, 58), (135, 96, 10), (80, 147, 247), (151, 151, 151), (255, 150, 31), (91, 2, 241))
SMALLEST = 128


def label_space(cfg: dict) -> LabelSpace:
    """The seven classes of the demo, common to rare; no key of `cfg` changes them."""
    return LabelSpace(NAMES, COLOURS)


def labels(cfg: dict) -> Labels:
    """The decoder of the masks: value i is class i, and any other value is an error; `cfg` is not read."""
    return Labels(len(NAMES), values={number: number for number in range(len(NAMES))}, unknown="error")


def scenes(root: Path, split: str, cfg: dict, findings: Stopping = STOPPING) -> list[Scene]:
    """The scenes of a split ("train" or "val") of what `generate` wrote to `root`, in order.

    Args:
        root: the folder that holds images/ and masks/.
        split: "train" or "val".
        cfg: `split`, as the `folder` format reads it, for example {"by": "scene", "val": 0.25, "seed": 0}.

    Raises:
        DataError: nothing is there, or an image has no mask.
    """
    return folder.scenes(root, split, {**cfg, "images": "images", "labels": "masks"}, findings)


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image (size,size,3) uint8 RGB and mask (size,size) uint8 of the classes of `NAMES`."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    azimuth = rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(azimuth), np.sin(azimuth)])
    flat = np.zeros((size, size), np.float32)
    canvas = demo_world.Canvas(np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.uint8), flat, y, x, sun)
    border = demo_world.parcels(rng, canvas)
    shore = demo_world.waters(rng, canvas)
    paths, edge = demo_world.roads(rng, canvas, shore)
    taken = demo_objects.settlements(rng, canvas, paths, shore, edge)
    demo_objects.trees(rng, canvas, border, taken, edge, shore)

    dark = demo_objects.shadows(canvas, rng.uniform(0.75, 1.0))[..., None]
    image = canvas.colour * (1 - dark * (0.55, 0.5, 0.42))
    image *= 1 + 0.03 * demo_world.noise(rng, size, 130)[..., None]
    haze = rng.uniform(0, 0.1)
    light = rng.uniform(0.86, 1.14) * (1 + rng.normal(0, 0.04, 3))  # exposure and white balance of the flight
    image = (image * (1 - haze) + haze * np.array([196, 204, 212])) * light
    image = ndimage.gaussian_filter(image, (0.45, 0.45, 0)) + rng.normal(0, 2.2, (size, size, 1)) + rng.normal(0, 1.2, (size, size, 3))
    return np.clip(np.round(image), 0, 255).astype(np.uint8), canvas.label


def scene(index: int, cfg: dict) -> tuple[np.ndarray, np.ndarray]:
    """Scene `index` of the world: image (size,size,3) uint8 RGB and mask (size,size) uint8 of class ids 0 to 6.

    Every pixel is labelled. Swimming pools are water, car parks are road, and what lies in shadow keeps its class.

    Raises:
        ConfigError: `size` is too small or no multiple of `zoom` to lay out roads and villages.
    """
    extent, zoom = cfg["size"] // cfg["zoom"], cfg["zoom"]
    if extent < SMALLEST or cfg["size"] % zoom:
        cause = f"a demo scene of {cfg['size']} px at zoom {zoom} is too small for its roads, or no multiple of the zoom."
        raise ConfigError("size", cause, f"Give a multiple of the zoom, and at least {SMALLEST} times the zoom.")
    rng = numpy_stream(cfg["seed"], "demo", index)
    image, mask = draw(rng, extent)
    return (image, mask) if zoom == 1 else enlarge(rng, image, mask, zoom)


def enlarge(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, zoom: int) -> tuple[np.ndarray, np.ndarray]:
    """A scene seen from closer: image (S,S,3) and mask (S,S) uint8 at `zoom` times the side with fresh sensor noise.

    At zoom 2 every pixel of the mask becomes a block of 2 x 2: outlines get no finer.
    """
    factors = (zoom, zoom, 1)
    larger = ndimage.zoom(image.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
    larger += rng.normal(0, 2.0, larger.shape)
    shares = (mask[..., None] == np.arange(len(NAMES))).astype(np.float32)
    ids = ndimage.zoom(shares, factors, order=1, mode="nearest", grid_mode=True).argmax(-1)
    return np.clip(np.round(larger), 0, 255).astype(np.uint8), ids.astype(np.uint8)


def generate(target: Path, cfg: dict) -> None:
    """Write `cfg["scenes"]` scenes as `images/scene_000.png` (RGB) and `masks/scene_000.png` (8-bit class ids) under `target`.

    `scenes.json`, written last, holds count, size, seed and the SHA-256 of every file.

    Raises:
        ConfigError: there are no scenes to write, or `size` is too small or no multiple of `zoom`.
        DiskError: the disk is full.
    """
    target = Path(target)
    if cfg["scenes"] < 1:
        raise ConfigError("scenes", f"{cfg['scenes']} demo scenes cannot be written.", "Give 1 or more.")
    hashes = {}
    for index in range(cfg["scenes"]):
        for kind, array in zip(("images", "masks"), scene(index, cfg), strict=True):
            name = f"{kind}/scene_{index:03d}.png"
            with files.replacing(target / name) as partial:
                Image.fromarray(array).save(partial, format="png")
            hashes[name] = files.sha256(target / name)
    card = {"scenes": cfg["scenes"], "size": cfg["size"], "zoom": cfg["zoom"], "seed": cfg["seed"], "sha256": hashes}
    files.write_json(target / "scenes.json", card)
