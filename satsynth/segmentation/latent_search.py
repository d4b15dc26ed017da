"""Segmentation by search in the latent space of a joint generator: find the pair whose image is the query, and read its labels.

Perceptual distance, the regulariser of noise maps and the search itself (Li et al. 2021; Karras et al. 2020, appendix D).
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from satsynth.adversarial.generator import Generator
from satsynth.randomness import torch_stream
from satsynth.segmentation.segmenter import MEAN, STD

SMALLEST_NOISE = 8  # px; smaller maps hold no pattern that a picture could hide in


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018, eq. 1) on a frozen encoder: differences of the features of all stages, normalised over the channels.

    The learnt weights of LPIPS belong to networks of their own; here every channel and every stage counts alike, as in that paper's
    uncalibrated variants, and the stages are averaged where eq. 1 adds them up: with five stages a fifth of that sum, which without
    the learnt weights would be far larger than LPIPS.

    Args:
        encoder: images (N,3,H,W), normalised by ImageNet's statistics, -> a list of maps, the first of which may be the image.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] * 2 - 1, persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None] * 2, persistent=False)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N,3,H,W) in [-1,1] by ImageNet's statistics."""
        return (images - self.mean) / self.std

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images (N,3,H,W) in [-1,1] -> maps (N,C,h,w) of unit length in every pixel."""
        maps = self.encoder(self.normalised(images))
        return [functional.normalize(found.float(), dim=1, eps=1e-6) for found in maps[1:] if found.shape[1]]

    def forward(self, known: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """`features` of N images and N further images (N,3,H,W) -> distances (N,), 0 to 4: means over stages and pixels."""
        pairs = zip(known, self.features(images), strict=True)
        return torch.stack([(first - second).square().sum(1).mean((1, 2)) for first, second in pairs]).mean(0)


def noise_pattern(noise: list[torch.Tensor]) -> torch.Tensor:
    """Squared correlation of noise maps with themselves, one pixel on, at every scale (Karras et al. 2020, appendix D).

    Args:
        noise: maps (N,1,side,side).

    Returns:
        (N,), 0 for maps that look like noise.
    """
    total = 0
    for maps in noise:
        while True:
            for axis in (2, 3):
                total = total + (maps * maps.roll(1, axis)).mean((1, 2, 3)).square()
            if maps.shape[2] <= SMALLEST_NOISE:
                break
            maps = functional.avg_pool2d(maps, 2)
    return total


def rate_factor(progress: float) -> float:
    """What the learning rate is multiplied by: a linear rise over the first 5 % of the search, a cosine fall over the last 25 %."""
    fall = min(1.0, (1 - progress) / 0.25)
    return (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, progress / 0.05)


@torch.enable_grad()
def search(
    generator: Generator,
    encode: Callable[[torch.Tensor], torch.Tensor],
    distance: PerceptualDistance,
    images: torch.Tensor,
    settings: dict,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pairs of the generator that are nearest to images, by Adam on styles and noise maps from the encoder's guess on.

    Minimises, for every image by itself: perceptual distance + `pixels` times the mean squared error + `noise` times `noise_pattern` +
    `consistency` times the mean squared difference between the styles and what the encoder says of their image.

    Args:
        generator: frozen.
        encode: images (N,3,S,S) in [-1,1] -> styles (N,styles,latent); frozen, but differentiable.
        distance: frozen.
        images: (N,3,S,S) float32 in [-1,1], no inference tensor.
        settings: steps (0: the encoder's guess), learning_rate, pixels, noise, consistency, and the seed of the first noise maps, which
            are the same for all images: the pair of an image does not depend on its neighbours.

    Returns:
        The generator's images (N,3,S,S) and label logits (N,K,S,S) float32, without a graph.
    """
    count, device = len(images), images.device
    with torch.no_grad():
        first = encode(images)
        drawn = generator.draw_noise(1, torch_stream(settings["seed"], "latent search", device=device))
        known = distance.features(images)
    styles = first.detach().clone().requires_grad_()
    noise = [maps.expand(count, -1, -1, -1).clone().requires_grad_() for maps in drawn]
    latents = [styles, *noise]
    optimizer = torch.optim.Adam(latents, lr=settings["learning_rate"])
    for step in range(settings["steps"]):
        optimizer.param_groups[0]["lr"] = settings["learning_rate"] * rate_factor((step + 0.5) / settings["steps"])
        made, _ = generator(styles, noise)
        losses = distance(known, made) + settings["pixels"] * (made - images).square().mean((1, 2, 3))
        losses = losses + settings["noise"] * noise_pattern(noise)
        if settings["consistency"]:
            losses = losses + settings["consistency"] * (styles - encode(made)).square().mean((1, 2))
        # A sum, not a mean: Adam's epsilon must not see how many images there are. Of the latents alone: encoder and generator
        # would add their own gradients up, step after step.
        for latent, gradient in zip(latents, torch.autograd.grad(losses.sum(), latents), strict=True):
            latent.grad = gradient
        optimizer.step()
        with torch.no_grad():
            for maps in noise:
                maps.sub_(maps.mean((1, 2, 3), keepdim=True)).div_(maps.std((1, 2, 3), keepdim=True))
    with torch.no_grad():
        made, logits = generator(styles, noise)
    return made, logits
