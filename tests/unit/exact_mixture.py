"""The exact denoiser of a Gaussian mixture: a perfectly trained network, so that what samples lack is the solver's fault alone."""

import functools

import numpy as np
import torch
from diffusion_fixtures import LINEAR, SAMPLER

from satsynth.diffusion.samplers import sample
from satsynth.diffusion.schedule import make_schedule
from satsynth.randomness import torch_stream

ANCESTRAL = {**SAMPLER, "clip": False}
DIRECTIONS = torch.nn.functional.normalize(torch.randn(6, 64, generator=torch_stream(0, "directions")), dim=0)


class Mixture:
    """Eight colours with the three +-1 bits of their class, as single pixels of six channels.

    Args:
        changes: keys of the schedule that differ from the paper's.
    """

    spread = torch.tensor([0.10, 0.15, 0.08, 0.02, 0.02, 0.02])

    def __init__(self, **changes: object):
        g = torch_stream(0, "mixture")
        bits = ((torch.arange(8)[:, None] >> torch.tensor([2, 1, 0])) & 1).float() * 2 - 1
        self.centres = torch.cat([torch.rand(8, 3, generator=g) * 1.2 - 0.6, bits], 1)
        self.shares = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02])
        self.schedule = make_schedule({**LINEAR, **changes})
        self.prediction = "v" if self.schedule.alpha_bars[-1] == 0 else "epsilon"

    def draw(self, n: int, *key: int | str) -> torch.Tensor:
        """Exact draws (n,6) of the stream named by `key`."""
        g = torch_stream(0, *key)
        modes = torch.multinomial(self.shares, n, True, generator=g)
        return self.centres[modes] + self.spread * torch.randn(n, 6, generator=g)

    def denoise(self, x: torch.Tensor, sigma: float, condition: None = None, condition_level: None = None) -> torch.Tensor:
        """The mean of x0 given x (N,6,1,1)."""
        points, variance = x[:, :, 0, 0], self.spread**2
        if sigma == float("inf"):
            return (self.shares @ self.centres).expand_as(points)[:, :, None, None].contiguous()
        total = variance + sigma**2
        # log of share times density, terms without the mode left out: |p - c|^2 / total = const - 2 p.c / total + c^2 / total
        scores = self.shares.log() + (points / total) @ self.centres.T - (self.centres**2 / total).sum(1) / 2
        mean = torch.softmax(scores, 1) @ self.centres
        return ((sigma**2 * mean + variance * points) / total)[:, :, None, None]

    def sample(self, n: int, seed: int, **changes: object) -> torch.Tensor:
        """Samples (n,6) from the start and the noise of `seed`; `changes` are keys that differ from `ANCESTRAL`."""
        start = torch.randn(n, 6, 1, 1, generator=torch_stream(seed, "start"))
        return sample(self, start, {**ANCESTRAL, **changes}, torch_stream(seed, "steps"), clip=False)[:, :, 0, 0]

    def width(self, points: torch.Tensor) -> float:
        """Standard deviation of the colours (n,6) around the centre that their bits name, in units of its own; ideally 1."""
        modes = points[:, 3:].gt(0).float() @ torch.tensor([4.0, 2.0, 1.0])
        return ((points - self.centres[modes.long()])[:, :3] / self.spread[:3]).std().item()

    def distance(self, points: torch.Tensor) -> float:
        """Sliced Wasserstein-1 distance of points (n,6) from the mixture itself: mean over 64 directions, each against its quantiles."""
        return ((points @ DIRECTIONS).sort(0).values - self._quantiles(len(points))).abs().mean().item()

    def distances(self, points: torch.Tensor, count: int) -> list[float]:
        """`distance` of every `count` points: independent values, whose scatter tells the error of their mean."""
        return [self.distance(part) for part in points.split(count)]

    @functools.cache  # noqa: B019 (a mixture lives as long as its test)
    def _quantiles(self, n: int) -> torch.Tensor:
        """The middles of n equal shares of the mixture along every direction, (n,64): a projection is a mixture of eight normals."""
        places, spreads = (self.centres @ DIRECTIONS).double(), (self.spread**2 @ DIRECTIONS**2).sqrt().double()
        grid = torch.linspace(-4, 4, 8001, dtype=torch.float64)
        below = torch.special.ndtr((grid[:, None, None] - places) / spreads)  # grid, modes, directions
        shares = torch.einsum("gmd,m->gd", below, self.shares.double()).numpy()
        middles = (np.arange(n) + 0.5) / n
        return torch.from_numpy(np.stack([np.interp(middles, share, grid.numpy()) for share in shares.T], 1)).float()


def ratio(few: list[float], many: list[float]) -> tuple[float, float]:
    """Mean of `few` over the mean of `many`, and its standard error."""
    means, errors = zip(*((np.mean(one), np.std(one, ddof=1) / len(one) ** 0.5) for one in (few, many)), strict=True)
    value = means[0] / means[1]
    return value, value * ((errors[0] / means[0]) ** 2 + (errors[1] / means[1]) ** 2) ** 0.5
