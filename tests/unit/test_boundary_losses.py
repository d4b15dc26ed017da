"""The losses of hard pixels and of edges against their definitions."""

import math

import numpy as np
import pytest
import torch
from pfsegnet_fixtures import quarters
from torch.nn import functional

from satsynth.pairs import IGNORE
from satsynth.segmentation.boundary_losses import balanced_edge_loss, edge_targets, ohem_cross_entropy


def hard_mean(logits, masks, threshold, pixels):
    """The definition, pixel by pixel."""
    chances = torch.softmax(logits, 1).numpy()
    labelled = [(n, y, x) for n, y, x in np.ndindex(*masks.shape) if masks[n, y, x] != IGNORE]
    own = sorted(float(chances[n, masks[n, y, x], y, x]) for n, y, x in labelled)
    limit = max(threshold, own[pixels - 1]) if pixels <= len(own) else 1.0
    kept = [chance for chance in own if chance <= limit + 1e-7]
    return sum(-math.log(chance) for chance in kept) / len(kept), len(kept)


@pytest.mark.parametrize(("threshold", "pixels"), [(0.7, 1), (0.3, 40), (0.0, 25), (0.05, 90), (0.7, 10_000), (1.0, 1)])
def test_hard_pixels_agree_with_the_definition(threshold, pixels):
    torch.manual_seed(3)
    logits, masks = 2 * torch.randn(2, 4, 7, 8), torch.randint(0, 4, (2, 7, 8), dtype=torch.uint8)
    masks[0, :2] = IGNORE
    wanted, _ = hard_mean(logits, masks, threshold, pixels)
    assert ohem_cross_entropy(logits, masks, threshold, pixels).item() == pytest.approx(wanted, rel=1e-5)


def test_pixels_that_tie_with_the_last_hard_one_are_kept():
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 0] = 3.0  # sure of class 0 everywhere, ...
    logits[:, 0, 0, :2] = 0.0  # ... but for two pixels
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    wanted, kept = hard_mean(logits, masks, 0.7, 5)
    assert kept == 16 and ohem_cross_entropy(logits, masks, 0.7, 5).item() == pytest.approx(wanted, rel=1e-6)
    assert ohem_cross_entropy(logits, masks, 0.7, 2).item() == pytest.approx(math.log(2), rel=1e-6)


def test_too_few_labelled_pixels_are_all_kept():
    torch.manual_seed(4)
    logits, masks = 3 * torch.randn(1, 3, 6, 6), torch.full((1, 6, 6), IGNORE, dtype=torch.uint8)
    masks[0, 2] = 1
    plain = functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE)
    for pixels in (6, 7, 36, 1000):
        assert ohem_cross_entropy(logits, masks, 0.1, pixels).item() == pytest.approx(plain.item(), rel=1e-6)


def test_easy_pixels_receive_no_gradient():
    logits = torch.tensor([[[[4.0, 0.0, 4.0]], [[0.0, 4.0, 0.0]]]], requires_grad=True)
    ohem_cross_entropy(logits, torch.zeros(1, 1, 3, dtype=torch.uint8), 0.7, 1).backward()
    assert (logits.grad[0, 0, 0] != 0).tolist() == [False, True, False]


def test_edges_of_a_mask_drawn_by_hand():
    mask = torch.tensor(
        [
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 255, 255, 255],
            [0, 0, 0, 255, 1, 1],
        ],
        dtype=torch.uint8,
    )
    rows = slice(0, 3)
    for width, columns in ((1, [3]), (2, [2, 3]), (3, [2, 3, 4]), (4, [1, 2, 3, 4])):
        lines = edge_targets(mask[None], width)
        assert lines.dtype == torch.bool and lines.shape == (1, 5, 6)
        assert all(row.nonzero().flatten().tolist() == columns for row in lines[0, rows])
        reach = (width - 1) // 2
        assert not lines[0, 3 + reach :].any()  # the unlabelled pixels make no line of their own


def test_edges_turn_with_their_masks_and_meet_at_corners():
    torch.manual_seed(5)
    masks = torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8).repeat_interleave(6, 1).repeat_interleave(6, 2)
    for width in (1, 2, 3, 4):
        lines = edge_targets(masks, width)
        assert lines.any() and not lines.all()
        assert torch.equal(edge_targets(masks.rot90(1, (1, 2)), width), lines.rot90(1, (1, 2)))
        assert torch.equal(edge_targets(masks.flip(2), width), lines.flip(2))
    both = edge_targets(masks, 2)
    for n, y, x in np.ndindex(*masks.shape):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        differs = any(0 <= b < 24 and 0 <= a < 24 and masks[n, b, a] != masks[n, y, x] for b, a in around)
        assert bool(both[n, y, x]) == differs


def test_the_edge_loss_is_balanced_and_leaves_unlabelled_pixels_out():
    torch.manual_seed(6)
    logits, masks = torch.randn(2, 3, 12, 12), quarters(2, 12)
    lines, total = edge_targets(masks, 6), 0.0  # wide enough to reach unlabelled pixels
    labelled = [at for at in np.ndindex(*masks.shape) if masks[at] != IGNORE]
    share = sum(bool(lines[at]) for at in labelled) / len(labelled)
    for level in range(3):
        for n, y, x in labelled:
            chance = 1 / (1 + math.exp(-float(logits[n, level, y, x])))
            total -= (1 - share) * math.log(chance) if lines[n, y, x] else share * math.log(1 - chance)
    found = balanced_edge_loss(logits, masks, 6)
    assert found.item() == pytest.approx(total / len(labelled), rel=1e-5)
    logits[:, :, :4, :4] += 100.0
    assert torch.equal(balanced_edge_loss(logits, masks, 6), found)
