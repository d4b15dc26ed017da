"""SemGAN's two discriminators (Li et al. 2021): one of images, one of pairs."""

import math

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from satsynth.adversarial.generator import COLOURS, SMALLEST, widths
from satsynth.adversarial.operations import SLOPE, EqualisedConv, EqualisedLinear, batch_deviation

SCALES = 3


class Residual(nn.Module):
    """Two convolutions, the second of which halves the side, beside a linear path that does the same."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualisedConv(inputs, inputs, 3)
        self.second = EqualisedConv(inputs, outputs, 3, halve=True)
        self.skip = EqualisedConv(inputs, outputs, 1, halve=True, active=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N,inputs,H,W) -> (N,outputs,H/2,W/2)."""
        return (self.second(self.first(maps)) + self.skip(maps)) / math.sqrt(2)


class ImageDiscriminator(nn.Module):
    """StyleGAN2's residual discriminator with the deviation inside the batch; 28,389,121 parameters at 128 px and full width.

    Args:
        size: S, a power of two.
        channel_base: see `satsynth.adversarial.generator.widths`.
        max_channels: see there.
    """

    def __init__(self, size: int, channel_base: int = 32768, max_channels: int = 512):
        super().__init__()
        channels = widths(size, channel_base, max_channels)
        sides = sorted(channels, reverse=True)
        self.colours = EqualisedConv(COLOURS, channels[size], 1)
        self.blocks = nn.Sequential(*[Residual(channels[side], channels[side // 2]) for side in sides[:-1]])
        deepest = channels[SMALLEST]
        self.last = EqualisedConv(deepest + 1, deepest, 3)
        self.hidden = EqualisedLinear(deepest * SMALLEST**2, deepest, active=True)
        self.score = EqualisedLinear(deepest, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N,3,S,S) in [-1,1] -> scores (N,), large for real ones."""
        maps = self.last(batch_deviation(self.blocks(self.colours(images))))
        return self.score(self.hidden(maps.flatten(1))).squeeze(1)


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of a pair; gives what every layer sees, for feature matching.

    Args:
        channels: of a pair, 3 + K.
        width: channels of the first layer; the next ones have 2, 4 and 8 times as many.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 2), nn.LeakyReLU(SLOPE))]
        for number, stride in enumerate((2, 2, 1)):
            inputs = width * 2**number
            # Instance normalisation takes any bias away again.
            conv = spectral_norm(nn.Conv2d(inputs, 2 * inputs, 4, stride, 2, bias=False))
            layers.append(nn.Sequential(conv, nn.InstanceNorm2d(2 * inputs), nn.LeakyReLU(SLOPE)))
        layers.append(nn.Conv2d(8 * width, 1, 4, 1, 2))
        self.layers = nn.ModuleList(layers)

    def forward(self, pairs: torch.Tensor) -> list[torch.Tensor]:
        """Pairs (N,3+K,H,W) -> maps of every layer, the last of which (N,1,h,w) are the scores."""
        maps = []
        for layer in self.layers:
            pairs = layer(pairs)
            maps.append(pairs)
        return maps


class LabelDiscriminator(nn.Module):
    """Patch discriminators of a pair at three scales (Wang et al. 2018); 8,340,675 parameters with 16 classes and width 64.

    Args:
        classes: K.
        width: see `PatchDiscriminator`.
    """

    def __init__(self, classes: int, width: int = 64):
        super().__init__()
        self.scales = nn.ModuleList([PatchDiscriminator(COLOURS + classes, width) for _ in range(SCALES)])

    def forward(self, pairs: torch.Tensor) -> list[list[torch.Tensor]]:
        """Pairs (N,3+K,S,S): images in [-1,1] above label channels about +-1 -> the layers' maps of every scale, the finest first."""
        found = []
        for number, scale in enumerate(self.scales):
            if number:
                pairs = functional.avg_pool2d(pairs, 3, 2, 1, count_include_pad=False)
            found.append(scale(pairs))
        return found
