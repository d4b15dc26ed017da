"""Networks compiled for an accelerator, where that works; where it does not, a line says so and they compute as they are."""

import contextlib
import logging
from collections.abc import Callable, Iterator

import torch

from satsynth.diffusion.denoiser import Denoiser

log = logging.getLogger(__name__)
WARMING = 3  # calls until a CUDA graph is replayed: one compiles, one records, one replays


def compile_training(denoiser: Denoiser, loss: Callable[[], torch.Tensor]) -> None:
    """Compile the network of a denoiser for forward and backward passes; gradients are left empty.

    Args:
        denoiser: on an accelerator.
        loss: one loss, as training computes it, to try the network out.
    """
    _compile(denoiser, lambda: loss().backward(), calls=1)
    denoiser.zero_grad(set_to_none=True)


@torch.no_grad()
def compile_sampling(denoiser: Denoiser, count: int) -> None:
    """Compile the network of a denoiser in evaluation mode for `count` stacks at a time, and capture its kernels as a CUDA graph.

    What a graph computes lies in its own memory until the next replay: `Denoiser.denoise` makes a new tensor of it at once.

    Args:
        denoiser: on an accelerator, in evaluation mode.
        count: stacks of every call.
    """
    config = denoiser.network.config
    device = next(denoiser.parameters()).device
    given = config.in_channels - config.out_channels * (1 if denoiser.prior is None else 2)  # a prior's estimate lies beside x
    x = torch.zeros((count, config.out_channels, config.size, config.size), device=device)
    condition = torch.zeros((count, given, config.size, config.size), device=device) if given else None
    level = torch.zeros(count, device=device) if config.condition_levels else None
    _compile(denoiser, lambda: denoiser.denoise(x, 1.0, condition, level), calls=WARMING, mode="reduce-overhead")


@contextlib.contextmanager
def uncompiled(network: torch.nn.Module) -> Iterator[None]:
    """The network as it is written, for the time being: previews have other shapes, for which it would be compiled again."""
    compiled = vars(network).pop("forward", None)
    try:
        yield
    finally:
        if compiled is not None:
            network.forward = compiled


def _compile(denoiser: Denoiser, try_out: Callable[[], object], calls: int, mode: str | None = None) -> None:
    network = denoiser.network
    try:
        # Sizes are constants: G and G_SR share their code, and the compiler would take what differs between them for a variable.
        network.forward = torch.compile(network.forward, mode=mode, dynamic=False)
        for _ in range(calls):
            try_out()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever the compiler chain raises, the eager network is still right
        vars(network).pop("forward", None)
        torch.compiler.reset()  # gives back what the attempt holds
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("torch.compile does not work here (%s): the network computes without it. `compile: false` does not try.", cause)
