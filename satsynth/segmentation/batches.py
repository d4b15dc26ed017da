"""Batches of a training set: real and synthetic pairs in fixed shares, as a function of (seed, step) alone."""

from fractions import Fraction

import numpy as np
import torch

from satsynth import distributed
from satsynth.pairs import View
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import ConfigError, StoreError
from satsynth.runtime.transfers import sent
from satsynth.supply import Supply
from satsynth.symmetries import strides, turned

# The symmetry of each number that is drawn; trained networks depend on the order. Number n is a flip of the columns where n is 4 or more,
# and then n mod 4 quarter turns against the clock.
TURNS = (0, 5, 6, 3, 2, 1, 4, 7)


class Mixture:
    """A training set of real pairs, synthetic pairs or both, in fixed shares whatever their counts (paper, section 5.3: half and half).

    Of the first n slots of the endless stream of images, ceil(n p) are real, p the share of real pairs: with one half, slot s is real where
    s is even and synthetic where it is odd. A set of one part fills every slot. The e-th draw from a part of n pairs is row e mod n of that
    part's shuffle number e // n, so every pair is seen equally often, and a run that starts at any step sees the same stream. The shuffles
    of a part do not depend on the other part: with one seed, D and D ∪ D' see their real pairs in one order.

    Args:
        real: view of real pairs, or None.
        synthetic: view of synthetic pairs, or None.
        device: where batches are made. On an accelerator all pairs are moved there once, as uint8, if half of its free memory holds
            them; otherwise, and on the CPU, they are read from the memory-mapped files (whose pages the system caches).
        real_share: p, in (0, 1); unused where there is one part only.

    Raises:
        ConfigError: there is neither part, or the share is none.
        StoreError: stores differ in size or classes, or one has no labelled pixel.
    """

    def __init__(self, real: View | None, synthetic: View | None, device: str | torch.device, real_share: float = 0.5):
        if not 0 < real_share < 1:
            raise ConfigError("real_share", f"{real_share} is no share of both parts.", "Give more than 0 and less than 1.")
        self._share = Fraction(str(real_share))  # exact, so that the number of real slots is, too
        parts = {"real": real, "synthetic": synthetic}
        self.counts = {name: len(view) for name, view in parts.items() if view is not None}
        if not self.counts:
            raise ConfigError("training set", "it has neither real nor synthetic pairs.", "Name at least one store.")
        self.view = View(tuple(store for view in parts.values() if view is not None for store in view.stores))
        _check_labelled(self.view)
        for name, pairs in self.counts.items():
            if pairs == 0:
                raise StoreError(parts[name].stores[0].folder, f"there are no {name} pairs.", _remedy(parts[name]))
        self.device = torch.device(device)
        self._orders: dict[str, tuple[int, int, np.ndarray]] = {}
        self._turns = _turns(self.view.size).to(self.device)
        self.supply = None if self.device.type == "cpu" else Supply([self.view], self.device, self.rows)

    def exposures(self, images: int) -> dict[str, int]:
        """How many of the first `images` slots each part fills: {"real": ..., "synthetic": ...}."""
        if len(self.counts) == 2:
            real = self._real_slots(images)
            return {"real": real, "synthetic": images - real}
        return {name: images if name in self.counts else 0 for name in ("real", "synthetic")}

    def rows(self, seed: int, first: int, count: int) -> np.ndarray:
        """Rows of `view` in slots `first` to `first + count - 1`, (count,) int64; the real pairs come first in the view."""
        return np.array([self._row(seed, *self._place(slot)) for slot in range(first, first + count)])

    def _place(self, slot: int) -> tuple[str, int]:
        """The part that fills a slot, and which of its draws this is."""
        if len(self.counts) == 1:
            return next(iter(self.counts)), slot
        real = self._real_slots(slot)
        return ("real", real) if self._real_slots(slot + 1) > real else ("synthetic", slot - real)

    def _real_slots(self, count: int) -> int:
        """How many of the first `count` slots are real."""
        return -(-count * self._share.numerator // self._share.denominator)

    def _row(self, seed: int, name: str, draw: int) -> int:
        epoch, place = divmod(draw, self.counts[name])
        known = self._orders.get(name)
        if known is None or known[:2] != (seed, epoch):
            start = 0 if name == "real" else self.counts.get("real", 0)
            order = start + numpy_stream(seed, "order", name, epoch).permutation(self.counts[name])
            known = self._orders[name] = (seed, epoch, order)
        return int(known[2][place])

    def draw(self, seed: int, step: int, batch: int, part: int = 0, parts: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B,H,W,3) and masks (B,H,W), uint8 on the device, each pair under one of the eight flips and rotations.

        Args:
            seed: of the order and the flips.
            step: number of the optimiser step.
            batch: images of the whole step.
            part: which of the `parts` equal parts of the step's batch; B = batch / parts.
            parts: see above.
        """
        count = batch // parts
        turns = numpy_stream(seed, "turns", step).integers(0, 8, batch)[part * count : (part + 1) * count]
        first = step * batch + part * count
        if self.supply is None:
            return _gather_turned(self.view, self.rows(seed, first, count), turns)
        # A rank that has drawn the last of its own parts passes over those of the others.
        own = parts // distributed.count()
        others = batch - own * count
        stride = [count + others] if others and (part + 1) % own == 0 else []
        ((images, masks),) = self.supply.take(seed, first, count, *stride)
        return rearrange(images, masks, self._turns[sent(turns, self.device)])


def _check_labelled(view: View) -> None:
    for store in view.stores:
        if len(store) and not any(store.card["class_pixels"]):
            raise StoreError(store.folder, "no pixel of its masks is labelled.", "Train on stores that have masks.")


def _remedy(view: View) -> str:
    """What to do about a part without pairs: of shards of which nothing was admitted, the thresholds to loosen."""
    admissions = [store.card["admission"] for store in view.stores if "admission" in store.card]
    loosen = sorted({key for facts in admissions for key in facts["loosen"]})
    if not loosen:
        return "Train on stores that hold pairs."
    source = view.stores[0].folder.absolute().parent.name
    return f"Every pair was rejected: loosen sources.{source}.thresholds ({', '.join(loosen)}), or leave the source out."


def _turns(size: int) -> torch.Tensor:
    """(8, size²) int64: where each pixel comes from under each of `TURNS`."""
    grid = np.arange(size * size).reshape(size, size)
    return torch.from_numpy(np.stack([turned(grid, number).ravel() for number in TURNS]))


def _gather_turned(view: View, rows: np.ndarray, turns: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The pairs in these rows, each under its turn: what `rearrange` gives, several times as fast on a CPU."""
    images = np.empty((len(rows), view.size, view.size, 3), np.uint8)
    masks = np.empty((len(rows), view.size, view.size), np.uint8)
    tensor, near = torch.from_numpy(images), np.empty(images.shape[1:], np.uint8)
    for place, (row, drawn) in enumerate(zip(rows.tolist(), turns.tolist())):
        image, mask = view.pair(row)
        number = TURNS[drawn]
        masks[place] = turned(mask, number)
        transposed, down, right = strides(number)
        if transposed:
            near[...] = image  # read once in its order: the channels' columns then come from the cache
            moved, out = turned(near, number), images[place]
            for channel in range(3):  # numpy moves single bytes fast and pixels of three bytes slowly
                out[:, :, channel] = moved[:, :, channel]
        elif right == -1:
            near[...] = image[::down]
            tensor[place] = torch.from_numpy(near).flip(1)  # along a row torch reverses bytes faster than numpy reverses pixels
        else:
            images[place] = image[::down]
    return tensor, torch.from_numpy(masks)


def rearrange(images: torch.Tensor, masks: torch.Tensor, sources: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move the pixels of images (B,H,W,3) and masks (B,H,W) alike; `sources` (B,H·W) names the pixel that each one takes."""
    pixels = images.flatten(1, 2).gather(1, sources[:, :, None].expand(-1, -1, 3))
    return pixels.view_as(images), masks.flatten(1).gather(1, sources).view_as(masks)
