"""Noise schedules of discrete-time diffusion (Ho et al. 2020), in float64.

Index t = 0..T-1; t = 0 is the first noising step. `x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps`. Everything here lives on
the host: samplers take Python numbers from it, so no step waits for a device.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from satsynth.runtime.errors import ConfigError

KINDS = ("linear", "cosine")


@dataclass(frozen=True, eq=False)
class Schedule:
    """The tables of one schedule; every array is (T,) float64.

    Args:
        betas: variances of the noising steps, each in (0, 1]; 1 only in the last place (zero terminal SNR).
    """

    betas: np.ndarray

    def __post_init__(self) -> None:
        inside = (self.betas > 0) & (self.betas < 1)
        if self.betas.ndim != 1 or not len(self.betas) or not inside[:-1].all() or not 0 < self.betas[-1] <= 1:
            raise ConfigError("schedule", "Its betas leave the interval (0, 1).", "Use more steps or smaller betas.")

    @property
    def steps(self) -> int:
        """T."""
        return len(self.betas)

    @cached_property
    def alphas(self) -> np.ndarray:
        """1 - beta."""
        return 1 - self.betas

    @cached_property
    def alpha_bars(self) -> np.ndarray:
        """Cumulated products of alpha, the share of signal variance at t; decreasing."""
        return np.cumprod(self.alphas)

    @cached_property
    def sigmas(self) -> np.ndarray:
        """Noise levels of `x0 + sigma eps` that match t: sqrt((1 - alpha_bar) / alpha_bar), increasing; the last is inf at zero SNR."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alpha_bars) / self.alpha_bars)

    @cached_property
    def snr(self) -> np.ndarray:
        """alpha_bar / (1 - alpha_bar)."""
        return self.alpha_bars / (1 - self.alpha_bars)

    def time_of(self, sigma: float) -> float:
        """The (fractional) t whose noise level is `sigma`, linear in log sigma between indices, clamped to 0..T-1.

        Under zero terminal SNR only sigma = inf is T - 1: every finite level above the one of T - 2 counts as T - 2.
        """
        return float(np.interp(np.log(sigma), np.log(self.sigmas), np.arange(self.steps, dtype=np.float64)))


def make_schedule(cfg: dict) -> Schedule:
    """A schedule from its config.

    Args:
        cfg: `kind` "linear" or "cosine"; `steps` T; `beta_start` and `beta_end` of the linear kind (both included); `rescale`, whether
            its betas are multiplied by 1000 / T, so that few steps still end in noise (SegDiff); `zero_terminal_snr`, whether the last
            step is made pure noise (Lin et al. 2024, algorithm 1), for x0 and v networks.

    Raises:
        ConfigError: an unknown kind, no steps, or betas outside (0, 1).
    """
    kind, steps = cfg["kind"], cfg["steps"]
    if kind not in KINDS:
        raise ConfigError("schedule.kind", f"'{kind}' is no schedule.", f"Use one of {', '.join(KINDS)}.")
    if steps < 1:
        raise ConfigError("schedule.steps", f"{steps} steps make no schedule.", "Give at least 1 step; the paper has 1000.")
    if kind == "linear":
        betas = np.linspace(cfg["beta_start"], cfg["beta_end"], steps, dtype=np.float64)
        if cfg["rescale"]:
            betas = betas * (1000 / steps)
    else:
        betas = _cosine_betas(steps)
    if cfg["zero_terminal_snr"]:
        betas = _zero_terminal_snr(betas)
    return Schedule(betas)


def _cosine_betas(steps: int, offset: float = 0.008, largest: float = 0.999) -> np.ndarray:
    """Betas of the cosine alpha_bar (Nichol and Dhariwal 2021, eq. 17), offset and largest beta as there."""
    angles = (np.arange(steps + 1, dtype=np.float64) / steps + offset) / (1 + offset) * np.pi / 2
    alpha_bars = np.cos(angles) ** 2
    return np.minimum(1 - alpha_bars[1:] / alpha_bars[:-1], largest)


def _zero_terminal_snr(betas: np.ndarray) -> np.ndarray:
    """Shift and scale sqrt(alpha_bar) to end at 0 and to begin where it began (Lin et al. 2024, algorithm 1)."""
    roots = np.sqrt(np.cumprod(1 - betas))
    roots = (roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))
    alpha_bars = roots**2
    return 1 - np.append(alpha_bars[0], alpha_bars[1:] / alpha_bars[:-1])
