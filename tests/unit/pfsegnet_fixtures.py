"""Points and masks of the tests of PFSegNet."""

import torch

from satsynth.pairs import IGNORE

SCALED = {"salient_grid": 4, "context_grid": 3, "edge_points": 16}
UNSCALED = {"salient_grid": 14, "context_grid": 9, "edge_points": 128}


def quarters(count, side):
    """Masks of four squares with four classes, one corner of them unlabelled."""
    mask = torch.zeros(count, side, side, dtype=torch.uint8)
    mask[:, side // 2 :] = 1
    mask[:, :, side // 2 :] += 2
    mask[:, :4, :4] = IGNORE
    return mask
