"""A training step of the U-Net against diffusers' UNet2DModel of the same widths, in float32 and in bfloat16; and pixel-unshuffle.

    .venv/bin/python -m benchmarks.unet_training [--size 128]

Forward and backward pass of a mean squared error, one thread. Both sides have the same layers, so as many operations by the textbook, which
are printed. Ours runs as the trainings run it: in its memory format, bfloat16 by autocast; a peer in the format in which it is faster.
Aims: 1.15 times the images per CPU second in float32, 1.3 times in bfloat16; with pixel-unshuffle 2 (as many parameters) 3.5 times those of
ours at full resolution. denoising-diffusion-pytorch's network has other layers, so operations a second are compared.
"""

import contextlib
import copy
from collections.abc import Callable

import torch
from torch.nn import functional

from benchmarks.interleaved import Bench, measure
from benchmarks.networks import IN_CHANNELS, denoising_diffusion_unet, diffusers_unet, forward_flops, unet
from satsynth.diffusion.training import memory_format
from satsynth.fitting import choose_precision

BATCH = 2
AIMS = {"float32": 1.15, "bfloat16": 1.3}
UNSHUFFLED = 3.5


def training_step(
    network: torch.nn.Module, precision: str, size: int, layout: torch.memory_format = torch.contiguous_format
) -> Callable[[], None]:
    """Forward and backward pass; gradients are set anew each time, as an optimiser step leaves it."""
    network.train().to(memory_format=layout)
    stream = torch.Generator().manual_seed(0)
    x, target = (torch.randn((BATCH, IN_CHANNELS, size, size), generator=stream).to(memory_format=layout) for _ in range(2))
    time = torch.full((BATCH,), 500.0)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
        with autocast:
            found = network(x, time)
        found = found if torch.is_tensor(found) else found.sample
        functional.mse_loss(found.float(), target).backward()

    return step


def faster(network: torch.nn.Module, precision: str, size: int) -> Callable[[], None]:
    """A peer's step in the memory format in which it is faster."""
    steps = {form: training_step(copy.deepcopy(network), precision, size, form) for form in (torch.contiguous_format, torch.channels_last)}
    seconds = {form: values.min() for form, values in measure(steps, 1).items()}
    return steps[min(seconds, key=seconds.get)]


def main() -> None:
    """Measure and print."""
    bench = Bench(__doc__, rounds=3)
    bench.parser.add_argument("--size", type=int, default=128)
    size, channels = (32, 32) if bench.quick else (bench.chosen.size, 128)
    x, time = torch.randn(1, IN_CHANNELS, size, size), torch.full((1,), 500.0)
    flops = {name: forward_flops(make(size, channels), x, time) for name, make in (("diffusers", diffusers_unet), ("satsynth", unet))}
    print(f"GFLOP of a forward pass: {', '.join(f'{name} {value / 1e9:.1f}' for name, value in flops.items())}")
    native = choose_precision("auto", "cpu")
    for precision in dict.fromkeys(("float32", native)):
        layout = memory_format(precision, "cpu")
        sides = {
            "diffusers UNet2DModel": faster(diffusers_unet(size, channels), precision, size),
            "satsynth": training_step(unet(size, channels), precision, size, layout),
        }
        what = f"training of a U-Net in {precision} against diffusers' of the same layers ({size} px)"
        bench.ratio(what, sides, units=dict.fromkeys(sides, BATCH), unit="images", aim=AIMS[precision])
    other = denoising_diffusion_unet(channels // 2)
    sides = {
        "denoising-diffusion-pytorch Unet": faster(other, "float32", size),
        "satsynth": training_step(unet(size, channels), "float32", size, memory_format("float32", "cpu")),
    }
    units = {"denoising-diffusion-pytorch Unet": BATCH * forward_flops(other, x, time) / 1e9, "satsynth": BATCH * flops["satsynth"] / 1e9}
    what = f"training of a U-Net in float32 against denoising-diffusion-pytorch's, per operation of its layers ({size} px)"
    bench.ratio(what, sides, units=units, unit="GFLOP forward")
    layout = memory_format(native, "cpu")
    sides = {
        "full resolution": training_step(unet(size, channels), native, size, layout),
        "pixel-unshuffle 2": training_step(unet(size, channels, unshuffle=2), native, size, layout),
    }
    what = f"training with pixel-unshuffle 2 against full resolution, {native} ({size} px)"
    bench.ratio(what, sides, units=dict.fromkeys(sides, BATCH), unit="images", aim=UNSHUFFLED)
    bench.close()


if __name__ == "__main__":
    main()
