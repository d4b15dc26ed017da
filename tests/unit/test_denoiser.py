import pytest
import torch
from diffusion_fixtures import LINEAR
from torch import nn

from satsynth.diffusion.denoiser import PREDICTIONS, Denoiser, build_denoiser
from satsynth.diffusion.ema import Ema
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError

EDM = {"sigma_data": 0.6, "p_mean": -1.2, "p_std": 1.2}
NETWORK = {"channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": [4], "dropout": 0.0, "unshuffle": 1, "norm_groups": 8}


def config(prediction, **changes):
    return {"prediction": prediction, "schedule": LINEAR, "min_snr": None, "edm": EDM, "network": NETWORK, **changes}


class Scripted(nn.Module):
    """A network that answers with what it was told, and keeps what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.calls = answer, []

    def forward(self, x, time, condition=None, condition_level=None):
        self.calls.append((x, time, condition, condition_level))
        return self.answer(x, time)


def zeros(x, time):
    return torch.zeros_like(x)


def batch(n=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 4, 4, generator=g) * 2 - 1, torch.randn(n, 3, 4, 4, generator=g)


def wide(values):
    return values[:, None, None, None]


def tables(denoiser, t):
    alpha_bar = torch.from_numpy(denoiser.schedule.alpha_bars)[t].float()
    return wide(alpha_bar.sqrt()), wide((1 - alpha_bar).sqrt())


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_targets_of_the_step_networks(prediction):
    x0, noise = batch()
    t = torch.tensor([0, 99, 499, 999])
    d = Denoiser(Scripted(zeros), config(prediction))
    a, s = tables(d, t)
    target = {"epsilon": noise, "x0": x0, "v": a * noise - s * x0}[prediction]
    torch.testing.assert_close(d.sample_losses(x0, noise, t), target.square().mean((1, 2, 3)))
    torch.testing.assert_close(d(x0, noise, t), target.square().mean())  # called, it gives the mean
    x, time, *_ = d.network.calls[0]
    torch.testing.assert_close(x, a * x0 + s * noise)
    assert time.dtype == torch.float32 and time.tolist() == [0, 99, 499, 999]
    d.network.answer = lambda x, time: target
    assert d.training_loss(x0, noise, t) < 1e-12


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_what_training_teaches_is_what_denoise_asks(prediction):
    """A perfect network gives x0 back at a step's own level, in the samplers' coordinates, from the very input of training."""
    x0, noise = batch()
    t = torch.tensor([0, 99, 499, 999])
    d = Denoiser(Scripted(zeros), config(prediction))
    a, s = tables(d, t)
    d.network.answer = lambda x, time: {"epsilon": noise, "x0": x0, "v": a * noise - s * x0}[prediction]
    sigma = torch.from_numpy(d.schedule.sigmas)[t].float()
    estimate = d.denoise(x0 + wide(sigma) * noise, sigma)
    torch.testing.assert_close(estimate, x0, rtol=1e-4, atol=1e-4)
    x, time, *_ = d.network.calls[0]
    torch.testing.assert_close(x, a * x0 + s * noise, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(time, t.float(), rtol=0, atol=2e-3)


def test_edm_preconditioning_and_its_weight():
    """Karras et al. 2022, table 1: with F = 0 the estimate is c_skip x, and the loss is lambda |c_skip x - x0|^2."""
    x0, noise = batch()
    sigma = torch.tensor([0.002, 0.3, 2.0, 80.0])
    d = Denoiser(Scripted(zeros), config("edm"))
    data = EDM["sigma_data"]
    x = x0 + wide(sigma) * noise
    skip = wide(data**2 / (sigma**2 + data**2))
    weight = (sigma**2 + data**2) / (sigma * data) ** 2
    torch.testing.assert_close(d.sample_losses(x0, noise, sigma), weight * (skip * x - x0).square().mean((1, 2, 3)), rtol=1e-3, atol=1e-5)
    seen, time, *_ = d.network.calls[0]
    torch.testing.assert_close(seen, x / wide((sigma**2 + data**2).sqrt()))
    torch.testing.assert_close(time, sigma.log() / 4)
    torch.testing.assert_close(d.denoise(x, sigma), skip * x)
    c_out = wide(sigma * data / (sigma**2 + data**2).sqrt())
    d.network.answer = lambda x, time: torch.ones_like(x)
    torch.testing.assert_close(d.denoise(x, sigma), skip * x + c_out)
    # Before anything is learned the expected loss is 1 at every level, if the stacks' deviation is sigma_data.
    big, more = torch.randn(4, 3, 64, 64) * data, torch.randn(4, 3, 64, 64)
    d.network.answer = zeros
    torch.testing.assert_close(d.sample_losses(big, more, sigma), torch.ones(4), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_number_or_one_a_sample(prediction):
    x = torch.randn(3, 3, 4, 4) * 2
    d = Denoiser(Scripted(lambda x, time: torch.tanh(x) * wide(time.cos())), config(prediction))
    for sigma in (0.0123, 1.7, 140.0):
        torch.testing.assert_close(d.denoise(x, sigma), d.denoise(x, torch.full((3,), sigma)), rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(d.network.calls[-2][1], d.network.calls[-1][1], rtol=0, atol=1e-3)


def test_levels_between_steps_are_fractional_times():
    d = Denoiser(Scripted(zeros), config("epsilon"))
    s = d.schedule.sigmas
    d.denoise(torch.zeros(1, 1, 2, 2), float((s[40] * s[41]) ** 0.5))
    assert d.network.calls[0][1].item() == pytest.approx(40.5, abs=1e-4)


@pytest.mark.parametrize(
    ("prediction", "weight"),
    [("epsilon", lambda snr: min(snr, 5) / snr), ("x0", lambda snr: min(snr, 5)), ("v", lambda snr: min(snr, 5) / (snr + 1))],
)
def test_min_snr_weights(prediction, weight):
    x0, noise = batch()
    t = torch.tensor([0, 99, 499, 999])
    plain, weighted = (Denoiser(Scripted(zeros), config(prediction, min_snr=gamma)) for gamma in (None, 5))
    wanted = torch.tensor([weight(snr) for snr in plain.schedule.snr[t.numpy()]]).float()
    torch.testing.assert_close(weighted.sample_losses(x0, noise, t), wanted * plain.sample_losses(x0, noise, t))


def test_weights_reach_the_squared_errors():
    x0, noise = batch()
    t, d = torch.tensor([5, 6, 7, 8]), Denoiser(Scripted(zeros), config("epsilon"))
    plain, factors = d.sample_losses(x0, noise, t), torch.tensor([1.0, 0.0, 2.0, 3.0])
    torch.testing.assert_close(d.sample_losses(x0, noise, t, weights=factors), plain * factors)
    first = torch.zeros(1, 3, 1, 1)
    first[:, 0] = 3
    torch.testing.assert_close(d.sample_losses(x0, noise, t, weights=first), noise[:, 0].square().mean((1, 2)))


def test_drawn_levels():
    d = Denoiser(Scripted(zeros), config("epsilon"))
    t = d.draw_levels(20_000, torch_stream(0, "levels"))
    assert t.dtype == torch.int64 and t.min() == 0 and t.max() == 999 and abs(t.float().mean() - 499.5) < 8
    assert torch.equal(t, d.draw_levels(20_000, torch_stream(0, "levels")))
    logs = Denoiser(Scripted(zeros), config("edm")).draw_levels(20_000, torch_stream(0, "levels")).log()
    assert abs(logs.mean() + 1.2) < 0.04 and abs(logs.std() - 1.2) < 0.04


def test_precision_touches_the_network_alone():
    conv = nn.Conv2d(3, 3, 1)
    d = Denoiser(Scripted(lambda x, time: conv(x)), config("epsilon"), "bfloat16")
    seen = []
    conv.register_forward_hook(lambda _, args, out: seen.append((args[0].dtype, out.dtype)))
    x0, noise = batch()
    assert d.sample_losses(x0, noise, torch.tensor([1, 2, 3, 4])).dtype == torch.float32
    assert d.denoise(x0, 0.5).dtype == torch.float32
    assert seen == [(torch.float32, torch.bfloat16)] * 2
    assert not torch.is_autocast_enabled("cpu")


def test_condition_noise_is_the_forward_process():
    low, noise = batch()
    s = torch.tensor([0, 50, 100, 999])
    d = Denoiser(Scripted(zeros), config("edm"))
    a, spread = tables(d, s)
    torch.testing.assert_close(d.noise_condition(low, noise, s), a * low + spread * noise)
    d.training_loss(low, noise, torch.ones(4), condition=low, condition_level=s)
    assert d.network.calls[0][2] is low and d.network.calls[0][3] is s


def test_the_state_holds_weights_only_and_survives_use():
    d = build_denoiser(config("v", min_snr=5), channels=5, size=8)
    names = set(d.state_dict())
    x0 = torch.zeros(1, 5, 8, 8)
    d.training_loss(x0, x0, torch.tensor([3]))
    d.denoise(x0, 1.0)
    assert set(d.state_dict()) == names == {name for name, _ in d.named_parameters()} == set(Ema(d, 0.9, False).averages())
    assert all(name.startswith("network.") for name in names)


def test_build_wires_conditions_and_levels():
    d = build_denoiser(config("epsilon"), channels=5, size=8, condition_channels=5, condition_levels=True)
    x = torch.randn(2, 5, 8, 8)
    assert d.network.conv_in.in_channels == 10 and d.network.conv_out.out_channels == 5
    assert d.denoise(x, 0.5, x, torch.tensor([0.0, 9.0])).shape == x.shape


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_small_network_learns_one_picture(prediction):
    torch.manual_seed(0)
    d = build_denoiser(config(prediction), channels=3, size=8)
    rows = torch.linspace(-1, 1, 8)
    picture = torch.stack([rows[:, None].expand(8, 8), rows.expand(8, 8), (rows[:, None] * rows).sign()]).expand(16, 3, 8, 8)
    optimiser = torch.optim.Adam(d.parameters(), 3e-3)
    sigma = 0.7
    x = picture + sigma * torch.randn(16, 3, 8, 8, generator=torch_stream(0, "eval"))
    with torch.no_grad():
        before = (d.denoise(x, sigma) - picture).square().mean()
    for step in range(60):
        g = torch_stream(0, "step", step)
        loss = d(picture, torch.randn(16, 3, 8, 8, generator=g), d.draw_levels(16, g))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        after = (d.denoise(x, sigma) - picture).square().mean()
    assert after < 0.6 * before


@pytest.mark.parametrize(
    ("cfg", "precision", "key"),
    [
        (config("noise"), "float32", "prediction"),
        (config("v"), "float16", "precision"),
        (config("epsilon", schedule={**LINEAR, "zero_terminal_snr": True}), "float32", "schedule.zero_terminal_snr"),
        (config("v", schedule={**LINEAR, "zero_terminal_snr": True}, min_snr=5), "float32", "min_snr"),
        (config("edm", min_snr=5), "float32", "min_snr"),
    ],
)
def test_bad_configs_name_their_key(cfg, precision, key):
    with pytest.raises(ConfigError) as caught:
        Denoiser(Scripted(zeros), cfg, precision)
    assert caught.value.subject == key
