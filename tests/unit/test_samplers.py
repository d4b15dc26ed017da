import math

import numpy as np
import pytest
import torch
from diffusion_fixtures import LINEAR, SAMPLER, Waits, posterior
from torch import nn

from satsynth.diffusion.denoiser import Denoiser
from satsynth.diffusion.levels import sigma_grid
from satsynth.diffusion.samplers import (
    METHODS,
    ancestral_coefficients,
    ddim_coefficients,
    extrapolate,
    nfe,
    sample,
    unipc_correction,
)
from satsynth.diffusion.schedule import Schedule, make_schedule
from satsynth.randomness import torch_stream
from satsynth.runtime.errors import ConfigError


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
@pytest.mark.parametrize(("method", "solver"), [("dpmpp_2m", "DPMSolverMultistepScheduler"), ("unipc", "UniPCMultistepScheduler")])
def test_multistep_methods_are_diffusers_step_by_step(prediction, method, solver, spacing, steps):
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    scheduler = getattr(schedulers, solver)(
        1000,
        1e-4,
        2e-2,
        "linear",
        prediction_type=KINDS[prediction],
        use_karras_sigmas=spacing == "karras",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    # Diffusers rounds the times of Karras levels; the levels themselves are ours. So the network looks away from the time there.
    timed = spacing == "uniform"
    d = denoiser(prediction, timed)
    theirs, last = oracle_run(scheduler, Curve(timed), noise(), steps)
    cfg = {**SAMPLER, "method": method, "steps": steps, "spacing": spacing, "clip": False}
    ours = sample(d, noise(), cfg, clip=False)
    assert sigma_grid(cfg, d.schedule, prediction) == pytest.approx(scheduler.sigmas.tolist(), rel=1e-4)
    agree(d.network.seen, ours, theirs, last)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("prediction", list(KINDS))
@pytest.mark.parametrize(("spacing", "steps"), [("karras", 20), ("uniform", 20)])
def test_dpmpp_with_noise_is_diffusers_sde_solver_step_by_step(prediction, spacing, steps):
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    scheduler = schedulers.DPMSolverMultistepScheduler(
        1000,
        1e-4,
        2e-2,
        "linear",
        prediction_type=KINDS[prediction],
        algorithm_type="sde-dpmsolver++",
        use_karras_sigmas=spacing == "karras",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    d = denoiser(prediction, timed=False)
    theirs, last = oracle_run(scheduler, Curve(timed=False), noise(), steps, generator=torch_stream(0, "steps"))
    cfg = {**SAMPLER, "method": "dpmpp_2m", "eta": 1.0, "steps": steps, "spacing": spacing, "clip": False}
    ours = sample(d, noise(), cfg, torch_stream(0, "steps"), clip=False)
    agree(d.network.seen, ours, theirs, last)


def test_ddim_with_eta_one_over_all_steps_is_ancestral_with_the_small_variance():
    d = denoiser()
    ancestral = sample(d, noise(), SAMPLER, torch_stream(0, "steps"))
    ddim = sample(d, noise(), {**SAMPLER, "method": "ddim", "eta": 1.0}, torch_stream(0, "steps"))
    torch.testing.assert_close(ancestral, ddim, rtol=1e-4, atol=1e-4)


def in_time_steps(s, t, variance):
    """A step from t to t - 1 as Ho et al. write it: the weights of x0 and x_t in its mean, and its variance."""
    root = s.alpha_bars[t - 1] ** 0.5
    kept, spread = ancestral_coefficients(s.sigmas[t], s.sigmas[t - 1], variance)
    return (1 - kept) * root, kept * root / s.alpha_bars[t] ** 0.5, (spread * root) ** 2


def test_the_posterior_in_these_coordinates_is_that_of_the_steps():
    s = make_schedule(LINEAR)
    for t in (1, 2, 250, 999):
        *weights, small, large = posterior(s, t)
        assert in_time_steps(s, t, "fixed_small") == pytest.approx((*weights, small), rel=1e-9)
        assert in_time_steps(s, t, "fixed_large") == pytest.approx((*weights, large), rel=1e-9)
        sigma, lower = s.sigmas[t], s.sigmas[t - 1]
        assert ddim_coefficients(sigma, lower, 1.0) == pytest.approx(ancestral_coefficients(sigma, lower, "fixed_small"))
    assert ancestral_coefficients(2.0, 0.0, "fixed_large") == (0.0, 0.0)


def test_published_values_of_the_posterior():
    s = make_schedule(LINEAR)
    for t, weights in {1: (0.5452914995, 0.4547084990), 499: (0.0030700711, 0.9941066702)}.items():
        assert in_time_steps(s, t, "fixed_small")[:2] == pytest.approx(weights, rel=1e-7)
    for t, variance in {1: 5.4531876613e-5, 2: 8.5489115231e-5, 999: 1.9999983527e-2}.items():
        assert in_time_steps(s, t, "fixed_small")[2] == pytest.approx(variance, rel=1e-9)


def test_the_posterior_of_pure_noise_knows_x0_alone():
    s = make_schedule({**LINEAR, "zero_terminal_snr": True})
    of_x0, of_xt, small, large = posterior(s, 999)
    assert (of_x0, of_xt) == pytest.approx((s.alpha_bars[-2] ** 0.5, 0))
    for variance, wanted in (("fixed_small", small), ("fixed_large", large)):
        kept, spread = ancestral_coefficients(math.inf, s.sigmas[-2], variance)
        assert kept == 0 and spread**2 * s.alpha_bars[-2] == pytest.approx(wanted)


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_dpmpp_of_two_steps_is_ddim(eta):
    """Its first step has no estimate before it, and its last one returns x0: nothing of second order is left."""
    first, second = (
        sample(denoiser(), noise(), {**SAMPLER, "method": method, "steps": 2, "eta": eta}, torch_stream(0, "steps"))
        for method in ("dpmpp_2m", "ddim")
    )
    torch.testing.assert_close(first, second)


def test_dpmpp_second_order_formula():
    x, x0, previous = noise(), noise(key="x0"), noise(key="previous")
    higher, sigma, lower = 3.0, 2.0, 0.5
    h, r = math.log(sigma / lower), math.log(higher / sigma) / math.log(sigma / lower)
    wanted = lower / sigma * x - math.expm1(-h) * x0 - 0.5 * math.expm1(-h) * (x0 - previous) / r
    kept, spread = ddim_coefficients(sigma, lower, 0.0)
    target = extrapolate(x0, previous, higher, sigma, lower)
    torch.testing.assert_close(target + kept * (x - target), wanted)
    assert spread == 0 and extrapolate(x0, previous, higher, sigma, 0.0) is x0
    # With noise: Lu et al. 2022, the second-order multistep solver of section 5.
    kept, spread = ddim_coefficients(sigma, lower, 1.0)
    wanted = lower / sigma * math.exp(-h) * x - math.expm1(-2 * h) * (x0 + 0.5 * (x0 - previous) / r)
    torch.testing.assert_close(target + kept * (x - target), wanted)
    assert spread == pytest.approx(lower * math.sqrt(-math.expm1(-2 * h)))


def test_a_corrected_step_is_exact_where_the_estimate_is_a_line_in_lambda():
    """x0(lambda) = a + b lambda has a solution in closed form; predictor and corrector of second order must both hit it."""
    a, b, start = noise(), noise(key="b"), noise(key="x")
    highest, higher, sigma = 3.0, 2.0, 0.5

    def estimate(level):
        return a - b * math.log(level)

    # dx / dsigma = (x - x0) / sigma, solved by x = c sigma + a - b (log sigma + 1)
    c = (start - a + b * (math.log(higher) + 1)) / higher
    wanted = c * sigma + a - b * (math.log(sigma) + 1)
    corrected = unipc_correction(start, estimate(sigma), estimate(higher), higher, estimate(highest), highest, sigma)
    torch.testing.assert_close(corrected, wanted, rtol=1e-4, atol=1e-4)
    one_step = unipc_correction(start, estimate(sigma), estimate(higher), higher, None, math.inf, sigma)
    assert (one_step - wanted).abs().max() > 0.05  # a constant alone is exact at first order
    flat = unipc_correction(start, a, a, higher, None, math.inf, sigma)
    torch.testing.assert_close(flat, a + (start - a) * sigma / higher)


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v", "edm"])
def test_every_method_runs_every_prediction(method, prediction):
    d = denoiser(prediction)
    d.train()
    low, level, steps = torch.randn(2, 3, 4, 4), torch.tensor([1.0, 2.0]), []
    cfg = {**SAMPLER, "method": method, "steps": 6, "spacing": "karras", "eta": 0.5, "sigma_min": 0.02, "sigma_max": 80.0}
    out = sample(d, noise(), cfg, torch_stream(0, "steps"), low, level, watch=lambda step, *_: steps.append(step))
    assert out.shape == (2, 3, 4, 4) and out.dtype == torch.float32 and out.abs().max() <= 1 and not out.requires_grad
    assert len(d.network.seen) == nfe(cfg) == (11 if method == "heun" else 6)
    assert steps == list(range(7))
    assert all(c is low and at is level for c, at in d.network.conditions)
    assert d.training  # given back in the mode that it came in


def test_no_step_waits_for_the_device():
    with Waits() as watch:
        torch.ones(1).item()
    assert watch.count == 1  # the watch works
    for method in METHODS:
        for prediction in ("epsilon", "v", "edm"):
            d = denoiser(prediction)
            cfg = {**SAMPLER, "method": method, "steps": 4, "spacing": "karras", "eta": 0.5, "sigma_min": 0.02, "sigma_max": 80.0}
            with Waits() as watch:
                sample(d, noise(), cfg, torch_stream(0, "steps"))
            assert watch.count == 0


SILENT = {**LINEAR, "zero_terminal_snr": True}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize(
    ("spacing", "steps"), [("uniform", 1000), ("uniform", 20), ("karras", 20), ("karras", 2), ("uniform", 1), ("karras", 1)]
)
def test_zero_terminal_snr_samples_from_pure_noise(method, prediction, spacing, steps):
    d = denoiser(prediction, schedule=SILENT)
    cfg = {**SAMPLER, "method": method, "spacing": spacing, "steps": steps, "eta": 0.5 if method == "ddim" else 0.0, "clip": False}
    out = sample(d, noise(), cfg, torch_stream(0, "steps"), clip=False)
    assert len(d.network.seen) == nfe(cfg) and torch.equal(d.network.seen[0], noise()) and out.isfinite().all()
    if steps == 1:
        answer = d.network.answer(noise(), torch.full((2,), 999.0))
        torch.testing.assert_close(out, answer if prediction == "x0" else -answer)
    if method in ("ancestral", "ddim"):
        return
    # What comes second is the first estimate under the very noise of the start.
    if steps > 1:
        first, level = sigma_grid(cfg, d.schedule, prediction)[:2]
        assert first == math.inf
        x0 = d.network.answer(noise(), torch.full((2,), 999.0)) * (1 if prediction == "x0" else -1)
        torch.testing.assert_close(d.network.seen[1], (x0 + level * noise()) / (1 + level**2) ** 0.5)


def test_coefficients_from_pure_noise_are_limits():
    far = 1e7
    for lower in (80.0, 0.5):
        for variance in ("fixed_small", "fixed_large"):
            kept, spread = ancestral_coefficients(far, lower, variance)
            assert ancestral_coefficients(math.inf, lower, variance) == pytest.approx((kept * far, spread), rel=1e-6, abs=1e-3)
        for eta in (0.0, 0.5, 1.0):
            kept, spread = ddim_coefficients(far, lower, eta)
            assert ddim_coefficients(math.inf, lower, eta) == pytest.approx((kept * far, spread), rel=1e-6, abs=1e-3)


def test_grids_from_pure_noise():
    s = make_schedule(SILENT)
    for prediction in ("x0", "v"):
        grid = sigma_grid({**SAMPLER, "spacing": "karras", "steps": 20}, s, prediction)
        assert grid[:2] == [math.inf, pytest.approx(80)] and grid[-2:] == [pytest.approx(s.sigmas[0]), 0] and len(grid) == 21
        assert sigma_grid({**SAMPLER, "spacing": "karras", "steps": 3, "sigma_max": 20.0}, s, prediction)[1] == pytest.approx(20)
        uniform = sigma_grid(SAMPLER, s, prediction)
        assert uniform[0] == math.inf and (np.diff(uniform[1:]) < 0).all()
    edm = {"spacing": "karras", "steps": 3, "sigma_min": 0.002, "sigma_max": 80.0}
    assert sigma_grid({**SAMPLER, **edm}, s, "edm")[0] == pytest.approx(80)  # its own levels are finite
    with pytest.raises(ConfigError, match=r"never sees.*Use karras"):
        sigma_grid({**SAMPLER, "steps": 20}, s, "edm")


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
        ({"method": "dpmpp_2m", "eta": -0.5}, "sampler.eta"),
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
    for betas in ([0.1], [0.1, 1.0]):
        with pytest.raises(ConfigError, match=f"a schedule of {len(betas)} steps has no range"):
            sigma_grid({**SAMPLER, "spacing": "karras", "steps": 2}, Schedule(np.array(betas)), "x0")
