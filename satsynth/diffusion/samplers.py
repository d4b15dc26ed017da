"""Samplers: from noise to stacks through any denoiser.

All of them walk down one grid of noise levels in the coordinates `x = x0 + sigma eps`, where a step from sigma to a lower one reads
`x = x0 + kept (x - x0) + spread z`; dividing by sqrt(1 + sigma^2) gives the usual equations in x_t and alpha_bar. The grid ends
in sigma = 0, so the last step returns the estimate of x0 itself and leaves no noise. All coefficients are numbers of the host: no
step waits for the device.

Under zero terminal SNR the first level is infinite. There x stands for the noise alone (x / sigma), x0 has no share in it, and the
step reads `x = x0 + kept x + spread z`: every method has its exact limit.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import expm1, inf, log

import torch

from satsynth.diffusion.levels import sigma_grid
from satsynth.runtime.errors import ConfigError

METHODS = ("ancestral", "ddim", "dpmpp_2m", "unipc", "heun")
NOISY = ("ddim", "dpmpp_2m")  # with noise of their own where eta is above 0
MULTISTEP = ("dpmpp_2m", "unipc")
VARIANCES = ("fixed_small", "fixed_large")

Generators = torch.Generator | Sequence[torch.Generator]
# (step, sigma, x, x0): see `watch` of `sample`.
Watch = Callable[[int, float, torch.Tensor, torch.Tensor], None]


def nfe(cfg: dict) -> int:
    """Network evaluations that `sample` makes for this config."""
    return 2 * cfg["steps"] - 1 if cfg["method"] == "heun" else cfg["steps"]


@torch.no_grad()
def sample(
    denoiser: torch.nn.Module,
    noise_start: torch.Tensor,
    cfg: dict,
    generator: Generators | None = None,
    condition: torch.Tensor | None = None,
    condition_level: torch.Tensor | None = None,
    clip: bool = True,
    watch: Watch | None = None,
) -> torch.Tensor:
    """Draw samples. Nothing but `noise_start` and `generator` is random; a module is put in evaluation mode for the time being.

    Args:
        denoiser: has `denoise(x, sigma, condition, condition_level)`, `schedule` and `prediction`, as `Denoiser` does.
        noise_start: (N,C,H,W) standard normal, whatever the method.
        cfg: `method` "ancestral" (Ho et al. 2020, algorithm 2), "ddim" (Song et al. 2021), "dpmpp_2m" (DPM-Solver++ of second order,
            multistep; Lu et al. 2022), "unipc" (UniPC-2, multistep, data prediction, B2(h); Zhao et al. 2023) or "heun"
            (Karras et al. 2022, algorithm 1); `steps`; `spacing` and its keys (see `sigma_grid`);
            `variance` "fixed_small" or "fixed_large" of ancestral; `eta` of ddim and dpmpp_2m, 0 deterministic to 1 as noisy as ancestral
            (then SDE-DPM-Solver++(2M) of Lu et al. 2022); `clip`, whether every estimate of x0 is clipped to [-1, 1] before it is used.
        generator: source of the steps' noise for ancestral and where eta > 0 is read, best on x's device: one for the whole batch, or N of
            them, one a sample, which then does not depend on its neighbours.
        condition: (N,.,H,W), given to the network at every step.
        condition_level: (N,), likewise.
        clip: whether the result is clipped to [-1, 1].
        watch: called as watch(step, sigma, x, x0) with what the network was given at the beginning of every step, x (N,C,H,W) at level
            sigma, and its estimate x0 as it is used; at last as watch(steps, 0.0, result, result). It must change neither tensor, and
            changes no sample. Where sigma is inf, x is the noise alone.

    Returns:
        (N,C,H,W) float32.

    Raises:
        ConfigError: a key of cfg that cannot be used.
    """
    _check(cfg, generator, len(noise_start))
    sigmas = sigma_grid(cfg, denoiser.schedule, denoiser.prediction)
    training = getattr(denoiser, "training", False)
    if training:
        denoiser.eval()

    def estimate(x: torch.Tensor, sigma: float) -> torch.Tensor:
        x0 = denoiser.denoise(x, sigma, condition, condition_level)
        return x0.clamp(-1, 1) if cfg["clip"] else x0

    # A network with a schedule starts from x_t = noise, so from sqrt(1 + sigma^2) noise here; EDM starts from sigma noise.
    scale = sigmas[0] if denoiser.prediction == "edm" else (1 + sigmas[0] ** 2) ** 0.5
    x = noise_start.float() * (1.0 if scale == inf else scale)
    previous, older, origin = (None, inf), (None, inf), None  # of the multistep methods: two estimates with their levels, and x before
    try:
        for step, (sigma, lower) in enumerate(pairwise(sigmas)):
            x0 = estimate(x, sigma)
            if watch is not None:
                watch(step, sigma, x, x0)
            if cfg["method"] == "heun":
                x = _heun_step(x, x0, sigma, lower, estimate)
                continue
            if cfg["method"] == "unipc" and step and lower:  # the last step leaves nothing of x
                x = unipc_correction(origin, x0, *previous, *older, sigma)
            target = extrapolate(x0, *previous, sigma, lower) if cfg["method"] in MULTISTEP else x0
            kept, spread = _coefficients(cfg, sigma, lower)
            origin, x = x, _keep(x, target, kept, sigma)
            previous, older = (x0, sigma), previous
            if spread:
                x = x.add_(_draw(x, generator), alpha=spread)
    finally:
        if training:
            denoiser.train()
    x = x.clamp(-1, 1) if clip else x
    if watch is not None:
        watch(len(sigmas) - 1, 0.0, x, x)
    return x


def ancestral_coefficients(sigma: float, lower: float, variance: str) -> tuple[float, float]:
    """(kept, spread) of a draw from the posterior between two levels (Ho et al. 2020, eq. 6 and 7), skipped steps included.

    In these coordinates the posterior mean is x0 + (lower / sigma)^2 (x - x0) and its variance lower^2 (sigma^2 - lower^2) / sigma^2;
    fixed large takes beta = (sigma^2 - lower^2) / (1 + sigma^2) instead, rescaled. No noise in the last step.
    """
    if lower == 0:
        return 0.0, 0.0
    if sigma == inf:
        return 0.0, (1 + lower**2) ** 0.5 if variance == "fixed_large" else lower
    gap = sigma**2 - lower**2
    square = gap * (1 + lower**2) / (1 + sigma**2) if variance == "fixed_large" else gap * lower**2 / sigma**2
    return (lower / sigma) ** 2, square**0.5


def ddim_coefficients(sigma: float, lower: float, eta: float) -> tuple[float, float]:
    """(kept, spread) of DDIM (Song et al. 2021, eq. 12 and 16); eta = 1 equals ancestral with the fixed small variance."""
    square = eta**2 * lower**2 * (1 - (lower / sigma) ** 2)
    return (lower**2 - square) ** 0.5 / (1.0 if sigma == inf else sigma), square**0.5


def extrapolate(x0: torch.Tensor, previous: torch.Tensor | None, higher: float, sigma: float, lower: float) -> torch.Tensor:
    """The estimate that DPM-Solver++(2M) steps towards, D of Lu et al. 2022, algorithm 2, with alpha = 1 and lambda = -log sigma.

    The step itself is DDIM's: without noise that algorithm's; with it, at eta = 1, SDE-DPM-Solver++(2M) of the same paper, section 5.

    Args:
        x0: estimated at level `sigma`.
        previous: the estimate one step before, at level `higher`; None makes the step first order, as does a lower level of 0.
        higher: level of the step before.
        sigma: level of the estimate.
        lower: level to go to.
    """
    if previous is None or lower == 0:
        return x0
    # h = log(sigma / lower), r = log(higher / sigma) / h, D = x0 + (x0 - previous) / (2 r)
    return torch.lerp(previous, x0, 1 + log(sigma / lower) / (2 * log(higher / sigma)))


def unipc_correction(
    x: torch.Tensor, x0: torch.Tensor, previous: torch.Tensor, higher: float, older: torch.Tensor | None, highest: float, sigma: float
) -> torch.Tensor:
    """Mend a step of UniPC by the estimate at its end: UniC-2 of Zhao et al. 2023, data prediction, B2(h), alpha = 1, lambda = -log sigma.

    UniP-2, its predictor, is a step of DPM-Solver++(2M). Mending takes no further evaluation, since x0 serves the next step too.

    Args:
        x: at level `higher`, where the step began (itself corrected).
        x0: estimated at the end of the step, from what the predictor gave.
        previous: estimated from x.
        higher: level of x.
        older: the estimate one step before, at level `highest`; None (the first step) makes the correction that of order 1.
        highest: see `older`.
        sigma: level of the end of the step.

    Returns:
        x at level `sigma`.
    """
    h = log(higher / sigma)
    if older is None:
        target = torch.lerp(previous, x0, 0.5)
    else:
        # rho_1 + rho_2 = b_1 and -r rho_1 + rho_2 = b_2: the weights of the differences to `older` (over -r) and to x0.
        r, decay = log(highest / higher) / h, -expm1(-h)
        b1 = 1 / decay - 1 / h
        b2 = (1 - 2 * (1 - decay / h) / h) / decay
        rho = (b1 - b2) / (1 + r)
        target = torch.lerp(previous, x0, b1 - rho).add_(previous - older, alpha=rho / r)
    return _keep(x, target, _remainder(higher, sigma), higher)


def _coefficients(cfg: dict, sigma: float, lower: float) -> tuple[float, float]:
    """(kept, spread) of a step of any method but heun."""
    if cfg["method"] == "ancestral":
        return ancestral_coefficients(sigma, lower, cfg["variance"])
    return ddim_coefficients(sigma, lower, cfg["eta"] if cfg["method"] in NOISY else 0.0)


def _remainder(sigma: float, lower: float) -> float:
    """The share of x - x0 that is left at a lower level when x0 stays; see `_keep` for sigma = inf."""
    return lower if sigma == inf else lower / sigma


def _keep(x: torch.Tensor, x0: torch.Tensor, kept: float, sigma: float) -> torch.Tensor:
    """x0 + kept (x - x0), with x at level sigma; at an infinite one x is the noise alone, so x0 + kept x."""
    return torch.add(x0, x, alpha=kept) if sigma == inf else torch.lerp(x0, x, kept)


def _heun_step(x: torch.Tensor, x0: torch.Tensor, sigma: float, lower: float, estimate: Callable) -> torch.Tensor:
    """One step of Karras et al. 2022, algorithm 1: Euler, then the mean of both slopes, except in the last step.

    From an infinite level, the same for d(x / sigma) = x0 d(1 / sigma), whose interval is finite there.
    """
    if lower == 0:
        return x0
    if sigma == inf:
        return torch.lerp(x0, estimate(torch.add(x0, x, alpha=lower), lower), 0.5).add_(x, alpha=lower)
    slope = (x - x0) / sigma
    ahead = x + (lower - sigma) * slope
    slope_ahead = (ahead - estimate(ahead, lower)) / lower
    return x + (lower - sigma) / 2 * (slope + slope_ahead)


def _draw(x: torch.Tensor, generator: Generators) -> torch.Tensor:
    """Standard normal noise like x, from one generator or from one a sample."""
    if isinstance(generator, torch.Generator):
        return torch.randn(x.shape, generator=generator, device=generator.device).to(x.device, non_blocking=True)
    rows = [torch.randn(x.shape[1:], generator=one, device=one.device) for one in generator]
    return torch.stack(rows).to(x.device, non_blocking=True)


def _check(cfg: dict, generator: Generators | None, count: int) -> None:
    """Raise ConfigError for keys that no grid looks at."""
    if cfg["method"] not in METHODS:
        raise ConfigError("sampler.method", f"'{cfg['method']}' is no sampler.", f"Use one of {', '.join(METHODS)}.")
    if cfg["method"] == "ancestral" and cfg["variance"] not in VARIANCES:
        raise ConfigError("sampler.variance", f"'{cfg['variance']}' is no variance.", f"Use one of {', '.join(VARIANCES)}.")
    if cfg["method"] in NOISY and not 0 <= cfg["eta"] <= 1:
        raise ConfigError("sampler.eta", f"{cfg['eta']} is out of range.", "Give 0 (deterministic) to 1 (as noisy as ancestral).")
    random = cfg["method"] == "ancestral" or (cfg["method"] in NOISY and cfg["eta"] > 0)
    if random and generator is None:
        raise ConfigError("sampler.method", f"{cfg['method']} draws noise in every step.", "Pass a generator, or N of them.")
    if random and not isinstance(generator, torch.Generator) and len(generator) != count:
        raise ConfigError("sampler.method", f"{len(generator)} generators for {count} samples.", "Pass one generator, or one a sample.")
