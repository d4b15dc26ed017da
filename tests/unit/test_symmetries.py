"""The eight symmetries of the square: one numbering for batches, views and what trainings draw."""

import numpy as np
import pytest
import torch

from satsynth.segmentation import batches
from satsynth.symmetries import SETS, turn, turned


def test_all_eight_symmetries_move_image_and_mask_together():
    mask = torch.arange(16, dtype=torch.uint8).view(1, 4, 4).expand(8, 4, 4)
    image = mask[..., None].expand(8, 4, 4, 3)
    numbers = np.arange(8)
    moved = turn(mask, numbers)
    assert torch.equal(turn(image, numbers)[..., 1], moved) and moved.dtype == torch.uint8
    assert len({tuple(item.flatten().tolist()) for item in moved}) == 8
    assert torch.equal(moved[0], mask[0])
    assert torch.equal(moved[1], mask[0].T)
    assert torch.equal(moved[2], mask[0].flip(1))
    assert torch.equal(moved[3], torch.rot90(mask[0], -1))


@pytest.mark.parametrize("number", range(8))
def test_a_view_is_what_a_batch_becomes(number):
    array = np.random.default_rng(0).integers(0, 255, (6, 6, 3), np.uint8)
    wanted = turn(torch.from_numpy(array)[None], np.array([number]))[0].numpy()
    assert (turned(array, number) == wanted).all() and np.shares_memory(turned(array, number), array)
    assert (turned(array[..., 0], number) == wanted[..., 0]).all()


def test_trainings_keep_what_their_draws_mean():
    """Another order trains other networks from the same seed."""
    assert SETS == {"none": (0,), "h": (0, 2), "d4": (0, 1, 2, 3, 4, 5, 6, 7)}
    grid = np.arange(9).reshape(3, 3)
    for number, drawn in enumerate(batches.TURNS):
        base = grid[:, ::-1] if number >= 4 else grid
        assert (turned(grid, drawn) == np.rot90(base, number % 4)).all()
