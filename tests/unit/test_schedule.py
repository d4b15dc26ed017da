import numpy as np
import pytest
from diffusion_fixtures import LINEAR
from pytest import approx

from satsynth.diffusion.schedule import make_schedule
from satsynth.runtime.errors import ConfigError


def test_published_values_of_the_linear_schedule():
    s = make_schedule(LINEAR)
    assert s.betas.dtype == np.float64 and s.steps == 1000
    assert s.betas[[0, 999]] == approx([1e-4, 0.02], rel=1e-12)
    expected = {0: 0.9999, 1: 0.99978009207, 99: 0.89701814567, 249: 0.52408537383, 499: 0.078587242882, 749: 3.3505504389e-3}
    for t, value in {**expected, 999: 4.0358297654e-5}.items():
        assert s.alpha_bars[t] == approx(value, rel=1e-9)
    for t, value in {0: 4.605120, 99: 1.082262, 249: 0.048208, 499: -1.230849, 999: -5.058837}.items():
        assert s.snr[t] == approx(np.exp(2 * value), rel=1e-5)


def test_rescaled_short_schedules_end_in_noise_as_segdiff_needs():
    ends = {100: 2.039e-5, 50: 7.74e-6, 25: 2.42e-7}
    for steps, end in ends.items():
        s = make_schedule({**LINEAR, "steps": steps, "rescale": True})
        assert s.alpha_bars[-1] == approx(end, rel=2e-3)
    assert make_schedule({**LINEAR, "steps": 100}).alpha_bars[-1] == approx(0.36356, abs=1e-5)


def test_zero_terminal_snr_moves_the_end_to_zero_and_leaves_the_beginning():
    plain, zero = make_schedule(LINEAR), make_schedule({**LINEAR, "zero_terminal_snr": True})
    assert zero.alpha_bars[-1] == 0 and zero.betas[-1] == 1
    assert zero.alpha_bars[0] == approx(plain.alpha_bars[0], rel=1e-12)
    assert (np.diff(zero.alpha_bars) < 0).all()
    assert np.isfinite(zero.sigmas[:-1]).all() and zero.sigmas[-1] == np.inf
    assert (zero.time_of(np.inf), zero.time_of(1e9), zero.time_of(zero.sigmas[-2])) == approx((999, 998, 998))


def test_cosine_schedule_follows_its_formula_until_the_cap():
    s = make_schedule({**LINEAR, "kind": "cosine"})
    t = np.arange(900) + 1
    wanted = np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert s.alpha_bars[:900] == approx(wanted, rel=1e-9)
    assert s.betas.max() == 0.999


def test_time_of_inverts_the_sigmas_and_interpolates_between_them():
    s = make_schedule(LINEAR)
    assert [s.time_of(s.sigmas[t]) for t in (0, 1, 500, 998, 999)] == approx([0, 1, 500, 998, 999], abs=1e-9)
    assert s.time_of(np.sqrt(s.sigmas[10] * s.sigmas[11])) == approx(10.5)
    assert (s.time_of(1e-6), s.time_of(1e6)) == (0, 999)


def test_against_diffusers():
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    oracle = schedulers.DDPMScheduler(1000, beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")
    s = make_schedule(LINEAR)
    assert s.alpha_bars == approx(oracle.alphas_cumprod.double().numpy(), rel=2e-5)


def test_zero_terminal_snr_against_diffusers():
    schedulers = pytest.importorskip("diffusers", reason="diffusers is the oracle of this test")
    oracle = schedulers.DDPMScheduler(1000, beta_start=1e-4, beta_end=2e-2, rescale_betas_zero_snr=True)
    ours = make_schedule({**LINEAR, "zero_terminal_snr": True})
    assert ours.alpha_bars == approx(oracle.alphas_cumprod.double().numpy(), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"kind": "linaer"}, "schedule.kind"),
        ({"steps": 0}, "schedule.steps"),
        ({"steps": 10, "rescale": True}, "schedule"),
        ({"beta_start": 0.0}, "schedule"),
    ],
)
def test_bad_schedules_name_their_key(change, key):
    with pytest.raises(ConfigError) as caught:
        make_schedule({**LINEAR, **change})
    assert caught.value.subject == key and caught.value.remedy
