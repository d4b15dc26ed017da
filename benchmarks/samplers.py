"""Samplers at few evaluations against a thousand ancestral steps, on an exact denoiser.

    .venv/bin/python -m benchmarks.samplers

The denoiser is the posterior mean of a mixture of Gaussians with +-1 bits, so what samples lack is the solver's fault alone. Printed for
every sampler: evaluations of the network, sliced Wasserstein-1 distance from the mixture (mean over sets of 2,000 samples), its ratio to
that of 1000 ancestral steps with the standard error, and the standard deviation within a mode (ideally 1). Aim: 50 times fewer evaluations
at a ratio of at most 1 within one standard error. What a learned network adds to that is measured in docs/results/samplers.md.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/unit"))
from exact_mixture import ANCESTRAL, Mixture, ratio

from benchmarks.interleaved import Bench
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
    bench = Bench(__doc__, rounds=16)
    sets = 2 if bench.quick else bench.chosen.rounds
    mixture = Mixture()
    many = mixture.sample(sets * SET, 0)
    reference, slow = mixture.distances(many, SET), nfe(ANCESTRAL)
    print(f"{'sampler':<46} {'NFE':>5} {'sliced W1':>10} {'ratio to 1000 ancestral steps':>30} {'spread':>7}")
    print(f"{'ancestral, 1000 steps':<46} {slow:>5} {np.mean(reference):>10.4f} {'1':>30} {mixture.width(many):>7.3f}")
    good: dict[str, tuple[int, float, float]] = {}
    for name, sampler in SAMPLERS.items():
        points = mixture.draw(2 * sets * SET, "benchmark") if sampler is None else mixture.sample(2 * sets * SET, 0, **sampler)
        found = mixture.distances(points, SET)
        value, error = ratio(found, reference)
        evaluations = nfe(sampler) if sampler else 0
        print(f"{name:<46} {evaluations:>5} {np.mean(found):>10.4f} {f'{value:.3f} +- {error:.3f}':>30} {mixture.width(points):>7.3f}")
        if sampler and value - error <= 1:
            good[name] = evaluations, value, error
    what = "network evaluations of an equal sample, against 1000 ancestral steps"
    if good:
        best = min(good, key=lambda name: good[name][0])
        evaluations, value, error = good[best]
        detail = {"sampler": best, "sliced W1 against 1000 ancestral steps": f"{value:.3f} ± {error:.3f}"}
        bench.record(what, [slow / evaluations], aim=AIM, detail=detail)
    else:
        bench.record(what, [float("nan")], aim=AIM, detail={"sampler": "none"})
    bench.close()


if __name__ == "__main__":
    main()
