"""What synthetic pairs are worth: training set by row, mIoU and F1 (paper, Tables 2 to 5 and Fig. 5)."""

import math
from collections.abc import Sequence

import pandas as pd

from satsynth.reporting import markup, notes, published, statistics
from satsynth.reporting.runs import Ground, Real, Row, Run, load
from satsynth.reporting.statistics import Difference

COLUMNS = (
    *("dataset", "size", "segmenter", "arm", "training_set", "trained_segmenter", "source", "ratio", "n", "seeds"),
    *("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures"),
    *("miou_pct", "miou_se_pct", "f1_pct", "f1_se_pct"),
    *(
        f"{name}_{part}"
        for name in ("gain", "over_control")
        for part in ("points", "n", "low", "high", "scene_low", "scene_high", "scenes")
    ),
    *("paper_table", "paper_miou_pct", "paper_miou_se_pct", "paper_f1_pct", "paper_f1_se_pct", "paper_gain_points"),
    *("absent", "absent_classes", "answer"),
)
TEXT = ("training_set", "trained_segmenter", "source", "seeds", "paper_table", "absent_classes", "answer")


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A row per (dataset, size, segmenter, training set), and the constant class as the floor.

    Scores are in percent, differences in points; `gain_*` is the difference to D, paired over seeds, with a t-interval
    (`low`, `high`) and a bootstrap over scenes (`scene_low`, `scene_high`); `over_control_*` is the same against the control;
    `paper_*` is the paper's entry for the same dataset, size, network, method and R, where it has one.
    """
    grounds, groups = load(runs, real)
    rows, pairs = [], []
    for (dataset, size, segmenter), members in groups.items():
        ground = grounds[dataset, size]
        lead = {"dataset": dataset, "size": size, "segmenter": segmenter}
        rows.append({**lead, **_constant(ground)})
        base = next(row for row in members if row.run.arm == "real")
        controls = [row for row in members if row.run.arm == "control"]
        for row in members:
            gap = None
            if row is not base:
                gap = _compare(row, base, cfg)
                pairs.append((row, base, gap))
            rows.append({**lead, **_line(row, gap, controls, ground, cfg)})
    frame = pd.DataFrame(rows).reindex(columns=COLUMNS)
    frame[list(TEXT)] = frame[list(TEXT)].fillna("")
    named = notes.named_arms(frame)
    header, cells = _readable(frame, named, notes.percent(cfg["confidence"]))
    said = (
        f"{notes.ERROR} {notes.seeds(groups, named)}",
        "Difference to D: mean difference of mIoU in points, paired over the seeds that both have. Over seeds: t-interval of the paired "
        f"differences. Over scenes: percentile interval of a paired bootstrap ({cfg['replicates']} replicates) that draws whole validation "
        "scenes, scores averaged over seeds. No interval is given where there are fewer than two seeds or scenes.",
        *_correction(pairs, cfg),
        *_paper_notes(frame),
        notes.absent(frame),
        *_step_notes(frame),
        "R: synthetic pairs per real pair. Steps: optimiser steps. Exposures: pairs shown in training, repeats counted. "
        "Constant class: one answer everywhere, the most frequent class of the real training pixels, scored in closed form.",
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


def _line(row: Row, gap: tuple[Difference, Difference] | None, controls: list[Row], ground: Ground, cfg: dict) -> dict:
    miou, f1 = (statistics.spread(list(row.score(name).values())) for name in ("miou", "f1"))
    absent = sorted({number for metrics in row.metrics.values() for number in metrics["absent"]})
    found = {
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
    if gap:
        found |= _cells("gain", *gap)
    # One control serves every R that shows as many real pairs as it does; with several, the one with the same exposures.
    fitting = controls if len(controls) == 1 else [c for c in controls if c.card("real_exposures") == row.card("real_exposures")]
    if row.run.arm == "union" and fitting:
        found |= _cells("over_control", *_compare(row, fitting[0], cfg))
    return found


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


def _compare(row: Row, other: Row, cfg: dict, level: float | None = None) -> tuple[Difference, Difference]:
    confidence = level or cfg["confidence"]
    seeds = statistics.paired(row.score("miou"), other.score("miou"), confidence)
    scenes = statistics.bootstrap_scenes(row.sums, other.sums, replicates=cfg["replicates"], confidence=confidence, seed=cfg["seed"])
    return seeds, scenes


def _cells(name: str, seeds: Difference, scenes: Difference) -> dict:
    return {
        f"{name}_points": 100 * seeds.mean,
        f"{name}_n": seeds.n,
        f"{name}_low": 100 * seeds.low,
        f"{name}_high": 100 * seeds.high,
        f"{name}_scene_low": 100 * scenes.low,
        f"{name}_scene_high": 100 * scenes.high,
        f"{name}_scenes": scenes.n,
    }


def _decided(seeds: Difference, scenes: Difference) -> bool:
    return statistics.outcome(seeds.interval, scenes.interval) != "undecided"


def _correction(pairs: list[tuple[Row, Row, tuple[Difference, Difference]]], cfg: dict) -> list[str]:
    pairs = [pair for pair in pairs if not math.isnan(pair[2][0].mean)]

    def again(level: float) -> list[tuple[Difference, Difference]]:
        return [_compare(row, base, cfg, level) for row, base, gap in pairs if _decided(*gap)]

    said = notes.multiplicity(cfg, [gap for *_, gap in pairs], again, _decided)
    return [f"{text} A difference is decided if every interval that it has leaves out zero on the same side." for text in said]


def _readable(frame: pd.DataFrame, named: set[str], level: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lead, paper = notes.leading(frame), frame["paper_miou_pct"].notna().any()
    header = (*(name for name, _ in lead), "Training set", "R", "n", "mIoU (%)", "F1 (%)")
    header += ("Difference to D", f"{level} over seeds", f"{level} over scenes", *(("Paper mIoU (%)",) if paper else ()))
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
                *((_paper_cell(row),) if paper else ()),
                *(markup.count(row[name]) for name in ("steps", "real_exposures", "synthetic_exposures")),
                str(row["absent"]),
            )
        )
    return header, tuple(rows)


def _paper_cell(row: dict) -> str:
    text, gain = markup.plus_minus(row["paper_miou_pct"], row["paper_miou_se_pct"]), row["paper_gain_points"]
    return text if math.isnan(gain) else f"{text} ({markup.number(gain, sign=True)})"


def _paper_notes(frame: pd.DataFrame) -> list[str]:
    used = frame[frame["paper_table"] != ""]
    if used.empty:
        return []
    tables = sorted(used["paper_table"].unique())
    silent = sorted(used[(used["arm"] == "union") & used["paper_table"].isin(published.UNSTATED_TABLES)]["paper_table"].unique())
    unstated = ""
    if silent:
        verb = "does" if len(silent) == 1 else "do"
        unstated = f" {markup.listing(silent)} {verb} not state R: D ∪ D′ of the paper stands beside R = {published.UNSTATED_RATIO}."
    return [
        f"Paper mIoU (%): the paper's {markup.listing(tables)}, in brackets its own difference to D; ± is its standard error, over "
        f"a number of runs that it does not state.{unstated} The paper's networks start from weights of its own choice, presumably "
        "ImageNet's, and their encoders may be of another size, so only differences compare, not levels."
    ]


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    # A missing cell turns a column of whole numbers into floats; the CSV shall say 500, not 500.0.
    names = [name for name in frame.select_dtypes("number") if not name.endswith("_pct") and (frame[name].dropna() % 1 == 0).all()]
    return frame.astype(dict.fromkeys((name for name in names if name.split("_")[-1] not in ("points", "low", "high")), "Int64"))


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
            said.append(
                f"Control ({' '.join(map(str, key))}): {markup.count(shown)} exposures of real pairs; "
                f"D ∪ D′ shows {markup.count(wanted)} on average."
            )
    return said
