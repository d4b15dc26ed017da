"""G: the unconditional diffusion model of pairs (paper, section 4.3)."""

from pathlib import Path

import torch

from satsynth.diffusion.compilation import compile_sampling as compile_sampling
from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.outputs import Outputs
from satsynth.diffusion.samplers import Watch, sample
from satsynth.diffusion.samplers import nfe as nfe
from satsynth.diffusion.training import load_denoiser, starting_noise, train_generator

KIND = "ddpm"
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
    """Train G on the store of side `cfg["size"]`.

    Args:
        stores: side in pixels -> folder of the store.
        cfg: the generator's config: kind, size, codes, flips, seed, precision, compile, recompute, condition_noise (null), `network`,
            `prediction`, `schedule`, `edm`, `min_snr` (see `satsynth.diffusion.denoiser`), `training` (see
            `satsynth.fitting.Recipe` and `build_optimizer`; `ema`: decay, warmup), `previews` (count, sampler).
        weights, card, history, previews, work: see `satsynth.diffusion.outputs.Outputs`.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent; None for no limit.

    Raises:
        TrainingError, BudgetError: the loss is not finite, or the time budget is spent; the checkpoint is kept.
        StoreError, ConfigError: data or config that cannot be used.
    """
    outputs = Outputs(weights, card, history, previews, Path(work))
    pairs = [Path(stores[cfg["size"]])]
    train_generator(
        pairs, cfg, outputs, condition=lambda low, denoiser, generator: (None, None), draw=draw, device=device, wall_seconds=wall_seconds
    )


def load(weights: Path, card: dict, device: str | torch.device) -> Denoiser:
    """Trained weights in evaluation mode.

    Raises:
        WeightsError: see `satsynth.diffusion.training.load_denoiser`.
    """
    return load_denoiser(weights, card, device, kind=KIND, conditional=False)


def draw(
    denoiser: Denoiser,
    sampler: dict,
    count: int,
    generator: torch.Generator,
    low: torch.Tensor | None = None,
    watch: Watch | None = None,
) -> torch.Tensor:
    """Sample `count` stacks (count,C,H,W) float32 in [-1,1]; all noise comes from `generator`, `low` is not used.

    `watch` sees every step, and changes nothing (see `satsynth.diffusion.samplers.sample`).
    """
    return sample(denoiser, starting_noise(denoiser, count, generator), sampler, generator, watch=watch)
