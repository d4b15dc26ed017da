"""Ratios of CPU time, measured in turns within one process so that a noisy machine hits every side alike.

Import it before numpy and torch: it gives every numeric library one thread, so that CPU time means work and not waiting.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping

# These libraries read it as they are loaded, numpy's BLAS the first of them.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np


def rounds(default: int) -> int:
    """How often each side is measured: --rounds on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=default, help=f"measurements of each side, in turns (default {default})")
    return parser.parse_args().rounds


def measure(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds of CPU time of every call, `repeats` of each side, taken in turns after one call each to warm up."""
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            begun = time.process_time()
            call()
            seconds[name].append(time.process_time() - begun)
    return {name: np.array(values) for name, values in seconds.items()}


def say(title: str, seconds: Mapping[str, np.ndarray], units: Mapping[str, int], unit: str, aim: float | None = None) -> float:
    """Print units per CPU second of every side (median, least and most), and the ratio of the last side to the first.

    Args:
        title: a line above the table.
        seconds: what `measure` returned.
        units: units of work in one call of a side.
        unit: their name.
        aim: ratio to reach, or None.

    Returns:
        The median over rounds of (first side's seconds per unit) / (last side's).
    """
    print(title)
    for name, values in seconds.items():
        speed = units[name] / values
        print(f"  {name:<44} {np.median(speed):10.1f} {unit} per CPU second  ({speed.min():.1f} to {speed.max():.1f})")
    first, *_, last = seconds
    ratios = (seconds[first] / units[first]) / (seconds[last] / units[last])
    aimed = "" if aim is None else f"; aim {aim:g}: {'reached' if np.median(ratios) >= aim else 'missed'}"
    print(f"  ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f} in {len(ratios)} rounds){aimed}")
    return float(np.median(ratios))
