"""Foreground-aware optimisation (Zheng et al. 2020, FarSeg): cross-entropy that turns, as training goes, to what is hard.

Most pixels of aerial imagery are easy background. Weights like those of a focal loss move the gradient to the others; they set in
gradually, since early in training "hard" means little.
"""

import math

import torch
from torch.nn import functional

from satsynth import distributed
from satsynth.pairs import IGNORE

# What is left of plain cross-entropy after a share t of the annealing, from 1 at t = 0 to 0 at t = 1.
SCHEDULES = {
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "poly": lambda t: (1 - t) ** 0.9,
    "linear": lambda t: 1 - t,
}


def annealed_cross_entropy(
    logits: torch.Tensor,
    masks: torch.Tensor,
    step: int,
    *,
    gamma: float,
    schedule: str,
    annealing_steps: int,
    ignore: int = IGNORE,
) -> torch.Tensor:
    """Cross-entropy with weights between 1 (at step 0) and `focal_weights` (from `annealing_steps` on).

    The weights never change the sum of the losses, only which pixels its gradient comes from. So the value is that of plain cross-entropy
    at every step: sum(l_i) / (V + B). V is the number of labelled pixels and B the number of images (the batch's size), which the original
    adds so that a batch without a label divides by something; at 256 px it makes the value 0.0015 % smaller. What is hard is told among the
    pixels given, on all ranks: of a batch that is accumulated in parts, within each part.

    Args:
        logits: (N,K,H,W) float.
        masks: (N,H,W) uint8 class ids, `ignore` where unlabelled.
        step: optimiser steps taken before this one.
        gamma: exponent of the focal weights, at least 0; 0 is plain cross-entropy at every step.
        schedule: a key of SCHEDULES.
        annealing_steps: optimiser steps until the focal weights count alone, at least 1.

    Returns:
        A scalar in nats; 0, with a graph, where no pixel is labelled.
    """
    target = masks.long()
    losses = functional.cross_entropy(logits.float(), target, ignore_index=ignore, reduction="none")
    plain = SCHEDULES[schedule](min(step / annealing_steps, 1.0))
    focal = focal_weights(losses.detach(), gamma)
    weights = focal + plain * (1 - focal)
    return (weights * losses).sum() / (distributed.mean((target != ignore).sum()) + len(masks))


def focal_weights(losses: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weights in proportion to (1 - p)^gamma, where p = exp(-loss) is the true class's probability, that keep the sum of the losses.

    Args:
        losses: cross-entropy of every pixel in nats, without a graph; 0 at unlabelled pixels, which then count for nothing.
        gamma: exponent, at least 0.

    Returns:
        Weights of the same shape, of which sum(w_i l_i) = sum(l_i); all 0 where every loss is.
    """
    smallest = torch.finfo(losses.dtype).tiny
    hardness = -torch.expm1(-losses)
    # Normalised weights do not feel the scale of hardness. Relative to the hardest pixel no power of it underflows, and the sum below is at
    # least that pixel's loss.
    modulation = (hardness / distributed.largest(hardness.max()).clamp(min=smallest)) ** gamma
    return modulation * distributed.mean(losses.sum()) / distributed.mean((losses * modulation).sum()).clamp(min=smallest)
