"""The training loop of networks with several optimisers: like `satsynth.fitting.fit`, but the caller takes the steps.

Driven by a step counter, resumable bit for bit as long as a step draws from (seed, step) alone, stopped by a number that is not finite.
"""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd
import torch

from satsynth.runtime import checkpoints
from satsynth.runtime.errors import TrainingError
from satsynth.runtime.logs import Progress

log = logging.getLogger(__name__)


class Trainee(Protocol):
    """What is trained: its steps, and everything that a checkpoint must hold."""

    def take_step(self, step: int) -> dict[str, torch.Tensor]:
        """Do step `step` (0-based) and give its numbers, scalars without a graph; all must be finite, gradient norms among them."""

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
        trainee: what is trained.
        steps: how often `take_step` is called.
        batch: images a step.
        log_every: steps between two rows of the history.
        columns: the numbers of a step that the history shows, as means over the steps that gave them.
        device: where the numbers are.
        work: folder of the checkpoint; a checkpoint found there is continued.
        after_step: called with the number of steps done (previews).
        wall_seconds: stop in time, with a checkpoint, when this budget is nearly spent.

    Returns:
        Columns step, images and `columns`; NaN where no step of a row gave the number.

    Raises:
        TrainingError: a number is not finite (the last good checkpoint is kept), or the time budget is spent.
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
        for name, value in trainee.take_step(step).items():
            if name in columns:
                counts[columns.index(name)] += 1
            sums[columns.index(name) if name in columns else -1] += value.detach()
        done = step + 1
        due = time.monotonic() - saved > checkpoints.seconds()
        spent = wall_seconds is not None and time.monotonic() - begun > wall_seconds
        # The rows stand at fixed steps, so that a resumed run writes the same history as an unbroken one.
        row_due = done % log_every == 0 or done == steps
        if row_due or due or spent:
            _check_finite(what, done, sums)
        if row_due:
            means = [total / count if count else None for total, count in zip(sums.tolist(), counts)]
            rows.append([done, done * batch, *means])
            progress.update(done * batch, **{columns[0]: means[0]})
            sums.zero_()
            counts = [0] * len(columns)
        if after_step is not None:
            after_step(done)
        if (due or spent) and done < steps:
            checkpoints.save(work, {"sums": sums, **trainee.collect()}, {"step": done, "rows": rows, "counts": counts})
            saved = time.monotonic()
        if spent and done < steps:
            raise TrainingError(
                what,
                f"the time budget of {wall_seconds:.0f} s ended at step {done} of {steps}.",
                "Run again: the training continues from its checkpoint.",
            )
    table = pd.DataFrame(rows, columns=["step", "images", *columns])
    return table.astype(dict.fromkeys(columns, float))


def gradient_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """L2 norm of the gradient of an optimiser's parameters, a scalar."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, math.inf)


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
            "Lower training.learning_rate, or set precision: float32, and run again.",
        )
