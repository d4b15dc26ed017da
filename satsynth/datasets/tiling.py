"""Raw scenes to stores of patches, at full size and at reduced sizes with the same rows, in one pass.

    tile("loveda", Path("data/LoveDA"), "train", cfg, {256: Path("results/loveda/256px/real/train"), 128: ...})

One scene is open at a time, and of it one strip of rows a patch high; only a scene that is resized is held whole.
"""

import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from satsynth.datasets.orientation import Turned
from satsynth.datasets.rasters import Raster, Strips, fitted, opened, rgb_rows
from satsynth.datasets.scenes import Block, Scene
from satsynth.pairs import IGNORE, StoreWriter
from satsynth.runtime.errors import ConfigError, DataError


class Decoder(Protocol):
    """What a format's `labels` gives: `Labels` for masks, `Shapes` for annotations that are drawn onto the image's grid."""

    classes: int
    note: Callable[[Path, Counter], None] | None
    stand_ins: Callable[[list[str]], np.ndarray] | None

    def opened(self, scene: Scene, image: Raster, max_pixels: int) -> contextlib.AbstractContextManager[Callable[[int, int], np.ndarray]]:
        """A function that gives ids (rows, width) uint8 of rows top..bottom-1 of the scene, whose image is open."""


MANY = 5000  # patches of train, above which small windows are asked about
LARGE = 128  # px: networks for patches as large are not small, and windows show things
REMAINDERS = ("shift", "pad", "drop")
logger = logging.getLogger(__name__)


def starts(side: int, size: int, stride: int, remainder: str) -> list[int]:
    """First pixels of the windows along one side of `side` pixels.

    shift: what is left at the end gets a window that ends at the border (it overlaps its neighbour). pad: that window keeps to the grid
    and reaches past the border. drop: it is left out. Under shift and pad a side shorter than `size` has one window, to be padded.
    """
    if remainder not in REMAINDERS:
        raise ConfigError("remainder", f"{remainder!r} is unknown.", f"Write one of {', '.join(REMAINDERS)}.")
    if size < 1 or stride < 1:
        raise ConfigError("patches", f"size {size} and stride {stride} must be positive.", "Write, for example, size: 256, stride: 256.")
    if remainder == "drop":
        return list(range(0, side - size + 1, stride))
    count = 1 + max(0, -(-(side - size) // stride))
    grid = [number * stride for number in range(count)]
    if remainder == "shift":
        return [min(start, max(side - size, 0)) for start in grid]
    return [start for start in grid if start < side]  # with gaps between windows the last one may lie past the border altogether


def windows(height: int, width: int, size: int, stride: int, remainder: str) -> list[tuple[int, int]]:
    """Top-left pixels (row, column) of all windows of a scene, row by row (see `starts` for the remainder rules)."""
    return list(itertools.product(starts(height, size, stride, remainder), starts(width, size, stride, remainder)))


def area_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """(H,W,3) uint8 to (H/factor,W/factor,3): the exact mean of factor x factor pixels, halves rounded up."""
    total = sum(image[i::factor, j::factor].astype(np.uint32) for i in range(factor) for j in range(factor))
    area = factor * factor
    return ((total + area // 2) // area).astype(np.uint8)


def majority(mask: np.ndarray, factor: int) -> np.ndarray:
    """(H,W) uint8 ids to (H/factor,W/factor): the most frequent id of factor x factor pixels, ties to the lowest.

    Ignore (255) counts as a value of its own. The index map is reduced, never codes: a mean of two codes is a third class's code.
    """
    best = np.zeros((mask.shape[0] // factor, mask.shape[1] // factor), np.uint32)
    ids = np.zeros(best.shape, np.uint8)
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)):
        same = mask == value
        votes = sum(same[i::factor, j::factor].astype(np.uint32) for i in range(factor) for j in range(factor))
        ids[votes > best] = value
        best = np.maximum(best, votes)
    return ids


@contextlib.contextmanager
def open_scene(scene: Scene, decoder: Decoder, cfg: dict) -> Iterator[tuple[int, int, Callable, Callable]]:
    """Open a scene: its height and width (after any resize), and two functions that give rows top..bottom-1 of image and mask.

    Rows of the image are (rows,width,3) uint8, or (rows,width,4) where its file says which pixels have data (see `rgb_rows`); the mask is
    255 where they have none. With cfg["resize"] = n the longer side becomes n pixels: the image bicubic, the ids nearest (OpenEarthMap's
    tiles of 1000 px become 1024 px so). Else rows must be asked for from top to bottom.

    Raises:
        DataError: a file is missing, damaged or too large, the two differ in size, or labels are unknown.
    """
    with opened(scene.image, cfg["max_pixels"]) as image, decoder.opened(scene, image, cfg["max_pixels"]) as read_mask:
        height, width = image.height, image.width
        read_image = rgb_rows(image, cfg["bands"], cfg["scale"])
        new = fitted(height, width, cfg["resize"])
        if new == (height, width):
            pixels, ids = Strips(read_image).rows, Strips(read_mask).rows
            if image.nodata:
                yield height, width, pixels, lambda top, bottom: _with_data(ids(top, bottom), pixels(top, bottom))
            else:
                yield height, width, pixels, ids
            return
        if new[0] * new[1] > cfg["max_pixels"]:
            cause = f"resized to {new[1]} x {new[0]} pixels it is larger than max_pixels = {cfg['max_pixels']}."
            raise DataError(scene.image, cause, "Give a smaller resize, or raise max_pixels.")
        read = read_image(0, height)
        ids = np.asarray(Image.fromarray(_with_data(read_mask(0, height), read)).resize(new[::-1], Image.Resampling.NEAREST))
        pixels = np.asarray(Image.fromarray(read[..., :3]).resize(new[::-1], Image.Resampling.BICUBIC))
        if image.nodata:  # apart from the colours, which Pillow would weight by it
            valid = np.asarray(Image.fromarray(read[..., 3]).resize(new[::-1], Image.Resampling.NEAREST))
            pixels = np.dstack([pixels, valid])
        yield *new, lambda top, bottom: pixels[top:bottom], lambda top, bottom: ids[top:bottom]


def _with_data(ids: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Ids (H,W) uint8, 255 where pixels (H,W,3 or 4) have no data."""
    return ids if pixels.shape[2] == 3 else np.where(pixels[..., 3], ids, np.uint8(IGNORE))


def blocks_of(scene: Scene, height: int, width: int) -> tuple[Block, ...]:
    """The parts of a scene of height x width pixels that are cut into patches: its blocks, or the whole of it as one."""
    return scene.blocks or (Block(scene.name, 0, 0, height, width),)


def patches(scene: Scene, decoder: Decoder, cfg: dict) -> Iterator[tuple[str, int, int, np.ndarray, np.ndarray]]:
    """The patches of a scene as (scene, row, column, image (S,S,3) uint8, mask (S,S) uint8), S = cfg["size"].

    Where the file of the image says which pixels have data, its patches have a fourth channel: 0 where there is none, else 255.
    Each block of a scene is cut as if it were a scene: its name is given, rows and columns count from its corner, and no patch crosses
    its border. A patch whose share of 255 is above cfg["max_ignore"] is left out.
    """
    for patch in cut(scene, decoder, cfg, lambda block: windows(block.height, block.width, cfg["size"], cfg["stride"], cfg["remainder"])):
        if kept(np.count_nonzero(patch[4] == IGNORE), cfg):
            yield patch


def kept(ignored: int, cfg: dict) -> bool:
    """Whether a patch of cfg["size"] with this number of unlabelled pixels, padding among them, is taken by cfg["max_ignore"]."""
    return ignored <= cfg["max_ignore"] * cfg["size"] ** 2


def cut(
    scene: Scene, decoder: Decoder, cfg: dict, places: Callable[[Block], Iterable[tuple[int, int]]]
) -> Iterator[tuple[str, int, int, np.ndarray, np.ndarray]]:
    """Windows of a scene, in the form of `patches`, in the order of their first rows, at the `places` (row, column) of each block.

    What lies outside of the block is 0 in the image and 255 in the mask. The file is read to its last row in any case, so that a truncated
    file or an unknown label is found wherever the windows lie.
    """
    size = cfg["size"]
    with open_scene(scene, decoder, cfg) as (height, width, image_rows, mask_rows):
        blocks = blocks_of(scene, height, width)
        grid = sorted(
            (block.top + row, block.left + column, number) for number, block in enumerate(blocks) for row, column in places(block)
        )
        end = 0
        for row, group in itertools.groupby(grid, key=lambda window: window[0]):
            inside = [(column, blocks[number]) for _, column, number in group]
            end = min(row + size, max(block.top + block.height for _, block in inside))
            image, mask = image_rows(row, end), mask_rows(row, end)
            for column, block in inside:
                part = np.s_[: block.top + block.height - row, column : min(column + size, block.left + block.width)]
                pixels, ids = image[part], mask[part]
                if ids.shape != (size, size):
                    missing = ((0, size - ids.shape[0]), (0, size - ids.shape[1]))
                    pixels = np.pad(pixels, (*missing, (0, 0)))
                    ids = np.pad(ids, missing, constant_values=IGNORE)
                yield block.name, row - block.top, column - block.left, pixels, ids
        for top in range(end, height, size):
            image_rows(top, min(top + size, height))
            mask_rows(top, min(top + size, height))


def tile(format_name: str, root: Path, split: str, cfg: dict, folders: dict[int, Path]) -> None:
    """Write the stores of one split: one a size, all with the same rows.

    Args:
        format_name: a module of this package (isaid, loveda, openearthmap, folder).
        root: where the raw data are.
        split: "train" or "val".
        cfg: `size` and `stride` in pixels of the scene (after any resize), `remainder` of this split (shift, pad or drop), `max_ignore`
            (0..1), `resize` (pixels or None), `max_pixels`, `bands`, `scale`, and what the format's module reads.
        folders: size -> store folder; every size divides cfg["size"]. Reduced images are area means, reduced masks majorities.

    Raises:
        DataError: the raw data cannot be used, or not one patch came out. ConfigError: a size that does not divide cfg["size"].
    """
    size = cfg["size"]
    for reduced in folders:
        if size % reduced:
            raise ConfigError("patches.size", f"{size} px cannot be reduced to {reduced} px.", "Choose sizes that divide each other.")
    module = import_module(f"satsynth.datasets.{format_name}")
    decoder, scenes = module.labels(cfg), module.scenes(Path(root), split, cfg)
    count_scenes = sum(max(1, len(scene.blocks)) for scene in scenes)  # a block is a scene of its own
    facts = {"split": split, "scenes": count_scenes, "patch": size, "stride": cfg["stride"], "remainder": cfg["remainder"]}
    count, turned = 0, Turned()
    with contextlib.ExitStack() as stack:
        writers = {
            reduced: stack.enter_context(StoreWriter(folder, size=reduced, classes=decoder.classes, facts=facts))
            for reduced, folder in folders.items()
        }
        for number, scene in enumerate(scenes, 1):
            turned.look(scene.image, cfg["max_pixels"])
            for name, row, column, image, mask in patches(scene, decoder, cfg):
                image = image[..., :3]
                for reduced, writer in writers.items():
                    factor = size // reduced
                    pair = (image, mask) if factor == 1 else (area_mean(image, factor), majority(mask, factor))
                    writer.append(*pair, scene=name, row=row, column=column)
                count += 1
            if number * 10 // len(scenes) > (number - 1) * 10 // len(scenes):
                logger.info("%s: %d of %d scenes, %d patches", split, number, len(scenes), count)
        if not count:
            raise no_patch(root, split, len(scenes), cfg)
        if split == "train" and cfg["stride"] < size:
            logger.warning("%s", overlapping(cfg["stride"], size))
        if turned.count:
            logger.warning("%s: %s", split, turned.warning())
        _warn(split, count_scenes, writers[max(writers)].class_pixels, decoder.classes)


def no_patch(root: Path, split: str, scenes: int, cfg: dict) -> DataError:
    """The error of a split whose scenes give no patch at all; `cfg` as in `tile`."""
    return DataError(
        root,
        f"the {scenes} scenes of {split} gave no patch of {cfg['size']} px (remainder {cfg['remainder']}, max_ignore {cfg['max_ignore']}).",
        "Choose a smaller size, remainder: pad, or a larger max_ignore.",
    )


def overlapping(stride: int, size: int) -> str:
    """The warning about a stride below the size of a patch."""
    again = (size / stride) ** 2
    return f"patches.stride {stride} is below size {size}: patches of train overlap, so a pixel counts up to {again:.3g} times."


def small_windows(count: int, size: int, reduced: list[int], sides: list[tuple[int, int]]) -> str | None:
    """The hint that bigger windows, reduced to the same size, are fewer and show more; None where they would not serve.

    It is for many patches of the size of small networks, out of scenes that hold several bigger ones.

    Args:
        count: patches of train.
        size: their side, pixels.
        reduced: smaller sides of the same patches.
        sides: the two sides of every scene after any resize, pixels.
    """
    if count <= MANY or size >= LARGE or not sides:
        return None
    shorter = sorted(map(min, sides))[len(sides) // 2]
    factor = next((factor for factor in (4, 2) if shorter >= 2 * factor * size), None)
    if factor is None:
        return None
    sizes = ", ".join(map(str, [size, *reduced]))
    small, large = (sum(-(-high // side) * -(-wide // side) for high, wide in sides) for side in (size, factor * size))
    return (
        f"patches: train has {count} of {size} px, and R = 1 makes as many synthetic pairs. Windows this small show texture more than "
        f"things. patches: {{size: {factor * size}, reduced: [{sizes}]}} reduces bigger windows to the same {size} px: each shows "
        f"{factor**2} times the ground, and there are about {round(count * large / small)}."
    )


def _warn(split: str, scenes: int, pixels: np.ndarray, classes: int) -> None:
    """Say what can be meant, but seldom is: classes without a pixel, mostly unlabelled patches, too few scenes for an interval."""
    missing = np.flatnonzero(pixels[:classes] == 0).tolist()
    share = 100 * pixels[IGNORE] / pixels.sum()
    if missing and split == "train":
        logger.warning(
            "train: no pixel of class id %s; %.1f %% of all pixels are unlabelled. If a class has the raw value of `ignore` (255 where "
            "nothing is said), give a label_map, such as {0: background, 255: building}.",
            ", ".join(map(str, missing)),
            share,
        )
    elif share > 50:
        logger.warning("%s: %.1f %% of all pixels are unlabelled or padding; are the patches larger than the scenes?", split, share)
    if split == "val" and scenes < 2:
        logger.warning("val: %d scene only, so no interval over scenes can be given; raise split.val or add scenes.", scenes)
