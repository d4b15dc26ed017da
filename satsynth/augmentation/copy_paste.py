"""Copy-Paste (Ghiasi et al. 2021) of connected regions of one class (paper, supplement C), since masks know no instances."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from satsynth.augmentation.cutmix import another_row
from satsynth.pairs import IGNORE, View
from satsynth.runtime.errors import ConfigError

OPTIONS = ("scale", "flip", "min_area", "keep", "donors", "components")
EIGHT = np.ones((3, 3), bool)


def prepare(pairs: View, cfg: dict) -> dict:
    """Nothing.

    Raises:
        ConfigError: an option out of its range.
    """
    scale, flip, min_area, keep, donors, components = (cfg["options"][name] for name in OPTIONS)
    demands = {
        "scale": (len(scale) == 2 and 0 < scale[0] <= scale[1] < float("inf"), "the smallest factor, above 0, and the largest"),
        "flip": (0 <= flip <= 1, "a probability, 0 to 1"),
        "min_area": (min_area >= 1, "1 pixel or more"),
        "keep": (0 <= keep <= 1, "a probability, 0 to 1"),
        "donors": (donors >= 1, "1 draw or more"),
        "components": (len(components) == 2 and 1 <= components[0] <= components[1], "the fewest, 1 or more, and the most"),
    }
    for name, (met, demand) in demands.items():
        if not met:
            raise ConfigError(f"options.{name}", f"{cfg['options'][name]} cannot be used.", f"Give {demand}.")
    return {}


def augment(pairs: View, row: int, stream: np.random.Generator, cfg: dict) -> tuple[np.ndarray, np.ndarray, dict]:
    """Paste connected regions of a random other pair where they lie; both pairs are flipped and scaled by chance first.

    With a background class, every region of another class is kept with probability `keep`, at least one. Without one (land cover), every
    class is foreground, and a uniform number of regions from `components` is drawn. Ignore pixels are never pasted.

    Args:
        pairs: the real training pairs.
        row: the pair to paste onto.
        stream: random numbers of this pair alone.
        cfg: `background`, a class id or None, and `options`: scale ([least, most] factor of the side), flip (probability of a mirrored
            pair), min_area (pixels of the smallest region, counted in the scaled donor), keep, donors (how many are drawn at most until one
            has a region; after that the flipped and scaled original is given unpasted) and components ([fewest, most], or all there are).

    Returns:
        image (H,W,3) uint8, mask (H,W) uint8, and the facts: flip (0 or 1) and side (pixels, after scaling) of the original, donor (row of
        the last one drawn), donor_flip, donor_side, regions (how many were pasted; 0 where no donor had any) and area (pixels pasted).
    """
    options, size = cfg["options"], pairs.size
    images, masks = pairs.gather([row])
    jitter = Jitter.draw(stream, size, options)
    image, mask = jitter.image(images[0]), jitter.mask(masks[0])
    for _ in range(options["donors"]):
        donor = another_row(stream, row, len(pairs))
        other, labels = pairs.gather([donor])
        move = Jitter.draw(stream, size, options)
        labels = move.mask(labels[0])
        numbers, count = regions(labels, pairs.classes, cfg["background"], options["min_area"])
        if count:
            break
    chosen = _chosen(stream, count, options, by_chance=cfg["background"] is not None)
    taken = chosen[numbers]
    if count:
        image[taken], mask[taken] = move.image(other[0])[taken], labels[taken]
    facts = {"flip": int(jitter.flip), "side": jitter.side, "donor": donor, "donor_flip": int(move.flip), "donor_side": move.side}
    return image, mask, {**facts, "regions": int(chosen.sum()), "area": int(np.count_nonzero(taken))}


def regions(mask: np.ndarray, classes: int, background: int | None, min_area: int) -> tuple[np.ndarray, int]:
    """Number the 8-connected regions of one class each in a mask (H,W) uint8.

    Returns:
        numbers (H,W) int64: 1 to the count of regions of `min_area` pixels or more; 0 for all else, the background class and ignore.
    """
    numbers, count = np.zeros(mask.shape, np.int64), 0
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:classes] >= min_area):
        if value == background:
            continue
        found, _ = ndimage.label(mask == value, EIGHT)
        large = np.bincount(found.ravel()) >= min_area
        large[0] = False  # pixels of other classes
        numbers += np.where(large, count + np.cumsum(large), 0)[found]
        count += int(large.sum())
    return numbers, count


def _chosen(stream: np.random.Generator, count: int, options: dict, *, by_chance: bool) -> np.ndarray:
    """Which of the regions 1..count are pasted, as a table (count + 1,) bool by region number."""
    chosen = np.zeros(count + 1, bool)
    if count and by_chance:
        chosen[1:] = stream.random(count) < options["keep"]
        if not chosen.any():
            chosen[1 + stream.integers(count)] = True
    elif count:
        fewest, most = options["components"]
        wanted = min(int(stream.integers(fewest, most + 1)), count)
        chosen[1 + stream.choice(count, wanted, replace=False)] = True
    return chosen


@dataclass(frozen=True)
class Jitter:
    """A flip and a scaling of a square pair, which is then cropped or padded back at a random place.

    Args:
        flip: whether left and right are exchanged.
        side: pixels of the scaled pair.
        top, left: rows and columns cut off where the scaled pair is larger than the patch; rows and columns left free where it is smaller.
    """

    flip: bool
    side: int
    top: int
    left: int

    @classmethod
    def draw(cls, stream: np.random.Generator, size: int, options: dict) -> "Jitter":
        """A flip with probability options["flip"], a factor uniform over options["scale"] (to whole pixels) and a uniform place."""
        flip = bool(stream.random() < options["flip"])
        side = max(round(float(stream.uniform(*options["scale"])) * size), 1)
        top, left = (int(offset) for offset in stream.integers(abs(side - size) + 1, size=2))
        return cls(flip, side, top, left)

    def image(self, image: np.ndarray) -> np.ndarray:
        """An image (H,W,3) uint8 moved so, with bilinear colours; what was padded is 0."""
        return self._moved(image, Image.Resampling.BILINEAR, 0)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """A mask (H,W) uint8 moved so, with the nearest ids; what was padded is 255."""
        return self._moved(mask, Image.Resampling.NEAREST, IGNORE)

    def _moved(self, array: np.ndarray, resampling: Image.Resampling, padding: int) -> np.ndarray:
        size = len(array)
        array = np.ascontiguousarray(array[:, ::-1]) if self.flip else array
        if self.side == size:
            return array
        scaled = np.asarray(Image.fromarray(array).resize((self.side, self.side), resampling))
        if self.side > size:
            return scaled[self.top : self.top + size, self.left : self.left + size].copy()
        moved = np.full_like(array, padding)
        moved[self.top : self.top + self.side, self.left : self.left + self.side] = scaled
        return moved
