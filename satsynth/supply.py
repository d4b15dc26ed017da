"""Pairs where a training wants them: held on its device, or read from the memory-mapped files a step ahead."""

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from satsynth.pairs import View
from satsynth.runtime.ahead import Ahead
from satsynth.runtime.transfers import sent

log = logging.getLogger(__name__)
SHARE = 1 / 3  # of the device's free memory: what is left over serves the network, its activations and its optimiser
BLOCK = 256  # pairs copied at a time, so that the host never holds a set that an accelerator holds

Pairs = tuple[torch.Tensor, torch.Tensor]


class Supply:
    """The uint8 pairs of one view, or of several whose rows belong together, as a training draws them.

    Args:
        views: joined stores of as many rows each.
        device: where the pairs are wanted. All of them are moved there once, if `SHARE` of its free memory holds them; otherwise a thread
            reads the pairs of the next draw while this one's are used. What is given is the same.
        positions: (seed, first, count) -> (count,) int64: which of the kept rows the draws `first` to `first + count - 1` of a seed are.
            Called from the thread.
        kept: rows that can be drawn, (n,) int64; None for all of them.
        mend: given every mask (H,W) when it is read, and gives the one to use; None leaves them as they are.
    """

    def __init__(
        self,
        views: Sequence[View],
        device: str | torch.device,
        positions: Callable[[int, int, int], np.ndarray],
        kept: np.ndarray | None = None,
        mend: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.views, self.device, self._mend = tuple(views), torch.device(device), mend
        self.kept = np.arange(len(views[0])) if kept is None else kept
        self._positions = positions
        self._ahead = Ahead(lambda *draw: self.pairs(positions(*draw)))
        needed, free = sum(4 * len(self.kept) * view.size**2 for view in views), free_bytes(self.device)
        self.resident: list[Pairs] | None = None
        if needed < SHARE * free:
            log.info("pairs: %.2f GB are held on %s (%.1f GB were free)", needed / 1e9, self.device, free / 1e9)
            self.resident = [self._load(view) for view in self.views]
        else:
            log.info("pairs: %.1f GB stay memory-mapped (%.1f GB are free on %s)", needed / 1e9, free / 1e9, self.device)

    def take(self, seed: int, first: int, count: int, stride: int | None = None) -> list[Pairs]:
        """Images (count,H,W,3) and masks (count,H,W), uint8 on the device, of the draws `first` to `first + count - 1`; a tuple a view.

        `stride` foretells the next call: its first draw less this one's (`count` where nothing is said).
        """
        if self.resident is None:
            return self._ahead.take((seed, first, count), (seed, first + (stride or count), count))
        return self.pairs(self._positions(seed, first, count))

    def pairs(self, positions: np.ndarray) -> list[Pairs]:
        """As `take`, of positions among the kept rows."""
        if self.resident is None:
            return [tuple(sent(part, self.device) for part in self._gather(view, self.kept[positions])) for view in self.views]
        chosen = sent(np.asarray(positions), self.device)
        return [(images[chosen], masks[chosen]) for images, masks in self.resident]

    def _gather(self, view: View, rows: np.ndarray) -> Pairs:
        images, masks = view.gather(rows)
        if self._mend is not None:
            masks = np.stack([self._mend(mask) for mask in masks])
        return torch.from_numpy(images), torch.from_numpy(masks)

    def _load(self, view: View) -> Pairs:
        count, size = len(self.kept), view.size
        images = torch.empty((count, size, size, 3), dtype=torch.uint8, device=self.device)
        masks = torch.empty((count, size, size), dtype=torch.uint8, device=self.device)
        for first in range(0, count, BLOCK):
            part = slice(first, first + BLOCK)
            images[part], masks[part] = self._gather(view, self.kept[part])
        return images, masks


def free_bytes(device: torch.device) -> int:
    """Memory of a device that nothing holds; of any that is no CUDA device, the host's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
