"""How alike images and masks are: what tests of generators measure samples by."""

import numpy as np


def distances(images, others):
    """RMS difference of every image (N,H,W,3) from each of the others (M,H,W,3), (N,M), of a range of 1."""
    return np.array([np.sqrt(((image.astype(float) - others) ** 2).mean((1, 2, 3))) for image in images]) / 255


def agreement(masks, others):
    """Share of pixels in which each mask has the label of the other, (N,H,W) twice -> (N,)."""
    return (masks == others).mean((1, 2))
