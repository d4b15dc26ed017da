"""Residual-in-residual dense blocks (RRDB; Wang et al. 2018, ESRGAN): an encoder that keeps every pixel."""

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2  # of the leaky ReLU
SCALE = 0.2  # of every residual, inside a block and around it
LAYERS, DENSE_BLOCKS = 5, 3


class RRDBNet(nn.Module):
    """Images (N,C,H,W) float -> features (N,out_channels,H/unshuffle,W/unshuffle).

    Args:
        in_channels: C.
        out_channels: of the features.
        blocks: residual-in-residual dense blocks.
        width: channels between the blocks; 64 in the original.
        growth: channels that each layer of a dense block adds; 32 in the original.
        unshuffle: the image is folded from (C,H,W) to (C u^2, H/u, W/u) first: u^2 fewer positions.
    """

    def __init__(self, in_channels: int, out_channels: int, blocks: int, width: int, growth: int, unshuffle: int = 1):
        super().__init__()
        self.unshuffle = unshuffle
        self.first = _conv(in_channels * unshuffle**2, width)
        self.trunk = nn.Sequential(*(Block(width, growth) for _ in range(blocks)), _conv(width, width))
        self.middle, self.last = _conv(width, width), _conv(width, out_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.first(F.pixel_unshuffle(images, self.unshuffle) if self.unshuffle > 1 else images)
        return self.last(F.leaky_relu(self.middle(x + self.trunk(x)), SLOPE))


class Block(nn.Module):
    """Three dense blocks in a row inside a residual connection: (N,width,H,W) -> the same."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth) for _ in range(DENSE_BLOCKS)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return x + SCALE * self.blocks(x)


class DenseBlock(nn.Module):
    """Five 3 x 3 convolutions, each on all maps before it, and a residual connection: (N,width,H,W) -> the same."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        last = LAYERS - 1
        self.layers = nn.ModuleList(_conv(width + number * growth, growth if number < last else width) for number in range(LAYERS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        *inner, last = self.layers
        maps = [x]
        for layer in inner:
            maps.append(F.leaky_relu(layer(torch.cat(maps, 1)), SLOPE))
        return x + SCALE * last(torch.cat(maps, 1))


def _conv(wide_in: int, wide_out: int) -> nn.Conv2d:
    return nn.Conv2d(wide_in, wide_out, 3, padding=1)
