"""What a noisy stack says of the clean one before any network: the best estimate under a simple model of the data.

EDM's preconditioning (Karras et al. 2022, section 5) gives a network the difference to c_skip x, the best estimate where all pixels are
independent Gaussians of one spread. Pixels of images are far from independent, and code channels are far from Gaussian, so most of what
a small network then learns in its first hours is statistics that can be measured in seconds: colours that go together, smoothness, and
that codes are +-1. This estimate knows them, and what is left to learn is what is rare: structure.

Images: the Gaussian of the data's mean and covariance, in the basis of the cosine transform times the principal axes of the channels,
where the covariance of patches is nearly diagonal (Jain 1979); its posterior mean is Wiener's filter. Code channels: that posterior, less
the Gaussian belief in the channel's own values, is an observation of each symbol in Gaussian noise, and the posterior mean of a symbol of
+-1 from one is a tanh (the extrinsic message of expectation propagation, Minka 2001).

Super-resolution: the enlarged pair of low resolution is a second observation, coefficient by coefficient, whose noise (conditioning
augmentation) has the spectrum of enlarged white noise. It comes first, and leaves the other a mean and a smaller spectrum.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from satsynth.diffusion.stacks import COLOURS, enlarge

FLOOR = (2 / 255) ** 2 / 12  # variance of rounding to 8 bits: nothing in the data is known better
SUREST = 0.999  # a symbol that is the same everywhere has endless odds


class Prior(nn.Module):
    """Means, channel axes and spectra of stacks, measured once and kept with the weights.

    Args:
        channels: C, three colours and then codes.
        size: side of the stacks in pixels.
        conditional: whether stacks of low resolution come with them.

    Attributes:
        mean: (C,) float32.
        axes: (C,C) float32, the channels' principal axes in columns.
        spectrum: (C,size,size) float32, variances of the cosine coefficients along each axis.
        condition_mean: (C,), of the enlarged stacks of low resolution, where there are any; so are the next three.
        condition_spectrum: (C,size,size), variances of their coefficients along the same axes.
        shared_spectrum: (C,size,size), covariances of their coefficients with those of the stacks.
        noise_spectrum: (C,size,size), variances of the coefficients of enlarged standard normal noise.
    """

    def __init__(self, channels: int, size: int, conditional: bool = False):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("axes", torch.eye(channels))
        self.register_buffer("spectrum", torch.ones(channels, size, size))
        self.register_buffer("condition_mean", torch.zeros(channels) if conditional else None)
        for name in ("condition_spectrum", "shared_spectrum", "noise_spectrum"):
            self.register_buffer(name, torch.zeros(channels, size, size) if conditional else None)
        self.register_buffer("cosines", _cosines(size), persistent=False)

    @torch.no_grad()
    def measure(self, batches: Iterable[Sequence[torch.Tensor]]) -> None:
        """Set all attributes, batch by batch; moments in float64.

        Args:
            batches: stacks (N,C,size,size), alone or with those of low resolution (N,C,h,h).
        """
        count, size, channels, moments, sums = 0, len(self.cosines), len(self.mean), 0.0, 0.0
        for stacks, *low in batches:
            waves = self._waves(torch.cat([stacks, *(enlarge(small, size) for small in low)], 1).double())
            moments = moments + torch.einsum("nchw,ndhw->cdhw", waves, waves)
            sums = sums + waves[:, :, 0, 0].sum(0)
            count += len(stacks)
        mean = sums / (count * size)  # the first coefficient is `size` times the mean of a channel
        moments = moments / count
        moments[:, :, 0, 0] -= size**2 * mean[:, None] * mean
        own, other = slice(channels), slice(channels, None)
        axes = torch.linalg.eigh(moments[own, own].mean((2, 3)))[1]
        self.mean.copy_(mean[own])
        self.axes.copy_(axes)
        self.spectrum.copy_(_along(axes, moments[own, own]).clamp_min(FLOOR))
        if self.condition_mean is None:
            return
        self.condition_mean.copy_(mean[other])
        self.condition_spectrum.copy_(_along(axes, moments[other, other]))
        self.shared_spectrum.copy_(_along(axes, moments[own, other]))
        # Enlarging is U X U' with a matrix U for the rows and the columns, so the identity becomes U U', the covariance of a column.
        column = enlarge(torch.eye(low[0].shape[-1], device=mean.device).expand(1, channels, -1, -1), size)[0]
        spread = (self.cosines @ column @ self.cosines.T).diagonal(dim1=1, dim2=2)
        self.noise_spectrum.copy_(torch.einsum("ck,ch,cw->khw", self.axes**2, spread, spread))

    def forward(
        self,
        x: torch.Tensor,
        sigma: float | torch.Tensor,
        condition: torch.Tensor | None = None,
        signal: float | torch.Tensor = 1.0,
        spread: float | torch.Tensor = 0.0,
    ) -> torch.Tensor:
        """The estimate of x0 from `x0 + sigma noise`, and from the enlarged `signal low + spread noise`.

        Args:
            x: (N,C,size,size) float32.
            sigma: noise level, > 0: one number, or (N,) on x's device.
            condition: (N,C,size,size), of a conditional prior.
            signal: factor of the condition's stacks: one number, or (N,1,1,1).
            spread: standard deviation of their noise, likewise.

        Returns:
            (N,C,size,size) float32; code channels in [-1,1].
        """
        noise = sigma**2 if isinstance(sigma, int | float) else sigma.float()[:, None, None, None] ** 2
        waves = self._turned(x - self.mean[:, None, None])
        expected, spectrum = 0.0, self.spectrum
        if condition is not None:
            seen = self._turned(condition.float() - signal * self.condition_mean[:, None, None])
            gain = signal * self.shared_spectrum / (signal**2 * self.condition_spectrum + spread**2 * self.noise_spectrum).clamp_min(FLOOR)
            expected, spectrum = gain * seen, (spectrum - gain * signal * self.shared_spectrum).clamp_min(FLOOR)
        shares = spectrum / (spectrum + noise)  # (C,S,S) or (N,C,S,S)
        linear = self._pixels(expected + shares * (waves - expected))
        if x.shape[1] == COLOURS:
            return linear
        # Variances of the codes, of a pixel, before and after anything is seen.
        before, after = (
            torch.einsum("ck,...k->...c", self.axes**2, variances.mean((-2, -1)))[..., COLOURS:, None, None]
            for variances in (self.spectrum, shares * noise)
        )
        belief = self.mean[COLOURS:, None, None].clamp(-SUREST, SUREST)
        odds = linear[:, COLOURS:] / after - belief / before + torch.atanh(belief)
        return torch.cat([linear[:, :COLOURS], torch.tanh(odds)], 1)

    def _waves(self, stacks: torch.Tensor) -> torch.Tensor:
        """Cosine coefficients of every channel, shape and dtype kept."""
        cosines = self.cosines.to(stacks.dtype)
        return cosines @ stacks @ cosines.T

    def _turned(self, stacks: torch.Tensor) -> torch.Tensor:
        """Cosine coefficients along the axes, shape kept."""
        return torch.einsum("ck,nchw->nkhw", self.axes, self._waves(stacks))

    def _pixels(self, waves: torch.Tensor) -> torch.Tensor:
        """Stacks whose coefficients along the axes, less the mean, are `waves`; shape kept."""
        return torch.einsum("ck,nkhw->nchw", self.axes, self.cosines.T @ waves @ self.cosines) + self.mean[:, None, None]


def _along(axes: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Of the channels' moments (C,C,S,S) at every frequency, those of each axis with itself, (C,S,S)."""
    return torch.einsum("ck,cdhw,dk->khw", axes, moments, axes)


def _cosines(size: int) -> torch.Tensor:
    """The orthonormal cosine transform (DCT-II), (size,size): coefficients are its product with a signal."""
    places = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * places[:, None] * (places + 0.5)) * math.sqrt(2 / size)
    rows[0] /= math.sqrt(2)
    return rows.float()
