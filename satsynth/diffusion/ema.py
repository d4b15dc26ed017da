"""Exponential moving average of a model's parameters."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from satsynth.runtime.errors import WeightsError


class Ema:
    """Averages of the parameters in float32, on the parameters' devices; buffers are never averaged.

    A schedule table that is averaged ends as black samples, so only `named_parameters` count.

    Args:
        model: the model being trained; its parameters at this moment are the first average.
        decay: share of the old average kept by an update, in [0, 1); Ho et al. 2020 use 0.9999.
        warmup: keep only min(decay, (1 + k) / (10 + k)) in update k = 0, 1, ..., so that a short run forgets its random start.

    Attributes:
        updates: k, the updates done so far.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        named = list(model.named_parameters())
        self._names = [name for name, _ in named]
        self._sources = [parameter for _, parameter in named]
        self._averages = [parameter.detach().to(torch.float32, copy=True) for parameter in self._sources]

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the parameters as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        torch._foreach_lerp_(self._averages, [source.detach().float() for source in self._sources], 1 - decay)
        self.updates += 1

    def averages(self) -> dict[str, torch.Tensor]:
        """The averages, parameter name -> float32 tensor (not copies)."""
        return dict(zip(self._names, self._averages))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages and, as `updates`, their count, which the warm-up needs: what a checkpoint holds."""
        return {**self.averages(), "updates": torch.tensor(self.updates)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what `state_dict` gave.

        Raises:
            WeightsError: names or shapes that are not this model's.
        """
        if set(state) != {*self._names, "updates"}:
            wrong = sorted(set(state) ^ {*self._names, "updates"})
            raise WeightsError("ema", f"{len(wrong)} names differ from the model's, as {wrong[0]}.", "Load averages of the same network.")
        for name, average in zip(self._names, self._averages):
            if state[name].shape != average.shape:
                cause = f"{name} is {tuple(state[name].shape)}, the model's is {tuple(average.shape)}."
                raise WeightsError("ema", cause, "Load averages of the same network.")
        for name, average in zip(self._names, self._averages):
            average.copy_(state[name])
        self.updates = int(state["updates"])

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Write the averages into a model of the same architecture (any device, any float dtype)."""
        targets = dict(model.named_parameters())
        for name, average in self.averages().items():
            targets[name].copy_(average)

    @contextmanager
    def swap(self) -> Iterator[None]:
        """The model holds the averages inside the block and its own parameters again, bit for bit, after it."""
        kept = [source.detach().clone() for source in self._sources]
        try:
            self._write(self._averages)
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: list[torch.Tensor]) -> None:
        for source, value in zip(self._sources, values):
            source.copy_(value)
