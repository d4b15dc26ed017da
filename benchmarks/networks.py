"""The networks that are measured: ours, and its peers of the same widths."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from satsynth.diffusion.unet import UNet, UNetConfig

IN_CHANNELS = 8  # of a pair: three colours and five label bits
MULTIPLIERS = (1, 2, 2, 2)
BLOCKS = 2
ATTENTION = 16  # height of the maps with self-attention


def unet(size: int, channels: int, unshuffle: int = 1, channels_in: int = IN_CHANNELS) -> UNet:
    """Ours, after Ho et al. 2020."""
    return UNet(
        UNetConfig(
            in_channels=channels_in,
            out_channels=channels_in,
            channels=channels,
            multipliers=MULTIPLIERS,
            blocks=BLOCKS,
            attention=(ATTENTION,),
            dropout=0.0,
            size=size,
            unshuffle=unshuffle,
        )
    )


def diffusers_unet(size: int, channels: int) -> torch.nn.Module:
    """diffusers' UNet2DModel of the same widths, blocks and attention."""
    from diffusers import UNet2DModel

    widths = tuple(channels * multiplier for multiplier in MULTIPLIERS)
    heights = [size >> level for level in range(len(widths))]
    return UNet2DModel(
        sample_size=size,
        in_channels=IN_CHANNELS,
        out_channels=IN_CHANNELS,
        layers_per_block=BLOCKS,
        block_out_channels=widths,
        down_block_types=tuple("AttnDownBlock2D" if height == ATTENTION else "DownBlock2D" for height in heights),
        up_block_types=tuple("AttnUpBlock2D" if height == ATTENTION else "UpBlock2D" for height in reversed(heights)),
        attention_head_dim=widths[heights.index(ATTENTION)],
    )


def denoising_diffusion_unet(dim: int) -> torch.nn.Module:
    """denoising-diffusion-pytorch's Unet as its README has it (dim 64: 35.7 M parameters), of other layers than ours."""
    from denoising_diffusion_pytorch import Unet

    return Unet(dim=dim, dim_mults=(1, 2, 4, 8), channels=IN_CHANNELS)


def forward_flops(network: torch.nn.Module, *inputs: torch.Tensor | None) -> int:
    """Floating-point operations of one forward pass by the textbook, of convolutions and matrix products alone.

    Counted without data: on a processor, doubling takes fewer products than its layers say, and attention is not counted at all.
    """
    return counted(copy.deepcopy(network).to("meta"), *(None if tensor is None else tensor.to("meta") for tensor in inputs))


def counted(network: torch.nn.Module, *inputs: torch.Tensor | None) -> int:
    """As `forward_flops`, of what is done where the network is."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(*inputs)
    return counter.get_total_flops()
