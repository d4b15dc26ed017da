"""The one training loop: driven by a step counter, resumable bit for bit, stopped by a number that is not finite.

Everything random in a step is derived from (seed, step), so a run that was killed and resumed sees the same stream as one that
was not.
"""

import contextlib
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

from satsynth import distributed
from satsynth.randomness import derive
from satsynth.runtime import checkpoints
from satsynth.runtime.errors import BudgetError, ConfigError, TrainingError
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

    @property
    def parts(self) -> int:
        """Parts that a step's batch is cut into over all ranks of the job (see `satsynth.distributed`).

        Raises:
            ConfigError: the batch cannot be shared equally.
        """
        parts = self.accumulate * distributed.count()
        if self.batch % parts:
            cause = f"a batch of {self.batch} in {self.accumulate} parts cannot be shared equally by {distributed.count()} devices."
            raise ConfigError("training.batch", cause, "Change gpu (or --resources gpu=N), batch or accumulate.")
        return parts

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


def left(wall_seconds: float | None, begun: float) -> float | None:
    """What is left of a time budget that was counted from `begun` (monotonic seconds); None where there is no limit."""
    return None if wall_seconds is None else max(0.0, wall_seconds - (time.monotonic() - begun))


class Average(Protocol):
    """A running average of parameters (see satsynth.diffusion.ema)."""

    def update(self) -> None:
        """Fold the current parameters in."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All tensors."""

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Put them back."""


class Trainee(Protocol):
    """What is trained: its steps, and everything that a checkpoint must hold."""

    def take_step(self, step: int) -> dict[str, torch.Tensor | float]:
        """Do step `step` (0-based) and give its numbers: scalars without a graph, all finite, gradient norms among them, or floats."""

    def collect(self) -> dict[str, torch.Tensor]:
        """All state by name."""

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what `collect` gave."""


def drive(
    what: str,
    trainee: Trainee,
    *,
    steps: int,
    batch: int,
    log_every: int,
    columns: list[str],
    device: str | torch.device,
    work: Path,
    after_step: Callable[[int], None] | None = None,
    wall_seconds: float | None = None,
) -> pd.DataFrame:
    """Train to the end and return the history.

    Args:
        what: name for the log.
        trainee: what is trained; all randomness of a step is a function of its number.
        steps: how often `take_step` is called.
        batch: images a step.
        log_every: steps between two rows of the history.
        columns: the numbers of a step that the history shows: tensors as means over the steps that gave them, floats as they are in the
            row's last step.
        device: where the numbers are.
        work: folder of the checkpoint; a checkpoint found there is continued.
        after_step: called with the number of steps done (previews).
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Returns:
        Columns step, images and `columns`; NaN where no step of a row gave the number.

    Raises:
        TrainingError: a number is not finite (the last good checkpoint is kept).
        BudgetError: the time budget is spent.
    """
    begun = time.monotonic()
    rows: list[list[float | None]] = []
    first, counts = 0, [0] * len(columns)
    # On the device, so that no step waits for it; the last place takes the numbers that are only watched.
    sums = torch.zeros(len(columns) + 1, device=device)
    if found := checkpoints.load(work):
        tensors, facts = found
        first, rows, counts = facts["step"], facts["rows"], facts["counts"]
        sums += tensors.pop("sums").to(device)
        trainee.restore(tensors)
        log.info("%s: resumed at step %d of %d", what, first, steps)
    progress = Progress(what, steps * batch, "images", done=first * batch)
    saved = time.monotonic()
    for step in range(first, steps):
        numbers = trainee.take_step(step)
        for name, value in numbers.items():
            if not torch.is_tensor(value):
                continue
            if name in columns:
                counts[columns.index(name)] += 1
            sums[columns.index(name) if name in columns else -1] += value.detach()
        done = step + 1
        due = time.monotonic() - saved > checkpoints.seconds()
        spent = wall_seconds is not None and time.monotonic() - begun > wall_seconds
        due, spent = distributed.agreed(due, spent)
        # The rows stand at fixed steps, so that a resumed run writes the same history as an unbroken one.
        row_due = done % log_every == 0 or done == steps
        if row_due or due or spent:
            _check_finite(what, done, sums)
        if row_due:
            means = (sums.cpu()[:-1] / torch.tensor(counts)).tolist()
            shown = [mean if count else numbers.get(name) for name, mean, count in zip(columns, means, counts, strict=True)]
            rows.append([done, done * batch, *shown])
            progress.update(done * batch, **{columns[0]: shown[0]})
            sums.zero_()
            counts = [0] * len(columns)
        if after_step is not None:
            after_step(done)
        if (due or spent) and done < steps and distributed.first():
            checkpoints.save(work, {"sums": sums, **trainee.collect()}, {"step": done, "rows": rows, "counts": counts})
            saved = time.monotonic()
        if spent and done < steps:
            raise BudgetError(
                what,
                f"the time budget of {wall_seconds:.0f} s ended at step {done} of {steps}.",
                "Run again: the training continues from its checkpoint.",
            )
    table = pd.DataFrame(rows, columns=["step", "images", *columns])
    return table.astype(dict.fromkeys(columns, float))


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
    """Train `model` in place, one loss by one optimiser, and return its history (columns of `HISTORY`).

    Args:
        what: name for the log.
        model: the network, on its device and in its memory format.
        optimizer: over the model's parameters; the learning rates of its groups are the base rates.
        loss_of: (step, part) -> mean loss of that one of the `recipe.parts` parts of the step's batch, as a scalar tensor with a graph.
            It draws its batch from (seed, step, part) alone.
        recipe: lengths and rates.
        seed: of dropout and other layers that draw from torch's global generator.
        work: folder of the checkpoint; a checkpoint found there is continued.
        average: updated after every step and kept in the checkpoint.
        after_step: called with the number of steps done (previews).
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Raises:
        TrainingError: the loss is not finite (the last good checkpoint is kept).
        BudgetError: the time budget is spent.
        ConfigError: the job's devices cannot share a batch equally.
    """
    return drive(
        what,
        _Descent(model, optimizer, loss_of, recipe, seed, average),
        steps=recipe.steps,
        batch=recipe.batch,
        log_every=recipe.log_every,
        columns=HISTORY[2:],
        device=next(model.parameters()).device,
        work=work,
        after_step=after_step,
        wall_seconds=wall_seconds,
    )


class _Descent:
    """One model, one loss and one optimiser as a trainee; the arguments are those of `fit`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[int, int], torch.Tensor],
        recipe: Recipe,
        seed: int,
        average: Average | None,
    ):
        self.model, self.optimizer, self.recipe, self.seed, self.average = model, optimizer, recipe, seed, average
        model.train()
        self.loss_of = distributed.shared(model, loss_of)
        own = recipe.parts // distributed.count()
        self._parts = range(own * distributed.number(), own * (distributed.number() + 1))
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def take_step(self, step: int) -> dict[str, torch.Tensor | float]:
        factor = self.recipe.factor(step)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        total = 0
        for part in self._parts:
            torch.manual_seed(derive(self.seed, "layers", step, part))
            with contextlib.nullcontext() if part == self._parts[-1] else distributed.alone(self.loss_of):
                loss = self.loss_of(step, part) / self.recipe.accumulate
                loss.backward()
            total = total + loss.detach()
        if self.recipe.clip is None:
            norm = gradient_norm(self.optimizer)
        else:
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return {"loss": distributed.mean(total), "learning_rate": self._rates[0] * factor, "grad_norm": norm}

    def collect(self) -> dict[str, torch.Tensor]:
        tensors = {**prefixed("model", self.model.state_dict()), **checkpoints.flatten_optimizer(self.optimizer)}
        return tensors if self.average is None else tensors | prefixed("average", self.average.state_dict())

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        self.model.load_state_dict(under("model", tensors))
        checkpoints.restore_optimizer(self.optimizer, tensors)
        if self.average is not None:
            self.average.load_state_dict(under("average", tensors))


def gradient_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """L2 norm of the gradient of an optimiser's parameters, a scalar."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


def prefixed(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors with `name/` before their names."""
    return {f"{name}/{key}": value for key, value in tensors.items()}


def under(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that `prefixed` called by this name, with their old names."""
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


def _check_finite(what: str, step: int, sums: torch.Tensor) -> None:
    if not torch.isfinite(sums).all().item():
        raise TrainingError(
            what,
            f"a loss or its gradient is not finite at step {step}; the last good checkpoint is kept.",
            "Lower training.learning_rate, raise training.warmup, or set precision: float32, and run again.",
        )
