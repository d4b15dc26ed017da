"""Layers of StyleGAN2 (Karras et al. 2020) in plain PyTorch: every one can be differentiated twice, as R1 and path length need.

Weights are stored with unit variance and scaled when used (equalised learning rate, Karras et al. 2018), so that Adam moves all layers at
one speed.
"""

import math

import torch
from torch import nn
from torch.nn import functional

SLOPE, GAIN = 0.2, math.sqrt(2)
TAPS = (1.0, 3.0, 3.0, 1.0)


def leaky(values: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of slope 0.2 times the square root of 2, so that the variance of normal inputs stays about 1."""
    return functional.leaky_relu(values, SLOPE) * GAIN


def normalise_pixels(values: torch.Tensor) -> torch.Tensor:
    """Scale vectors (N,C) to a mean square of 1."""
    return values * torch.rsqrt(values.square().mean(1, keepdim=True) + 1e-8)


class _Filter(torch.autograd.Function):
    """The low-pass filter. It is symmetric, so its derivative is the filter itself, with the padding that was left out."""

    @staticmethod
    def forward(context, maps: torch.Tensor, before: int, after: int, gain: float) -> torch.Tensor:
        context.rest = len(TAPS) - 1 - before, len(TAPS) - 1 - after, gain
        taps = maps.new_tensor(TAPS)
        kernel = torch.outer(taps, taps) * (gain / sum(TAPS) ** 2)
        channels = maps.shape[1]
        with torch.autocast(maps.device.type, enabled=False):
            padded = functional.pad(maps, (before, after, before, after))
            return functional.conv2d(padded, kernel.expand(channels, 1, -1, -1).contiguous(), groups=channels)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple:
        return _Filter.apply(gradient, *context.rest), None, None, None


def filtered(maps: torch.Tensor, padding: tuple[int, int], gain: float = 1.0) -> torch.Tensor:
    """Low-pass (N,C,H,W) by the binomial filter 1, 3, 3, 1 in both directions.

    Args:
        maps: any float type.
        padding: zeros (before, after) in both directions, at most 3; the side becomes H + before + after - 3.
        gain: of the filter at frequency 0.
    """
    # Left to itself, autograd differentiates a depthwise convolution ten times slower than the convolution itself takes, and twice
    # a hundred times.
    return _Filter.apply(maps, *padding, gain)


def doubled(maps: torch.Tensor) -> torch.Tensor:
    """Twice the side: zeros between the pixels of (N,C,H,W), then the low-pass filter."""
    count, channels, height, width = maps.shape
    spread = functional.pad(maps[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(count, channels, 2 * height, 2 * width)
    return filtered(spread, (2, 1), gain=4.0)


class EqualisedLinear(nn.Module):
    """A fully connected layer at an equalised learning rate.

    Args:
        inputs: width of the input.
        outputs: width of the output.
        bias: first value of the bias.
        rate: the layer learns at this multiple of the optimiser's rate (0.01 in the mapping network).
        active: end with `leaky`.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0, active: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate, self.active = rate / math.sqrt(inputs), rate, active

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        out = functional.linear(values, self.weight * self.scale, self.bias * self.rate)
        return leaky(out) if self.active else out


class EqualisedConv(nn.Module):
    """A convolution of a discriminator at an equalised learning rate; the side stays, or is halved behind the low-pass filter.

    Args:
        inputs, outputs: channels.
        side: of the kernel, 1 or 3.
        halve: filter, then step by 2.
        active: add a bias and end with `leaky`; without it there is no bias either.
    """

    def __init__(self, inputs: int, outputs: int, side: int, *, halve: bool = False, active: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.scale, self.side, self.halve = 1 / math.sqrt(inputs * side**2), side, halve

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N,inputs,H,W) -> (N,outputs,H,W), or half the side."""
        weight = self.weight * self.scale
        if self.halve:
            # One pixel of padding more than the filter takes, and what the kernel needs.
            maps = filtered(maps, ((self.side + 1) // 2, (self.side + 1) // 2))
            out = functional.conv2d(maps, weight, self.bias, stride=2)
        else:
            out = functional.conv2d(maps, weight, self.bias, padding=self.side // 2)
        return leaky(out) if self.bias is not None else out


class ModulatedConv(nn.Module):
    """A convolution whose input channels a style scales (Karras et al. 2020, section 2.2).

    Scaling weights by s and normalising every output channel is the same as scaling the input by s, convolving with the shared weights and
    scaling the output: no grouped convolution, and its second derivative, which is slow everywhere, is not needed.

    Args:
        inputs, outputs: channels.
        side: of the kernel, 1 or 3.
        width: of the style.
        demodulate: give every output channel unit variance for inputs of unit variance.
        double: twice the side, by a transposed convolution and the low-pass filter.
    """

    def __init__(self, inputs: int, outputs: int, side: int, width: int, *, demodulate: bool = True, double: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.modulation = EqualisedLinear(width, inputs, bias=1.0)
        self.scale, self.side, self.demodulate, self.double = 1 / math.sqrt(inputs * side**2), side, demodulate, double

    def forward(self, maps: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """Maps (N,inputs,H,W) and styles (N,width) -> (N,outputs,H,W), or twice the side."""
        weight = self.weight * self.scale
        scales = self.modulation(style)
        maps = maps * scales[:, :, None, None]
        if self.double:
            out = filtered(functional.conv_transpose2d(maps, weight.transpose(0, 1), stride=2), (1, 1), gain=4.0)
        else:
            out = functional.conv2d(maps, weight, padding=self.side // 2)
        if self.demodulate:
            power = functional.linear(scales.float().square(), weight.square().sum((2, 3)))
            out = out * torch.rsqrt(power + 1e-8)[:, :, None, None]
        return out


def batch_deviation(maps: torch.Tensor, group: int = 4) -> torch.Tensor:
    """Append one channel: the mean standard deviation inside groups of the batch (Karras et al. 2018, section 3).

    Args:
        maps: (N,C,H,W).
        group: images in a group; where it does not divide N, the next smaller divisor.
    """
    count, channels, height, width = maps.shape
    group = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    sets = maps.float().view(group, count // group, channels, height, width)
    spread = torch.sqrt(sets.var(0, correction=0) + 1e-8).mean((1, 2, 3))
    extra = spread.repeat(group).view(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat([maps, extra.to(maps.dtype)], 1)
