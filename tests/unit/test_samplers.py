import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.samplers import ancestral_coefficients, ddim_coefficients, dpmpp_step, nfe, sample, sigma_grid
from satsynth.diffusion.schedule import make_schedule
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError

LINEAR = {"kind": "linear", "steps": 1000, "beta_start": 1e-4, "beta_end": 2e-2, "rescale": False, "zero_terminal_snr": False}
SAMPLER = {
    "method": "ancestral",
    "steps": 1000,
    "spacing": "uniform",
    "rho": 7.0,
    "sigma_min": None,
    "sigma_max": None,
    "eta": 0.0,
    "variance": "fixed_small",
    "clip": True,
}


class Curve(nn.Module):
    """A smooth network of x and time that keeps its inputs: the trajectory of a sampler."""

    def __init__(self, timed=True):
        super().__init__()
        self.timed, self.seen, self.conditions = timed, [], []

    def forward(self, x, time, condition=None, condition_level=None):
        self.seen.append(x.clone())
        self.conditions.append((condition, condition_level))
        return self.answer(x, time)

    def answer(self, x, time):
        phase = torch.cos(time[:, None, None, None] / 300) if self.timed else 0.7
        return 0.9 * torch.sin(1.3 * x + 0.2) * phase + 0.1


def denoiser(prediction="epsilon", timed=True, schedule=LINEAR):
    cfg = {"prediction": prediction, "schedule": schedule, "min_snr": None, "edm": {"sigma_data": 0.5, "p_mean": -1.2, "p_std": 1.2}}
    return Denoiser(Curve(timed), cfg)


def noise(n=2, key="start"):
    return torch.randn(n, 3, 4, 4, generator=torch_stream(0, key))


def oracle_run(scheduler, network, start, steps, **options):
    """The trajectory of a diffusers scheduler under the same network: its inputs, and the final sample."""
    scheduler.set_timesteps(steps)
    x, seen = start, []
    for t in scheduler.timesteps:
        seen.append(x)
        x = scheduler.step(network.answer(x, t.float().expand(len(x))), t, x, **options).prev_sample
    return seen, x


def agree(ours, final, theirs, final_theirs, tolerance=2e-3):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(final, final_theirs, rtol=tolerance, atol=tolerance)


KINDS = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}


@pytest.mark.parametrize("prediction", list(KINDS))
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("steps", [1000, 50])
def test_ancestral_is_diffusers_ddpm_step_by_step(prediction, variance, steps):
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    scheduler = schedulers.DDPMScheduler(
        1000, 1e-4, 2e-2, "linear", variance_type=variance, clip_sample=True, prediction_type=KINDS[prediction], timestep_spacing="trailing"
    )
    d = denoiser(prediction)
    theirs, last = oracle_run(scheduler, Curve(), noise(), steps, generator=torch_stream(0, "steps"))
    ours = sample(d, noise(), {**SAMPLER, "steps": steps, "variance": variance}, torch_stream(0, "steps"), clip=False)
    if variance == "fixed_large" and steps < 1000:
        # Its last step starts above t = 0 and adds noise of its whole variance; ours ends with the estimate of x0.
        t = int(scheduler.timesteps[-1])
        last = scheduler.step(Curve().answer(theirs[-1], torch.full((2,), float(t))), t, theirs[-1]).pred_original_sample
    agree(d.network.seen, ours, theirs, last)


@pytest.mark.parametrize("prediction", list(KINDS))
@pytest.mark.parametrize(("eta", "clip"), [(0.0, True), (0.0, False), (0.6, True)])
def test_ddim_is_diffusers_ddim_step_by_step(prediction, eta, clip):
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    scheduler = schedulers.DDIMScheduler(
        1000, 1e-4, 2e-2, "linear", clip_sample=clip, prediction_type=KINDS[prediction], timestep_spacing="trailing"
    )
    d = denoiser(prediction)
    options = {"eta": eta, "use_clipped_model_output": True, "generator": torch_stream(0, "steps")}
    theirs, last = oracle_run(scheduler, Curve(), noise(), 40, **options)
    cfg = {**SAMPLER, "method": "ddim", "steps": 40, "eta": eta, "clip": clip}
    ours = sample(d, noise(), cfg, torch_stream(0, "steps"), clip=False)
    agree(d.network.seen, ours, theirs, last)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("prediction", list(KINDS))
@pytest.mark.parametrize(("spacing", "steps"), [("karras", 20), ("karras", 8), ("uniform", 20)])
def test_dpmpp_2m_is_diffusers_multistep_solver_step_by_step(prediction, spacing, steps):
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    scheduler = schedulers.DPMSolverMultistepScheduler(
        1000, 1e-4, 2e-2, "linear", prediction_type=KINDS[prediction], use_karras_sigmas=spacing == "karras", timestep_spacing="trailing"
    )
    # Diffusers rounds the times of Karras levels; the levels themselves are ours. So the network looks away from the time there.
    timed = spacing == "uniform"
    d = denoiser(prediction, timed)
    theirs, last = oracle_run(scheduler, Curve(timed), noise(), steps)
    cfg = {**SAMPLER, "method": "dpmpp_2m", "steps": steps, "spacing": spacing, "clip": False}
    ours = sample(d, noise(), cfg, clip=False)
    assert sigma_grid(cfg, d.schedule, prediction) == pytest.approx(scheduler.sigmas.tolist(), rel=1e-4)
    agree(d.network.seen, ours, theirs, last)


def test_ddim_with_eta_one_over_all_steps_is_ancestral_with_the_small_variance():
    d = denoiser()
    ancestral = sample(d, noise(), SAMPLER, torch_stream(0, "steps"))
    ddim = sample(d, noise(), {**SAMPLER, "method": "ddim", "eta": 1.0}, torch_stream(0, "steps"))
    torch.testing.assert_close(ancestral, ddim, rtol=1e-4, atol=1e-4)


def test_the_posterior_in_these_coordinates_is_the_tables():
    """Coefficients between neighbouring steps, divided by sqrt(1 + sigma^2), are c1, c2 and the variances of the schedule."""
    s = make_schedule(LINEAR)
    for t in (1, 2, 250, 999):
        sigma, lower = s.sigmas[t], s.sigmas[t - 1]
        root = s.alpha_bars[t - 1] ** 0.5
        kept, small = ancestral_coefficients(sigma, lower, "fixed_small")
        _, large = ancestral_coefficients(sigma, lower, "fixed_large")
        assert (1 - kept) * root == pytest.approx(s.posterior_x0[t], rel=1e-9)
        assert kept * root / s.alpha_bars[t] ** 0.5 == pytest.approx(s.posterior_xt[t], rel=1e-9)
        assert (small * root) ** 2 == pytest.approx(s.variance_small[t], rel=1e-9)
        assert (large * root) ** 2 == pytest.approx(s.variance_large[t], rel=1e-9)
        assert ddim_coefficients(sigma, lower, 1.0) == pytest.approx((kept, small))
    assert ancestral_coefficients(2.0, 0.0, "fixed_large") == (0.0, 0.0)


def test_dpmpp_of_first_order_is_ddim_without_noise():
    x, x0 = noise(), noise(key="x0")
    for sigma, lower in ((150.0, 60.0), (1.0, 0.3), (0.02, 0.01), (0.01, 0.0)):
        kept, spread = ddim_coefficients(sigma, lower, 0.0)
        assert spread == 0
        torch.testing.assert_close(dpmpp_step(x, x0, None, math.inf, sigma, lower), x0 + kept * (x - x0))


def test_dpmpp_second_order_formula():
    x, x0, previous = noise(), noise(key="x0"), noise(key="previous")
    higher, sigma, lower = 3.0, 2.0, 0.5
    h, r = math.log(sigma / lower), math.log(higher / sigma) / math.log(sigma / lower)
    wanted = lower / sigma * x - math.expm1(-h) * x0 - 0.5 * math.expm1(-h) * (x0 - previous) / r
    torch.testing.assert_close(dpmpp_step(x, x0, previous, higher, sigma, lower), wanted)


def test_grids_fall_to_zero_without_a_repeated_level():
    s = make_schedule(LINEAR)
    for spacing in ("uniform", "karras"):
        for steps in (1, 2, 7, 20, 333, 999, 1000):
            grid = sigma_grid({**SAMPLER, "spacing": spacing, "steps": steps}, s, "epsilon")
            assert len(grid) == steps + 1 and grid[-1] == 0 and (np.diff(grid) < 0).all()
            assert grid[0] == pytest.approx(s.sigmas[-1])
    assert sigma_grid(SAMPLER, s, "epsilon")[:-1] == s.sigmas[::-1].tolist()
    karras = sigma_grid({**SAMPLER, "spacing": "karras", "steps": 18, "sigma_min": 0.002, "sigma_max": 80.0}, s, "edm")
    wanted = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert karras[:-1] == pytest.approx(wanted)


@pytest.mark.parametrize("method", ["ancestral", "ddim", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "edm"])
def test_every_method_runs_every_prediction(method, prediction):
    d = denoiser(prediction)
    d.train()
    low, level, steps = torch.randn(2, 3, 4, 4), torch.tensor([1.0, 2.0]), []
    cfg = {**SAMPLER, "method": method, "steps": 6, "spacing": "karras", "eta": 0.5, "sigma_min": 0.02, "sigma_max": 80.0}
    out = sample(d, noise(), cfg, torch_stream(0, "steps"), low, level, on_step=lambda done, total: steps.append((done, total)))
    assert out.shape == (2, 3, 4, 4) and out.dtype == torch.float32 and out.abs().max() <= 1 and not out.requires_grad
    assert len(d.network.seen) == nfe(cfg) == (11 if method == "heun" else 6)
    assert steps == [(i, 6) for i in range(1, 7)]
    assert all(c is low and at is level for c, at in d.network.conditions)
    assert d.training  # given back in the mode that it came in


class Watch(TorchDispatchMode):
    """Counts reads of a tensor's value by the host: each would make the host wait for an accelerator."""

    def __init__(self):
        super().__init__()
        self.waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.waits += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default)
        return func(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device():
    with Watch() as watch:
        torch.ones(1).item()
    assert watch.waits == 1  # the watch works
    for method in ("ancestral", "ddim", "dpmpp_2m", "heun"):
        for prediction in ("epsilon", "v", "edm"):
            d = denoiser(prediction)
            cfg = {**SAMPLER, "method": method, "steps": 4, "spacing": "karras", "eta": 0.5, "sigma_min": 0.02, "sigma_max": 80.0}
            with Watch() as watch:
                sample(d, noise(), cfg, torch_stream(0, "steps"))
            assert watch.waits == 0


def test_zero_terminal_snr_samples_from_pure_noise():
    d = denoiser("v", schedule={**LINEAR, "zero_terminal_snr": True})
    for changes in ({"steps": 50}, {"method": "dpmpp_2m", "spacing": "karras", "steps": 20}):
        out = sample(d, noise(), {**SAMPLER, **changes}, torch_stream(0, "steps"))
        torch.testing.assert_close(d.network.seen[0], noise())
        assert out.isfinite().all()
        d.network.seen.clear()


def test_a_sample_with_its_own_generator_does_not_depend_on_its_neighbours():
    cfg = {**SAMPLER, "steps": 20}
    start = noise(3)
    together = sample(denoiser(), start, cfg, [torch_stream(0, "pair", i) for i in range(3)])
    alone = sample(denoiser(), start[1:2], cfg, [torch_stream(0, "pair", 1)])
    torch.testing.assert_close(together[1:2], alone)
    assert not torch.allclose(together[1:2], sample(denoiser(), start[1:2], cfg, [torch_stream(0, "pair", 2)]))


def test_clipping_switches():
    cfg = {**SAMPLER, "method": "ddim", "steps": 5}
    bold = denoiser("x0")
    bold.network.answer = lambda x, time: torch.full_like(x, 3.0)
    assert sample(bold, noise(), {**cfg, "clip": False}, clip=False).min() == 3
    assert sample(bold, noise(), {**cfg, "clip": True}, clip=False).max() == 1
    assert sample(bold, noise(), {**cfg, "clip": False}, clip=True).max() == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"method": "euler"}, "sampler.method"),
        ({"spacing": "even"}, "sampler.spacing"),
        ({"variance": "learned"}, "sampler.variance"),
        ({"steps": 0}, "sampler.steps"),
        ({"steps": 1001}, "sampler.steps"),
        ({"method": "ddim", "eta": 1.5}, "sampler.eta"),
        ({"spacing": "karras", "sigma_max": 500.0}, "sampler.sigma_min, sampler.sigma_max"),
        ({"spacing": "karras", "sigma_min": 2.0, "sigma_max": 1.0}, "sampler.sigma_min, sampler.sigma_max"),
    ],
)
def test_bad_samplers_name_their_key(change, key):
    with pytest.raises(ConfigError) as caught:
        sample(denoiser(), noise(), {**SAMPLER, **change}, torch_stream(0, "steps"))
    assert caught.value.subject == key


def test_missing_randomness_and_ranges_are_refused():
    with pytest.raises(ConfigError, match="draws noise"):
        sample(denoiser(), noise(), SAMPLER)
    with pytest.raises(ConfigError, match="3 generators for 2"):
        sample(denoiser(), noise(), SAMPLER, [torch_stream(0, i) for i in range(3)])
    with pytest.raises(ConfigError, match="EDM"):
        sample(denoiser("edm"), noise(), {**SAMPLER, "spacing": "karras"}, torch_stream(0, "steps"))


class Mixture:
    """The exact denoiser of a mixture of Gaussians: 8 colours with their 3 bits, as a perfectly trained network would be."""

    prediction = "epsilon"
    spread = torch.tensor([0.10, 0.15, 0.08, 0.02, 0.02, 0.02])

    def __init__(self):
        g = torch_stream(0, "mixture")
        bits = ((torch.arange(8)[:, None] >> torch.tensor([2, 1, 0])) & 1).float() * 2 - 1
        self.centres = torch.cat([torch.rand(8, 3, generator=g) * 1.2 - 0.6, bits], 1)
        self.shares = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02])
        self.schedule = make_schedule(LINEAR)

    def draw(self, n, key):
        g = torch_stream(0, key)
        modes = torch.multinomial(self.shares, n, True, generator=g)
        return self.centres[modes] + self.spread * torch.randn(n, 6, generator=g)

    def denoise(self, x, sigma, condition=None, condition_level=None):
        points, variance = x[:, :, 0, 0], self.spread**2
        total = variance + sigma**2
        # log of share times density, terms without the mode left out: |p - c|^2 / total = const - 2 p.c / total + c^2 / total
        scores = self.shares.log() + (points / total) @ self.centres.T - (self.centres**2 / total).sum(1) / 2
        mean = torch.softmax(scores, 1) @ self.centres
        return ((sigma**2 * mean + variance * points) / total)[:, :, None, None]


def sliced_wasserstein(a, b):
    """Mean over 64 directions of the one-dimensional Wasserstein-1 distance."""
    directions = torch.nn.functional.normalize(torch.randn(6, 64, generator=torch_stream(0, "directions")), dim=0)
    return ((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean().item()


def test_twenty_karras_steps_match_hundreds_of_ancestral_ones_on_an_exact_denoiser():
    mixture, n = Mixture(), 20_000
    truth = mixture.draw(n, "truth")
    floors = [sliced_wasserstein(mixture.draw(n, f"again {i}"), truth) for i in range(6)]

    def run(**changes):
        start = torch.randn(n, 6, 1, 1, generator=torch_stream(0, "start"))
        out = sample(mixture, start, {**SAMPLER, "clip": False, **changes}, torch_stream(0, "steps"), clip=False)[:, :, 0, 0]
        modes = out[:, 3:].gt(0).float() @ torch.tensor([4.0, 2.0, 1.0])
        within = (out - mixture.centres[modes.long()])[:, :3] / mixture.spread[:3]
        return sliced_wasserstein(out, truth), within.std().item()

    ancestral, _ = run(steps=250)
    karras, width = run(method="dpmpp_2m", spacing="karras", steps=20)
    uniform, narrow = run(method="dpmpp_2m", spacing="uniform", steps=20)
    heun, wide = run(method="heun", spacing="karras", steps=18)
    error = max(floors) - min(floors)  # how far two sets of exact draws lie apart, by chance alone
    assert karras <= ancestral + error < uniform, (karras, ancestral, uniform, floors)
    assert 0.95 < width < 1.08 and narrow < 0.7, (width, narrow)
    assert heun < 0.7 * uniform and 0.95 < wide < 1.15, (heun, uniform, wide)
