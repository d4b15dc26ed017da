"""What every kind of diffusion model shares: training, and loading what was trained."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from satsynth import distributed
from satsynth.codes import Codes
from satsynth.diffusion.compilation import compile_training, uncompiled
from satsynth.diffusion.denoiser import Denoiser, build_denoiser
from satsynth.diffusion.ema import Ema
from satsynth.diffusion.levels import sigma_grid
from satsynth.diffusion.outputs import Outputs, card_codes, check, open_stores, write_outputs
from satsynth.diffusion.previews import Drawer, Previews
from satsynth.diffusion.stacks import COLOURS, Stacks, choose_codes
from satsynth.fitting import Recipe, build_optimizer, choose_precision, fit, left
from satsynth.randomness import derive, torch_stream
from satsynth.runtime.errors import ConfigError
from satsynth.weights import described, load_into

log = logging.getLogger(__name__)

# Config keys that decide what the network computes; the card carries them, so that `load_denoiser` needs nothing else.
NETWORK_KEYS = ("prediction", "schedule", "edm", "min_snr", "network", "condition_noise", "precision")

MEASURED, CHUNK = 4096, 256  # stacks that a prior is measured on, at most, and how many at a time

# (clean low-resolution stacks, if any, the denoiser, a generator) -> (condition, its level), both for the network.
Conditioner = Callable[[list[torch.Tensor], Denoiser, torch.Generator], tuple[torch.Tensor | None, torch.Tensor | None]]


def memory_format(precision: str, device: str | torch.device) -> torch.memory_format:
    """Of a network in training: channels_last, but for bfloat16 on processors, where GroupNorm's gradient is many times slower by it."""
    on_processor = torch.device(device).type == "cpu"
    return torch.contiguous_format if on_processor and precision == "bfloat16" else torch.channels_last


def build(facts: dict, codes: Codes, size: int, conditional: bool, device: str | torch.device) -> Denoiser:
    """A fresh denoiser on its device and in its memory format.

    Args:
        facts: a config or a card; `NETWORK_KEYS` are read.
        codes: decides the channels, C = 3 + n.
        size: side in pixels.
        conditional: whether a stack of lower resolution is concatenated to the input.
        device: where to put it.
    """
    channels = COLOURS + codes.channels
    precision = choose_precision(facts["precision"], device)
    denoiser = build_denoiser(
        facts,
        channels,
        size,
        condition_channels=channels if conditional else 0,
        condition_levels=conditional and facts["condition_noise"] is not None,
        precision=precision,
    )
    return denoiser.to(device, memory_format=memory_format(precision, device))


def train_generator(
    stores: list[Path],
    cfg: dict,
    outputs: Outputs,
    *,
    condition: Conditioner,
    draw: Drawer,
    device: str,
    wall_seconds: float | None,
) -> None:
    """Train one generator and write its outputs; an interrupted training goes on from its checkpoint.

    Args:
        stores: the store of the pairs to learn; for a conditional generator then the one of its conditions, of the same rows.
        cfg: the generator's config (see `satsynth.diffusion.ddpm.train`).
        outputs: where to write.
        condition: makes the network's condition from the stacks of the second store.
        draw: draws the previews.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Raises:
        TrainingError, BudgetError: the loss is not finite, or the time budget is spent; the checkpoint is kept.
        StoreError, ConfigError: data or config that cannot be used.
    """
    begun = time.monotonic()
    seed, training, recipe = cfg["seed"], cfg["training"], Recipe.of(cfg["training"])
    if recipe.steps < 1:
        raise ConfigError("training.steps", f"{recipe.steps} steps train nothing.", "Give at least 1.")
    views = open_stores(stores, [cfg["size"], cfg.get("low")][: len(stores)])
    codes = choose_codes(cfg["codes"], views)
    stacks = Stacks(views, codes, cfg["flips"], device)
    torch.manual_seed(derive(seed, "weights"))
    denoiser = build(cfg, codes, cfg["size"], len(views) > 1, device)
    if denoiser.prior is not None:
        count, order = min(len(stacks), MEASURED), derive(seed, "prior")
        denoiser.prior.measure(stacks.batch(order, first, min(CHUNK, count - first)) for first in range(0, count, CHUNK))
    optimizer = build_optimizer([{"params": list(denoiser.parameters())}], training)
    ema = Ema(denoiser, training["ema"]["decay"], training["ema"]["warmup"])
    part_size = recipe.batch // recipe.parts

    @lru_cache(maxsize=1)
    def draw_step(step: int) -> list[torch.Tensor | None]:
        """What the network sees in a step, drawn as a whole: in how many parts it is accumulated changes nothing."""
        seen = step * recipe.batch
        generator = torch_stream(seed, "noise", seen, device=device)
        x0, *low = stacks.batch(seed, seen, recipe.batch)
        levels = denoiser.draw_levels(recipe.batch, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        return [x0, noise, levels, *condition(low, denoiser, generator)]

    def loss_of(step: int, part: int) -> torch.Tensor:
        rows = slice(part * part_size, (part + 1) * part_size)
        return denoiser(*(None if drawn is None else drawn[rows] for drawn in draw_step(step)))

    denoiser.network.recompute = cfg["recompute"]
    if cfg["compile"] and torch.device(device).type == "cuda":
        compile_training(denoiser, lambda: loss_of(0, 0))
    sigma_grid(cfg["previews"]["sampler"], denoiser.schedule, denoiser.prediction)  # raises now, rather than at the first preview
    low = stacks.batch(seed, 0, cfg["previews"]["count"])[1] if len(views) > 1 else None
    shown = Previews(cfg, recipe.steps, codes, outputs.work, draw, device, low)

    def after_step(done: int) -> None:
        if done in shown.milestones and distributed.first():
            with ema.swap(), uncompiled(denoiser.network):
                shown.take(denoiser, done)

    parameters = sum(parameter.numel() for parameter in denoiser.parameters())
    log.info("%s: %.2f M parameters, %s, %d pairs on %s", cfg["kind"], parameters / 1e6, denoiser.precision, len(stacks), device)
    table = fit(
        cfg["kind"],
        denoiser,
        optimizer,
        loss_of,
        recipe,
        seed=seed,
        work=outputs.work,
        average=ema,
        after_step=after_step,
        wall_seconds=left(wall_seconds, begun),
    )
    if not distributed.first():
        return
    own = {**{key: cfg[key] for key in NETWORK_KEYS}, "parameters": parameters}
    # What the average leaves out is what training never moves.
    write_outputs(outputs, cfg, stacks, {**denoiser.state_dict(), **ema.averages()}, table, shown, own)


def load_denoiser(weights: Path, card: dict, device: str | torch.device, *, kind: str, conditional: bool) -> Denoiser:
    """Read what `train_generator` wrote: averaged weights in evaluation mode, without gradients, in channels_last memory (on processors
    1.2 to 1.7 times as fast).

    Raises:
        WeightsError: the file is missing, is not the one that the card describes, or does not fit the card's network; the
            message lists what did not fit.
    """
    check(weights, card, kind)
    with described(weights):
        network = build(card, card_codes(card), card["size"], conditional, device)
    denoiser = load_into(network, weights)
    return denoiser.to(memory_format=torch.channels_last)


def starting_noise(denoiser: Denoiser, count: int, generator: torch.Generator) -> torch.Tensor:
    """Standard normal (count,C,H,W) float32 in the size of the network, on the generator's device."""
    config = denoiser.network.config
    return torch.randn((count, config.out_channels, config.size, config.size), generator=generator, device=generator.device)
