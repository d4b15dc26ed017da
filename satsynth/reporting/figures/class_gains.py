"""The per-class table as the figures of single classes read it: what D ∪ D′ changes for every class, one comparison at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from satsynth.reporting import methods
from satsynth.reporting.markup import listing
from satsynth.runtime.errors import ConfigError, DataError

COLUMNS = (
    *("dataset", "size", "segmenter", "arm", "source", "method", "ratio", "class_id", "class", "background", "train_occurrence_pct"),
    *("gain_points", "gain_low", "gain_high", "gain_scene_low", "gain_scene_high"),
)


@dataclass(frozen=True)
class Comparison:
    """D ∪ D′, or D with an augmentation, against D for one segmenter, source and R.

    `rows` holds a row a class, `background` as bool, the rest as in the table; `method` tells synthetic pairs from an augmentation.
    """

    dataset: str
    size: int
    segmenter: str
    source: str
    method: str
    ratio: float
    rows: pd.DataFrame

    @property
    def setting(self) -> str:
        """What the comparison shares with those of other segmenters, in words."""
        augmented = methods.is_augmentation(self.method)
        added = f"D\u00a0∪\u00a0{methods.name(self.method, self.source)}" if augmented else self.source
        return f"{self.dataset}, {self.size} px, {added}, R\u00a0=\u00a0{self.ratio:g}"


def read(paths: Sequence[Path], *, ratio: float | None = None, segmenter: str | None = None) -> list[Comparison]:
    """The comparisons of per-class tables, in the order of the files.

    Args:
        paths: CSV files of the per_class view; differences in points, occurrence in percent of the training pairs.
        ratio: R; None takes the smallest that each segmenter and source has.
        segmenter: the only one to keep; None keeps all.

    Raises:
        DataError: a file is no per-class table, or none has a training set with real and other pairs.
        ConfigError: no row has that R or that segmenter.
    """
    frames = []
    for path in paths:
        frame = pd.read_csv(path)
        missing = [name for name in COLUMNS if name not in frame]
        if missing:
            raise DataError(
                path, f"it is no per-class table: {listing(missing)} missing.", "Give the CSV of an experiment with the view per_class."
            )
        frames.append(frame)
    unions = pd.concat(frames, ignore_index=True)
    unions = unions[unions["arm"] == "union"]
    if unions.empty:
        raise DataError(paths[0], "it has no training set with both real and other pairs.", "Give the experiment a ratio of at least 1.")
    # A CSV without gaps gives bool here, one with gaps text.
    unions = unions.assign(background=unions["background"].astype(str).str.lower() == "true")
    for key, wanted in (("segmenter", segmenter), ("ratio", ratio)):
        if wanted is not None and not (unions[key] == wanted).any():
            known = listing([str(value) for value in unions[key].unique()])
            raise ConfigError(key, f"the per-class table has no {key} {wanted}.", f"It has {known}.")
        unions = unions if wanted is None else unions[unions[key] == wanted]
    found = []
    for (dataset, size, name, source), part in unions.groupby(["dataset", "size", "segmenter", "source"], sort=False):
        least = part["ratio"].min()
        rows = part[part["ratio"] == least].reset_index(drop=True)
        found.append(Comparison(dataset, size, name, source, rows["method"].iloc[0], least, rows))
    return found
