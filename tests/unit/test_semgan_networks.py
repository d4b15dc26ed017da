"""SemGAN's layers, networks and losses, against plain formulas and published sizes."""

import math

import pytest
import torch
from torch.nn import functional

from satsynth.adversarial import losses
from satsynth.adversarial.discriminators import ImageDiscriminator, LabelDiscriminator
from satsynth.adversarial.generator import Generator, draw_styles, measure_mean_latent, mix, widths
from satsynth.adversarial.operations import EqualisedConv, EqualisedLinear, ModulatedConv, batch_deviation, doubled, filtered
from satsynth.runtime.errors import ConfigError

TINY = {"latent": 12, "mapping_layers": 2, "channel_base": 128, "max_channels": 16}


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=stream(seed))


def tiny(size: int = 16, classes: int = 3) -> Generator:
    torch.manual_seed(0)
    return Generator(size, classes, **TINY)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_networks_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        assert parameters(Generator(128, 16)) == 30_818_429
        assert parameters(Generator(128, 4)) == 30_784_565
        assert parameters(ImageDiscriminator(128)) == 28_389_121
    assert parameters(LabelDiscriminator(16)) == 8_340_675


def test_widths_halve_where_maps_grow_large():
    assert widths(512, 32768, 512) == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}


@pytest.mark.parametrize("size", [4, 12, 100])
def test_sides_that_are_no_powers_of_two_are_refused(size):
    with pytest.raises(ConfigError, match="power of two"):
        Generator(size, 3, **TINY)


@pytest.mark.parametrize("padding", [(1, 1), (2, 1), (2, 2)])
def test_filter_is_the_binomial_convolution_and_so_are_its_derivatives(padding):
    maps = normal(2, 3, 6, 5).double().requires_grad_()
    taps = torch.tensor([1.0, 3, 3, 1]).double() / 8
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    oracle = functional.conv2d(functional.pad(maps, (*padding, *padding)), kernel, groups=3) * 2
    torch.testing.assert_close(filtered(maps, padding, gain=2.0), oracle)
    assert torch.autograd.gradcheck(lambda x: filtered(x, padding, 2.0), maps)
    assert torch.autograd.gradgradcheck(lambda x: filtered(x, padding, 2.0).square(), maps)


def test_doubling_keeps_constants_and_places_every_pixel_between_its_four():
    inner = doubled(torch.ones(1, 2, 6, 6))[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.ones_like(inner))
    spot = torch.zeros(1, 1, 7, 7)
    spot[0, 0, 3, 3] = 1
    spread = doubled(spot)[0, 0]
    assert spread.shape == (14, 14)
    torch.testing.assert_close(spread[5:9, 5:9], torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 16)


def test_equalised_layers_keep_unit_variance_and_learn_at_their_rate():
    torch.manual_seed(0)
    slow, plain = EqualisedLinear(256, 128, rate=0.01), EqualisedLinear(256, 128)
    values = normal(512, 256, seed=5)
    assert slow(values).var().item() == pytest.approx(1, rel=0.05)
    assert plain(values).var().item() == pytest.approx(1, rel=0.05)
    before = slow(values), plain(values)
    with torch.no_grad():
        for layer in (slow, plain):
            layer.weight += 0.1
    moved = [(layer(values) - old).norm() for layer, old in zip((slow, plain), before, strict=True)]
    assert moved[0].item() == pytest.approx(0.01 * moved[1].item(), rel=1e-3)


@pytest.mark.parametrize("side", [1, 3])
def test_halving_convolutions_halve_the_side(side):
    assert EqualisedConv(4, 6, side, halve=True)(normal(2, 4, 16, 16)).shape == (2, 6, 8, 8)
    assert EqualisedConv(4, 6, side)(normal(2, 4, 16, 16)).shape == (2, 6, 16, 16)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_of_the_input_is_modulation_of_the_weights(demodulate):
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, 3, 4, demodulate=demodulate)
    maps, style = normal(3, 5, 8, 8), normal(3, 4, seed=1)
    expected = []
    for item, scales in zip(maps, layer.modulation(style), strict=True):
        weight = layer.weight / math.sqrt(5 * 9) * scales[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(functional.conv2d(item[None], weight, padding=1))
    torch.testing.assert_close(layer(maps, style), torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_doubling_modulated_convolution_is_transposed_convolution_then_filter():
    torch.manual_seed(0)
    layer = ModulatedConv(3, 2, 3, 4, demodulate=False, double=True)
    maps, style = normal(2, 3, 4, 4), normal(2, 4, seed=1)
    scaled = maps * layer.modulation(style)[:, :, None, None]
    # A transposed convolution of stride 2 convolves with the flipped kernel between inserted zeros.
    spread = torch.zeros(2, 3, 7, 7)
    spread[:, :, ::2, ::2] = scaled
    wide = functional.conv2d(functional.pad(spread, (2, 2, 2, 2)), layer.weight.flip(2, 3) / math.sqrt(27))
    out = layer(maps, style)
    assert out.shape == (2, 2, 8, 8)
    torch.testing.assert_close(out, filtered(wide, (1, 1), 4.0), rtol=1e-4, atol=1e-5)


def test_deviation_of_the_batch_tells_groups_apart_and_is_about_zero_for_copies():
    copies = normal(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert batch_deviation(copies).shape == (8, 4, 4, 4)
    assert batch_deviation(copies)[:, 3].max() < 2e-4
    assert batch_deviation(normal(6, 3, 4, 4), group=4)[:, 3].unique().numel() == 2  # groups of 3
    values = normal(2, 3, 4, 4)
    expected = ((values[0] - values[1]).abs() / 2).mean()
    assert batch_deviation(values)[0, 3, 0, 0].item() == pytest.approx(expected.item(), rel=1e-3)


def test_generator_makes_pairs_and_takes_one_style_a_layer():
    generator = tiny(32)
    assert generator.styles == 8 and generator.noise_sides() == [4, 8, 8, 16, 16, 32, 32]
    z = normal(2, 12)
    w, noise = generator.map(z), generator.draw_noise(2, stream())
    image, logits = generator(w, noise)
    assert image.shape == (2, 3, 32, 32) and logits.shape == (2, 3, 32, 32)
    again = generator(w[:, None].expand(-1, 8, -1), noise)
    assert torch.equal(again[0], image) and torch.equal(again[1], logits)


@pytest.mark.parametrize("layer", range(6))
def test_every_style_and_noise_map_reaches_the_pair(layer):
    generator = tiny(16)
    with torch.no_grad():
        for conv in generator.convs:
            conv.strength.fill_(0.1)
    styles = generator.map(normal(1, 12))[:, None].repeat(1, 6, 1).requires_grad_()
    noise = [value.requires_grad_() for value in generator.draw_noise(1, stream())]
    for output in generator(styles, noise):
        gradients = torch.autograd.grad(output.square().sum(), [styles, *noise], retain_graph=True)
        assert gradients[0][0, layer].abs().sum() > 0
        assert gradients[1 + min(layer, 4)].abs().sum() > 0


def test_mixing_crosses_over_at_the_given_layer():
    generator = tiny(16)
    z, other = normal(2, 3, 12)
    styles = mix(generator, z, other, torch.tensor([2, 6, 1]))
    first, second = generator.map(z), generator.map(other)
    # Layers of every pair that come from its first latent; the others come from its second.
    for number, crossing in enumerate((2, 6, 1)):
        expected = torch.stack([first[number]] * crossing + [second[number]] * (6 - crossing))
        torch.testing.assert_close(styles[number], expected)


@pytest.mark.parametrize(("mixing", "low", "high"), [(0.0, 0, 0), (0.9, 0.8, 0.97), (1.0, 1, 1)])
def test_styles_are_mixed_as_often_as_asked(mixing, low, high):
    styles = draw_styles(tiny(16), 200, mixing, stream())
    mixed = (styles != styles[:, :1]).any((1, 2)).float().mean().item()
    assert low <= mixed <= high


def test_mean_latent_is_the_mean_of_w():
    generator = tiny(16)
    measure_mean_latent(generator, stream(1), count=2000)
    known = generator.map(normal(20000, 12, seed=2)).mean(0)
    torch.testing.assert_close(generator.mean_latent, known.detach(), rtol=0, atol=0.1)


def test_discriminators_score_images_and_patches():
    images, labels = ImageDiscriminator(16, 128, 16), LabelDiscriminator(3, width=4)
    assert images(normal(4, 3, 16, 16)).shape == (4,)
    scales = labels(normal(2, 6, 32, 32))
    assert len(scales) == 3 and all(len(maps) == 5 for maps in scales)
    assert [maps[-1].shape[1] for maps in scales] == [1, 1, 1]
    sides = [maps[0].shape[-1] for maps in scales]
    assert sides == [17, 9, 5]


def test_losses_are_their_formulas():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    expected = sum(math.log1p(math.exp(-x)) for x in (2.0, -1.0)) / 2 + sum(math.log1p(math.exp(x)) for x in (0.5, -3.0)) / 2
    assert losses.logistic_discriminator(real, fake).item() == pytest.approx(expected)
    assert losses.logistic_generator(fake).item() == pytest.approx(sum(math.log1p(math.exp(-x)) for x in (0.5, -3.0)) / 2)

    def scales(*scores: float, feature: float = 0.0) -> list:
        return [[torch.full((2, 4, 3, 3), feature), torch.full((2, 1, 2, 2), score)] for score in scores]

    # Hinge: scale 1 gives (0.5 + 0) / 2, scale 2 (0 + 1.25) / 2.
    assert losses.hinge_discriminator(scales(0.5, 2.0), scales(-1.5, 0.25)).item() == pytest.approx((0.25 + 0.625) / 2)
    assert losses.hinge_generator(scales(-1.5, 0.5)).item() == pytest.approx(0.5)
    assert losses.feature_matching(scales(0, 0, feature=1.0), scales(5, 5, feature=-0.5)).item() == pytest.approx(1.5)
    assert torch.equal(losses.total_score(scales(1.0, 2.0)), torch.tensor([3.0, 3.0]))


def test_gradient_penalty_is_the_squared_norm_of_each_image_and_trains():
    weight = normal(12, seed=3).requires_grad_()
    inputs = normal(5, 3, 2, 2).requires_grad_()
    penalty = losses.gradient_penalty(inputs.flatten(1) @ weight, inputs)
    assert penalty.item() == pytest.approx(weight.square().sum().item(), rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_path_length_is_the_norm_of_the_jacobian_in_a_direction_and_leaves_the_labels_alone():
    generator = tiny(8)
    styles = generator.map(normal(1, 12))[:, None].repeat(1, 4, 1).detach().requires_grad_()
    noise, direction = generator.draw_noise(1, stream()), normal(1, 3, 8, 8, seed=4)
    lengths = losses.path_lengths(generator, styles, noise, direction)
    jacobian = torch.autograd.functional.jacobian(lambda value: generator(value, noise)[0], styles)
    product = torch.einsum("bchw,bchwnld->ld", direction / 8, jacobian)
    assert lengths.item() == pytest.approx(product.square().sum(1).mean().sqrt().item(), rel=1e-4)
    lengths.sum().backward()
    assert all(parameter.grad is None for parameter in generator.labels.parameters())
    assert generator.convs[1].conv.weight.grad.abs().sum() > 0
