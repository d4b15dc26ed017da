"""Pairs as a diffusion model sees them: stacks (N, 3+n, H, W) of colours and label codes in [-1, 1] (paper, section 4.2).

A generator of images alone has codes of kind "none" and stacks of n = 0.

Pairs stay uint8 on the device; flips act on image and index mask together, before anything is encoded, and all floats are
made batch by batch. Which pair stands where in which batch is a function of (seed, number of images seen) alone.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from satsynth.codes import Codes, fill_ignore, has_free_word
from satsynth.pairs import IGNORE, View
from satsynth.randomness import numpy_stream
from satsynth.runtime.errors import ConfigError, StoreError
from satsynth.supply import Supply
from satsynth.symmetries import SETS, turn

log = logging.getLogger(__name__)
COLOURS = 3
CHUNK = 256


def choose_codes(kind: str, views: Sequence[View]) -> Codes:
    """The code of these pairs: with an ignore word where some pixel is to be ignored and a word is free."""
    classes = views[0].classes
    ignored = any(store.card["ignore_pixels"] for view in views for store in view.stores)
    return Codes(kind, classes, ignore_word=bool(ignored) and has_free_word(kind, classes))


def encode(images: torch.Tensor, masks: torch.Tensor, codes: Codes) -> torch.Tensor:
    """Images (N,H,W,3) and masks (N,H,W), uint8 -> stacks (N,3+n,H,W) float32: z -> 2z - 1 of colours and code words."""
    colours = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat([colours, codes.encode(masks)], 1)


def decode(stacks: torch.Tensor, codes: Codes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stacks (N,3+n,H,W) in [-1,1] -> pairs and what is known of them (paper, section 4.5).

    Returns:
        images (N,H,W,3) uint8, masks (N,H,W) uint8 (pixels of the ignore word are 255), mean code margin (N,) float32, and
        the share of pixels whose bits are no code word (N,) float32. Without codes all masks are 255, and no margin is a number.
    """
    values = stacks[:, COLOURS:]
    masks, margins = codes.decode(values)
    images = ((stacks[:, :COLOURS].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    arrays = (images.contiguous(), masks, margins.mean((1, 2)), codes.invalid(values).float().mean((1, 2)))
    return tuple(array.cpu().numpy() for array in arrays)


def settle(stacks: torch.Tensor, codes: Codes) -> torch.Tensor:
    """Sampled stacks (N,3+n,H,W) with the nearest code word in every pixel, as stacks of real pairs have it."""
    return torch.cat([stacks[:, :COLOURS], codes.encode(codes.decode(stacks[:, COLOURS:])[0])], 1)


def enlarge(stacks: torch.Tensor, size: int) -> torch.Tensor:
    """Low-resolution stacks (N,3+n,h,h) at side `size`: colours bilinear, codes nearest (a mean of words is another word)."""
    colours = functional.interpolate(stacks[:, :COLOURS], size=(size, size), mode="bilinear", align_corners=False)
    if stacks.shape[1] == COLOURS:
        return colours
    return torch.cat([colours, functional.interpolate(stacks[:, COLOURS:], size=(size, size), mode="nearest")], 1)


class Stacks:
    """Training data of a generator: one view, or several of different sizes whose rows belong together.

    Args:
        views: joined stores, with the same number of rows each.
        codes: see `choose_codes`; where it has no ignore word, ignore pixels take the class of the nearest labelled pixel, and
            rows without any labelled pixel are left out. Images alone need no label: with codes of kind "none" every row stays.
        flips: "none", "h" or "d4".
        device: where the uint8 pairs are wanted (see `satsynth.supply.Supply`).

    Raises:
        StoreError: the views' rows do not belong together, or no row is left.
    """

    def __init__(self, views: Sequence[View], codes: Codes, flips: str, device: str | torch.device):
        if flips not in SETS:
            raise ConfigError("flips", f"'{flips}' is no set of symmetries.", f"Use one of {', '.join(SETS)}.")
        if len({len(view) for view in views}) != 1:
            counts = ", ".join(f"{len(view)} pairs of {view.size} px" for view in views)
            raise StoreError(views[0].stores[0].folder, f"the sizes of one dataset differ in rows ({counts}).", "Tile the dataset again.")
        self.views, self.codes = tuple(views), codes
        self.symmetries = np.array(SETS[flips])
        filled = (
            codes.channels > 0 and not codes.ignore_word and any(store.card["ignore_pixels"] for view in views for store in view.stores)
        )
        self.rows = self._labelled_rows() if filled else np.arange(len(views[0]))
        if not len(self.rows):
            raise StoreError(views[0].stores[0].folder, "no pair holds a labelled pixel.", "Mend label_map or the split.")
        self._order = lru_cache(maxsize=2)(self._epoch_order)
        self.supply = Supply(self.views, device, self._positions, self.rows, fill_ignore if filled else None)

    def __len__(self) -> int:
        """Rows that can be drawn."""
        return len(self.rows)

    def _labelled_rows(self) -> np.ndarray:
        kept = np.ones(len(self.views[0]), bool)
        for view in self.views:
            for first in range(0, len(view), CHUNK):
                rows = np.arange(first, min(first + CHUNK, len(view)))
                kept[rows] &= (view.gather(rows)[1] != IGNORE).any((1, 2))
        if not kept.all():
            log.warning("%d of %d pairs hold no labelled pixel and are left out.", (~kept).sum(), len(kept))
        return np.flatnonzero(kept)

    def _epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        return numpy_stream(seed, "order", epoch).permutation(len(self))

    def _positions(self, seed: int, seen: int, count: int) -> np.ndarray:
        places = np.arange(seen, seen + count)
        epochs, offsets = places // len(self), places % len(self)
        return np.concatenate([self._order(seed, int(epoch))[offsets[epochs == epoch]] for epoch in np.unique(epochs)])

    def batch(self, seed: int, seen: int, count: int) -> list[torch.Tensor]:
        """The stacks of `count` images that follow the first `seen` ones, a tensor (count,3+n,H,W) a view.

        Every epoch is a permutation of its own; one symmetry is drawn for an image and used in every view.
        """
        numbers = numpy_stream(seed, "symmetry", seen).choice(self.symmetries, count)
        pairs = self.supply.take(seed, seen, count)
        return [encode(turn(images, numbers), turn(masks, numbers), self.codes) for images, masks in pairs]
