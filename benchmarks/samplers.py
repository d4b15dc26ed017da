"""Samplers at few evaluations against a thousand ancestral steps, on an exact denoiser.

    .venv/bin/python benchmarks/samplers.py

The denoiser is the posterior mean of a mixture of Gaussians with +-1 bits, so what samples lack is the solver's fault alone. Printed for
every sampler: evaluations of the network, sliced Wasserstein-1 distance from the mixture (mean over sets of 2,000 samples), its ratio to
that of 1000 ancestral steps with the standard error, and the standard deviation within a mode (ideally 1). Aim: 50 times fewer evaluations
at a ratio of 1 within its error.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit")]
from benchmarks.interleaved import rounds

# isort: split

import numpy as np
from exact_mixture import ANCESTRAL, Mixture, ratio

from satsynth.diffusion.samplers import nfe

SET, AIM = 2000, 50
KARRAS = {"spacing": "karras", "sigma_min": 0.02, "sigma_max": 80.0}
UNIFORM = {"spacing": "uniform"}
SAMPLERS = {
    "exact draws": None,
    "DDIM, 50 steps": {"method": "ddim", "steps": 50, **UNIFORM},
    "DPM-Solver++(2M), 20 uniform steps": {"method": "dpmpp_2m", "steps": 20, **UNIFORM},
    **{f"DPM-Solver++(2M), {steps} Karras steps": {"method": "dpmpp_2m", "steps": steps, **KARRAS} for steps in (10, 15, 20, 30)},
    **{
        f"DPM-Solver++(2M) with noise, {steps} Karras steps": {"method": "dpmpp_2m", "eta": 1.0, "steps": steps, **KARRAS}
        for steps in (15, 20, 30)
    },
    **{f"UniPC, {steps} Karras steps": {"method": "unipc", "steps": steps, **KARRAS} for steps in (10, 15, 20, 30)},
    **{f"Heun, {steps} Karras steps": {"method": "heun", "steps": steps, **KARRAS} for steps in (8, 10, 18)},
}


def main() -> None:
    """Measure and print."""
    sets = rounds(16)
    mixture = Mixture()
    many = mixture.sample(sets * SET, 0)
    reference, slow = mixture.distances(many, SET), nfe(ANCESTRAL)
    print(f"{'sampler':<46} {'NFE':>5} {'sliced W1':>10} {'ratio to 1000 ancestral steps':>30} {'spread':>7}")
    print(f"{'ancestral, 1000 steps':<46} {slow:>5} {np.mean(reference):>10.4f} {'1':>30} {mixture.width(many):>7.3f}")
    reached = {}
    for name, sampler in SAMPLERS.items():
        points = mixture.draw(2 * sets * SET, "benchmark") if sampler is None else mixture.sample(2 * sets * SET, 0, **sampler)
        found = mixture.distances(points, SET)
        value, error = ratio(found, reference)
        evaluations = nfe(sampler) if sampler else 0
        print(f"{name:<46} {evaluations:>5} {np.mean(found):>10.4f} {f'{value:.3f} +- {error:.3f}':>30} {mixture.width(points):>7.3f}")
        if sampler and value - 2 * error <= 1:
            reached[name] = evaluations
    if not reached:
        print(f"no sampler is as good as {slow} ancestral steps; aim {AIM}: missed")
        return
    best = min(reached, key=reached.get)
    fewer = slow / reached[best]
    print(f"fewest evaluations within two standard errors of 1000 ancestral steps: {best}, {fewer:.1f} times fewer; ", end="")
    print(f"aim {AIM}: {'reached' if fewer >= AIM else 'missed'}")


if __name__ == "__main__":
    main()
