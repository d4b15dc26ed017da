"""The estimate that a network's output is added to: exact where its model of the data is, and far better than c_skip x on patches."""

import numpy as np
import pytest
import torch
from generator_fixtures import SAMPLER, config, train, write_store
from torch.nn import functional

from satsynth.codes import Codes
from satsynth.datasets import demo
from satsynth.diffusion import ddpm, upscaler
from satsynth.diffusion.outputs import card_codes
from satsynth.diffusion.prior import FLOOR, Prior
from satsynth.diffusion.sampling import sample_shard
from satsynth.diffusion.stacks import encode, enlarge
from satsynth.runtime import files

SIZE = 8
EDM = {"sigma_data": 0.7, "p_mean": -0.6, "p_std": 1.2, "prior": "measured"}
SHORT = {"steps": 2, "batch": 2, "accumulate": 1}


def smooth(count, channels=3, seed=0, waves=None):
    """Gaussian stacks, of standard normal `waves`, whose covariance the cosine transform and a rotation of the channels make diagonal."""
    draw = torch.Generator().manual_seed(seed)
    places = torch.arange(SIZE)
    fall = 1 / (1 + places[:, None] ** 2 + places**2)
    rotation = torch.linalg.qr(torch.randn(channels, channels, generator=torch.Generator().manual_seed(9)))[0]
    waves = torch.randn(count, channels, SIZE, SIZE, generator=draw) if waves is None else waves
    waves = waves * fall.sqrt() * torch.tensor([2.0, 0.7, 0.1])[:channels, None, None]
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
    prior.measure([part] for part in data.split(512))
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
    whole.measure([[data]])
    parts.measure([part] for part in data.split(7))
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
    prior.measure([[torch.cat([smooth(4000), symbols], 1)]])
    stacks = torch.cat([smooth(20, seed=3), symbols[:20]], 1)
    x = stacks + sigma * torch.randn(stacks.shape, generator=draw)
    odds = share / (1 - share) * torch.exp(2 * x[:, 3:] / sigma**2)
    assert (prior(x, sigma)[:, 3:] - (odds - 1) / (odds + 1)).abs().mean() < 0.02


def test_levels_of_a_batch_are_taken_one_by_one():
    prior = Prior(5, SIZE)
    prior.measure([[torch.cat([smooth(50), torch.sign(smooth(50, 2, seed=1))], 1)]])
    x, sigmas = torch.randn(3, 5, SIZE, SIZE), torch.tensor([0.02, 0.7, 60.0])
    alone = torch.cat([prior(x[i : i + 1], float(sigma)) for i, sigma in enumerate(sigmas)])
    torch.testing.assert_close(prior(x, sigmas), alone)
    assert prior(x, sigmas).isfinite().all()


def test_data_that_never_vary_leave_numbers():
    prior = Prior(5, SIZE)
    prior.measure([[torch.ones(4, 5, SIZE, SIZE)]])
    assert (prior.spectrum == FLOOR).all()
    x = torch.ones(2, 5, SIZE, SIZE) + torch.randn(2, 5, SIZE, SIZE)
    torch.testing.assert_close(prior(x, 1.0), torch.ones_like(x), rtol=0, atol=0.01)


def patches():
    """64 pairs of the demo world at 32 px, as stacks of three colours and three bits."""
    image, mask = demo.scene(0, {"size": 256, "zoom": 2, "seed": 0})
    tiles = [array.reshape(8, 32, 8, 32, -1).swapaxes(1, 2).reshape(64, 32, 32, -1) for array in (image, mask)]
    images, masks = (torch.from_numpy(np.ascontiguousarray(array)) for array in (tiles[0], tiles[1][..., 0]))
    return encode(images, masks, Codes("bits", len(demo.NAMES)))


def test_on_patches_it_leaves_a_network_a_fraction_of_what_c_skip_leaves():
    stacks = patches()
    prior = Prior(stacks.shape[1], 32)
    prior.measure([[stacks[::2]]])
    deviations = torch.tensor([0.45] * 3 + [0.9] * 3)[:, None, None]
    for sigma in (0.1, 0.4, 1.0):
        x = stacks[1::2] + sigma * torch.randn(32, 6, 32, 32, generator=torch.Generator().manual_seed(0))
        skip = deviations**2 / (sigma**2 + deviations**2)
        plain, known = ((estimate - stacks[1::2]).square().mean((0, 2, 3)) for estimate in (skip * x, prior(x, sigma)))
        assert (known < 0.5 * plain).all(), (sigma, known / plain)


# With a condition


@pytest.mark.parametrize(("sigma", "signal", "spread"), [(0.5, 1.0, 0.0), (0.5, 0.9, 0.4), (5.0, 0.6, 0.8), (0.5, 0.0, 1.0)])
def test_of_gaussian_data_with_a_condition_it_is_the_posterior_mean(sigma, signal, spread):
    """Both observations have coefficients of their own where the condition is not enlarged: the joint Gaussian's conditional mean."""
    draw = torch.Generator().manual_seed(5)

    def observed(stacks):
        return 0.8 * stacks + 0.1 + 0.2 * torch.randn(stacks.shape, generator=draw)

    prior, data = Prior(3, SIZE, conditional=True), smooth(6000)
    prior.measure([(data, observed(data))])
    # The covariance as it is, not as 6000 stacks have it; observed(): 0.8 and 0.2 squared, mean 0.8 x 0.3 + 0.1.
    basis = smooth(0, waves=torch.eye(3 * SIZE**2).view(-1, 3, SIZE, SIZE)).flatten(1).double() - 0.3
    own, half = basis.T @ basis, len(basis)
    covariance = torch.cat([torch.cat([own, 0.8 * own], 1), torch.cat([0.8 * own, 0.64 * own + 0.04 * torch.eye(half)], 1)])
    mean = torch.cat([torch.full((half,), 0.3), torch.full((half,), 0.34)]).double()
    scale = torch.cat([torch.ones(half), torch.full((half,), signal)]).double()
    noise = torch.cat([torch.full((half,), sigma**2), torch.full((half,), spread**2)]).double()
    clean = smooth(5, seed=1)
    x = clean + sigma * torch.randn(clean.shape, generator=draw)
    condition = signal * observed(clean) + spread * torch.randn(clean.shape, generator=draw)
    gain = (covariance[:half] * scale) @ torch.linalg.inv(scale[:, None] * covariance * scale + noise.diag())
    exact = mean[:half] + (torch.cat([x, condition], 1).flatten(1).double() - scale * mean) @ gain.T
    found = prior(x, sigma, condition, signal, spread).flatten(1).double()
    torch.testing.assert_close(found, exact, rtol=0, atol=0.05 * sigma / (1 + sigma) + 0.01)


def test_the_noise_of_a_condition_has_the_spectrum_of_enlarged_noise():
    prior = Prior(5, SIZE, conditional=True)
    low = torch.cat([smooth(64), torch.sign(smooth(64, 2, seed=1))], 1)[:, :, ::2, ::2]
    prior.measure([(enlarge(low, SIZE), low)])
    noise = enlarge(torch.randn(20_000, 5, SIZE // 2, SIZE // 2, generator=torch.Generator().manual_seed(0)), SIZE)
    along = torch.einsum("ck,nchw->nkhw", prior.axes, prior.cosines @ noise @ prior.cosines.T).var(0)
    torch.testing.assert_close(prior.noise_spectrum, along, rtol=0.05, atol=0.01)


def test_levels_of_conditions_are_taken_one_by_one():
    low = torch.cat([smooth(50), torch.sign(smooth(50, 2, seed=1))], 1)
    prior = Prior(5, 2 * SIZE, conditional=True)
    prior.measure([(enlarge(low, 2 * SIZE), low)])
    draw = torch.Generator().manual_seed(0)
    x, condition = torch.randn(2, 3, 5, 2 * SIZE, 2 * SIZE, generator=draw)
    sigmas, signals, spreads = torch.tensor([0.02, 0.7, 60.0]), torch.tensor([1.0, 0.8, 0.0]), torch.tensor([0.0, 0.6, 1.0])
    together = prior(x, sigmas, condition, signals[:, None, None, None], spreads[:, None, None, None])
    alone = [prior(x[i : i + 1], float(sigmas[i]), condition[i : i + 1], float(signals[i]), float(spreads[i])) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert together.isfinite().all()


def test_a_condition_that_is_noise_alone_says_nothing():
    low = torch.cat([smooth(50), torch.sign(smooth(50, 2, seed=1))], 1)
    told, untold = Prior(5, 2 * SIZE, conditional=True), Prior(5, 2 * SIZE)
    told.measure([(enlarge(low, 2 * SIZE), low)])
    untold.measure([[enlarge(low, 2 * SIZE)]])
    x, condition = torch.randn(2, 3, 5, 2 * SIZE, 2 * SIZE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(told(x, 0.5, condition, 0.0, 1.0), untold(x, 0.5))


@pytest.mark.parametrize(("spread", "images", "codes"), [(0.0, 0.2, 0.02), (0.1, 0.4, 0.02), (0.6, 0.9, 0.6)])
def test_of_patches_a_condition_tells_most_where_x_tells_little(spread, images, codes):
    full = patches()
    low = torch.cat([functional.avg_pool2d(full[:, :3], 2), functional.max_pool2d(full[:, 3:], 2)], 1)
    told, untold = Prior(6, 32, conditional=True), Prior(6, 32)
    told.measure([(full[::2], low[::2])])
    untold.measure([[full[::2]]])
    draw, signal = torch.Generator().manual_seed(0), (1 - spread**2) ** 0.5
    condition = enlarge(signal * low + spread * torch.randn(low.shape, generator=draw), 32)
    x = full + 2.0 * torch.randn(full.shape, generator=draw)
    errors = [(estimate - full)[1::2].square() for estimate in (told(x, 2.0, condition, signal, spread), untold(x, 2.0))]
    assert errors[0][:, :3].mean() < images * errors[1][:, :3].mean()
    assert errors[0][:, 3:].mean() < codes * errors[1][:, 3:].mean()


def test_a_generator_keeps_its_prior_with_its_weights(tmp_path):
    store = write_store(tmp_path / "real", 8, count=12)
    card = train(ddpm, {8: store}, config(edm=EDM, training=SHORT), tmp_path)
    denoiser = ddpm.load(tmp_path / "weights.safetensors", card, "cpu")
    assert card["edm"]["prior"] == "measured" and denoiser.prior is not None
    assert denoiser.prior.spectrum.std() > 0 and denoiser.prior.mean.abs().max() > 0
    assert card["parameters"] == sum(parameter.numel() for parameter in denoiser.network.parameters())
    # A network that says nothing leaves the prior's estimate, and has seen it.
    seen = []
    denoiser.network.forward = lambda x, time, condition, level: seen.append(condition) or torch.zeros_like(x)
    x = torch.randn(2, len(denoiser.prior.mean), 8, 8)
    torch.testing.assert_close(denoiser.denoise(x, 0.5), denoiser.prior(x, 0.5))
    torch.testing.assert_close(seen[0], denoiser.prior(x, 0.5))
    assert files.read_json(tmp_path / "card.json") == card


@pytest.mark.parametrize("noise", [None, {"max": 0.5}])
def test_an_upscaler_reads_its_condition_at_the_level_it_has(tmp_path, noise):
    stores = {size: write_store(tmp_path / str(size), size, count=12) for size in (16, 8)}
    level = None if noise is None else 0.3
    shown = {"count": 2, "sampler": {**SAMPLER, "condition_level": level}}
    cfg = config("upscaler", edm=EDM, condition_noise=noise, previews=shown, training=SHORT)
    card = train(upscaler, stores, cfg, tmp_path)
    denoiser = upscaler.load(tmp_path / "weights.safetensors", card, "cpu")
    assert denoiser.prior.shared_spectrum.abs().max() > 0
    seen = []
    denoiser.network.forward = lambda x, time, told, level: seen.append(told) or torch.zeros_like(x)
    x, condition = torch.randn(2, 2, len(denoiser.prior.mean), 16, 16, generator=torch.Generator().manual_seed(0))
    if noise is None:
        torch.testing.assert_close(denoiser.denoise(x, 0.5, condition), denoiser.prior(x, 0.5, condition))
        return
    steps = torch.tensor([0.0, 30.0])
    kept = torch.from_numpy(denoiser.schedule.alpha_bars)[steps.long()][:, None, None, None]
    wanted = denoiser.prior(x, 0.5, condition, kept.sqrt().float(), (1 - kept).sqrt().float())
    torch.testing.assert_close(denoiser.denoise(x, 0.5, condition, steps), wanted)
    torch.testing.assert_close(seen[0], torch.cat([wanted, condition], 1))


def test_a_prior_is_given_the_code_words_that_are_nearest_to_what_was_sampled(tmp_path, monkeypatch):
    stores = {size: write_store(tmp_path / str(size), size, count=12) for size in (16, 8)}
    cards = {
        "g": train(ddpm, stores, config(training=SHORT), tmp_path / "g"),
        "known": train(upscaler, stores, config("upscaler", edm=EDM, training=SHORT), tmp_path / "known"),
        "plain": train(upscaler, stores, config("upscaler", training=SHORT), tmp_path / "plain"),
    }
    seen, draw = {}, upscaler.draw

    def watched(denoiser, sampler, count, generator, low):
        seen[denoiser.prior is not None] = low
        return draw(denoiser, sampler, count, generator, low)

    monkeypatch.setattr(upscaler, "draw", watched)
    for name in ("known", "plain"):
        stages = [{"weights": tmp_path / key / "weights.safetensors", "card": cards[key], "sampler": SAMPLER} for key in ("g", name)]
        sample_shard(stages, folder=tmp_path / f"{name}_made", seed=0, block=4, first=0, last=4, device="cpu", classes=5)
    codes, raw = card_codes(cards["g"]), seen[False]
    torch.testing.assert_close(seen[True][:, :3], raw[:, :3])
    torch.testing.assert_close(seen[True][:, 3:], codes.encode(codes.decode(raw[:, 3:])[0]))
    assert (seen[True] != raw).any()
