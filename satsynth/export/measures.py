"""What was measured of the exported pairs: fidelity, and how many are near copies of a training patch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from satsynth.metrics.memorisation import Calibration, calibrated
from satsynth.runtime import files
from satsynth.runtime.task import Paths

MEASURES = ("features", "pixels")  # what distances to training patches are taken in
COLUMNS = {"features": "feature_distance", "pixels": "pixel_distance"}


@dataclass(frozen=True)
class Measured:
    """What the card of an export says.

    Args:
        source: numbers of `satsynth.segmentation.fidelity.score`, of one unit of the source.
        real: the same of the real validation patches.
        copies: near copies among all exported synthetic pairs, by what distances are taken in.
        quantile: of the validation patches' distances that is the threshold of a copy.
        evaluator: name of the segmenter whose features are compared.
    """

    source: dict
    real: dict
    copies: dict[str, Calibration]
    quantile: float
    evaluator: str


def measure(given: Paths, cfg: dict) -> Measured:
    """Read fidelity (a file of the source and one of the validation patches), neighbours (a file a shard) and val_neighbours (one)."""
    source, real = (files.read_json(path) for path in given["fidelity"])
    made, null = (pd.concat([pd.read_csv(path) for path in given[name]]) for name in ("neighbours", "val_neighbours"))
    copies = {
        name: calibrated(np.asarray(made[column]), np.asarray(null[column]), cfg["null_quantile"]) for name, column in COLUMNS.items()
    }
    return Measured(source, real, copies, cfg["null_quantile"], cfg["evaluator"])
