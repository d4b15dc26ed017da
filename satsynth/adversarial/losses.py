"""The adversarial losses and regularisers of SemGAN (Li et al. 2021)."""

import math

import torch
from torch.nn import functional

from satsynth.adversarial.generator import Generator

Scales = list[list[torch.Tensor]]


def logistic_discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Loss of the image discriminator: scores (N,) of real and of generated images -> scalar (Goodfellow et al. 2014)."""
    return functional.softplus(-real.float()).mean() + functional.softplus(fake.float()).mean()


def logistic_generator(fake: torch.Tensor) -> torch.Tensor:
    """Non-saturating loss of the generator: scores (N,) -> scalar (Goodfellow et al. 2014)."""
    return functional.softplus(-fake.float()).mean()


def hinge_discriminator(real: Scales, fake: Scales) -> torch.Tensor:
    """Loss of the label discriminator: the hinge on every patch, mean of real and generated pairs, mean over the scales."""
    losses = [
        functional.relu(1 - true[-1].float()).mean() + functional.relu(1 + made[-1].float()).mean()
        for true, made in zip(real, fake, strict=True)
    ]
    return sum(losses) / (2 * len(losses))


def hinge_generator(fake: Scales) -> torch.Tensor:
    """Loss of the generator's labels: minus the mean score of the patches, mean over the scales."""
    return -sum(made[-1].float().mean() for made in fake) / len(fake)


def feature_matching(real: Scales, fake: Scales) -> torch.Tensor:
    """Mean absolute difference of every layer but the scores, summed over layers, mean over the scales (Wang et al. 2018).

    Args:
        real: maps of real pairs; no gradient goes there.
        fake: maps of as many generated pairs.
    """
    differences = [
        functional.l1_loss(seen.float(), known.detach().float())
        for true, made in zip(real, fake, strict=True)
        for known, seen in zip(true[:-1], made[:-1], strict=True)
    ]
    return sum(differences) / len(real)


def total_score(scales: Scales) -> torch.Tensor:
    """One score a pair (N,): its mean over the patches, summed over the scales."""
    return sum(maps[-1].float().mean((1, 2, 3)) for maps in scales)


def gradient_penalty(scores: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """R1: mean squared norm of the scores' gradient at real data (Mescheder et al. 2018, eq. 9, without its factor).

    Args:
        scores: (N,), each of its own input (a deviation inside the batch is differentiated too).
        inputs: (N,...) that require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def path_lengths(generator: Generator, styles: torch.Tensor, noise: list[torch.Tensor], direction: torch.Tensor) -> torch.Tensor:
    """How far an image moves with its styles (Karras et al. 2020, eq. 4): (N,), differentiable. The labels have no part in it.

    Args:
        generator: G.
        styles: (N,styles,latent).
        noise: see `Generator.forward`.
        direction: standard normal (N,3,S,S), the random direction in the space of images.
    """
    image, _ = generator(styles, noise)
    moved = (image * (direction / math.sqrt(image.shape[2] * image.shape[3]))).sum()
    (gradient,) = torch.autograd.grad(moved, styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()
