"""The one training loop: driven by a step counter, resumable bit for bit, stopped by a loss that is not finite.

Everything random in a step is derived from (seed, step), so a run that was killed and resumed sees the same stream as one that
was not.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch
from torch import nn

from satsynth.randomness import derive
from satsynth.runtime import checkpoints
from satsynth.runtime.errors import ConfigError, TrainingError
from satsynth.runtime.logs import Progress

log = logging.getLogger(__name__)
PRECISIONS = ("auto", "float32", "bfloat16")
HISTORY = ["step", "images", "loss", "learning_rate", "grad_norm"]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a training goes.

    Args:
        steps: optimiser steps.
        batch: images a step (all parts together).
        accumulate: parts that a step's batch is cut into; the gradient is their mean.
        warmup: steps over which the learning rate rises linearly from 0.
        decay: "constant", "poly" (1 - progress)^power or "cosine"; progress runs from the end of the warm-up to `steps`.
        power: of the "poly" decay (0.9 in the segmentation literature).
        clip: largest L2 norm of the gradient, or None.
        log_every: steps between two rows of the history.
    """

    steps: int
    batch: int
    accumulate: int = 1
    warmup: int = 0
    decay: str = "constant"
    power: float = 0.9
    clip: float | None = None
    log_every: int = 50

    def __post_init__(self) -> None:
        if self.decay not in ("constant", "poly", "cosine"):
            raise ConfigError("training.decay", f"'{self.decay}' is no decay.", "Use constant, poly or cosine.")
        if self.batch % self.accumulate:
            raise ConfigError(
                "training.accumulate", f"a batch of {self.batch} cannot be cut into {self.accumulate} equal parts.", "Use a divisor."
            )

    @classmethod
    def of(cls, training: dict) -> "Recipe":
        """Read the recipe's keys from a `training` section; other keys belong to the caller."""
        return cls(**{name: training[name] for name in cls.__dataclass_fields__ if name in training})

    def factor(self, step: int) -> float:
        """What the base learning rate is multiplied by in step `step` (0-based)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.decay == "poly":
            return (1 - progress) ** self.power
        if self.decay == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1.0


def build_optimizer(groups: list[dict], training: dict) -> torch.optim.Optimizer:
    """The optimiser that a `training` section names, over parameter groups (each may bring its own "lr").

    Keys read: optimizer ("adam", "adamw" or "sgd"), learning_rate, weight_decay; momentum (sgd) or betas (adam, adamw).
    """
    kind, rate, decay = training["optimizer"], training["learning_rate"], training["weight_decay"]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=training["momentum"], weight_decay=decay, fused=True)
    if kind in ("adam", "adamw"):
        family = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        return family(groups, lr=rate, betas=tuple(training["betas"]), weight_decay=decay, fused=True)
    raise ConfigError("training.optimizer", f"'{kind}' is no optimiser.", "Use adam, adamw or sgd.")


def choose_precision(wanted: str, device: str | torch.device) -> str:
    """Resolve `precision`: "auto" is bfloat16 where the device computes it natively, else float32; other values stay.

    Raises:
        ConfigError: it is none of auto, float32 and bfloat16.
    """
    if wanted not in PRECISIONS:
        raise ConfigError("precision", f"'{wanted}' is no precision.", f"Use one of {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return wanted
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if native else "float32"


class Average(Protocol):
    """A running average of parameters (see satsynth.diffusion.ema)."""

    def update(self) -> None:
        """Fold the current parameters in."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All tensors."""

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Put them back."""


def fit(
    what: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[int, int], torch.Tensor],
    recipe: Recipe,
    *,
    seed: int,
    work: Path,
    average: Average | None = None,
    after_step: Callable[[int], None] | None = None,
    wall_seconds: float | None = None,
) -> pd.DataFrame:
    """Train `model` in place and return its history (columns of `HISTORY`).

    Args:
        what: name for the log.
        model: the network, on its device and in its memory format.
        optimizer: over the model's parameters; the learning rates of its groups are the base rates.
        loss_of: (step, part) -> mean loss of that part of the step's batch, as a scalar tensor with a graph. It draws its
            batch from (seed, step, part) alone.
        recipe: lengths and rates.
        seed: of dropout and other layers that draw from torch's global generator.
        work: folder of the checkpoint; a checkpoint found there is continued.
        average: updated after every step and kept in the checkpoint.
        after_step: called with the number of steps done (previews).
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Raises:
        TrainingError: the loss is not finite (the last good checkpoint is kept), or the time budget is spent.
    """
    begun = time.monotonic()
    base_rates = [group["lr"] for group in optimizer.param_groups]
    rows: list[list[float]] = []
    first, counted = 0, 0
    # Sums of loss and gradient norm since the last row of the history: on the device, so that no step waits for it.
    sums = torch.zeros(2, device=next(model.parameters()).device)
    if found := checkpoints.load(work):
        tensors, facts = found
        first, rows, counted = facts["step"], facts["rows"], facts["counted"]
        sums += tensors.pop("sums").to(sums.device)
        _restore(model, optimizer, average, tensors)
        log.info("%s: resumed at step %d of %d", what, first, recipe.steps)
    progress = Progress(what, recipe.steps * recipe.batch, "images", done=first * recipe.batch)
    saved = time.monotonic()
    model.train()
    for step in range(first, recipe.steps):
        factor = recipe.factor(step)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad(set_to_none=True)
        for part in range(recipe.accumulate):
            torch.manual_seed(derive(seed, "layers", step, part))
            loss = loss_of(step, part) / recipe.accumulate
            loss.backward()
            sums[0] += loss.detach()
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip if recipe.clip is not None else math.inf)
        optimizer.step()
        if average is not None:
            average.update()
        sums[1] += norm.detach()
        counted += 1
        done = step + 1
        due = time.monotonic() - saved > checkpoints.seconds()
        spent = wall_seconds is not None and time.monotonic() - begun > wall_seconds
        # The rows stand at fixed steps, so that a resumed run writes the same history as an unbroken one.
        row_due = done % recipe.log_every == 0 or done == recipe.steps
        if row_due or due or spent:
            _check_finite(what, done, sums)
        if row_due:
            mean_loss, mean_norm = (sums / counted).tolist()
            rows.append([done, done * recipe.batch, mean_loss, base_rates[0] * factor, mean_norm])
            progress.update(done * recipe.batch, loss=mean_loss)
            sums.zero_()
            counted = 0
        if after_step is not None:
            after_step(done)
        if (due or spent) and done < recipe.steps:
            tensors = {"sums": sums, **_collect(model, optimizer, average)}
            checkpoints.save(work, tensors, {"step": done, "rows": rows, "counted": counted})
            saved = time.monotonic()
        if spent and done < recipe.steps:
            raise TrainingError(
                what,
                f"the time budget of {wall_seconds:.0f} s ended at step {done} of {recipe.steps}.",
                "Run again: the training continues from its checkpoint.",
            )
    return pd.DataFrame(rows, columns=HISTORY)


def _check_finite(what: str, step: int, sums: torch.Tensor) -> None:
    if not torch.isfinite(sums).all().item():
        raise TrainingError(
            what,
            f"the loss or its gradient is not finite at step {step}; the last good checkpoint is kept.",
            "Lower training.learning_rate, raise training.warmup, or set precision: float32, and run again.",
        )


def _collect(model: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None) -> dict[str, torch.Tensor]:
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= checkpoints.flatten_optimizer(optimizer)
    if average is not None:
        tensors |= {f"average/{name}": value for name, value in average.state_dict().items()}
    return tensors


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None, tensors: dict[str, torch.Tensor]) -> None:
    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    model.load_state_dict(under("model/"))
    checkpoints.restore_optimizer(optimizer, tensors)
    if average is not None:
        average.load_state_dict(under("average/"))
