"""What a noisy stack says of the clean one before any network: the best estimate under a simple model of the data.

EDM's preconditioning (Karras et al. 2022, section 5) gives a network the difference to c_skip x, the best estimate where all pixels are
independent Gaussians of one spread. Pixels of images are far from independent, and code channels are far from Gaussian, so most of what
a small network then learns in its first hours is statistics that can be measured in seconds: colours that go together, smoothness, and
that codes are +-1. This estimate knows them, and what is left to learn is what is rare: structure.

Images: the Gaussian of the data's mean and covariance, in the basis of the cosine transform times the principal axes of the channels,
where the covariance of patches is nearly diagonal (Jain 1979); its posterior mean is Wiener's filter. Code channels: that posterior, less
the Gaussian belief in the channel's own values, is an observation of each symbol in Gaussian noise, and the posterior mean of a symbol of
+-1 from one is a tanh (the extrinsic message of expectation propagation, Minka 2001).
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

COLOURS = 3
FLOOR = (2 / 255) ** 2 / 12  # variance of rounding to 8 bits: nothing in the data is known better
SUREST = 0.999  # a symbol that is the same everywhere has endless odds


class Prior(nn.Module):
    """Mean, channel axes and spectrum of stacks, measured once and kept with the weights.

    Args:
        channels: C, three colours and then codes.
        size: side of the stacks in pixels.

    Attributes:
        mean: (C,) float32.
        axes: (C,C) float32, the channels' principal axes in columns.
        spectrum: (C,size,size) float32, variances of the cosine coefficients along each axis.
    """

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("axes", torch.eye(channels))
        self.register_buffer("spectrum", torch.ones(channels, size, size))
        self.register_buffer("cosines", _cosines(size), persistent=False)

    @torch.no_grad()
    def measure(self, batches: Iterable[torch.Tensor]) -> None:
        """Set mean, axes and spectrum from stacks (N,C,size,size), batch by batch; moments in float64."""
        count, size, moments, sums = 0, len(self.cosines), 0.0, 0.0
        cosines = self.cosines.double()
        for stacks in batches:
            waves = cosines @ stacks.double() @ cosines.T
            moments = moments + torch.einsum("nchw,ndhw->cdhw", waves, waves)
            sums = sums + waves[:, :, 0, 0].sum(0)
            count += len(stacks)
        mean = sums / (count * size)  # the first coefficient is `size` times the mean of a channel
        moments = moments / count
        moments[:, :, 0, 0] -= size**2 * mean[:, None] * mean
        axes = torch.linalg.eigh(moments.mean((2, 3)))[1]
        self.mean.copy_(mean)
        self.axes.copy_(axes)
        self.spectrum.copy_(torch.einsum("ck,cdhw,dk->khw", axes, moments, axes).clamp_min(FLOOR))

    def forward(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """The estimate of x0 from `x0 + sigma noise`.

        Args:
            x: (N,C,size,size) float32.
            sigma: noise level, > 0: one number, or (N,) on x's device.

        Returns:
            (N,C,size,size) float32; code channels in [-1,1].
        """
        noise = sigma**2 if isinstance(sigma, int | float) else sigma.float()[:, None, None, None] ** 2
        mean = self.mean[:, None, None]
        shares = self.spectrum / (self.spectrum + noise)  # (C,S,S) or (N,C,S,S)
        waves = torch.einsum("ck,nchw->nkhw", self.axes, self.cosines @ (x - mean) @ self.cosines.T)
        linear = torch.einsum("ck,nkhw->nchw", self.axes, self.cosines.T @ (waves * shares) @ self.cosines) + mean
        if x.shape[1] == COLOURS:
            return linear
        # Variances of the codes before and after x is seen, of a pixel.
        before, after = (
            torch.einsum("ck,...k->...c", self.axes**2, variances.mean((-2, -1)))[..., COLOURS:, None, None]
            for variances in (self.spectrum, shares * noise)
        )
        belief = mean[COLOURS:].clamp(-SUREST, SUREST)
        return torch.cat([linear[:, :COLOURS], torch.tanh(linear[:, COLOURS:] / after - belief / before + torch.atanh(belief))], 1)


def _cosines(size: int) -> torch.Tensor:
    """The orthonormal cosine transform (DCT-II), (size,size): coefficients are its product with a signal."""
    places = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * places[:, None] * (places + 0.5)) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows.float()
