"""Training of a segmentation network on D, D' or D ∪ D' (paper, sections 5.3 and 5.4)."""

import io
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from satsynth import distributed
from satsynth.fitting import Recipe, build_optimizer, choose_precision, fit, left
from satsynth.pairs import open_view
from satsynth.randomness import derive
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError
from satsynth.segmentation import encoders
from satsynth.segmentation.batches import Mixture
from satsynth.segmentation.segmenter import Segmenter, build, build_average, build_objective, structure
from satsynth.weights import write

log = logging.getLogger(__name__)


def train(
    real: list[Path],
    synthetic: list[Path],
    cfg: dict,
    seed: int,
    *,
    weights: Path,
    card: Path,
    history: Path,
    work: Path,
    device: str | torch.device,
    wall_seconds: float | None = None,
    origins: Mapping[str, str] | None = None,
) -> dict:
    """Train one segmenter and write its weights, history and card.

    The weights are the last step's, or the running average of all steps', where the network's module keeps one.

    The number of optimiser steps, the initial weights and the order of real pairs depend on `cfg` and `seed` only, never on the training
    set: two runs of one seed, with and without synthetic pairs, are a fair pair.

    Args:
        real: folders of stores of real pairs; may be empty.
        synthetic: folders of stores of synthetic pairs; may be empty. With both, batches are mixed by `real_share`.
        cfg: network and the keys that its module reads; encoder, encoder_weights, precision, head_rate, exposures, real_share (one half
            where it is left out), training (a recipe and an optimiser).
        seed: of initial weights, order, flips and dropout.
        weights: safetensors file to write.
        card: JSON file to write, last; content only.
        history: CSV file to write.
        work: folder of the checkpoint; a checkpoint found there is continued.
        device: "cpu" or "cuda".
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.
        origins: what the card says besides, such as hashes of other weights that the training rests on.

    Returns:
        The card; nothing on ranks but the first, which alone writes.

    Raises:
        ConfigError, StoreError, WeightsError: what was given cannot be used.
        TrainingError, BudgetError: the loss is not finite, or the time budget is spent.
    """
    begun = time.monotonic()
    views = [open_view(folders) if folders else None for folders in (real, synthetic)]
    mixture = Mixture(*views, device, cfg.get("real_share", 0.5))
    training = {**cfg["training"], "steps": round(cfg["exposures"] * cfg["training"]["steps"])}
    recipe = Recipe.of(training)
    precision = choose_precision(cfg["precision"], device)
    segmenter, origin = start(cfg, mixture.view.classes, precision, seed)
    segmenter = distributed.synchronise_statistics(segmenter.to(device))
    _guard_statistics(segmenter)
    objective = build_objective(cfg)
    average = build_average(cfg, segmenter)

    def loss_of(step: int, part: int) -> torch.Tensor:
        images, masks = mixture.draw(seed, step, recipe.batch, part, recipe.parts)
        return objective(segmenter, images, masks, step)

    rows = fit(
        "segmenter",
        segmenter,
        build_optimizer(groups(segmenter, training["learning_rate"], cfg["head_rate"]), training),
        loss_of,
        recipe,
        seed=seed,
        work=work,
        average=average,
        wall_seconds=left(wall_seconds, begun),
    )
    if not distributed.first():
        return {}
    if average is not None:
        average.copy_to(segmenter)
    exposures = mixture.exposures(recipe.steps * recipe.batch)
    facts = {
        "segmenter": structure(cfg),
        "encoder_weights": origin,
        "classes": mixture.view.classes,
        "size": mixture.view.size,
        "steps": recipe.steps,
        "batch": recipe.batch,
        "seed": seed,
        "real_pairs": mixture.counts.get("real", 0),
        "synthetic_pairs": mixture.counts.get("synthetic", 0),
        "real_exposures": exposures["real"],
        "synthetic_exposures": exposures["synthetic"],
        "parameters": sum(parameter.numel() for parameter in segmenter.parameters()),
        "precision": precision,
        "data": {
            "real": [files.sha256(Path(folder) / "card.json") for folder in real],
            "synthetic": [files.sha256(Path(folder) / "card.json") for folder in synthetic],
        },
        "weights_sha256": write(weights, segmenter.network.state_dict()),
        **(origins or {}),
    }
    text = io.StringIO()
    rows.to_csv(text, index=False, lineterminator="\n")
    files.write_text(history, text.getvalue())
    files.write_json(card, facts)
    return facts


def by_origin(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of stores, in their order: of real pairs, which lie under .../real/SPLIT, and of synthetic ones, which is everything else."""
    folders = list(folders)
    real = [folder for folder in folders if folder.parent.name == "real"]
    return real, [folder for folder in folders if folder.parent.name != "real"]


def start(cfg: dict, classes: int, precision: str, seed: int) -> tuple[Segmenter, str]:
    """The segmenter before its first step, on the CPU, and what its encoder was loaded from; the weights depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        segmenter = build(cfg, classes, precision)
    return segmenter, encoders.initialise(segmenter.network, cfg["encoder"], cfg["encoder_weights"])


def groups(segmenter: Segmenter, rate: float, head_rate: float) -> list[dict]:
    """Parameter groups: the encoder at the base rate, everything else at `head_rate` times it."""
    encoder = list(segmenter.network.encoder.parameters())
    known = {id(parameter) for parameter in encoder}
    head = [parameter for parameter in segmenter.parameters() if id(parameter) not in known]
    return [{"params": encoder, "lr": rate}, {"params": head, "lr": rate * head_rate}]


def _guard_statistics(segmenter: Segmenter) -> None:
    """Batch statistics need two values a channel: a map of one pixel (a deep or a pooled one) of one image has one."""

    def check(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        images, channels = inputs[0].shape[:2]
        if module.training and distributed.count() * inputs[0].numel() // channels < 2:
            raise ConfigError(
                "training.batch",
                f"{images} image at a time is too few for batch normalisation: a map of this network is 1 x 1.",
                "Use a batch of at least 2 (training.batch / training.accumulate).",
            )

    for module in segmenter.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(check)
