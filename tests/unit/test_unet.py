import copy
import math

import pytest
import torch
from torch.nn import functional as F

from satsynth.diffusion.unet import Attention, Downsample, LevelEmbedding, UNet, UNetConfig, Upsample
from satsynth.runtime.errors import ConfigError

DEEP = (1, 1, 2, 2, 4, 4)


def small(**changes):
    torch.manual_seed(0)
    cfg = {
        "in_channels": 5,
        "out_channels": 5,
        "channels": 32,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (8,),
        "dropout": 0.0,
        "size": 16,
    }
    return UNet(UNetConfig(**{**cfg, **changes}))


def stirred(**changes):
    """A small network whose zero-initialised layers are not zero, so that every part acts on the output."""
    net = small(**changes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return net.eval()


@pytest.mark.parametrize(
    ("size", "inputs", "outputs", "channels", "multipliers", "count"),
    [
        (128, 7, 7, 128, DEEP, 109_742_599),
        (128, 6, 6, 128, DEEP, 109_740_294),
        (128, 19, 19, 128, DEEP, 109_770_259),
        (128, 3, 3, 128, DEEP, 109_733_379),
        (128, 7, 7, 128, (1, 1, 2, 2, 4), 71_446_023),
        (128, 7, 7, 128, (1, 2, 2, 4), 72_742_151),
        (128, 7, 7, 64, DEEP, 27_464_967),
        (64, 7, 7, 32, (1, 2, 2, 2), 2_248_071),
        (256, 14, 7, 128, DEEP, 113_690_503),
        (32, 3, 3, 128, (1, 2, 2, 2), 35_746_307),
        (256, 3, 3, 128, DEEP, 113_673_219),
    ],
)
def test_parameter_counts_are_the_published_ones(size, inputs, outputs, channels, multipliers, count):
    with torch.device("meta"):
        net = UNet(UNetConfig(inputs, outputs, channels, multipliers, 2, (16,), 0.0, size))
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_against_the_port_in_diffusers_with_the_same_weights():
    diffusers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    oracle = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=5,
        out_channels=5,
        layers_per_block=2,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    ).eval()
    net = stirred(blocks=2)
    state = {}

    def put(name, layer):
        state.update({f"{name}.weight": layer.weight, f"{name}.bias": layer.bias})

    def put_block(stage, place, block):
        name = f"{stage}.resnets.{place}"
        pairs = {"norm1": block.norm1, "conv1": block.conv1, "time_emb_proj": block.embed, "norm2": block.norm2, "conv2": block.conv2}
        for part, layer in (pairs | ({"conv_shortcut": block.skip} if block.skip else {})).items():
            put(f"{name}.{part}", layer)
        if block.attention:
            name = f"{stage}.attentions.{place}"
            put(f"{name}.group_norm", block.attention.norm)
            for part, weight, bias in zip("qkv", block.attention.qkv.weight.chunk(3), block.attention.qkv.bias.chunk(3)):
                state.update({f"{name}.to_{part}.weight": weight[:, :, 0, 0], f"{name}.to_{part}.bias": bias})
            state.update(
                {
                    f"{name}.to_out.0.weight": block.attention.project.weight[:, :, 0, 0],
                    f"{name}.to_out.0.bias": block.attention.project.bias,
                }
            )

    for name, layer in {
        "time_embedding.linear_1": net.embed_time.first,
        "time_embedding.linear_2": net.embed_time.second,
        "conv_in": net.conv_in,
        "conv_norm_out": net.norm_out,
        "conv_out": net.conv_out,
        "down_blocks.0.downsamplers.0.conv": net.down[2].conv,
        "up_blocks.0.upsamplers.0.conv": net.up[3].conv,
    }.items():
        put(name, layer)
    for stage, place, block in [
        *[("down_blocks.0", i, net.down[i]) for i in range(2)],
        *[("down_blocks.1", i, net.down[3 + i]) for i in range(2)],
        *[("mid_block", i, net.middle[i]) for i in range(2)],
        *[("up_blocks.0", i, net.up[i]) for i in range(3)],
        *[("up_blocks.1", i, net.up[4 + i]) for i in range(3)],
    ]:
        put_block(stage, place, block)
    oracle.load_state_dict(state)  # strict: every weight of both networks is matched
    x, t = torch.randn(2, 5, 16, 16), torch.tensor([3.0, 900.0])
    with torch.no_grad():
        torch.testing.assert_close(net(x, t), oracle(x, t).sample, rtol=1e-4, atol=1e-4)


def test_attention_is_softmax_of_scaled_products_with_one_head():
    torch.manual_seed(0)
    layer = Attention(8, 4)
    torch.nn.init.normal_(layer.project.weight)
    x = torch.randn(2, 8, 3, 5)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).chunk(3, 1)
    mixed = torch.einsum("nqk,nck->ncq", torch.softmax(torch.einsum("ncq,nck->nqk", q, k) / math.sqrt(8), -1), v)
    torch.testing.assert_close(layer(x), x + layer.project(mixed.reshape(x.shape)))


def test_downsample_pads_right_and_bottom_only():
    layer = Downsample(2)
    x = torch.randn(1, 2, 4, 4)
    padded = torch.zeros(1, 2, 5, 5)
    padded[:, :, :4, :4] = x
    torch.testing.assert_close(layer(x, x), F.conv2d(padded, layer.conv.weight, layer.conv.bias, stride=2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_upsample_is_nearest_doubling_and_a_convolution(layout):
    layer = Upsample(6).double().to(memory_format=layout)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    found = layer(x, None)
    wanted = layer.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(wanted)
    at = (x, layer.conv.weight, layer.conv.bias)
    for ours, plain in zip(torch.autograd.grad(found, at, upstream), torch.autograd.grad(wanted, at, upstream), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


def test_maps_take_the_layout_of_the_weights():
    net = stirred(unshuffle=2).to(memory_format=torch.channels_last)
    seen = []
    net.down[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    net(torch.randn(2, 5, 16, 16), torch.zeros(2))
    assert seen[0].is_contiguous(memory_format=torch.channels_last) and not seen[0].is_contiguous()


def test_a_fresh_network_answers_zero_and_has_the_right_spread():
    net = small()
    x = torch.randn(2, 5, 16, 16)
    assert net(x, torch.tensor([1.0, 2.0])).abs().max() == 0
    block = net.down[0]
    bound = math.sqrt(6 / (2 * 9 * 32))  # fan average of a 3x3 convolution 32 -> 32
    assert bound * 0.95 < block.conv1.weight.abs().max() <= bound and block.conv2.weight.abs().max() == 0
    qkv = net.middle[0].attention.qkv.weight
    assert math.sqrt(6 / 128) * 0.95 < qkv.abs().max() <= math.sqrt(6 / 128)  # that of one of the three, 64 -> 64
    assert all(module.bias.abs().max() == 0 for module in net.modules() if getattr(module, "bias", None) is not None)


def test_every_parameter_gets_a_gradient():
    net = stirred(condition_levels=True, in_channels=8)
    net(torch.randn(1, 5, 16, 16), torch.tensor([10.5]), torch.randn(1, 3, 16, 16), torch.tensor([4.0])).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in net.parameters())


def test_attention_stands_at_the_named_heights_and_in_the_middle():
    net = small(size=32, multipliers=(1, 2, 2), blocks=2, attention=(16,))
    heights = {id(block): 0 for block in net.modules() if block.__class__.__name__ == "Block"}
    for block in net.modules():
        if id(block) in heights:
            block.register_forward_hook(lambda b, _, out: heights.update({id(b): out.shape[2]}))
    net(torch.randn(1, 5, 32, 32), torch.zeros(1))
    blocks = [block for block in [*net.down, *net.up] if id(block) in heights]
    assert len(blocks) == 6 + 9
    assert all((block.attention is not None) == (heights[id(block)] == 16) for block in blocks)
    assert [block.attention is not None for block in net.middle] == [True, False]


@pytest.mark.parametrize("factor", [2, 4])
def test_unshuffle_shrinks_the_maps_and_keeps_the_shape(factor):
    net = stirred(size=32, unshuffle=factor, attention=())
    assert net.conv_in.in_channels == 5 * factor**2
    seen = []
    net.conv_in.register_forward_hook(lambda _, args, out: seen.append(out.shape[2:]))
    x = torch.randn(2, 5, 32, 32)
    y = net(x, torch.zeros(2))
    assert y.shape == x.shape and seen == [(32 // factor, 32 // factor)]
    # The output is in the places of the input: a change in one corner moves that corner most.
    moved = x.clone()
    moved[:, :, :factor, :factor] += 1
    change = (net(moved, torch.zeros(2)) - y).abs().sum((0, 1))
    assert change[:8, :8].mean() > 3 * change[-8:, -8:].mean()


def test_channels_last_and_bfloat16_agree_with_the_plain_network():
    for factor in (1, 2):
        net, x, t = stirred(unshuffle=factor), torch.randn(2, 5, 16, 16), torch.tensor([5.0, 700.0])
        other = copy.deepcopy(net).to(memory_format=torch.channels_last)
        with torch.no_grad():
            plain, last = net(x, t), other(x.contiguous(memory_format=torch.channels_last), t)
            torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)
            with torch.autocast("cpu", torch.bfloat16):
                low = net(x, t)
        assert low.dtype == torch.bfloat16
        assert (low.float() - plain).square().mean() < 2e-3 * plain.square().mean()


def test_recomputing_blocks_changes_no_number():
    x, time = torch.randn(2, 5, 16, 16), torch.tensor([3.0, 700.0])
    found = []
    for recompute in (False, True):
        net = stirred(dropout=0.3).train()
        net.recompute = recompute
        torch.manual_seed(1)
        out = net(x, time)
        out.square().mean().backward()
        found.append((out, [parameter.grad for parameter in net.parameters()]))
    (plain, gradients), (again, recomputed) = found
    assert torch.equal(plain, again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, recomputed, strict=True))


def test_recomputing_keeps_less_for_the_backward_pass():
    kept = {}
    for recompute in (False, True):
        net = small(channels=64, blocks=2).train()
        net.recompute, sizes = recompute, {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, sizes=sizes: sizes.setdefault(saved.data_ptr(), saved), lambda saved: saved
        ):
            net(torch.randn(4, 5, 16, 16), torch.zeros(4))
        own = {parameter.data_ptr() for parameter in net.parameters()}
        kept[recompute] = sum(saved.nbytes for place, saved in sizes.items() if place not in own)
    assert kept[True] < 0.5 * kept[False]


def test_time_is_continuous_and_its_angles_stay_exact_under_autocast():
    layer = LevelEmbedding(32, 16)
    t = torch.tensor([998.0, 999.0, 999.001])
    angles = t[:, None] * 10000 ** (-torch.arange(16) / 15)
    wanted = layer.second(F.silu(layer.first(torch.cat([angles.sin(), angles.cos()], 1))))
    torch.testing.assert_close(layer(t), wanted, rtol=1e-3, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(t)
    assert (low[0] - low[1]).abs().max() > 20 * (low[1] - low[2]).abs().max()
    net, x = stirred(), torch.randn(1, 5, 16, 16)
    a, b, c = (net(x, torch.tensor([value])) for value in (10.0, 10.01, 11.0))
    assert 0 < (a - b).abs().max() < 0.1 * (a - c).abs().max()


def test_a_condition_and_its_level_act_and_go_together():
    net = stirred(in_channels=10, condition_levels=True)
    x, t, low = torch.randn(1, 5, 16, 16), torch.zeros(1), torch.randn(1, 5, 16, 16)
    base = net(x, t, low, torch.tensor([0.0]))
    assert (net(x, t, low + 1, torch.tensor([0.0])) - base).abs().max() > 1e-3
    assert (net(x, t, low, torch.tensor([100.0])) - base).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="condition_levels"):
        net(x, t, low)
    with pytest.raises(ConfigError, match="condition_levels"):
        stirred()(x, t, None, torch.tensor([0.0]))


def test_dropout_acts_in_training_only():
    net = stirred(dropout=0.5)
    x, t = torch.randn(1, 5, 16, 16), torch.zeros(1)
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.equal(net(x, t), net(x, t))


def test_odd_widths_take_fewer_groups():
    net = small(channels=40, multipliers=(1, 2))
    assert net.down[0].norm1.num_groups == 8 and net.middle[0].norm1.num_groups == 16
    assert small(norm_groups=8).down[0].norm1.num_groups == 8
    assert net(torch.randn(1, 5, 16, 16), torch.zeros(1)).shape == (1, 5, 16, 16)


@pytest.mark.parametrize(
    "change", [{"unshuffle": 3}, {"channels": 33}, {"multipliers": ()}, {"blocks": 0}, {"size": 18, "multipliers": (1, 1, 1)}]
)
def test_impossible_networks_are_refused(change):
    with pytest.raises(ConfigError) as caught:
        small(**change)
    assert caught.value.subject.startswith("network") and caught.value.remedy
