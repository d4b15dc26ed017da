"""The U-Net of Ho et al. 2020 (denoising diffusion), with two options for small budgets: pixel-unshuffle and narrower norm groups."""

from dataclasses import dataclass
from math import gcd, log

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from satsynth.runtime.errors import ConfigError


@dataclass(frozen=True)
class UNetConfig:
    """What a U-Net is made of.

    Args:
        in_channels: channels of the network's input, a condition included (2C for a super-resolution network).
        out_channels: channels of its output (C).
        channels: width of the first level; even.
        multipliers: width of level i is channels * multipliers[i]; each level halves height and width of the one before.
        blocks: residual blocks a level on the way down (one more on the way up).
        attention: heights of feature maps, in their own pixels (after unshuffle), at which self-attention follows every block.
        dropout: probability inside residual blocks, 0 to 1.
        size: height and width of the images in training, in pixels; decides where attention stands.
        unshuffle: 1, 2 or 4; the input is folded from (C,H,W) to (C u^2, H/u, W/u) and the output unfolded: u^2 fewer positions.
        condition_levels: whether the noise level of the condition is embedded too (conditioning augmentation, Ho et al. 2022).
        norm_groups: groups of each GroupNorm. 32 in the paper; a width that 32 does not divide takes their greatest common divisor.
            At width 32 that is one channel a group, which wipes each channel's mean: small networks learn better with 8.
        heads: of every self-attention; 1 in Ho et al., 4 in Nichol and Dhariwal 2021. They share the width, so no parameter is added.
    """

    in_channels: int
    out_channels: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dropout: float
    size: int
    unshuffle: int = 1
    condition_levels: bool = False
    norm_groups: int = 32
    heads: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        object.__setattr__(self, "attention", tuple(self.attention))
        if self.unshuffle not in (1, 2, 4):
            raise ConfigError("network.unshuffle", f"{self.unshuffle} is no unshuffle factor.", "Use 1, 2 or 4.")
        if self.channels % 2 or self.channels < 4:
            raise ConfigError("network.channels", f"{self.channels} is no width.", "Give an even number of at least 4.")
        if not self.multipliers or self.blocks < 1:
            raise ConfigError("network", "It has no blocks.", "Give at least one multiplier and blocks >= 1.")
        if self.heads < 1 or any(self.channels * multiplier % self.heads for multiplier in self.multipliers):
            raise ConfigError("network.heads", f"{self.heads} heads cannot share its widths.", "Use a divisor of every width.")
        if self.size % self.stride:
            cause = f"{self.size} px do not divide by {self.stride} (unshuffle times the halvings of {len(self.multipliers)} levels)."
            raise ConfigError("network", cause, "Use fewer multipliers, less unshuffle or another size.")

    @property
    def stride(self) -> int:
        """Pixels of the image that one position of the lowest level covers in each direction; H and W must divide by it."""
        return self.unshuffle * 2 ** (len(self.multipliers) - 1)


class UNet(nn.Module):
    """The network; its parameter counts are exactly those of the original for the same widths.

    A caller who wants channels_last converts the module: maps take the memory format of its weights.

    Attributes:
        recompute: whether training keeps only the blocks' inputs and works out what is inside them again in the backward pass (Chen et al.
            2016, sublinear memory): a third more operations, the same numbers.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config, self.recompute = config, False
        c, square, groups, heads = config.channels, config.unshuffle**2, config.norm_groups, config.heads
        embedding = 4 * c
        self.embed_time = LevelEmbedding(c, embedding)
        self.embed_condition = LevelEmbedding(c, embedding) if config.condition_levels else None
        self.conv_in = _conv3(config.in_channels * square, c)

        def block(wide_in: int, wide_out: int, height: int) -> Block:
            return Block(wide_in, wide_out, embedding, config.dropout, height in config.attention, groups, heads)

        height, width, skips = config.size // config.unshuffle, c, [c]
        self.down = nn.ModuleList()
        last = len(config.multipliers) - 1
        for level, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                self.down.append(block(width, c * multiplier, height))
                width = c * multiplier
                skips.append(width)
            if level < last:
                self.down.append(Downsample(width))
                skips.append(width)
                height //= 2
        self.middle = nn.ModuleList(Block(width, width, embedding, config.dropout, attention, groups, heads) for attention in (True, False))
        self.up = nn.ModuleList()
        for level in range(last, -1, -1):
            for _ in range(config.blocks + 1):
                self.up.append(block(width + skips.pop(), c * config.multipliers[level], height))
                width = c * config.multipliers[level]
            if level:
                self.up.append(Upsample(width))
                height *= 2
        self.norm_out = _norm(width, groups)
        self.conv_out = _conv3(width, config.out_channels * square, zero=True)

    def forward(
        self,
        x: torch.Tensor,
        time: torch.Tensor,
        condition: torch.Tensor | None = None,
        condition_level: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The raw output of the network.

        Args:
            x: (N, in_channels less the condition's, H, W) float, about unit variance.
            time: (N,) float32, the step index (may be fractional) or any other measure of the noise level.
            condition: (N, ., H, W) float, concatenated on channels behind x.
            condition_level: (N,) float32 on the scale of step indices; needs `condition_levels`, and is needed then.
            features: (N, channels, H/unshuffle, W/unshuffle) float, added to the first convolution's map (SegDiff, Amit et al. 2021).

        Returns:
            (N, out_channels, H, W) in the dtype of the last convolution.
        """
        embedded = self.embed_time(time)
        if (self.embed_condition is None) != (condition_level is None):
            raise ConfigError("network.condition_levels", "A condition's level and its embedding go together.", "Give both or neither.")
        if self.embed_condition is not None:
            embedded = embedded + self.embed_condition(condition_level)
        embedded = F.silu(embedded)  # every block wants it behind the swish: done once
        if condition is not None:
            x = torch.cat([x, condition.to(x.dtype)], 1)
        if self.config.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.config.unshuffle)
        x = self.conv_in(x.contiguous(memory_format=_layout(self.conv_in.weight)))
        if features is not None:
            x = x + features.to(x.dtype)
        skips = [x]
        for layer in self.down:
            x = self._run(layer, x, embedded)
            skips.append(x)
        for layer in self.middle:
            x = self._run(layer, x, embedded)
        for layer in self.up:
            if isinstance(layer, Block):
                x = torch.cat([x, skips.pop()], 1)
            x = self._run(layer, x, embedded)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return F.pixel_shuffle(x, self.config.unshuffle) if self.config.unshuffle > 1 else x

    def _run(self, layer: nn.Module, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        if self.recompute and self.training and isinstance(layer, Block):
            return checkpoint(layer, x, embedded, use_reentrant=False)
        return layer(x, embedded)


class LevelEmbedding(nn.Module):
    """Sinusoidal features of a level, then two linear layers with a swish between (the last swish is the caller's)."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.features = features
        self.first, self.second = _linear(features, width), _linear(width, width)

    def forward(self, level: torch.Tensor) -> torch.Tensor:
        """(N,) float -> (N, width). Angles are float32 whatever autocast says: bf16 cannot tell step 999 from 1000."""
        half = self.features // 2
        ranks = torch.arange(half, device=level.device, dtype=torch.float32)
        angles = level.float()[:, None] * torch.exp(ranks * (-log(10000) / max(half - 1, 1)))
        return self.second(F.silu(self.first(torch.cat([angles.sin(), angles.cos()], 1))))


class Block(nn.Module):
    """A residual block, with self-attention behind it where asked: (N,wide_in,H,W), (N,embedding) -> (N,wide_out,H,W)."""

    def __init__(self, wide_in: int, wide_out: int, embedding: int, dropout: float, attention: bool, groups: int, heads: int):
        super().__init__()
        self.norm1, self.conv1 = _norm(wide_in, groups), _conv3(wide_in, wide_out)
        self.embed = _linear(embedding, wide_out)
        self.norm2, self.conv2 = _norm(wide_out, groups), _conv3(wide_out, wide_out, zero=True)
        self.dropout = dropout
        self.skip = _conv1(wide_in, wide_out) if wide_in != wide_out else None
        self.attention = Attention(wide_out, groups, heads) if attention else None

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """See the class; `embedded` is behind its swish."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.embed(embedded)[:, :, None, None]
        h = F.silu(self.norm2(h))
        if self.dropout:
            h = F.dropout(h, self.dropout, self.training)
        h = self.conv2(h) + (x if self.skip is None else self.skip(x))
        return h if self.attention is None else self.attention(h)


class Attention(nn.Module):
    """Self-attention over all positions of a map, whose channels the heads share evenly, residual: (N,C,H,W) -> the same."""

    def __init__(self, width: int, groups: int, heads: int = 1):
        super().__init__()
        self.heads = heads
        self.norm = _norm(width, groups)
        self.qkv = _conv1(width, 3 * width)
        with torch.no_grad():  # three 1x1 convolutions in one: each takes the spread of its own fan, not of the threefold one
            for part in self.qkv.weight.split(width):
                nn.init.xavier_uniform_(part)
        self.project = _conv1(width, width, zero=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        n, c, h, w = x.shape
        # (N, heads, HW, C/heads) each: free views of a channels_last map.
        parts = self.qkv(self.norm(x)).permute(0, 2, 3, 1).reshape(n, h * w, 3, self.heads, c // self.heads)
        out = F.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4))
        return x + self.project(out.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2))


class Downsample(nn.Module):
    """Convolution of stride 2, padded as TensorFlow's SAME does for even sides: right and bottom only."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = _xavier(nn.Conv2d(width, width, 3, stride=2))

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """(N,C,H,W) -> (N,C,H/2,W/2); the embedding is not used."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a 3x3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = _conv3(width, width)

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """(N,C,H,W) -> (N,C,2H,2W); the embedding is not used.

        On processors as one transposed convolution of stride 2, which is the same map by 4 products a position in place of 9, and twice as
        fast. Accelerators have not been measured.
        """
        if x.device.type == "cpu":
            return F.conv_transpose2d(x, doubling_kernel(self.conv.weight), self.conv.bias, stride=2, padding=1)
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def doubling_kernel(weight: torch.Tensor) -> torch.Tensor:
    """The kernel by which one transposed convolution of stride 2 and padding 1 doubles and convolves.

    Each pixel is seen twice by a 3x3 kernel on the doubled map, in each direction, so neighbouring weights add up: (out,in,3,3) ->
    (in,out,4,4).
    """
    turned = weight.flip(2, 3)
    wide = F.pad(turned, (0, 1)) + F.pad(turned, (1, 0))
    return (F.pad(wide, (0, 0, 0, 1)) + F.pad(wide, (0, 0, 1, 0))).transpose(0, 1)


def _layout(weight: torch.Tensor) -> torch.memory_format:
    """The memory format of a kernel, and so of the maps that it belongs to."""
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _xavier(layer: nn.Module, zero: bool = False) -> nn.Module:
    """Variance scaling by the average fan, uniform, scale 1 (or 0), and no bias: Ho et al.'s initialisation."""
    if zero:
        nn.init.zeros_(layer.weight)
    else:
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _conv3(wide_in: int, wide_out: int, zero: bool = False) -> nn.Module:
    return _xavier(nn.Conv2d(wide_in, wide_out, 3, padding=1), zero)


def _conv1(wide_in: int, wide_out: int, zero: bool = False) -> nn.Module:
    return _xavier(nn.Conv2d(wide_in, wide_out, 1), zero)


def _linear(wide_in: int, wide_out: int) -> nn.Module:
    return _xavier(nn.Linear(wide_in, wide_out))


def _norm(width: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(width, groups), width, eps=1e-6)
