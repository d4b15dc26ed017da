"""The estimate that a network's output is added to: exact where its model of the data is, and far better than c_skip x on patches."""

import numpy as np
import pytest
import torch
from generator_fixtures import SAMPLER, config, train, write_store

from satsynth.codes import Codes
from satsynth.datasets import demo
from satsynth.diffusion import ddpm
from satsynth.diffusion.prior import FLOOR, Prior
from satsynth.diffusion.stacks import encode
from satsynth.runtime import files

SIZE = 8


def smooth(count, channels=3, seed=0):
    """Gaussian stacks whose covariance the cosine transform and a rotation of the channels make diagonal."""
    draw = torch.Generator().manual_seed(seed)
    places = torch.arange(SIZE)
    fall = 1 / (1 + places[:, None] ** 2 + places**2)
    rotation = torch.linalg.qr(torch.randn(channels, channels, generator=torch.Generator().manual_seed(9)))[0]
    waves = torch.randn(count, channels, SIZE, SIZE, generator=draw) * fall.sqrt() * torch.tensor([2.0, 0.7, 0.1])[:channels, None, None]
    return torch.einsum("ck,nkhw->nchw", rotation, untransformed(waves)) + 0.3


def untransformed(waves):
    cosines = Prior(3, SIZE).cosines
    return cosines.T @ waves @ cosines


def test_the_cosine_transform_is_orthonormal_and_begins_with_the_mean():
    cosines = Prior(3, SIZE).cosines
    torch.testing.assert_close(cosines @ cosines.T, torch.eye(SIZE))
    torch.testing.assert_close((cosines @ torch.ones(SIZE))[0], torch.tensor(SIZE**0.5))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_of_gaussian_data_it_is_the_posterior_mean(sigma):
    prior, data = Prior(3, SIZE), smooth(20_000)
    prior.measure(data.split(512))
    flat = data.flatten(1).double()
    covariance, mean = torch.cov(flat.T), flat.mean(0)
    x = smooth(5, seed=1) + sigma * torch.randn(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(len(mean)))
    exact = mean + (x.flatten(1).double() - mean) @ gain.T
    # The sample covariance has entries off its diagonal that are not in the data.
    torch.testing.assert_close(prior(x, sigma).flatten(1).double(), exact, rtol=0, atol=0.05 * sigma / (1 + sigma) + 0.01)


def test_batches_of_any_size_measure_the_same():
    whole, parts = Prior(3, SIZE), Prior(3, SIZE)
    data = smooth(300)
    whole.measure([data])
    parts.measure(data.split(7))
    for name in ("mean", "spectrum"):
        torch.testing.assert_close(getattr(whole, name), getattr(parts, name), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(whole.axes.abs(), parts.axes.abs(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_of_independent_symbols_it_is_their_posterior_mean(share, sigma):
    """p(+1 | x) of a symbol of +-1 in Gaussian noise has the odds share / (1 - share) exp(2 x / sigma^2)."""
    draw = torch.Generator().manual_seed(0)
    symbols = (torch.rand(4000, 2, SIZE, SIZE, generator=draw) < share) * 2.0 - 1
    prior = Prior(5, SIZE)
    prior.measure([torch.cat([smooth(4000), symbols], 1)])
    stacks = torch.cat([smooth(20, seed=3), symbols[:20]], 1)
    x = stacks + sigma * torch.randn(stacks.shape, generator=draw)
    odds = share / (1 - share) * torch.exp(2 * x[:, 3:] / sigma**2)
    assert (prior(x, sigma)[:, 3:] - (odds - 1) / (odds + 1)).abs().mean() < 0.02


def test_levels_of_a_batch_are_taken_one_by_one():
    prior = Prior(5, SIZE)
    prior.measure([torch.cat([smooth(50), torch.sign(smooth(50, 2, seed=1))], 1)])
    x, sigmas = torch.randn(3, 5, SIZE, SIZE), torch.tensor([0.02, 0.7, 60.0])
    alone = torch.cat([prior(x[i : i + 1], float(sigma)) for i, sigma in enumerate(sigmas)])
    torch.testing.assert_close(prior(x, sigmas), alone)
    assert prior(x, sigmas).isfinite().all()


def test_data_that_never_vary_leave_numbers():
    prior = Prior(5, SIZE)
    prior.measure([torch.ones(4, 5, SIZE, SIZE)])
    assert (prior.spectrum == FLOOR).all()
    x = torch.ones(2, 5, SIZE, SIZE) + torch.randn(2, 5, SIZE, SIZE)
    torch.testing.assert_close(prior(x, 1.0), torch.ones_like(x), rtol=0, atol=0.01)


def test_on_patches_it_leaves_a_network_a_fraction_of_what_c_skip_leaves():
    image, mask = demo.scene(0, {"size": 256, "zoom": 2, "seed": 0})
    tiles = [array.reshape(8, 32, 8, 32, -1).swapaxes(1, 2).reshape(64, 32, 32, -1) for array in (image, mask)]
    codes = Codes("bits", len(demo.NAMES))
    stacks = encode(torch.from_numpy(np.ascontiguousarray(tiles[0])), torch.from_numpy(np.ascontiguousarray(tiles[1][..., 0])), codes)
    prior = Prior(stacks.shape[1], 32)
    prior.measure([stacks[::2]])
    deviations = torch.tensor([0.45] * 3 + [0.9] * 3)[:, None, None]
    for sigma in (0.1, 0.4, 1.0):
        x = stacks[1::2] + sigma * torch.randn(32, 6, 32, 32, generator=torch.Generator().manual_seed(0))
        skip = deviations**2 / (sigma**2 + deviations**2)
        plain, known = ((estimate - stacks[1::2]).square().mean((0, 2, 3)) for estimate in (skip * x, prior(x, sigma)))
        assert (known < 0.5 * plain).all(), (sigma, known / plain)


def test_a_generator_keeps_its_prior_with_its_weights(tmp_path):
    edm = {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2, "prior": "measured"}
    store = write_store(tmp_path / "real", 8, count=12)
    card = train(ddpm, {8: store}, config(edm=edm, training={"steps": 2, "batch": 2, "accumulate": 1}), tmp_path)
    denoiser = ddpm.load(tmp_path / "weights.safetensors", card, "cpu")
    assert card["edm"]["prior"] == "measured" and denoiser.prior is not None
    assert denoiser.prior.spectrum.std() > 0 and denoiser.prior.mean.abs().max() > 0
    assert card["parameters"] == sum(parameter.numel() for parameter in denoiser.network.parameters())
    # A network that says nothing leaves the prior's estimate.
    denoiser.network.forward = lambda x, *rest: torch.zeros_like(x)
    x = torch.randn(2, len(denoiser.prior.mean), 8, 8)
    torch.testing.assert_close(denoiser.denoise(x, 0.5), denoiser.prior(x, 0.5))
    assert files.read_json(tmp_path / "card.json") == card and SAMPLER["steps"]
