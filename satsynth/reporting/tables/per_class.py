"""IoU of every class and what synthetic pairs change in it (paper, Table 6 and Fig. 7)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from satsynth.reporting import markup, notes, published, statistics
from satsynth.reporting.runs import Ground, Real, Row, Run, load
from satsynth.reporting.statistics import Difference

COLUMNS = (
    *("dataset", "size", "segmenter", "network", "arm", "training_set", "trained_segmenter", "source", "method", "ratio"),
    *("class_id", "class", "background", "train_occurrence_pct", "val_share_pct", "n", "iou_pct", "iou_se_pct", "f1_pct"),
    *("gain_points", "gain_low", "gain_high", "gain_scene_low", "gain_scene_high", "gain_scenes", "f1_gain_points", "paper_iou_pct"),
)


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A line per class and training set in the CSV, a line per class to read.

    IoU and F1 are in percent, differences in points. `gain_*` is the difference to D of one class: paired over the seeds that give it an
    IoU in both arms, with a t-interval (`low`, `high`), and the interval of `statistics.bootstrap_classes` (`scene_low`, `scene_high`,
    and `scenes`, the validation scenes that hold the class). `train_occurrence_pct` is the share of training pairs that hold the class,
    `val_share_pct` that of the validation pixels that were scored, a pixel of a scene counted once.
    """
    grounds, groups = load(runs, real)
    rows, pairs = [], []
    for (dataset, size, segmenter), members in groups.items():
        ground = grounds[dataset, size]
        base = next(row for row in members if row.run.arm == "real")
        for row in members:
            gaps = None if row is base else _compare(row, base, cfg, cfg["confidence"])
            if row.run.arm == "union":
                pairs.append((row, base, gaps))
            lead = {"dataset": dataset, "size": size, "segmenter": segmenter, **notes.facts(row)}
            rows += [lead | line for line in _lines(row, base, gaps, ground)]
    frame = pd.DataFrame(rows).reindex(columns=COLUMNS)
    named = notes.named_arms(frame)
    header, cells = _readable(frame, named)
    said = (
        f"{notes.ERROR} {notes.counts(groups)} {notes.seeds(groups, named)}",
        "IoU in percent, from one confusion matrix over the whole validation set. A dash: the class occurs in neither truth nor prediction "
        f"of any seed, and is left out of means{_missing(frame, named)}.",
        *_difference_notes(pairs, cfg),
        *(_scene_notes(grounds, pairs) if pairs else []),
        *_paper_notes(frame),
        *_occurrence_notes(frame, grounds, groups, named, cfg),
        *notes.stand_ins(groups),
        *notes.ground(grounds),
    )
    return markup.Table(notes.title(cfg, frame), frame, header, cells, said)


def _compare(row: Row, base: Row, cfg: dict, level: float) -> list[tuple[Difference, Difference]]:
    scenes = statistics.bootstrap_classes(row.sums, base.sums, replicates=cfg["replicates"], confidence=level, seed=cfg["seed"])
    return [
        (statistics.paired(row.per_class("iou", number), base.per_class("iou", number), level), each) for number, each in enumerate(scenes)
    ]


def _lines(row: Row, base: Row, gaps: list[tuple[Difference, Difference]] | None, ground: Ground) -> list[dict]:
    share = 100 * ground.truth / max(1, ground.truth.sum())
    occurrence = 100 * np.asarray(ground.train["class_pairs"]) / max(1, ground.train["count"])
    entry = row.entry(ground.real)
    paper = published.class_iou(*entry) if entry else None
    if paper is None or len(paper) != ground.space.count:
        paper = [math.nan] * ground.space.count
    found = []
    for number, name in enumerate(ground.space.names):
        mean = statistics.spread(list(row.per_class("iou", number).values()))
        f1 = row.per_class("f1_per_class", number)
        line = {
            **{"class_id": number, "class": name, "background": number == ground.real.background},
            **{"train_occurrence_pct": occurrence[number], "val_share_pct": share[number]},
            **{"n": mean.n, "iou_pct": 100 * mean.mean, "iou_se_pct": 100 * mean.error},
            **{"f1_pct": 100 * statistics.spread(list(f1.values())).mean, "paper_iou_pct": paper[number]},
        }
        if gaps:
            seeds, scenes = gaps[number]
            # The level does not touch the mean.
            f1_gap = statistics.paired(f1, base.per_class("f1_per_class", number), 0.95)
            line |= {
                **{"gain_points": 100 * seeds.mean, "gain_low": 100 * seeds.low, "gain_high": 100 * seeds.high},
                **{"gain_scene_low": 100 * scenes.low, "gain_scene_high": 100 * scenes.high, "gain_scenes": scenes.n},
                "f1_gain_points": 100 * f1_gap.mean,
            }
        found.append(line)
    return found


def _marked(seeds: tuple[float, float], scenes: tuple[float, float]) -> bool:
    # Stricter than `statistics.outcome`: a class that only one scene holds has no interval over scenes, and gets no mark.
    return not math.isnan(scenes[0]) and statistics.outcome(seeds, scenes) != "undecided"


def _readable(frame: pd.DataFrame, named: set[str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lead = notes.leading(frame)
    printed = {notes.at_ratio(row, named) for row in frame[frame["paper_iou_pct"].notna()].to_dict("records")}
    columns: dict[str, None] = {}
    lines: dict[tuple, dict] = {}
    for row in frame.to_dict("records"):
        name = notes.at_ratio(row, named)
        columns[name] = None
        key = (row["dataset"], row["size"], row["segmenter"], row["class_id"])
        line = lines.setdefault(key, {"row": row})
        line[name] = markup.plus_minus(row["iou_pct"], row["iou_se_pct"])
        if name in printed:
            columns[f"{name}: paper"] = None
            line[f"{name}: paper"] = markup.number(row["paper_iou_pct"])
        if row["arm"] == "union":
            name = f"{name}: difference to D"
            columns[name] = None
            mark = "*" if _marked((row["gain_low"], row["gain_high"]), (row["gain_scene_low"], row["gain_scene_high"])) else ""
            line[name] = markup.number(row["gain_points"], sign=True) + mark
    rows = tuple(
        (
            *(str(line["row"][key]) for _, key in lead),
            line["row"]["class"],
            markup.number(line["row"]["val_share_pct"]),
            *(line.get(name, markup.NONE) for name in columns),
        )
        for line in lines.values()
    )
    return (*(name for name, _ in lead), "Class", "Validation pixels (%)", *columns), rows


def _difference_notes(pairs: list[tuple[Row, Row, list]], cfg: dict) -> list[str]:
    if not pairs:
        return []

    def decided(seeds: Difference, scenes: Difference) -> bool:
        return _marked(seeds.interval, scenes.interval)

    shown = [gap for *_, gaps in pairs for gap in gaps if not math.isnan(gap[0].mean)]

    def again(level: float) -> list[tuple[Difference, Difference]]:
        # An interval of a higher level holds the one of a lower level, so only decided differences can stay so.
        chosen = [(row, base, [decided(*gap) for gap in gaps]) for row, base, gaps in pairs]
        return [gap for row, base, kept in chosen if any(kept) for gap, keep in zip(_compare(row, base, cfg, level), kept) if keep]

    level = notes.percent(cfg["confidence"])
    return [
        f"Difference to D in points, paired over seeds. An asterisk marks a difference whose two {level} intervals leave out zero on the "
        "same side: the t-interval over seeds, and the percentile interval of a paired bootstrap over whole validation scenes "
        f"({cfg['replicates']} replicates; one that gives an arm no IoU of the class is left out; a class that fewer than two scenes hold "
        "has no such interval). The intervals stand in the CSV.",
        *notes.multiplicity(cfg, shown, again, decided),
    ]


def _scene_notes(grounds: Mapping, pairs: list[tuple[Row, Row, list]]) -> list[str]:
    """Where few validation scenes carry the intervals: all of a dataset, or those that hold a class."""
    whole = {place: len(set(ground.scenes)) for place, ground in grounds.items()}
    found = {f"{dataset}, {size} px": scenes for (dataset, size), scenes in whole.items()}
    for row, _, gaps in pairs:
        place = (row.run.dataset, row.run.size)
        if whole[place] >= notes.FEW_SCENES:
            named = zip(grounds[place].space.names, gaps)
            found |= {f"{name} of {place[0]}, {place[1]} px": scenes.n for name, (_, scenes) in named}
    return notes.few_scenes(found)


def _missing(frame: pd.DataFrame, named: set[str]) -> str:
    """What else a dash may stand for, where that is so."""
    groups = frame.groupby(["dataset", "size", "segmenter"], sort=False)
    columns = [{notes.at_ratio(row, named) for row in part.to_dict("records")} for _, part in groups]
    return "; or the segmenter has no run on these pairs" if any(each != columns[0] for each in columns) else ""


def _paper_notes(frame: pd.DataFrame) -> list[str]:
    printed = frame[frame["paper_iou_pct"].notna()]
    if printed.empty:
        return []
    unstated = ""
    if (printed["arm"] == "union").any():
        unstated = f" It does not state R: D ∪ D′ of the paper stands beside R = {published.UNSTATED_RATIO}."
    return [
        f"Paper: IoU (%) of Table 6, for the same network.{unstated} The paper's networks start from weights of its own choice, "
        "presumably ImageNet's, so only differences compare, not levels."
    ]


def _occurrence_notes(frame: pd.DataFrame, grounds: Mapping, groups: Mapping, named: set[str], cfg: dict) -> list[str]:
    """Pearson's r between the occurrence and the gain of the foreground classes, a value for each training set D∪D' (paper, Fig. 7)."""
    told, papers = [], {}
    union = frame[(frame["arm"] == "union") & ~frame["background"].astype(bool)]
    for (dataset, size, segmenter, _, _), part in union.groupby(["dataset", "size", "segmenter", "source", "ratio"], sort=False):
        first = part.iloc[0]
        found = statistics.pearson(part["train_occurrence_pct"], part["gain_points"], cfg["confidence"])
        where = ", ".join([*notes.place(frame, first), notes.at_ratio(first, named)])
        told.append(f"{where}: {_correlation(found)}")
        network, form = groups[dataset, size, segmenter][0].run.network, grounds[dataset, size].real.format
        if (form, network) in published.OCCURRENCE_R:
            papers[f"The paper has {markup.number(published.OCCURRENCE_R[form, network])} for {network} ({form}, 256 px, Fig. 7)."] = None
    if not told:
        return []
    classes = "foreground classes" if frame["background"].any() else "classes"
    return [
        f"Rare classes: Pearson's r between the share of training patches that hold a class and its difference to D, over the {classes}, "
        f"with the {notes.percent(cfg['confidence'])} interval of Fisher's z, which takes the classes for independent. {'; '.join(told)}."
        + "".join(f" {paper}" for paper in papers)
    ]


def _correlation(found: statistics.Correlation) -> str:
    if math.isnan(found.r) or found.n < 3:
        return f"not defined (n = {found.n})"  # through two points there is always a line
    reach = "no interval" if math.isnan(found.low) else markup.interval(found.low, found.high)
    return f"{markup.number(found.r, sign=True)} ({reach}, n = {found.n})"
