"""What synthetic pairs are worth: training set by row, mIoU and F1 (paper, Tables 2 to 5 and Fig. 5)."""

import math
from collections.abc import Sequence

import pandas as pd

from satsynth.reporting import comparisons, markup, methods, notes, published, statistics, yields
from satsynth.reporting.runs import Ground, Real, Row, Run, load

LEADING = (
    *("dataset", "size", "segmenter", "network", "arm", "training_set", "trained_segmenter", "source", "method", "ratio", "n", "seeds"),
    *("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures"),
    *("miou_pct", "miou_se_pct", "f1_pct", "f1_se_pct"),
)
TRAILING = (
    *("paper_table", "paper_miou_pct", "paper_miou_se_pct", "paper_f1_pct", "paper_f1_se_pct", "paper_gain_points"),
    *("absent", "absent_classes", "answer"),
)
PRINTED = {"miou": "mIoU", "f1": "F1"}
TEXT = ("network", "training_set", "trained_segmenter", "source", "method", "seeds", "paper_table", "absent_classes", "answer")


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A row per (dataset, size, segmenter, training set), and the constant class as the floor.

    Scores are in percent, differences in points; `gain_*` is the difference to D, paired over seeds, with a t-interval
    (`low`, `high`) and a bootstrap over scenes (`scene_low`, `scene_high`); `over_control_*` is the same against the control, and
    `over_METHOD_*`, in rows of D∪D', against D with the pairs of an augmentation at the same R (for several sources of one augmentation
    `over_METHOD_SOURCE_*`); `paper_*` is the paper's entry for the same dataset, size, network, method and R, where it has one.
    """
    grounds, groups = load(runs, real)
    rows, compared, rivals = [], [], comparisons.rivals(groups)
    for (dataset, size, segmenter), members in groups.items():
        ground = grounds[dataset, size]
        lead = {"dataset": dataset, "size": size, "segmenter": segmenter}
        rows.append({**lead, **_constant(ground)})
        for row in members:
            found = comparisons.compare(row, members, rivals, cfg)
            compared += found
            rows.append({**lead, **_line(row, ground), **{name: value for each in found for name, value in each.cells().items()}})
    names = (comparisons.GAIN, comparisons.OVER_CONTROL, *rivals.values())
    gaps = [f"{name}_{part}" for name in names for part in comparisons.PARTS]
    frame = pd.DataFrame(rows).reindex(columns=[*LEADING, *gaps, *TRAILING])
    frame[list(TEXT)] = frame[list(TEXT)].fillna("")
    named = notes.named_arms(frame)
    level = notes.percent(cfg["confidence"])
    header, cells = _readable(frame, named, level)
    said = (
        f"{notes.ERROR} {notes.seeds(groups, named)}",
        "Difference to D: mean difference of mIoU in points, paired over the seeds that both have. Over seeds: t-interval of the paired "
        f"differences. Over scenes: percentile interval of a paired bootstrap ({cfg['replicates']} replicates) that draws whole validation "
        "scenes, scores averaged over seeds. No interval is given where there are fewer than two seeds or scenes.",
        *comparisons.direct_notes(compared, frame, named, level),
        *comparisons.correction_notes(compared, cfg),
        *_paper_notes(frame),
        *notes.few_scenes({f"{dataset}, {size} px": len(set(ground.scenes)) for (dataset, size), ground in grounds.items()}),
        notes.absent(frame),
        *notes.missed(grounds, groups),
        *_step_notes(frame),
        *notes.stand_ins(groups),
        *yields.told(cfg.get("admissions", ())),
        _words(frame),
        *notes.ground(grounds),
    )
    return markup.Table(notes.title(cfg, frame), _whole(frame), header, cells, said)


def _constant(ground: Ground) -> dict:
    constant = ground.constant
    return {
        "arm": "constant",
        "ratio": math.nan,
        "n": 1,
        **dict.fromkeys(("steps", "real_exposures", "synthetic_exposures"), 0),
        "miou_pct": 100 * constant["miou"],
        "f1_pct": 100 * constant["f1"],
        "absent": len(constant["absent"]),
        "absent_classes": " ".join(ground.space.names[number] for number in constant["absent"]),
        "answer": ground.space.names[constant["class"]],
    }


def _line(row: Row, ground: Ground) -> dict:
    miou, f1 = (statistics.spread(list(row.score(name).values())) for name in ("miou", "f1"))
    absent = sorted({number for metrics in row.metrics.values() for number in metrics["absent"]})
    return {
        **notes.facts(row),
        "n": miou.n,
        "seeds": " ".join(map(str, row.metrics)),
        **{name: row.card(name) for name in ("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures")},
        "miou_pct": 100 * miou.mean,
        "miou_se_pct": 100 * miou.error,
        "f1_pct": 100 * f1.mean,
        "f1_se_pct": 100 * f1.error,
        "absent": len(absent),
        "absent_classes": " ".join(ground.space.names[number] for number in absent),
        **_paper(row, ground),
    }


def _paper(row: Row, ground: Ground) -> dict:
    entry = row.entry(ground.real)
    score = published.score(*entry) if entry else None
    if score is None:
        return {"paper_table": ""}
    # The paper's own D of the same data and network.
    base = published.score(*entry[:3], None, 0)
    return {
        "paper_table": score.table,
        "paper_miou_pct": score.miou,
        "paper_miou_se_pct": score.miou_se,
        "paper_f1_pct": score.f1,
        "paper_f1_se_pct": score.f1_se,
        "paper_gain_points": score.miou - base.miou if row.run.arm == "union" and base else math.nan,
    }


def _readable(frame: pd.DataFrame, named: set[str], level: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lead, paper = notes.leading(frame), [name for name in ("miou", "f1") if frame[f"paper_{name}_pct"].notna().any()]
    header = (*(name for name, _ in lead), "Training set", "R", "n", "mIoU (%)", "F1 (%)")
    header += ("Difference to D", f"{level} over seeds", f"{level} over scenes", *(f"Paper {PRINTED[name]} (%)" for name in paper))
    header += ("Steps", "Real exposures", "Synthetic exposures", "Absent")
    rows = []
    for row in frame.to_dict("records"):
        constant = row["arm"] == "constant"
        rows.append(
            (
                *(str(row[key]) for _, key in lead),
                notes.label(row, named),
                markup.NONE if constant else f"{row['ratio']:g}",
                markup.NONE if constant else str(row["n"]),
                markup.plus_minus(row["miou_pct"], row["miou_se_pct"]),
                markup.plus_minus(row["f1_pct"], row["f1_se_pct"]),
                markup.number(row["gain_points"], sign=True),
                markup.interval(row["gain_low"], row["gain_high"]),
                markup.interval(row["gain_scene_low"], row["gain_scene_high"]),
                *(_paper_cell(row, name) for name in paper),
                *(markup.count(row[name]) for name in ("steps", "real_exposures", "synthetic_exposures")),
                str(row["absent"]),
            )
        )
    return header, tuple(rows)


def _paper_cell(row: dict, name: str) -> str:
    text, gain = markup.plus_minus(row[f"paper_{name}_pct"], row[f"paper_{name}_se_pct"]), row["paper_gain_points"]
    return text if name != "miou" or math.isnan(gain) else f"{text} ({markup.number(gain, sign=True)})"


def _paper_notes(frame: pd.DataFrame) -> list[str]:
    used = frame[frame["paper_table"] != ""]
    if used.empty:
        return []
    tables = sorted(used["paper_table"].unique())
    silent: dict[tuple[int, ...], list[str]] = {}
    for table in sorted(used.loc[used["arm"] == "union", "paper_table"].unique()):
        if table in published.UNSTATED_RATIOS:
            silent.setdefault(published.UNSTATED_RATIOS[table], []).append(table)
    unstated = "".join(
        f" {markup.listing(names)} {'does' if len(names) == 1 else 'do'} not state R: D ∪ D′ of the paper stands beside "
        f"{markup.listing([f'R = {ratio}' for ratio in ratios])}{', one number beside each' if len(ratios) > 1 else ''}."
        for ratios, names in silent.items()
    )
    both = " and Paper F1 (%)" if used["paper_f1_pct"].notna().any() else ""
    brackets = ", in brackets its own difference to D" if used["paper_gain_points"].notna().any() else ""
    errors = "; ± is its standard error, over a number of runs that it does not state" if used["paper_miou_se_pct"].notna().any() else ""
    return [
        f"Paper mIoU (%){both}: the paper's {markup.listing(tables)}{brackets}{errors}.{unstated} The paper's networks start from weights "
        "of its own choice, presumably ImageNet's, and their encoders may be of another size, so only differences compare, not levels."
    ]


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    # A missing cell turns a column of whole numbers into floats; the CSV shall say 500, not 500.0.
    names = [name for name in frame.select_dtypes("number") if not name.endswith("_pct") and (frame[name].dropna() % 1 == 0).all()]
    return frame.astype(dict.fromkeys((name for name in names if name.split("_")[-1] not in ("points", "low", "high")), "Int64"))


def _words(frame: pd.DataFrame) -> str:
    """What the heads of the columns mean."""
    augmented = frame["method"].map(methods.is_augmentation).any()
    pairs = "synthetic pairs, or those of an augmentation," if augmented else "synthetic pairs"
    exposures = ", and those of an augmentation stand under the synthetic ones" if augmented else ""
    return (
        f"R: {pairs} per real pair. Steps: optimiser steps. Exposures: pairs shown in training, repeats counted{exposures}. "
        "Constant class: one answer everywhere, the most frequent class of the real training pixels, scored in closed form."
    )


def _step_notes(frame: pd.DataFrame) -> list[str]:
    """What is true of the optimiser steps, read from the runs' cards, whichever it is."""
    said = []
    trained = frame[frame["arm"] != "constant"]
    keys = ["dataset", "size", "segmenter"]
    uneven = [" ".join(map(str, key)) for key, part in trained[trained["arm"] != "control"].groupby(keys) if part["steps"].nunique() > 1]
    if uneven:
        said.append(f"Caution: optimiser steps differ between rows of {markup.listing(uneven)}, so these rows are not a fair comparison.")
    else:
        said.append("Within a comparison every training set takes the same number of optimiser steps; only the control may take another.")
    for key, part in trained.groupby(keys):
        control, union = part[part["arm"] == "control"], part[part["arm"] == "union"]
        if len(control) == 1 and len(union):
            shown, wanted = control["real_exposures"].iloc[0], union["real_exposures"].mean()
            augmented = union["method"].map(methods.is_augmentation)
            names = [*(["D ∪ D′"] if not augmented.all() else []), *(["D with an augmentation"] if augmented.any() else [])]
            said.append(
                f"Control ({' '.join(map(str, key))}): {markup.count(shown)} exposures of real pairs; "
                f"{' and '.join(names)} {'shows' if len(names) == 1 else 'show'} {markup.count(wanted)} on average."
            )
    return said
