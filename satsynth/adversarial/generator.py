"""SemGAN's generator (Li et al. 2021): StyleGAN2 with a second output branch for the labels."""

import math

import torch
from torch import nn

from satsynth.adversarial.operations import EqualisedLinear, ModulatedConv, doubled, leaky, normalise_pixels
from satsynth.runtime.errors import ConfigError

COLOURS = 3
SMALLEST = 4
MAPPING_RATE = 0.01
# Logits of the label branch are about +-1, as the one-hot words that the discriminator knows: what they are divided by before they become
# probabilities (Li et al. 2021). Without it no class could have more than half of nine or more.
SOFTMAX_TEMPERATURE = 0.1


def check_size(size: int) -> int:
    """log2 of a side that the networks can have.

    Raises:
        ConfigError: `size` is no power of two, or below 8.
    """
    if size < 2 * SMALLEST or size & (size - 1):
        raise ConfigError("size", f"SemGAN cannot make pairs of {size} px.", "Use a power of two, 8 or more.")
    return size.bit_length() - 1


def widths(size: int, channel_base: int, max_channels: int) -> dict[int, int]:
    """Channels of the maps of every side 4, 8, ..., size: as many as keep side x channels below `channel_base`, `max_channels` at most."""
    return {side: min(max_channels, channel_base // side) for side in (2**power for power in range(2, check_size(size) + 1))}


class StyledConv(nn.Module):
    """Modulated convolution, noise of a learnt strength, bias and `leaky`."""

    def __init__(self, inputs: int, outputs: int, width: int, *, double: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, width, double=double)
        self.strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, maps: torch.Tensor, style: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Maps (N,inputs,H,W), styles (N,width) and noise (N or 1,1,H',W') -> (N,outputs,H',W')."""
        out = self.conv(maps, style)
        return leaky(out + self.strength * noise + self.bias[:, None, None])


class Branch(nn.Module):
    """What one side adds to an output: a modulated 1 x 1 convolution without demodulation, and a bias."""

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 1, width, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, maps: torch.Tensor, style: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """Maps (N,inputs,H,W), styles (N,width) and the sum (N,outputs,H/2,W/2) of the smaller sides -> the sum (N,outputs,H,W)."""
        out = self.conv(maps, style) + self.bias[:, None, None]
        return out if below is None else out + doubled(below)


class Generator(nn.Module):
    """Latents to pairs: images (N,3,S,S), about [-1,1], and label logits (N,K,S,S), about +-1.

    With the default widths, 128 px and 16 classes it has 30,818,429 parameters.

    Args:
        size: S, a power of two.
        classes: K.
        latent: width of z, w and the styles.
        mapping_layers: of the mapping network.
        channel_base: see `widths`.
        max_channels: see `widths`.

    Attributes:
        styles: how many styles make one pair, 2 log2(S) - 2; the output branches of a side use the style of the layer that comes next.
        mean_latent: mean w (latent,), a buffer; styles are drawn towards it by truncation.

    Raises:
        ConfigError: `size` is no power of two, or below 8.
    """

    def __init__(
        self, size: int, classes: int, latent: int = 512, mapping_layers: int = 8, channel_base: int = 32768, max_channels: int = 512
    ):
        super().__init__()
        channels = widths(size, channel_base, max_channels)
        self.size, self.classes, self.latent = size, classes, latent
        self.styles = 2 * check_size(size) - 2
        layers = [EqualisedLinear(latent, latent, rate=MAPPING_RATE, active=True) for _ in range(mapping_layers)]
        self.mapping = nn.Sequential(*layers)
        self.constant = nn.Parameter(torch.randn(1, channels[SMALLEST], SMALLEST, SMALLEST))
        self.convs = nn.ModuleList([StyledConv(channels[SMALLEST], channels[SMALLEST], latent)])
        self.colours, self.labels = nn.ModuleList(), nn.ModuleList()
        for side, width in channels.items():
            if side > SMALLEST:
                self.convs.append(StyledConv(channels[side // 2], width, latent, double=True))
                self.convs.append(StyledConv(width, width, latent))
            self.colours.append(Branch(width, COLOURS, latent))
            self.labels.append(Branch(width, classes, latent))
        self.register_buffer("mean_latent", torch.zeros(latent))

    def map(self, z: torch.Tensor) -> torch.Tensor:
        """z (N,latent), standard normal -> w (N,latent)."""
        return self.mapping(normalise_pixels(z))

    def noise_sides(self) -> list[int]:
        """Sides of the noise maps that a pair takes, in their order."""
        return [SMALLEST] + [side for power in range(3, check_size(self.size) + 1) for side in (2**power, 2**power)]

    def draw_noise(self, count: int, generator: torch.Generator) -> list[torch.Tensor]:
        """Standard normal noise maps (count,1,side,side) for `forward`, on the generator's device."""
        return [torch.randn((count, 1, side, side), generator=generator, device=generator.device) for side in self.noise_sides()]

    def forward(self, styles: torch.Tensor, noise: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Make pairs.

        Args:
            styles: (N,styles,latent) a style a layer (w+), or (N,latent) one for all (w).
            noise: a map (N or 1,1,side,side) for every side in `noise_sides`.

        Returns:
            images (N,3,S,S) and logits (N,K,S,S).
        """
        if styles.dim() == 2:
            styles = styles[:, None].expand(-1, self.styles, -1)
        maps = self.constant.expand(len(styles), -1, -1, -1)
        image = logits = None
        for number, (colours, labels) in enumerate(zip(self.colours, self.labels, strict=True)):
            # Layers of side number k are 2k - 1 and 2k; the branch behind them takes the style of layer 2k + 1.
            for layer in [0] if number == 0 else [2 * number - 1, 2 * number]:
                maps = self.convs[layer](maps, styles[:, layer], noise[layer])
            style = styles[:, 2 * number + 1]
            image, logits = colours(maps, style, image), labels(maps, style, logits)
        return image, logits


def mix(generator: Generator, z: torch.Tensor, other: torch.Tensor, crossings: torch.Tensor) -> torch.Tensor:
    """Styles (N,styles,latent): layers below `crossings` (N,) take w of `z`, the others w of `other` (both (N,latent))."""
    first, second = generator.map(torch.cat([z, other])).chunk(2)
    layers = torch.arange(generator.styles, device=z.device)
    return torch.where((layers < crossings[:, None])[:, :, None], first[:, None], second[:, None])


def draw_styles(generator: Generator, count: int, mixing: float, stream: torch.Generator) -> torch.Tensor:
    """Styles (count,styles,latent) for training; with probability `mixing` two latents share a pair's layers at a random crossing."""
    device = stream.device
    z, other = torch.randn((2, count, generator.latent), generator=stream, device=device)
    crossings = torch.randint(1, generator.styles, (count,), generator=stream, device=device)
    mixed = torch.rand(count, generator=stream, device=device) < mixing
    return mix(generator, z, other, torch.where(mixed, crossings, generator.styles))


@torch.no_grad()
def measure_mean_latent(generator: Generator, stream: torch.Generator, count: int = 4096) -> None:
    """Set `mean_latent` to the mean w of `count` draws."""
    total = sum(
        generator.map(torch.randn((256, generator.latent), generator=stream, device=stream.device)).sum(0)
        for _ in range(math.ceil(count / 256))
    )
    generator.mean_latent.copy_(total / (256 * math.ceil(count / 256)))
