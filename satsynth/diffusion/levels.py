"""The noise levels that a sampler walks through. Without torch, so that a config can be checked before anything is trained."""

from math import inf

import numpy as np

from satsynth.diffusion.schedule import Schedule
from satsynth.runtime.errors import ConfigError

SPACINGS = ("uniform", "karras")
# Where a karras grid goes on after pure noise, if nobody says otherwise: the largest level of Karras et al. 2022, table 1.
AFTER_PURE_NOISE = 80.0


def sigma_grid(cfg: dict, schedule: Schedule, prediction: str) -> list[float]:
    """The noise levels of a sampler: `steps` decreasing ones and a final 0.

    Args:
        cfg: `spacing` "uniform" (step indices evenly from T-1 down, rounded; all T of them if steps = T) or "karras" (Karras et al. 2022,
            eq. 5, from `sigma_max` to `sigma_min` with exponent `rho`); `steps`; sigmas may be null for networks that have a schedule.
            Under zero terminal SNR both begin with inf; karras then has one level less from `sigma_max` (null: 80) on.
        schedule: of the denoiser.
        prediction: of the denoiser.

    Raises:
        ConfigError: a value that makes no grid.
    """
    steps = cfg["steps"]
    if cfg["spacing"] not in SPACINGS:
        raise ConfigError("sampler.spacing", f"'{cfg['spacing']}' is no spacing.", f"Use one of {', '.join(SPACINGS)}.")
    if steps < 1 or (cfg["spacing"] == "uniform" and steps > schedule.steps):
        cause = f"{steps} steps do not fit a schedule of {schedule.steps}."
        raise ConfigError("sampler.steps", cause, "Give 1 to that number, or more with karras spacing.")
    if cfg["spacing"] == "uniform":
        if prediction == "edm" and schedule.sigmas[-1] == inf:
            cause = "A schedule of zero terminal SNR begins with pure noise, which a network with EDM preconditioning never sees."
            raise ConfigError("sampler.spacing", cause, "Use karras, or set schedule.zero_terminal_snr to false.")
        times = np.round(schedule.steps - np.arange(steps) * (schedule.steps / steps)).astype(int) - 1
        return [*schedule.sigmas[times].tolist(), 0.0]
    low, high = _sigma_range(cfg, schedule, prediction)
    before = [inf] if prediction != "edm" and schedule.sigmas[-1] == inf else []
    ramp, power = np.linspace(0, 1, steps - len(before)), 1 / cfg["rho"]
    sigmas = (high**power + ramp * (low**power - high**power)) ** cfg["rho"]
    return [*before, *sigmas.tolist(), 0.0]


def _sigma_range(cfg: dict, schedule: Schedule, prediction: str) -> tuple[float, float]:
    low, high = cfg["sigma_min"], cfg["sigma_max"]
    if prediction == "edm":
        if low is None or high is None:
            cause = "A network with EDM preconditioning has no range of its own."
            raise ConfigError("sampler.sigma_min, sampler.sigma_max", cause, "Give both; Karras et al. have 0.002 and 80.")
    else:
        finite = schedule.sigmas[np.isfinite(schedule.sigmas)].tolist()
        if len(finite) < 2:
            cause = f"a schedule of {schedule.steps} steps has no range of noise levels to space."
            raise ConfigError("sampler.spacing", cause, "Use uniform, or give schedule.steps more.")
        first, last = finite[0], finite[-1]
        widest = last if schedule.sigmas[-1] < inf else min(last, AFTER_PURE_NOISE)
        low, high = first if low is None else low, widest if high is None else high
        if low < first * (1 - 1e-6) or high > last * (1 + 1e-6):
            cause = f"{low:g} to {high:g} leaves the network's range, {first:g} to {last:g}."
            raise ConfigError("sampler.sigma_min, sampler.sigma_max", cause, "Set them to null to take the network's own range.")
    if not 0 < low < high:
        raise ConfigError("sampler.sigma_min, sampler.sigma_max", f"{low:g} to {high:g} is no range.", "Give 0 < sigma_min < sigma_max.")
    return low, high
