"""An optimiser step with a moving average of the weights, as the trainings take it, against a plain AdamW and a library's average.

    .venv/bin/python -m benchmarks.optimizer_step

The parameters of a U-Net of 36 M with gradients at hand. The peer is torch's AdamW, one parameter after the other, and the EMAModel of
diffusers. Aim: 2.5 times the steps.
"""

import copy
from collections.abc import Callable

import torch
from diffusers.training_utils import EMAModel

from benchmarks.interleaved import Bench
from benchmarks.networks import unet
from satsynth.diffusion.ema import Ema
from satsynth.fitting import build_optimizer

TRAINING = {"optimizer": "adamw", "learning_rate": 1e-4, "weight_decay": 0.01, "betas": [0.9, 0.999]}


def with_gradients(network: torch.nn.Module) -> torch.nn.Module:
    """The network, each of its parameters with some gradient."""
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    return network


def plain(network: torch.nn.Module) -> Callable[[], None]:
    """A loop over parameters, and a library's average."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, foreach=False, fused=False)
    average = EMAModel(parameters, decay=0.9999)

    def step() -> None:
        optimizer.step()
        average.step(parameters)

    return step


def ours(network: torch.nn.Module) -> Callable[[], None]:
    """As `satsynth.fitting` builds it."""
    optimizer = build_optimizer([{"params": list(network.parameters())}], TRAINING)
    average = Ema(network, decay=0.9999, warmup=True)

    def step() -> None:
        optimizer.step()
        average.update()

    return step


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=9)
    network = with_gradients(unet(size=32, channels=32 if bench.quick else 128))
    twin = with_gradients(copy.deepcopy(network))
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    sides = {"AdamW loop, EMAModel of diffusers": plain(twin), "satsynth": ours(network)}
    what = f"optimiser step and average of {count:.1f} M parameters against AdamW and a library's average"
    bench.ratio(what, sides, units=dict.fromkeys(sides, 1), unit="steps", aim=2.5)
    bench.close()


if __name__ == "__main__":
    main()
