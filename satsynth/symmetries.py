"""The eight symmetries of the square, the group D4, by number: for tensors of a batch, and as views of one array.

Bits of a number: 1 transposes, then 2 mirrors left-right, then 4 mirrors top-bottom; with the transposition these make the rotations too.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # tensors bring their own functions, and reporting never imports torch
    import torch

# What a config may ask for by name.
SETS = {"none": (0,), "h": (0, 2), "d4": tuple(range(8))}


def strides(number: int) -> tuple[bool, int, int]:
    """Whether rows and columns change places, and the steps (1 or -1) at which rows and columns are then read."""
    return bool(number & 1), -1 if number & 4 else 1, -1 if number & 2 else 1


def turned(array: np.ndarray, number: int) -> np.ndarray:
    """A view of an image (H,W,channels) or a mask (H,W) under symmetry `number`."""
    transposed, down, right = strides(number)
    return (array.swapaxes(0, 1) if transposed else array)[::down, ::right]


def turn(arrays: "torch.Tensor", numbers: np.ndarray) -> "torch.Tensor":
    """Apply one symmetry to every item.

    Args:
        arrays: (N,H,H) or (N,H,H,channels).
        numbers: (N,) int in 0..7, on the host: which of them occur is read there, so that the host waits for no accelerator.

    Returns:
        The shape and type of `arrays`.
    """
    from satsynth.runtime.transfers import sent  # here: reporting never imports torch

    there = sent(np.asarray(numbers), arrays.device).view((-1,) + (1,) * (arrays.dim() - 1))
    for bit, moved in ((1, lambda a: a.transpose(1, 2)), (2, lambda a: a.flip(2)), (4, lambda a: a.flip(1))):
        if (numbers & bit).any():
            arrays = moved(arrays).where((there & bit).bool(), arrays)
    return arrays
