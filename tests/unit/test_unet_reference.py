"""The U-Net against the same network written as plainly as its description: forward and gradients, in the forms that trainings use."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from satsynth.diffusion.unet import Attention, Block, Downsample, LevelEmbedding, UNet, UNetConfig

CONFIG = UNetConfig(
    in_channels=5, out_channels=5, channels=16, multipliers=(1, 2), blocks=2, attention=(8,), dropout=0.0, size=16, norm_groups=8
)
UPSCALER = {"in_channels": 10, "condition_levels": True}
FORMS = {
    "G": {},
    "folded": {"unshuffle": 2, "attention": (4,)},
    "G_SR": UPSCALER,
    "folded G_SR": {**UPSCALER, "unshuffle": 2, "attention": ()},
}


def norm(layer: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    """Mean and variance of a group of channels over all positions, written out."""
    groups = x.reshape(len(x), layer.num_groups, -1)
    groups = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, keepdim=True, unbiased=False) + layer.eps).sqrt()
    return groups.view_as(x) * layer.weight[:, None, None] + layer.bias[:, None, None]


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def attend(layer: Attention, x: torch.Tensor) -> torch.Tensor:
    """Softmax of scaled products of every position with every other one."""
    n, c, h, w = x.shape
    query, key, value = F.conv2d(norm(layer.norm, x), layer.qkv.weight, layer.qkv.bias).reshape(n, 3, c, h * w).unbind(1)
    shares = torch.softmax(query.transpose(1, 2) @ key / c**0.5, 2)
    mixed = (value @ shares.transpose(1, 2)).reshape(n, c, h, w)
    return x + F.conv2d(mixed, layer.project.weight, layer.project.bias)


def residual(layer: Block, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    h = F.conv2d(swish(norm(layer.norm1, x)), layer.conv1.weight, layer.conv1.bias, padding=1)
    h = h + (embedded @ layer.embed.weight.T + layer.embed.bias)[:, :, None, None]
    h = F.conv2d(swish(norm(layer.norm2, h)), layer.conv2.weight, layer.conv2.bias, padding=1)
    x = h + (x if layer.skip is None else F.conv2d(x, layer.skip.weight, layer.skip.bias))
    return x if layer.attention is None else attend(layer.attention, x)


def embed(layer: LevelEmbedding, level: torch.Tensor) -> torch.Tensor:
    angles = level[:, None] * 10000 ** (-torch.arange(8, dtype=level.dtype) / 7)
    features = torch.cat([angles.sin(), angles.cos()], 1)
    return swish(features @ layer.first.weight.T + layer.first.bias) @ layer.second.weight.T + layer.second.bias


def fold(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Squares of factor x factor pixels as channels, row by row within a channel."""
    parts = [x[:, :, down::factor, right::factor] for down in range(factor) for right in range(factor)]
    return torch.stack(parts, 2).flatten(1, 2)


def unfold(x: torch.Tensor, factor: int) -> torch.Tensor:
    n, channels, height, width = x.shape
    out = x.new_empty(n, channels // factor**2, height * factor, width * factor)
    for place in range(factor**2):
        out[:, :, place // factor :: factor, place % factor :: factor] = x[:, place :: factor**2]
    return out


def reference(net: UNet, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor | None, level: torch.Tensor | None) -> torch.Tensor:
    """Ho et al. 2020, appendix B, over the weights of `net`."""
    embedded = swish(embed(net.embed_time, time) + (0 if level is None else embed(net.embed_condition, level)))
    x = fold(x if condition is None else torch.cat([x, condition], 1), net.config.unshuffle)
    x = F.conv2d(x, net.conv_in.weight, net.conv_in.bias, padding=1)
    kept = [x]
    for layer in net.down:
        if isinstance(layer, Downsample):
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.conv.weight, layer.conv.bias, stride=2)
        else:
            x = residual(layer, x, embedded)
        kept.append(x)
    for layer in net.middle:
        x = residual(layer, x, embedded)
    for layer in net.up:
        if isinstance(layer, Block):
            x = residual(layer, torch.cat([x, kept.pop()], 1), embedded)
        else:
            doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = F.conv2d(doubled, layer.conv.weight, layer.conv.bias, padding=1)
    x = F.conv2d(swish(norm(net.norm_out, x)), net.conv_out.weight, net.conv_out.bias, padding=1)
    return unfold(x, net.config.unshuffle)


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "channels last"])
@pytest.mark.parametrize(("autocast", "bound", "gradient_bound"), [(False, 1e-5, 1e-5), (True, 0.03, 0.06)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("form", list(FORMS))
def test_the_network_is_the_plain_one_forward_and_backward(form, autocast, bound, gradient_bound, layout, recompute):
    torch.manual_seed(0)
    plain = UNet(replace(CONFIG, **FORMS[form])).double()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # layers that begin as zeros take part too
    x, time = torch.randn(2, 5, 16, 16, dtype=torch.float64), torch.tensor([3.0, 700.0], dtype=torch.float64)
    conditional = plain.config.condition_levels
    given = (torch.randn_like(x), torch.tensor([20.0, 400.0], dtype=torch.float64)) if conditional else (None, None)
    upstream = torch.randn(2, 5, 16, 16, dtype=torch.float64)
    net = copy.deepcopy(plain).float().to(memory_format=layout).train()
    net.recompute = recompute
    wanted = reference(plain, x, time, *given)
    wanted.backward(upstream)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = net(x.float(), time.float(), *(None if value is None else value.float() for value in given))
    found.backward(upstream.to(found.dtype))
    assert distance(found, wanted) < bound
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert distance(ours.grad, theirs.grad) < gradient_bound, name


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the difference, as a share of what was wanted."""
    return ((found.double() - wanted).square().mean() / wanted.square().mean()).sqrt().item()
