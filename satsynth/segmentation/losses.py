"""Losses of segmentation networks."""

import torch
from torch.nn import functional

from satsynth import distributed
from satsynth.pairs import IGNORE


def cross_entropy(logits: torch.Tensor, masks: torch.Tensor, ignore: int = IGNORE) -> torch.Tensor:
    """Mean cross-entropy over the labelled pixels.

    Args:
        logits: (N,K,H,W) float.
        masks: (N,H,W) uint8 class ids, `ignore` where unlabelled.

    Returns:
        A scalar in nats; 0, with a graph, where no pixel is labelled (the library's own mean would be 0 / 0). On several devices the
        labelled pixels are counted on all of them (see `satsynth.distributed.mean`).
    """
    target = masks.long()
    total = functional.cross_entropy(logits.float(), target, ignore_index=ignore, reduction="sum")
    return total / distributed.mean((target != ignore).sum()).clamp(min=1 / distributed.count())
