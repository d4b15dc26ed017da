"""From the maps of an image encoder to SemGAN's styles (Li et al. 2021)."""

import torch
from torch import nn
from torch.nn import functional

from satsynth.adversarial.generator import check_size
from satsynth.adversarial.operations import SLOPE, EqualisedLinear
from satsynth.runtime.errors import ConfigError

# The first styles come from the map of stride 16, the next ones from that of stride 8, all others from that of stride 4.
COARSE, MIDDLE = 3, 4


class StyleHead(nn.Module):
    """A feature pyramid (Lin et al. 2017) and, for every style, a chain of halvings down to one pixel.

    With ResNet-50 at 256 px, width 512 and 12 styles, encoder and head have 182.0 M parameters.

    Args:
        channels: of the encoder's maps of stride 4, 8, 16 and 32.
        size: side of the images, a power of two from 16 on. A chain has as many halvings as its map needs to become one pixel.
        styles: how many are made.
        latent: width of a style.
        width: channels of the pyramid and the chains.

    Raises:
        ConfigError: `size` is too small for a map of stride 16.
    """

    def __init__(self, channels: list[int], size: int, styles: int, latent: int, width: int):
        super().__init__()
        halvings = check_size(size)
        if halvings < 4:
            raise ConfigError("size", f"images of {size} px have no map of stride 16.", "Use 16 px or more.")
        self.lateral = nn.ModuleList([nn.Conv2d(count, width, 1) for count in channels])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in channels[:-1]])
        # Which level of the pyramid (0: stride 4) a style reads.
        self.levels = [2] * COARSE + [1] * MIDDLE + [0] * max(0, styles - COARSE - MIDDLE)
        self.levels = self.levels[:styles]
        self.chains = nn.ModuleList([_Chain(halvings - 2 - level, width, latent) for level in self.levels])

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Maps (N,C,S/s,S/s) of stride s = 4, 8, 16 and 32 -> styles (N,styles,latent)."""
        merged = self.lateral[-1](maps[-1])
        pyramid = []
        for number in range(len(maps) - 2, -1, -1):
            lateral = self.lateral[number](maps[number])
            merged = lateral + functional.interpolate(merged, size=lateral.shape[2:], mode="bilinear", align_corners=False)
            pyramid.insert(0, self.smooth[number](merged))
        return torch.stack([chain(pyramid[level]) for level, chain in zip(self.levels, self.chains, strict=True)], 1)


class _Chain(nn.Module):
    """Halvings of (N,width,2^n,2^n), then one fully connected layer."""

    def __init__(self, halvings: int, width: int, latent: int):
        super().__init__()
        convs = [nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(halvings)]
        for conv in convs:
            # He et al. 2015: behind a long chain of the library's weights every image has the same style.
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            nn.init.zeros_(conv.bias)
        self.halvings = nn.Sequential(*[part for conv in convs for part in (conv, nn.LeakyReLU(SLOPE))])
        self.style = EqualisedLinear(width, latent)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.style(self.halvings(maps).flatten(1))
