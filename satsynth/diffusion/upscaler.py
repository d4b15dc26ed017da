"""G_SR: the diffusion model of pairs at full size, given the pair at low resolution (paper, section 4.4)."""

from pathlib import Path

import torch

from satsynth.diffusion.compilation import compile_sampling as compile_sampling
from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.outputs import Outputs
from satsynth.diffusion.samplers import nfe as nfe
from satsynth.diffusion.samplers import sample
from satsynth.diffusion.stacks import enlarge
from satsynth.diffusion.training import load_denoiser, starting_noise, train_generator
from satsynth.runtime.errors import ConfigError

KIND = "upscaler"
SHARED = True  # whether several devices can share a training


def train(
    stores: dict[int, Path],
    cfg: dict,
    *,
    weights: Path,
    card: Path,
    history: Path,
    previews: Path,
    work: Path,
    device: str,
    wall_seconds: float | None,
) -> None:
    """Train G_SR on the stores of sides `cfg["size"]` and `cfg["low"]`, which share their rows.

    Args:
        stores: side in pixels -> folder of the store.
        cfg: as for `satsynth.diffusion.ddpm.train`, with `low`, and `condition_noise`: null, or `max`, the largest noise level of
            the condition in training as a share of the schedule's steps (S / T of conditioning augmentation, Ho et al. 2022,
            section 4.1; the paper uses none).
        weights, card, history, previews, work: see `satsynth.diffusion.outputs.Outputs`.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent; None for no limit.

    Raises:
        TrainingError, BudgetError: the loss is not finite, or the time budget is spent; the checkpoint is kept.
        StoreError, ConfigError: data or config that cannot be used.
    """
    outputs = Outputs(weights, card, history, previews, Path(work))
    pairs = [Path(stores[cfg["size"]]), Path(stores[cfg["low"]])]
    noise = cfg["condition_noise"]
    if noise is not None and not 0 < noise["max"] <= 1:
        raise ConfigError("condition_noise.max", f"{noise['max']} is no share of the steps.", "Give more than 0 and at most 1, or null.")

    def condition(low: list[torch.Tensor], denoiser: Denoiser, generator: torch.Generator) -> tuple:
        if noise is None:
            return enlarge(low[0], cfg["size"]), None
        largest = _step(noise["max"], denoiser)
        levels = torch.randint(largest + 1, (len(low[0]),), generator=generator, device=generator.device)
        return prepare(low[0], denoiser, levels, generator), levels.float()

    train_generator(pairs, cfg, outputs, condition=condition, draw=draw, device=device, wall_seconds=wall_seconds)


def load(weights: Path, card: dict, device: str | torch.device) -> Denoiser:
    """Trained weights in evaluation mode.

    Raises:
        WeightsError: see `satsynth.diffusion.training.load_denoiser`.
    """
    return load_denoiser(weights, card, device, kind=KIND, conditional=True)


def draw(denoiser: Denoiser, sampler: dict, count: int, generator: torch.Generator, low: torch.Tensor | None = None) -> torch.Tensor:
    """Sample the stacks (count,C,H,W) float32 in [-1,1] that belong to `low` (count,C,h,h); all noise comes from `generator`.

    Args:
        denoiser: of this kind.
        sampler: see `satsynth.diffusion.samplers.sample`; and `condition_level`, the noise level of the condition as a share of
            the schedule's steps; null for a network that was trained without `condition_noise`.
        count: rows of `low`.
        generator: source of all noise, on the device.
        low: the pairs at low resolution: G's raw clipped output (paper, eq. 5), or encoded real pairs.

    Raises:
        ConfigError: `condition_level` does not fit the way the network was trained.
    """
    config = denoiser.network.config
    level = sampler["condition_level"]
    if (level is not None) != config.condition_levels:
        trained = "with" if config.condition_levels else "without"
        cause = f"{level} was given to a network that was trained {trained} noise on its condition."
        raise ConfigError("sampler.condition_level", cause, "Give a share of the steps if it was trained with noise, else null.")
    start = starting_noise(denoiser, count, generator)
    if level is None:
        return sample(denoiser, start, sampler, generator, condition=enlarge(low, config.size))
    levels = torch.full((count,), _step(level, denoiser), device=generator.device)
    condition = prepare(low, denoiser, levels, generator)
    return sample(denoiser, start, sampler, generator, condition=condition, condition_level=levels.float())


def prepare(low: torch.Tensor, denoiser: Denoiser, levels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise the low-resolution stacks (N,C,h,h) to step `levels` (N,) int64 of the schedule, then enlarge them to the network's size."""
    noise = torch.randn(low.shape, generator=generator, device=generator.device)
    return enlarge(denoiser.noise_condition(low, noise, levels), denoiser.network.config.size)


def _step(share: float, denoiser: Denoiser) -> int:
    return min(denoiser.schedule.steps - 1, int(share * denoiser.schedule.steps))
