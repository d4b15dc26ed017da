"""What a training set of the gain table is compared with beside D: the control, and augmentations at the same R."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from satsynth.reporting import markup, methods, notes, statistics
from satsynth.reporting.runs import Row
from satsynth.reporting.statistics import Difference

PARTS = ("points", "n", "low", "high", "scene_low", "scene_high", "scenes")
GAIN, OVER_CONTROL = "gain", "over_control"


@dataclass(frozen=True)
class Comparison:
    """The difference of mIoU between two rows: over seeds, and over scenes.

    `name` begins the columns that hold it (`gain_points`, `over_cutout_low`, ...), `other` is what people call the second row.
    """

    name: str
    other: str
    row: Row
    against: Row
    seeds: Difference
    scenes: Difference

    @property
    def known(self) -> bool:
        """Whether the two rows share a seed."""
        return not math.isnan(self.seeds.mean)

    def cells(self) -> dict[str, float]:
        """The columns that hold it: points, except for the numbers of seeds (`n`) and scenes."""
        ends = (self.seeds.low, self.seeds.high, self.scenes.low, self.scenes.high)
        values = (100 * self.seeds.mean, self.seeds.n, *(100 * end for end in ends), self.scenes.n)
        return {f"{self.name}_{part}": value for part, value in zip(PARTS, values)}


def rivals(groups: Mapping[tuple, Sequence[Row]]) -> dict[tuple[str, str], str]:
    """(method, source) of every augmentation beside D -> what its columns begin with: over_METHOD, or over_METHOD_SOURCE for several."""
    found = sorted({_pairs(row) for members in groups.values() for row in members if _is_rival(row)})
    sources = Counter(method for method, _ in found)
    return {(method, source): f"over_{method}" if sources[method] == 1 else f"over_{method}_{source}" for method, source in found}


def compare(row: Row, members: Sequence[Row], names: Mapping[tuple[str, str], str], cfg: dict) -> list[Comparison]:
    """A row against D, against the control, and, where it is D ∪ D′, against every augmentation at the same R.

    Args:
        row: one of `members`; D itself is compared with nothing.
        members: the rows of its comparison.
        names: what `rivals` returns.
        cfg: confidence, replicates, seed.
    """
    base = next(each for each in members if each.run.arm == "real")
    others = [] if row is base else [(GAIN, "D", base)]
    if row.run.arm == "union":
        # One control serves every R that shows as many real pairs as it does; with several, the one with the same exposures.
        controls = [each for each in members if each.run.arm == "control"]
        fitting = controls if len(controls) == 1 else [c for c in controls if c.card("real_exposures") == row.card("real_exposures")]
        others += [(OVER_CONTROL, "the control", control) for control in fitting[:1]]
        if methods.is_synthetic(row.run.method):
            same = [each for each in members if _is_rival(each) and each.run.ratio == row.run.ratio]
            others += [(names[_pairs(each)], methods.name(*_pairs(each)), each) for each in same]
    return [Comparison(name, said, row, other, *_differences(row, other, cfg, cfg["confidence"])) for name, said, other in others]


def _pairs(row: Row) -> tuple[str, str]:
    return row.run.method, row.run.source


def _is_rival(row: Row) -> bool:
    return row.run.arm == "union" and methods.is_augmentation(row.run.method)


def _differences(row: Row, other: Row, cfg: dict, level: float) -> tuple[Difference, Difference]:
    seeds = statistics.paired(row.score("miou"), other.score("miou"), level)
    scenes = statistics.bootstrap_scenes(row.sums, other.sums, replicates=cfg["replicates"], confidence=level, seed=cfg["seed"])
    return seeds, scenes


def direct_notes(found: Sequence[Comparison], frame: pd.DataFrame, named: set[str], level: str) -> list[str]:
    """A line for each training set that is compared with others than D, which have columns in the CSV only."""
    lines: dict[str, list[str]] = {}
    for each in (each for each in found if each.name != GAIN):
        run = each.row.run
        where = notes.place(frame, {"dataset": run.dataset, "size": run.size, "segmenter": run.subject})
        told = lines.setdefault(", ".join([*where, notes.at_ratio(notes.facts(each.row), named)]), [])
        if each.known:
            points = markup.number(100 * each.seeds.mean, sign=True)
            seeds, scenes = (markup.interval(100 * gap.low, 100 * gap.high) for gap in (each.seeds, each.scenes))
            told.append(f"{each.other} {points} (over seeds {seeds}, over scenes {scenes})")
        else:
            told.append(f"{each.other}, with no seed in common")
    return [f"{name} against others than D, mIoU in points with {level} intervals: {'; '.join(told)}." for name, told in lines.items()]


def correction_notes(found: Sequence[Comparison], cfg: dict) -> list[str]:
    """What the number of these differences means for those that look decided (see `notes.multiplicity`)."""
    found = [each for each in found if each.known]

    def decided(seeds: Difference, scenes: Difference) -> bool:
        return statistics.outcome(seeds.interval, scenes.interval) != "undecided"

    def again(level: float) -> list[tuple[Difference, Difference]]:
        return [_differences(each.row, each.against, cfg, level) for each in found if decided(each.seeds, each.scenes)]

    others = Counter("the control" if each.name == OVER_CONTROL else "augmentations" for each in found if each.name != GAIN)
    said = notes.multiplicity(cfg, [(each.seeds, each.scenes) for each in found], again, decided, others)
    return [f"{text} A difference is decided if every interval that it has leaves out zero on the same side." for text in said]
