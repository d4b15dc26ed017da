"""Losses of networks that are taught class boundaries: hard-pixel cross-entropy, edge targets, and the loss of edge maps."""

import torch
from torch.nn import functional

from satsynth import distributed
from satsynth.pairs import IGNORE


def ohem_cross_entropy(logits: torch.Tensor, masks: torch.Tensor, threshold: float, pixels: int, ignore: int = IGNORE) -> torch.Tensor:
    """Mean cross-entropy over the hard pixels of a batch (online hard example mining, Shrivastava et al. 2016).

    A labelled pixel is hard where the probability of its class is at most max(`threshold`, the `pixels`-th smallest such probability in
    the batch); pixels that tie with the last one stay. Where fewer than `pixels` are labelled, all of them count.

    Args:
        logits: (N,K,H,W) float.
        masks: (N,H,W) uint8 class ids, `ignore` where unlabelled.
        threshold: probability, 0 to 1.
        pixels: how many pixels of the batch count at least, 1 or more.

    Returns:
        A scalar in nats; 0, with a graph, where no pixel is labelled.
    """
    target = masks.long()
    labelled = target != ignore
    losses = functional.cross_entropy(logits.float(), target, ignore_index=ignore, reduction="none")
    # Unlabelled pixels rank behind all others: the limit passes every labelled one where these are too few, and nothing has to be counted
    # on the host.
    chances = torch.exp(-losses.detach()).masked_fill(~labelled, 2.0)
    smallest = chances.flatten().topk(min(pixels, chances.numel()), largest=False, sorted=False).values
    smallest = distributed.joint(smallest)  # the batch is that of all ranks
    smallest = smallest.topk(min(pixels, len(smallest)), largest=False, sorted=False).values
    hard = labelled & (chances <= smallest.amax().clamp(min=threshold))
    return (losses * hard).sum() / distributed.mean(hard.sum()).clamp(min=1 / distributed.count())


def edge_targets(masks: torch.Tensor, width: int, ignore: int = IGNORE) -> torch.Tensor:
    """Where classes meet: lines along the borders between 4-neighbours of different classes.

    Both pixels at a border belong to its line (from width 2 on), and straight lines are exactly `width` pixels wide; of an odd width the
    larger half lies on the side of the greater class id, so that targets turn with their masks. A border with an unlabelled pixel is none.

    Args:
        masks: (N,H,W) uint8 class ids, `ignore` where unlabelled.
        width: of the lines in pixels, 1 or more.

    Returns:
        (N,H,W) bool; lines may reach into unlabelled pixels.
    """
    lines = torch.zeros_like(masks, dtype=torch.bool)
    for axis in (1, 2):
        length = masks.shape[axis] - 1
        before, after = masks.narrow(axis, 0, length), masks.narrow(axis, 1, length)
        border = (before != after) & (before != ignore) & (after != ignore)
        odd = bool(width % 2)
        lines.narrow(axis, 0, length).logical_or_(border & (before > after) if odd else border)
        lines.narrow(axis, 1, length).logical_or_(border & (after > before) if odd else border)
    reach = (width - 1) // 2
    return functional.max_pool2d(lines.float(), 2 * reach + 1, stride=1, padding=reach) > 0


def balanced_edge_loss(logits: torch.Tensor, masks: torch.Tensor, width: int, ignore: int = IGNORE) -> torch.Tensor:
    """Binary cross-entropy of edge maps, with edges and the rest weighted by each other's share (Xie and Tu 2015, equation 2).

    Args:
        logits: (N,E,H,W) float: E maps of the same edges.
        masks: (N,H,W) uint8 class ids, `ignore` where unlabelled; such pixels neither count nor weigh.
        width: of the target lines, in pixels (see `edge_targets`).

    Returns:
        A scalar in nats: the mean over the labelled pixels of the batch, summed over the E maps; 0, with a graph, where no pixel is
        labelled or no two classes meet.
    """
    labelled = masks != ignore
    edges = edge_targets(masks, width, ignore) & labelled
    count = distributed.mean(labelled.sum()).clamp(min=1 / distributed.count())
    share = distributed.mean(edges.sum()) / count
    weights = torch.where(edges, 1 - share, share) * labelled
    targets = edges[:, None].expand_as(logits).to(torch.float32)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return (losses * weights[:, None]).sum() / count
