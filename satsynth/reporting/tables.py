"""The tables: one function a view, each from finished runs to a `Table`.

The layout follows the paper's Table 2 (training set by row, mIoU and F1 in percent, mean ± standard error) and Table 6 (IoU per class).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from satsynth.reporting import markup, statistics
from satsynth.reporting.runs import Ground, Real, Row, Run, load
from satsynth.runtime.errors import ConfigError


def build(view: str, runs: Sequence[Run], real: Sequence[Real], cfg: dict, out: dict[str, str | Path]) -> markup.Table:
    """Make the table of `view` (gain or per_class) and write it to `out` (keys csv, md, tex).

    Args:
        cfg: title (str); confidence (two-sided level of every interval, in (0, 1)); replicates and seed of the scene bootstrap (int).

    Raises:
        ConfigError: the view is unknown, an arm is unknown, a run has no real data, or a comparison has no run on D.
        StoreError: a run's files do not fit each other or the validation store.
    """
    if view not in VIEWS:
        raise ConfigError("view", f"there is no table view '{view}'.", f"Choose one of {', '.join(sorted(VIEWS))}.")
    table = VIEWS[view](runs, real, cfg)
    markup.write(table, out)
    return table


def gain(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """What synthetic pairs are worth: a row per (dataset, size, segmenter, training set), and the constant class as the floor.

    Scores are in percent, differences in points; `gain_*` is the difference to D, paired over seeds, with a t-interval
    (`low`, `high`) and a bootstrap over scenes (`scene_low`, `scene_high`); `over_control_*` is the same against the control.
    """
    grounds, groups = load(runs, real)
    rows = []
    for (dataset, size, segmenter), members in groups.items():
        ground = grounds[dataset, size]
        lead = {"dataset": dataset, "size": size, "segmenter": segmenter}
        rows.append({**lead, **_constant_row(ground)})
        base = next(row for row in members if row.run.arm == "real")
        controls = [row for row in members if row.run.arm == "control"]
        for row in members:
            rows.append({**lead, **_gain_row(row, base, controls, ground, cfg)})
    frame = pd.DataFrame(rows)
    return _dress_gain(frame, grounds, cfg)


def _constant_row(ground: Ground) -> dict:
    constant = ground.constant
    return {
        "arm": "constant",
        "training_set": "",
        "trained_segmenter": "",
        "source": "",
        "ratio": math.nan,
        "n": 1,
        "steps": 0,
        "real_exposures": 0,
        "synthetic_exposures": 0,
        "miou_pct": 100 * constant["miou"],
        "f1_pct": 100 * constant["f1"],
        "absent": len(constant["absent"]),
        "absent_classes": " ".join(ground.space.names[number] for number in constant["absent"]),
        "answer": ground.space.names[constant["class"]],
    }


def _gain_row(row: Row, base: Row, controls: list[Row], ground: Ground, cfg: dict) -> dict:
    miou, f1 = (statistics.spread(list(row.score(name).values())) for name in ("miou", "f1"))
    absent = sorted({number for metrics in row.metrics.values() for number in metrics["absent"]})
    found = {
        "arm": row.run.arm,
        "training_set": row.run.training_set,
        "trained_segmenter": row.run.segmenter,
        "source": row.run.source or "",
        "ratio": row.run.ratio,
        "n": miou.n,
        "seeds": " ".join(map(str, row.metrics)),
        **{name: row.card(name) for name in ("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures")},
        "miou_pct": 100 * miou.mean,
        "miou_se_pct": 100 * miou.error,
        "f1_pct": 100 * f1.mean,
        "f1_se_pct": 100 * f1.error,
        "absent": len(absent),
        "absent_classes": " ".join(ground.space.names[number] for number in absent),
    }
    if row is not base:
        found |= _compare("gain", row, base, cfg)
    # One control serves every R that shows as many real pairs as it does; with several, the one with the same exposures.
    fitting = controls if len(controls) == 1 else [c for c in controls if c.card("real_exposures") == row.card("real_exposures")]
    if row.run.arm == "union" and fitting:
        found |= _compare("over_control", row, fitting[0], cfg)
    return found


def _compare(name: str, row: Row, other: Row, cfg: dict) -> dict:
    seeds = statistics.paired(row.score("miou"), other.score("miou"), cfg["confidence"])
    scenes = statistics.bootstrap_scenes(row.sums, other.sums, replicates=cfg["replicates"], confidence=cfg["confidence"], seed=cfg["seed"])
    return {
        f"{name}_points": 100 * seeds.mean,
        f"{name}_n": seeds.n,
        f"{name}_low": 100 * seeds.low,
        f"{name}_high": 100 * seeds.high,
        f"{name}_scene_low": 100 * scenes.low,
        f"{name}_scene_high": 100 * scenes.high,
        f"{name}_scenes": scenes.n,
    }


GAIN_COLUMNS = (
    *("dataset", "size", "segmenter", "arm", "training_set", "trained_segmenter", "source", "ratio", "n", "seeds"),
    *("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures"),
    *("miou_pct", "miou_se_pct", "f1_pct", "f1_se_pct"),
    *(
        f"{name}_{part}"
        for name in ("gain", "over_control")
        for part in ("points", "n", "low", "high", "scene_low", "scene_high", "scenes")
    ),
    *("absent", "absent_classes", "answer"),
)


def _dress_gain(frame: pd.DataFrame, grounds: dict, cfg: dict) -> markup.Table:
    frame = frame.reindex(columns=GAIN_COLUMNS)
    for name in ("training_set", "trained_segmenter", "source", "seeds", "absent_classes", "answer"):
        frame[name] = frame[name].fillna("")
    level = f"{100 * cfg['confidence']:g} %"
    lead = _leading(frame)
    header = (*(name for name, _ in lead), "Training set", "R", "n", "Steps", "Real exposures", "Synthetic exposures", "mIoU (%)", "F1 (%)")
    header += ("Difference to D", f"{level} over seeds", f"{level} over scenes", "Absent")
    several = _several(frame)
    rows = []
    for row in frame.to_dict("records"):
        constant = row["arm"] == "constant"
        rows.append(
            (
                *(str(row[key]) for _, key in lead),
                label(row, several),
                markup.NONE if constant else f"{row['ratio']:g}",
                markup.NONE if constant else str(row["n"]),
                *(markup.count(row[name]) for name in ("steps", "real_exposures", "synthetic_exposures")),
                markup.plus_minus(row["miou_pct"], row["miou_se_pct"]),
                markup.plus_minus(row["f1_pct"], row["f1_se_pct"]),
                markup.number(row["gain_points"], sign=True),
                markup.interval(row["gain_low"], row["gain_high"]),
                markup.interval(row["gain_scene_low"], row["gain_scene_high"]),
                str(row["absent"]),
            )
        )
    notes = (
        _NOTE_ERROR,
        "Difference to D: mean difference of mIoU in points, paired over the seeds that both have. Over seeds: t-interval of the paired "
        f"differences. Over scenes: percentile interval of a paired bootstrap ({cfg['replicates']} replicates) that draws whole validation "
        "scenes, scores averaged over seeds. No interval is given where there are fewer than two seeds or scenes. "
        "No correction is made for the number of rows compared.",
        *_absent_notes(frame),
        *_step_notes(frame),
        _NOTE_ARMS,
        *_ground_notes(grounds),
    )
    return markup.Table(_title(cfg, frame), _whole(frame), header, tuple(rows), notes)


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    # A missing cell turns a column of whole numbers into floats; the CSV shall say 500, not 500.0.
    names = [name for name in frame.select_dtypes("number") if not name.endswith("_pct") and (frame[name].dropna() % 1 == 0).all()]
    return frame.astype(dict.fromkeys((name for name in names if name.split("_")[-1] not in ("points", "low", "high")), "Int64"))


def per_class(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """IoU of every class in percent: a line per class and training set in the CSV, a line per class to read (paper, Table 6)."""
    grounds, groups = load(runs, real)
    rows = []
    for (dataset, size, segmenter), members in groups.items():
        ground = grounds[dataset, size]
        base = next(row for row in members if row.run.arm == "real")
        share = 100 * np.asarray(ground.val["class_pixels"]) / max(1, sum(ground.val["class_pixels"]))
        for row in members:
            for number, name in enumerate(ground.space.names):
                iou, gap = row.per_class("iou", number), statistics.Difference(*[math.nan] * 3, 0)
                if row is not base:
                    gap = statistics.paired(iou, base.per_class("iou", number), cfg["confidence"])
                mean = statistics.spread(list(iou.values()))
                rows.append(
                    {
                        **{"dataset": dataset, "size": size, "segmenter": segmenter, "arm": row.run.arm},
                        **{
                            "training_set": row.run.training_set,
                            "trained_segmenter": row.run.segmenter,
                            "source": row.run.source or "",
                            "ratio": row.run.ratio,
                        },
                        **{"class_id": number, "class": name, "val_share_pct": share[number], "n": mean.n},
                        **{"iou_pct": 100 * mean.mean, "iou_se_pct": 100 * mean.error},
                        "f1_pct": 100 * statistics.spread(list(row.per_class("f1_per_class", number).values())).mean,
                        **{"gain_points": 100 * gap.mean, "gain_low": 100 * gap.low, "gain_high": 100 * gap.high},
                    }
                )
    return _dress_per_class(pd.DataFrame(rows), grounds, cfg)


def _dress_per_class(frame: pd.DataFrame, grounds: dict, cfg: dict) -> markup.Table:
    lead, several = _leading(frame), _several(frame)
    columns: dict[str, None] = {}
    lines: dict[tuple, dict] = {}
    for row in frame.to_dict("records"):
        name = label(row, several) + (f", R\u00a0=\u00a0{row['ratio']:g}" if row["arm"] in ("synthetic", "union") else "")
        columns[name] = None
        key = (row["dataset"], row["size"], row["segmenter"], row["class_id"])
        line = lines.setdefault(key, {"row": row})
        line[name] = markup.plus_minus(row["iou_pct"], row["iou_se_pct"])
    rows = tuple(
        (
            *(str(line["row"][key]) for _, key in lead),
            line["row"]["class"],
            markup.number(line["row"]["val_share_pct"]),
            *(line.get(name, markup.NONE) for name in columns),
        )
        for line in lines.values()
    )
    header = (*(name for name, _ in lead), "Class", "Validation pixels (%)", *columns)
    absent = "IoU in percent. A dash: the class occurs in neither truth nor prediction of any seed; such a class is left out of means."
    return markup.Table(_title(cfg, frame), frame, header, rows, (_NOTE_ERROR, absent, *_ground_notes(grounds)))


VIEWS = {"gain": gain, "per_class": per_class}

_NOTE_ERROR = (
    "± is the standard error over n seeds (sample standard deviation over √n). The seeds vary the segmenter's training only; "
    "generators and synthetic pairs are the same for every seed, so their own spread is not in it."
)
_NOTE_ARMS = (
    "R: synthetic pairs per real pair. Steps: optimiser steps. Exposures: pairs shown in training, repeats counted. "
    "Constant class: one answer everywhere, the most frequent class of the real training pixels, scored in closed form."
)


def _several(frame: pd.DataFrame) -> set[str]:
    # Which arms need the name of their source or segmenter to be told apart.
    wide = {"synthetic", "union"} if frame["source"].replace("", np.nan).nunique() > 1 else set()
    controls = frame[frame["arm"] == "control"].groupby(["dataset", "size", "segmenter"])["trained_segmenter"].nunique()
    return wide | ({"control"} if (controls > 1).any() else set())


def label(row: dict, several: set[str]) -> str:
    """The name of a row as people read it; rows of the arms in `several` bear their source (or, a control, its segmenter)."""
    name = {
        "constant": f"constant class ({row.get('answer', '')})",
        "real": "D",
        "control": "D, as many exposures of real pairs as D\u00a0∪\u00a0D′",
        "synthetic": "D′ alone",
        "union": "D\u00a0∪\u00a0D′",
    }[row["arm"]]
    detail = row["trained_segmenter"] if row["arm"] == "control" else row["source"]
    return f"{name} ({detail})" if row["arm"] in several else name


def _leading(frame: pd.DataFrame) -> list[tuple[str, str]]:
    # A column that says the same in every row says it better in the title.
    return [pair for pair in (("Dataset", "dataset"), ("px", "size"), ("Segmenter", "segmenter")) if frame[pair[1]].nunique() > 1]


def _title(cfg: dict, frame: pd.DataFrame) -> str:
    shown = {name for _, name in _leading(frame)}
    first = frame.iloc[0]
    said = {"dataset": first["dataset"], "size": f"{first['size']} px", "segmenter": first["segmenter"]}
    same = [text for name, text in said.items() if name not in shown]
    return cfg["title"] + (f" ({', '.join(same)})" if same else "")


def _absent_notes(frame: pd.DataFrame) -> list[str]:
    policy = (
        "mIoU and F1 are unweighted means over all classes, background included, of one confusion matrix over the whole validation set, "
        "ignore pixels left out. A class in neither truth nor prediction is absent: left out of the mean and counted under Absent "
        "(for several seeds: absent in any)."
    )
    names = sorted({name for text in frame["absent_classes"] for name in text.split()})
    return [policy + (f" Absent somewhere: {markup.listing(names)}." if names else " Here no class is absent.")]


def _step_notes(frame: pd.DataFrame) -> list[str]:
    """What is true of the optimiser steps, read from the runs' cards, whichever it is."""
    notes = []
    trained = frame[frame["arm"] != "constant"]
    keys = ["dataset", "size", "segmenter"]
    uneven = [" ".join(map(str, key)) for key, part in trained[trained["arm"] != "control"].groupby(keys) if part["steps"].nunique() > 1]
    if uneven:
        notes.append(f"Caution: optimiser steps differ between rows of {markup.listing(uneven)}, so these rows are not a fair comparison.")
    else:
        notes.append("Within a comparison every training set takes the same number of optimiser steps; only the control may take another.")
    for key, part in trained.groupby(keys):
        control, union = part[part["arm"] == "control"], part[part["arm"] == "union"]
        if len(control) == 1 and len(union):
            shown, wanted = control["real_exposures"].iloc[0], union["real_exposures"].mean()
            notes.append(
                f"Control ({' '.join(map(str, key))}): {markup.count(shown)} exposures of real pairs; "
                f"D ∪ D′ shows {markup.count(wanted)} on average."
            )
    return notes


def _ground_notes(grounds: dict) -> list[str]:
    notes = []
    for (dataset, size), ground in grounds.items():
        scenes, train = len(set(ground.scenes)), ground.train["count"]
        notes.append(
            f"{dataset}, {size} px: {ground.space.count} classes, {markup.count(train)} training patches, validated on "
            f"{markup.count(ground.val['count'])} patches of {scenes} scene{'s' if scenes != 1 else ''}."
        )
    return notes
