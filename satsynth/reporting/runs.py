"""Reading finished segmentation runs for the tables: cards, scores and confusion matrices, grouped into fair comparisons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.metrics.confusion import constant_class
from satsynth.pairs import LabelSpace
from satsynth.reporting import statistics
from satsynth.runtime import files
from satsynth.runtime.errors import ConfigError, StoreError

ARMS = ("constant", "real", "control", "synthetic", "union")


@dataclass(frozen=True)
class Run:
    """One finished segmentation run; the fields are those of a planned run, so `Run(**planned.as_dict())` makes one.

    `arm` is real (D), synthetic (D' alone), union (D and D') or control (D with as many exposures of real pairs as union has);
    `subject` is the segmenter that the comparison is about: a control's `segmenter` differs from it; `network` is the module of the
    subject's network. `source`, `method` (what makes the pairs: satsynth, a variant of it such as satsynth_onehot, or an augmentation)
    and `ratio` are None, None and 0 where no synthetic pair is used. Of one line of a table (arm, source, ratio, segmenter) the
    `training_set` may differ from seed to seed: replicas of a source, of which `source` names the first. `generators` are those behind
    the synthetic pairs of this very run, joined by "+", such as satsynth+upscaler; "" for D and for augmentations. `folder` holds
    card.json, metrics.json and confusion.npy.
    """

    dataset: str
    size: int
    training_set: str
    segmenter: str
    seed: int
    arm: str
    source: str | None
    ratio: int
    subject: str
    network: str
    method: str | None
    generators: str
    folder: str | Path


@dataclass(frozen=True)
class Real:
    """The real data that the runs of one (dataset, size) share: two store folders and the classes.json of the dataset.

    `format` is the dataset's raw format (isaid, loveda, openearthmap, folder, demo); `background` the class id that counts as no
    foreground, None where every class is foreground.
    """

    dataset: str
    size: int
    train: str | Path
    val: str | Path
    classes: str | Path
    format: str
    background: int | None = None


def real_data(dataset: str, size: int, splits: Sequence[str] = ("train", "val"), **facts) -> Real:
    """The real data of a dataset at a size where the workflow keeps them; `facts` are format and background of `Real`."""
    stores = Path(f"results/{dataset}/{size}px/real")
    return Real(dataset, size, *(stores / split for split in splits), f"results/{dataset}/classes.json", **facts)


@dataclass(frozen=True)
class Ground:
    """The real data as named and as read: both cards, the scene of every validation pair, the label space, the constant class's scores.

    `truth` holds the validation pixels of every class, (K,) int64, that the runs were scored on. Where patches overlap these are fewer
    than the card of the store has: an evaluation counts a pixel of a scene once.
    """

    real: Real
    train: dict
    val: dict
    scenes: list[str]
    space: LabelSpace
    truth: np.ndarray
    constant: dict


@dataclass(frozen=True)
class Row:
    """The runs of one line of a table, seeds as keys, sorted; `run` is that of the first seed.

    `training_sets` and `generators` are the distinct names in the order of the seeds: more than one where the seeds take replicas of a
    source.
    """

    run: Run
    training_sets: tuple[str, ...]
    generators: tuple[str, ...]
    cards: dict[int, dict]
    metrics: dict[int, dict]
    sums: np.ndarray

    def score(self, name: str) -> dict[int, float]:
        """A score of metrics.json by seed, NaN where it is null."""
        return {seed: number(metrics[name]) for seed, metrics in self.metrics.items()}

    def per_class(self, name: str, place: int) -> dict[int, float]:
        """The score of one class by seed; seeds for which the class is absent are left out."""
        found = {seed: number(metrics[name][place]) for seed, metrics in self.metrics.items()}
        return {seed: value for seed, value in found.items() if not math.isnan(value)}

    def entry(self, real: Real) -> tuple[str, int, str, str | None, int] | None:
        """What the paper's number for this line is looked up by (see `satsynth.reporting.published`).

        None for arms that the paper lacks (D' alone, the control), and for training on a part of train, which is not scored on val.
        """
        if self.run.arm not in ("real", "union") or self.run.training_set.split("+")[0] != "real":
            return None
        return real.format, real.size, self.run.network, self.run.method, self.run.ratio

    def card(self, name: str) -> float:
        """A number of the runs' cards, averaged over seeds (the count of exposures may differ by a few); NaN where a card lacks it."""
        return float(np.mean([number(card.get(name)) for card in self.cards.values()]))


def number(value: float | None) -> float:
    """JSON has no NaN, so the files say null."""
    return math.nan if value is None else float(value)


def load(runs: Sequence[Run], real: Sequence[Real]) -> tuple[dict, dict]:
    """Read what the runs left, grouped by comparison (first come, first shown), rows in the order of `ARMS`, source and R.

    Raises:
        ConfigError: an arm or a background is unknown, a run has no real data or stands twice, or a comparison has no run on D.
        StoreError: a run's files do not fit each other or the validation store, or two runs were scored on other pixels.
    """
    if not runs:
        raise ConfigError("runs", "the table has no run.", "Give the experiment at least one segmenter and one training set.")
    for run in runs:
        if run.arm not in ARMS[1:]:
            raise ConfigError("arm", f"'{run.arm}' is no arm of a comparison.", f"Use one of {', '.join(ARMS[1:])}.")
    known = {(entry.dataset, entry.size): entry for entry in real}
    grounds: dict[tuple, Ground] = {}
    lines: dict[tuple, dict[tuple, list[Run]]] = {}
    for run in runs:
        place = (run.dataset, run.size)
        if place not in grounds:
            if place not in known:
                raise ConfigError("real", f"no real data of {run.dataset} at {run.size} px is given.", "Name its stores.")
            grounds[place] = _open(known[place], run)
        line = (ARMS.index(run.arm), run.source or "", run.ratio, run.segmenter)
        lines.setdefault((*place, run.subject), {}).setdefault(line, []).append(run)
    groups = {}
    for key, members in lines.items():
        groups[key] = [_row(members[line], grounds[key[:2]]) for line in sorted(members)]
        if sum(row.run.arm == "real" for row in groups[key]) != 1:
            raise ConfigError("runs", f"{' '.join(map(str, key))} needs exactly one training set D to compare with.", "Add ratio 0.")
    return grounds, groups


def read_space(real: Real) -> LabelSpace:
    """The label space of a dataset, whose background must be one of its classes.

    Raises:
        ConfigError: it is none.
    """
    space = LabelSpace.from_json(files.read_json(real.classes))
    if real.background is not None and not 0 <= real.background < space.count:
        cause = f"there is no class id {real.background} among {space.count} classes."
        raise ConfigError(f"datasets.{real.dataset}.background", cause, "Ids count from 0 in the order of the classes.")
    return space


def _open(real: Real, first: Run) -> Ground:
    """The ground of some runs; what pixels count is read from the first of them, and `_row` holds the others to it."""
    train, val = (files.read_json(Path(folder) / "card.json") for folder in (real.train, real.val))
    index = pd.read_csv(Path(real.val) / "index.csv", keep_default_na=False, dtype=str)
    if "scene" not in index:
        raise StoreError(Path(real.val) / "index.csv", "it has no column 'scene'.", "Tile the dataset again.")
    space = read_space(real)
    truth = _confusion(first, space).sum((0, 2), dtype=np.int64)
    constant = constant_class(train["class_pixels"], truth)
    return Ground(real, train, val, index["scene"].tolist(), space, truth, constant)


def _confusion(run: Run, space: LabelSpace) -> np.ndarray:
    path = Path(run.folder) / "confusion.npy"
    confusion = np.load(path, mmap_mode="r")
    if confusion.shape[1:] != (space.count,) * 2:
        raise StoreError(path, f"its shape {confusion.shape} does not fit {space.count} classes.", "Evaluate the run again.")
    return confusion


def _row(runs: list[Run], ground: Ground) -> Row:
    runs = sorted(runs, key=lambda run: run.seed)
    cards, metrics, sums = {}, {}, []
    for run in runs:
        folder = Path(run.folder)
        if run.seed in cards:
            raise ConfigError("runs", f"seed {run.seed} of {run.training_set} stands twice.", "Name every run once.")
        cards[run.seed], metrics[run.seed] = (files.read_json(folder / name) for name in ("card.json", "metrics.json"))
        sums.append(statistics.sum_scenes(_confusion(run, ground.space), ground.scenes))
        _check(folder, sums[-1].sum(0), number(metrics[run.seed]["miou"]), ground)
    training_sets, generators = (tuple(dict.fromkeys(getattr(run, name) for run in runs)) for name in ("training_set", "generators"))
    return Row(runs[0], training_sets, generators, cards, metrics, np.stack(sums))


def _check(folder: Path, total: np.ndarray, said: float, ground: Ground) -> None:
    """Refuse a run whose matrix (K,K) of the whole set has other true pixels than those of its ground, or another mIoU than was said."""
    counted = total.sum(1)
    if (counted != ground.truth).any():
        place = int(np.flatnonzero(counted != ground.truth)[0])
        raise StoreError(
            folder / "confusion.npy",
            f"it counts {counted[place]} true pixels of {ground.space.names[place]}, where the first run of {ground.real.dataset} at "
            f"{ground.real.size} px counts {ground.truth[place]}.",
            "Evaluate the runs again, all on the same validation pairs.",
        )
    found = float(statistics.mean_iou(total))
    if not np.isclose(said, found, rtol=0, atol=1e-6, equal_nan=True):
        raise StoreError(folder / "metrics.json", f"mIoU {said:.6f} is not that of confusion.npy ({found:.6f}).", "Evaluate the run again.")
