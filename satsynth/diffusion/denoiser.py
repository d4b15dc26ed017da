"""A network and what it predicts: the training loss, and the estimate of x0 that every sampler asks for.

Two coordinate systems meet here. Networks of the kinds epsilon, x0 and v are trained at a step index t on
`x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps`. Samplers work on `x = x0 + sigma eps` (variance exploding), for which all
four kinds are one formula, `x0 = skip x + out network(scale x, time)`; there `x_t = x / sqrt(1 + sigma^2)`. With a measured prior its
estimate takes the place of `skip x`, and the network sees it.
"""

import math

import torch
from torch import nn

from satsynth.diffusion.prior import Prior
from satsynth.diffusion.schedule import make_schedule
from satsynth.diffusion.unet import UNet, UNetConfig
from satsynth.runtime.errors import ConfigError

PREDICTIONS = ("epsilon", "x0", "v", "edm")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Denoiser(nn.Module):
    """A network under one prediction; calling it gives the training loss.

    Args:
        network: maps (x, time, condition, condition_level) to a tensor like x, as `UNet` does.
        cfg: `prediction` (one of PREDICTIONS); `schedule` (see `make_schedule`; an "edm" network uses it for conditions' levels and for
            samplers with uniform spacing only); `min_snr`, null or the gamma of min-SNR weighting (Hang et al. 2023; not with "edm");
            `edm`, read for "edm" only: `sigma_data` (standard deviation of the stacks: a number, or one for the three image channels and
            one for the code channels), `p_mean`, `p_std` (of log sigma in training) and `prior` (see `build_denoiser`).
        precision: "float32", or "bfloat16" for autocast around the network; all other algebra is float32.
        prior: for "edm", whose network then learns the difference to the prior's estimate; None for Karras et al.'s `skip x`.

    Attributes:
        schedule: the tables; plain numpy, so neither the state dict nor an average of weights ever holds them.
    """

    def __init__(self, network: nn.Module, cfg: dict, precision: str = "float32", prior: Prior | None = None):
        super().__init__()
        self.network, self.prior = network, prior
        self.prediction, self.min_snr, self.precision = cfg["prediction"], cfg["min_snr"], precision
        self.schedule = make_schedule(cfg["schedule"])
        self.edm = dict(cfg["edm"]) if self.prediction == "edm" else None
        self._tables: dict[torch.device, torch.Tensor] = {}
        self._deviations: dict[torch.device, torch.Tensor] = {}
        if self.prediction not in PREDICTIONS:
            raise ConfigError("prediction", f"'{self.prediction}' is no prediction.", f"Use one of {', '.join(PREDICTIONS)}.")
        if precision not in PRECISIONS:
            raise ConfigError("precision", f"'{precision}' is no precision.", f"Use one of {', '.join(PRECISIONS)}.")
        silent = self.schedule.alpha_bars[-1] == 0
        if silent and self.prediction == "epsilon":
            cause = "An epsilon network cannot learn x0 from pure noise, which zero terminal SNR asks of it."
            raise ConfigError("schedule.zero_terminal_snr", cause, "Set prediction to v or x0, or zero_terminal_snr to false.")
        if self.min_snr is not None and (self.prediction == "edm" or silent):
            cause = "EDM brings a weighting of its own, and zero terminal SNR would give the last step no weight."
            raise ConfigError("min_snr", cause, "Set min_snr to null.")

    def draw_levels(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Noise levels for n training samples, on the generator's device.

        Returns:
            (n,) int64 t, uniform over 0..T-1 (Ho et al. 2020, algorithm 1); for "edm" (n,) float32 sigma, log-normal (Karras et al. 2022,
            table 1).
        """
        if self.prediction == "edm":
            normal = torch.randn(n, generator=generator, device=generator.device)
            return torch.exp(self.edm["p_mean"] + self.edm["p_std"] * normal)
        return torch.randint(self.schedule.steps, (n,), generator=generator, device=generator.device)

    def forward(self, *args: torch.Tensor | None, **kwargs: torch.Tensor | None) -> torch.Tensor:
        """`training_loss`."""
        return self.training_loss(*args, **kwargs)

    def training_loss(
        self,
        x0: torch.Tensor,
        noise: torch.Tensor,
        level: torch.Tensor,
        condition: torch.Tensor | None = None,
        condition_level: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean of `sample_losses` (same arguments): a float32 scalar with a gradient."""
        return self.sample_losses(x0, noise, level, condition, condition_level, weights).mean()

    def sample_losses(
        self,
        x0: torch.Tensor,
        noise: torch.Tensor,
        level: torch.Tensor,
        condition: torch.Tensor | None = None,
        condition_level: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The training loss of every sample.

        Epsilon, x0, v: mean squared error of the prediction (L_simple, Ho et al. 2020, eq. 14), times the min-SNR weight where set.
        EDM: lambda(sigma) |D - x0|^2 with lambda = 1 / c_out^2 (Karras et al. 2022, eq. 8), computed on the network's own output.

        Args:
            x0: (N,C,H,W) clean stacks, about [-1, 1].
            noise: (N,C,H,W) standard normal.
            level: (N,) as `draw_levels` gives them; any device.
            condition: (N,.,H,W) concatenated to the network's input.
            condition_level: (N,) noise level of the condition, a step index (see `noise_condition`).
            weights: factors on the squared errors, (N,) or any shape that broadcasts to (N,C,H,W).

        Returns:
            (N,) float32.
        """
        x0, noise = x0.float(), noise.float()
        level = level.to(x0.device, non_blocking=True)
        if self.prediction == "edm":
            sigma = level.float()[:, None, None, None]
            x = x0 + sigma * noise
            scale, skip, out, time = self._coefficients(level.float(), x0)
            estimate = self._estimate(x, level, skip, condition, condition_level)
            predicted = self._call(_wide(scale) * x, time, self._beside(estimate, condition), condition_level)
            target = (x0 - estimate) / _wide(out)
        else:
            signal, spread, factor, _ = (_wide(row) for row in self._table(x0.device)[:, level])
            x = signal * x0 + spread * noise
            predicted = self._call(x, level.float(), condition, condition_level)
            target = {"epsilon": noise, "x0": x0}[self.prediction] if self.prediction != "v" else signal * noise - spread * x0
        errors = (predicted - target).square()
        if weights is not None:
            errors = errors * (_wide(weights) if weights.ndim == 1 else weights)
        losses = errors.mean((1, 2, 3))
        return losses if self.min_snr is None else losses * factor.flatten()

    def denoise(
        self,
        x: torch.Tensor,
        sigma: float | torch.Tensor,
        condition: torch.Tensor | None = None,
        condition_level: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The network's estimate of x0, not clipped.

        Args:
            x: (N,C,H,W), x0 + sigma eps; where sigma is inf, eps alone.
            sigma: noise level, > 0: one number, or (N,) finite ones on x's device. Networks with a schedule see the (fractional) step whose
                log sigma it is, between neighbouring steps by linear interpolation. inf is the last step of zero terminal SNR: for x0 and
                v networks of such a schedule.
            condition: as in training.
            condition_level: as in training.

        Returns:
            (N,C,H,W) float32.
        """
        x = x.float()
        scale, skip, out, time = self._coefficients(sigma, x)
        if not isinstance(time, torch.Tensor):
            time = torch.full((len(x),), time, device=x.device)  # filled on the device: no wait
        estimate = self._estimate(x, sigma, skip, condition, condition_level)
        return estimate + _wide(out) * self._call(_wide(scale) * x, time, self._beside(estimate, condition), condition_level)

    def _estimate(
        self,
        x: torch.Tensor,
        sigma: float | torch.Tensor,
        skip: float | torch.Tensor,
        condition: torch.Tensor | None,
        condition_level: torch.Tensor | None,
    ) -> torch.Tensor:
        """What the network's output is added to."""
        if self.prior is None:
            return _wide(skip) * x
        if condition_level is None:
            return self.prior(x, sigma, condition)
        return self.prior(x, sigma, condition, *self._shares(condition_level, x.device))

    def _beside(self, estimate: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor | None:
        """What the network sees beside x: with a prior, first the estimate that it is to mend, whose steep sides it could not guess."""
        if self.prior is None:
            return condition
        return estimate if condition is None else torch.cat([estimate, condition], 1)

    def noise_condition(self, condition: torch.Tensor, noise: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Conditioning augmentation (Ho et al. 2022, section 4.1): sqrt(alpha_bar_s) c + sqrt(1 - alpha_bar_s) eps.

        Args:
            condition: (N,.,H,W) clean condition.
            noise: the same shape, standard normal.
            level: (N,) int64 s in 0..T-1; pass the same to the network as `condition_level`.
        """
        signal, spread = self._shares(level, condition.device)
        return signal * condition.float() + spread * noise

    def _shares(self, level: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """What a condition at steps `level` (N,) has of the clean one and of noise: factors, each (N,1,1,1)."""
        signal, spread, *_ = self._table(device)[:, level.to(device).long()]
        return _wide(signal), _wide(spread)

    def _call(self, x: torch.Tensor, time: torch.Tensor, condition: torch.Tensor | None, level: torch.Tensor | None) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.network(x, time, condition, level).float()

    def _coefficients(self, sigma: float | torch.Tensor, x: torch.Tensor) -> tuple:
        """(scale, skip, out, time) of `x0 = skip x + out network(scale x, time)`: numbers for a number, (N,) for (N,); (1,C,1,1) or
        (N,C,1,1) where sigma_data differs by channel.
        """
        on_host = not isinstance(sigma, torch.Tensor)  # then all scalars are worked out there, in float64
        if self.prediction == "edm":
            time = (math.log(sigma) if on_host else sigma.log()) / 4
            data = self.edm["sigma_data"]
            if not isinstance(data, int | float):
                # Images vary far less than +-1 codes: one number for both would give the image channels almost no weight in the loss.
                data = self._by_channel(x)
                sigma = sigma if on_host else _wide(sigma)
            total = sigma**2 + data**2
            return total**-0.5, data**2 / total, sigma * data / total**0.5, time
        time = self.schedule.time_of(sigma) if on_host else self._time_of(sigma)
        if on_host and sigma == math.inf:  # the limits of the lines below, with x / sigma for x
            return 1.0, 0.0, {"x0": 1.0, "v": -1.0}[self.prediction], time
        scale = (1 + sigma**2) ** -0.5
        if self.prediction == "epsilon":
            return scale, 1.0, -sigma, time
        if self.prediction == "x0":
            return scale, 0.0, 1.0, time
        return scale, scale**2, -sigma * scale, time

    def _by_channel(self, x: torch.Tensor) -> torch.Tensor:
        """sigma_data of every channel, (1,C,1,1) on x's device."""
        if x.device not in self._deviations:
            image, codes = self.edm["sigma_data"]
            values = torch.full((1, x.shape[1], 1, 1), float(codes))
            values[:, :3] = image
            self._deviations[x.device] = values.to(x.device)
        return self._deviations[x.device]

    def _time_of(self, sigma: torch.Tensor) -> torch.Tensor:
        """`Schedule.time_of` for (N,) sigmas on any device, without a wait."""
        if self.schedule.steps == 1:
            return torch.zeros_like(sigma)
        nodes = self._table(sigma.device)[3]
        place = sigma.float().log().clamp(nodes[0], nodes[-1])
        right = torch.searchsorted(nodes, place).clamp(1, self.schedule.steps - 1)
        left = right - 1
        return left + (place - nodes[left]) / (nodes[right] - nodes[left])

    def _table(self, device: torch.device) -> torch.Tensor:
        """(4,T) float32 on the device: sqrt(alpha_bar), sqrt(1 - alpha_bar), the min-SNR weight (1 where off) and log sigma."""
        if device not in self._tables:
            schedule, snr = self.schedule, torch.from_numpy(self.schedule.snr)
            weight = torch.ones_like(snr)
            if self.min_snr is not None:
                weight = snr.clamp(max=self.min_snr) / {"epsilon": snr, "x0": 1.0, "v": snr + 1}[self.prediction]
            alpha_bar = torch.from_numpy(schedule.alpha_bars)
            log_sigma = torch.from_numpy(schedule.sigmas).log()
            self._tables[device] = torch.stack([alpha_bar.sqrt(), (1 - alpha_bar).sqrt(), weight, log_sigma]).float().to(device)
        return self._tables[device]


def build_denoiser(
    cfg: dict, channels: int, size: int, condition_channels: int = 0, condition_levels: bool = False, precision: str = "float32"
) -> Denoiser:
    """A U-Net under its prediction, with fresh weights from torch's global generator.

    Args:
        cfg: what `Denoiser` reads, and `network`: `channels`, `multipliers`, `blocks`, `attention`, `dropout`, `unshuffle`, `norm_groups`
            (see `UNetConfig`); with prediction "edm" and `edm.prior` "measured", the denoiser has a `Prior` that is still to be measured.
        channels: C of the stacks.
        size: their height and width in pixels.
        condition_channels: channels of the condition, 0 for none, C for the paper's super-resolution network.
        condition_levels: whether the condition's noise level is embedded.
        precision: see `Denoiser`.
    """
    keys = ("channels", "multipliers", "blocks", "attention", "dropout", "unshuffle", "norm_groups")
    shape = {key: cfg["network"][key] for key in keys}
    measured = cfg["prediction"] == "edm" and cfg["edm"].get("prior") == "measured"
    seen = channels * (2 if measured else 1) + condition_channels
    config = UNetConfig(seen, channels, size=size, condition_levels=condition_levels, **shape)
    return Denoiser(UNet(config), cfg, precision, Prior(channels, size, condition_channels > 0) if measured else None)


def _wide(value: float | torch.Tensor) -> float | torch.Tensor:
    """(N,) -> (N,1,1,1); a number, or what is wide already, stays as it is."""
    return value[:, None, None, None] if isinstance(value, torch.Tensor) and value.ndim == 1 else value
