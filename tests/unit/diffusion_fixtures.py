"""The paper's schedule, and its sampler; and a watch over what makes the host wait."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

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


def posterior(schedule, t: int) -> tuple[float, float, float, float]:
    """Of q(x_{t-1} | x_t, x0), t > 0: the weights of x0 and x_t in its mean, its variance, and beta, the other choice of one.

    From the betas alone (Ho et al. 2020, eq. 6 and 7, section 3.2).
    """
    beta, before, now = schedule.betas[t], schedule.alpha_bars[t - 1], schedule.alpha_bars[t]
    weights = beta * before**0.5 / (1 - now), (1 - beta) ** 0.5 * (1 - before) / (1 - now)
    return *weights, beta * (1 - before) / (1 - now), beta


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for an accelerator: reads of a tensor's value, and copies that it does not let go on alone.

    The device "meta" stands for an accelerator: it holds shapes alone.
    """

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default)
        if func is torch.ops.aten._to_copy.default:
            target = kwargs.get("device") or args[0].device
            self.count += torch.device(target).type != args[0].device.type and not kwargs.get("non_blocking")
        return func(*args, **kwargs)
