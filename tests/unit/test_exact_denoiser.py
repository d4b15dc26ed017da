"""Few steps without loss: samplers on the exact denoiser of a mixture, from which samples differ by the solver's error alone."""

import numpy as np
import pytest
import torch
from exact_mixture import Mixture, ratio

from satsynth.diffusion.samplers import nfe

SET = 2000  # samples a distance
# Twenty levels are few: none goes below the spread of a clean bit, nor above where Karras et al. begin.
KARRAS = {"spacing": "karras", "sigma_min": 0.02, "sigma_max": 80.0}
FEW = {method: {**KARRAS, "method": method, "steps": 20} for method in ("dpmpp_2m", "unipc")}


@pytest.fixture(scope="module")
def mixture():
    return Mixture()


@pytest.fixture(scope="module")
def ancestral(mixture):
    return distances(mixture, 16)


def distances(mixture, sets=32, **sampler):
    return mixture.distances(mixture.sample(sets * SET, 0, **sampler), SET)


def test_the_distance_of_exact_draws_shrinks_with_their_number(mixture):
    small, large = (np.mean([mixture.distance(mixture.draw(n, "draw", seed)) for seed in range(8)]) for n in (1000, 16_000))
    assert 0.15 < large / small < 0.4  # a quarter is expected of sixteen times the draws
    shifted = mixture.draw(16_000, "draw", 0) + 0.1
    assert mixture.distance(shifted) > 5 * large


@pytest.mark.parametrize("method", list(FEW))
def test_twenty_evaluations_are_as_good_as_a_thousand_ancestral_ones(mixture, ancestral, method):
    assert nfe(FEW[method]) <= 20
    value, error = ratio(distances(mixture, **FEW[method]), ancestral)
    assert error < 0.08 and value - error <= 1, (value, error)


@pytest.mark.parametrize("changes", [{"steps": 10}, {"spacing": "uniform"}])
@pytest.mark.parametrize("method", list(FEW))
def test_fewer_or_misplaced_evaluations_are_not(mixture, ancestral, method, changes):
    value, error = ratio(distances(mixture, **{**FEW[method], **changes}), ancestral)
    assert value - 2 * error > 1.2, (value, error)


def test_with_noise_of_its_own_thirty_evaluations_are(mixture, ancestral):
    noisy = {**KARRAS, "method": "dpmpp_2m", "eta": 1.0}
    value, error = ratio(distances(mixture, 64, **noisy, steps=30), ancestral)
    assert error < 0.08 and value - error <= 1, (value, error)
    value, error = ratio(distances(mixture, **noisy, steps=10), ancestral)
    assert value - 2 * error > 2, (value, error)  # noise is new at every step, so each must be short


def test_the_spread_within_a_mode_is_kept(mixture):
    widths = {name: mixture.width(mixture.sample(8000, 0, **sampler)) for name, sampler in FEW.items()}
    assert all(0.95 < width < 1.08 for width in widths.values()), widths
    assert mixture.width(mixture.sample(8000, 0, method="dpmpp_2m", steps=20)) < 0.7  # uniform steps are too long near the end
    assert 0.95 < mixture.width(mixture.sample(8000, 0, method="heun", spacing="karras", steps=18)) < 1.15


@pytest.mark.parametrize("method", ["dpmpp_2m", "unipc", "heun"])
def test_multistep_methods_are_of_second_order(mixture, method):
    """Halved steps in log sigma lessen the error of the trajectory fourfold; a method of first order would only halve it."""
    grid = {"spacing": "karras", "rho": 20.0, "sigma_min": 0.3, "sigma_max": 3.0, "method": method}
    exact = mixture.sample(300, 0, **{**grid, "steps": 1000})
    errors = [(mixture.sample(300, 0, **{**grid, "steps": steps}) - exact).square().mean().sqrt().item() for steps in (32, 64)]
    assert errors[0] / errors[1] > 3, errors


def test_unipc_is_nearer_to_the_exact_trajectory_than_dpmpp(mixture):
    exact = mixture.sample(2000, 0, method="heun", spacing="karras", steps=500)
    for steps in (12, 15, 20, 30):
        error = {}
        for method in FEW:
            error[method] = (mixture.sample(2000, 0, method=method, spacing="karras", steps=steps) - exact).abs().mean().item()
        assert error["unipc"] < error["dpmpp_2m"], (steps, error)


@pytest.mark.parametrize("method", ["ancestral", "ddim", "dpmpp_2m", "unipc", "heun"])
def test_samples_from_pure_noise_reach_the_mixture(method):
    """Zero terminal SNR: the first level is infinite, and what follows is as good as from the paper's schedule."""
    sampler = {"method": method, "spacing": "karras", "steps": 60 if method in ("ancestral", "ddim") else 20}
    silent, paper = Mixture(zero_terminal_snr=True), Mixture()
    value, error = ratio(*(distances(mixture, 16, **sampler) for mixture in (silent, paper)))
    assert error < 0.12 and value - 2 * error <= 1, (value, error)


def test_the_exact_denoiser_is_the_limit_of_its_finite_levels():
    mixture, x = Mixture(zero_terminal_snr=True), torch.randn(5, 6, 1, 1)
    torch.testing.assert_close(mixture.denoise(x, float("inf")), mixture.denoise(x * 1e5, 1e5), rtol=1e-3, atol=1e-3)
