"""What synthetic pairs change in each class, over all segmenters of an experiment (paper, supplement A)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from satsynth.reporting import markup, methods, notes, published, statistics
from satsynth.reporting.runs import Ground, Real, Row, Run, load
from satsynth.runtime.errors import ConfigError

LEAD = (("Dataset", "dataset"), ("px", "size"), ("Source", "source"), ("R", "ratio"))


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A row per class, for each dataset, size, source and R: the IoU differences between D∪D' and D, summed up over the segmenters.

    Differences are in points, each the mean over the seeds that give the class an IoU in both arms; `n` is the least number of such
    seeds. `largest_gain_*` and `largest_drop_*` are empty where no segmenter gains or loses, and `paper_*` where the paper has no such
    numbers; the paper's are computed from its Table 6, over its five networks. `method` tells augmentations from synthetic pairs.

    Raises:
        ConfigError: no training set holds real pairs and others.
    """
    grounds, groups = load(runs, real)
    gathered = _gather(groups)
    if not gathered:
        raise ConfigError("runs", "no training set holds both real and other pairs.", "Give the experiment a ratio of 1 or more.")
    parts, told = [], []
    for (dataset, size, source, ratio), found in gathered.items():
        ground = grounds[dataset, size]
        gains = pd.DataFrame({subject: gains for subject, (_, gains, _) in found.items()})
        row = next(iter(found.values()))[0]
        part = summarise(gains).assign(dataset=dataset, size=size, source=source, method=row.run.method, ratio=ratio)
        part["class"] = ground.space.names
        part["background"] = [number == ground.real.background for number in range(ground.space.count)]
        seeds = pd.DataFrame({subject: seeds for subject, (_, _, seeds) in found.items()})
        part["n"] = seeds.where(seeds > 0).min(axis=1).astype("Int64")
        paper = _paper(row, ground)
        for name in ("mean_gain_points", "median_gain_points"):
            part[f"paper_{name}"] = paper[name] if paper is not None else math.nan
        parts.append(part)
        told.append((f"{dataset}, {size} px, {_source(row.run.method, source)} at R = {ratio}", gains.set_axis(ground.space.names), paper))
    frame = pd.concat(parts).rename_axis("class_id").reset_index()
    front = ["dataset", "size", "source", "method", "ratio", "class_id", "class", "background", "n"]
    frame = frame[front + [name for name in frame if name not in front]]
    header, cells = _readable(frame)
    unions = {key: [row for row in members if row.run.arm in ("real", "union")] for key, members in groups.items()}
    synthetic = frame["method"].map(methods.is_synthetic)
    named = {"union"} if frame.loc[synthetic, "source"].nunique() > 1 else set()
    augmented = "" if synthetic.all() else " Of an augmentation, they are those between D with its pairs and D."
    said = (
        "Differences of IoU between D ∪ D′ and D in points, each the mean over the seeds that both have; mean and median are taken over "
        "the segmenters. A class in neither truth nor prediction of an arm is absent there: that segmenter has no difference and is not "
        "counted. Improved: segmenters with a positive difference, whether or not it is told apart from chance; no interval is given here."
        + augmented,
        f"{notes.counts(unions)} {notes.seeds(unions, named)}",
        *notes.stand_ins(groups),
        *(_extremes(where, gains) for where, gains, _ in told),
        *_paper_notes(told),
        *notes.ground(grounds),
    )
    return markup.Table(notes.title(cfg, frame, LEAD), frame, header, cells, said)


def _source(method: str, source: str) -> str:
    return source if methods.is_synthetic(method) else methods.name(method, source)


def summarise(gains: pd.DataFrame) -> pd.DataFrame:
    """Sum differences up over segmenters.

    Args:
        gains: a row a class, a column a segmenter, differences in points; NaN where a segmenter has none.

    Returns:
        A row a class: segmenters (how many have a difference), mean_gain_points, median_gain_points, largest_gain_points and
        largest_drop_points (NaN where none is above, or below, zero) with the segmenter in *_segmenter, improved (differences above zero).
    """
    found = pd.DataFrame(index=gains.index)
    found["segmenters"] = gains.notna().sum(axis=1)
    found["mean_gain_points"], found["median_gain_points"] = gains.mean(axis=1), gains.median(axis=1)
    for name, sign in (("gain", 1), ("drop", -1)):
        best = (sign * gains).max(axis=1)
        known = best > 0
        found[f"largest_{name}_points"] = (sign * best).where(known)
        found[f"largest_{name}_segmenter"] = [(sign * gains.loc[row]).idxmax() if known[row] else "" for row in gains.index]
    found["improved"] = (gains > 0).sum(axis=1)
    return found


def _gather(groups: Mapping[tuple, list[Row]]) -> dict[tuple, dict[str, tuple[Row, list[float], list[int]]]]:
    """(dataset, size, source, R) -> segmenter -> its row, and differences and numbers of seeds by class."""
    found: dict[tuple, dict] = {}
    for (dataset, size, subject), members in groups.items():
        base = next(row for row in members if row.run.arm == "real")
        for row in members:
            if row.run.arm == "union":
                classes = range(len(row.sums[0, 0]))
                # The level does not touch the mean.
                gaps = [statistics.paired(row.per_class("iou", number), base.per_class("iou", number), 0.95) for number in classes]
                place = (dataset, size, row.run.source, row.run.ratio)
                found.setdefault(place, {})[subject] = (row, [100 * gap.mean for gap in gaps], [gap.n for gap in gaps])
    return found


def _paper(row: Row, ground: Ground) -> pd.DataFrame | None:
    entry = row.entry(ground.real)
    if entry is None:
        return None
    form, size, _, method, ratio = entry
    gains = pd.DataFrame(published.class_gains(form, size, method, ratio))
    return summarise(gains) if len(gains) == ground.space.count else None


def _readable(frame: pd.DataFrame) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lead, paper = notes.leading(frame, LEAD), frame["paper_mean_gain_points"].notna().any()
    header = (*(name for name, _ in lead), "Class", "Mean difference", "Median difference", "Largest gain", "Largest drop", "Improved")
    header += ("Paper mean", "Paper median") if paper else ()
    rows = []
    for row in frame.to_dict("records"):
        extremes = [(row[f"largest_{name}_points"], row[f"largest_{name}_segmenter"]) for name in ("gain", "drop")]
        shown = ["mean_gain_points", "median_gain_points", *(("paper_mean_gain_points", "paper_median_gain_points") if paper else ())]
        means = [markup.number(row[name], sign=True) for name in shown]
        rows.append(
            (
                *(_source(row["method"], row[key]) if key == "source" else str(row[key]) for _, key in lead),
                row["class"],
                *means[:2],
                *(f"{markup.number(points, sign=True)} ({name})" if name else markup.NONE for points, name in extremes),
                f"{row['improved']} of {row['segmenters']}",
                *means[2:],
            )
        )
    return header, tuple(rows)


def _extreme(gains: pd.DataFrame, sign: int) -> str | None:
    """The largest gain (sign 1) or drop (-1) over classes (rows) and segmenters (columns), in words; None where there is none."""
    values = np.nan_to_num(sign * gains.to_numpy(), nan=-np.inf)
    row, column = np.unravel_index(values.argmax(), values.shape)
    if not values[row, column] > 0:
        return None
    return f"{markup.number(sign * values[row, column], sign=True)} points ({gains.index[row]}, {gains.columns[column]})"


def _extremes(where: str, gains: pd.DataFrame) -> str:
    best, worst, count = _extreme(gains, 1), _extreme(gains, -1), int(gains.notna().sum().sum())
    said = [f"the largest gain is {best}" if best else "no class gains", f"the largest drop is {worst}" if worst else "no class loses"]
    return f"{where}: of {count} differences {' and '.join(said)}; extremes of many are choices in hindsight."


def _paper_notes(told: Sequence[tuple[str, pd.DataFrame, pd.DataFrame | None]]) -> list[str]:
    for _, gains, paper in told:
        if paper is None:
            continue
        names = dict(enumerate(gains.index))
        best, worst = paper["largest_gain_points"].idxmax(), paper["largest_drop_points"].idxmin()
        broad = paper["mean_gain_points"].idxmax()
        return [
            f"Paper (supplement A), computed from its Table 6 over its five networks: the largest gain is "
            f"{_named(paper.loc[best], 'gain', names[best])}, the largest drop {_named(paper.loc[worst], 'drop', names[worst])}; "
            f"{names[broad]} gains most on average, {markup.number(paper['mean_gain_points'][broad], sign=True)} points (median "
            f"{markup.number(paper['median_gain_points'][broad], sign=True)}). Table 6 does not state R: it stands beside "
            f"R = {published.UNSTATED_RATIO}."
        ]
    return []


def _named(row: pd.Series, kind: str, name: str) -> str:
    return f"{markup.number(row[f'largest_{kind}_points'], sign=True)} points ({name}, {row[f'largest_{kind}_segmenter']})"
