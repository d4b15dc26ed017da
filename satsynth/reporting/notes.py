"""What tables say in words: the names of their rows, their titles, and the notes under them."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from satsynth.reporting import markup
from satsynth.reporting.runs import Ground, Row
from satsynth.reporting.statistics import Difference

LEAD = (("Dataset", "dataset"), ("px", "size"), ("Segmenter", "segmenter"))
# Fewer replicates than this beyond either end leave a percentile to chance.
TAIL = 2.5
ERROR = "± is the standard error over n seeds (sample standard deviation over √n)."


def label(row: Mapping, named: set[str]) -> str:
    """The name of a row as people read it; rows of the arms in `named` bear their source (or, a control, its segmenter)."""
    name = {
        "constant": f"constant class ({row.get('answer', '')})",
        "real": "D",
        "control": "D, as many exposures of real pairs as D\u00a0∪\u00a0D′",
        "synthetic": "D′ alone",
        "union": "D\u00a0∪\u00a0D′",
    }[row["arm"]]
    detail = row["trained_segmenter"] if row["arm"] == "control" else row["source"]
    return f"{name} ({detail})" if row["arm"] in named else name


def at_ratio(row: Mapping, named: set[str]) -> str:
    """`label`, with R where the row has one."""
    return label(row, named) + (f", R\u00a0=\u00a0{row['ratio']:g}" if row["arm"] in ("synthetic", "union") else "")


def named_arms(frame: pd.DataFrame) -> set[str]:
    """The arms whose rows need the name of their source or segmenter to be told apart."""
    wide = {"synthetic", "union"} if frame["source"].replace("", np.nan).nunique() > 1 else set()
    controls = frame[frame["arm"] == "control"].groupby(["dataset", "size", "segmenter"])["trained_segmenter"].nunique()
    return wide | ({"control"} if (controls > 1).any() else set())


def facts(row: Row) -> dict:
    """The cells that name a row of a table, and that `label` reads."""
    return {
        "arm": row.run.arm,
        "training_set": " ".join(row.training_sets),
        "trained_segmenter": row.run.segmenter,
        "source": row.run.source or "",
        "ratio": row.run.ratio,
    }


def leading(frame: pd.DataFrame, columns: Sequence[tuple[str, str]] = LEAD) -> list[tuple[str, str]]:
    """The (header, key) of `columns` that vary; one that says the same in every row says it better in the title."""
    return [pair for pair in columns if frame[pair[1]].nunique() > 1]


def title(cfg: dict, frame: pd.DataFrame, columns: Sequence[tuple[str, str]] = LEAD) -> str:
    """The title of cfg with what is the same in every row."""
    shown = {key for _, key in leading(frame, columns)}
    first, form = frame.iloc[0], {"size": "{} px", "ratio": "R\u00a0=\u00a0{}"}
    same = [form.get(key, "{}").format(first[key]) for _, key in columns if key not in shown]
    return cfg["title"] + (f" ({', '.join(same)})" if same else "")


def percent(level: float) -> str:
    """A level such as 0.95 as `95 %`."""
    return f"{100 * level:.6g} %"


def seeds(groups: Mapping[tuple, list[Row]], named: set[str]) -> str:
    """What differs from seed to seed, and in which rows: the segmenter alone, or with it the generator (replicas of a source)."""
    rows = [(" ".join(map(str, key)), row) for key, members in groups.items() for row in members]
    names = [(at_ratio(facts(row), named), where, len(row.training_sets)) for where, row in rows]
    shared = any(1 < len(row.training_sets) < len(row.cards) for _, row in rows)
    varied: dict[str, None] = {}
    for name, where, replicas in names:
        if replicas > 1:
            # Rows of one name that do not all have replicas are told apart by their comparison.
            mixed = any(other == name and count == 1 for other, _, count in names)
            varied[f"{name}{f' of {where}' if mixed else ''} ({replicas} generators)"] = None
    if not varied:
        return (
            "The seeds vary the segmenter's training only; generators and synthetic pairs are the same for every seed, so their own "
            "spread is not in it."
        )
    rest = " In all other rows the seeds vary the segmenter's training only." if any(count == 1 for *_, count in names) else ""
    close = " Seeds that share a generator are not independent, so ± and the intervals over seeds are too small there." if shared else ""
    return (
        f"For {markup.listing(list(varied))} the seeds vary generator and segmenter: each seed takes its synthetic pairs from one of "
        f"several generators, trained with seeds of their own.{close}{rest}"
    )


def counts(groups: Mapping[tuple, list[Row]]) -> str:
    """The number of seeds behind the rows, for tables without a column that says it."""
    found: dict[int, dict[str, None]] = {}
    for key, members in groups.items():
        for row in members:
            found.setdefault(len(row.cards), {})[" ".join(map(str, key))] = None
    if len(found) == 1:
        return f"n = {next(iter(found))} for every row."
    return f"n differs: {'; '.join(f'n = {n} in {markup.listing(list(where))}' for n, where in sorted(found.items()))}."


def multiplicity(
    cfg: dict,
    shown: Sequence[tuple[Difference, Difference]],
    again: Callable[[float], Sequence[tuple[Difference, Difference]]],
    decided: Callable[[Difference, Difference], bool],
) -> list[str]:
    """What the number of differences means for those that look decided: chance findings, and Bonferroni's correction.

    Args:
        cfg: confidence, replicates.
        shown: each difference of the table with its interval over seeds and over scenes.
        again: level -> the differences of `shown` that are decided at cfg's level, with intervals at the new one.
        decided: whether the two intervals of a difference count as a finding.
    """
    count, level = len(shown), cfg["confidence"]
    if count < 2:
        return ["The table shows one difference to D, so there is no number of comparisons to correct for."] if count else []
    intervals = sum(not math.isnan(each.low) for pair in shown for each in pair)
    found, strict = sum(decided(*pair) for pair in shown), 1 - (1 - level) / count
    text = (
        f"The table shows {count} differences to D with {intervals} intervals: were there no difference at all, about "
        f"{round(intervals * (1 - level), 2):g} of these intervals would still leave out zero by chance ({percent(1 - level)} of "
        f"{intervals}). {found} of {count} differences {'is' if found == 1 else 'are'} decided at {percent(level)}"
    )
    needed = math.ceil(2 * TAIL * count / (1 - level) - 1e-6)
    if cfg["replicates"] < needed and any(not math.isnan(scenes.low) for _, scenes in shown):
        return [
            f"{text}; how many stay decided at the Bonferroni level of {percent(strict)} is not said, since that level is out of the "
            f"bootstrap's reach: it takes {markup.count(needed)} replicates, and {markup.count(cfg['replicates'])} were drawn."
        ]
    stay = sum(decided(*pair) for pair in again(strict)) if found else 0
    return [f"{text}, and {stay} at the Bonferroni level of {percent(strict)}."]


def absent(frame: pd.DataFrame) -> str:
    """How absent classes are treated, and which they are."""
    policy = (
        "mIoU and F1 are unweighted means over all classes, background included, of one confusion matrix over the whole validation set, "
        "ignore pixels left out. A class in neither truth nor prediction is absent: left out of the mean and counted under Absent "
        "(for several seeds: absent in any)."
    )
    names = sorted({name for text in frame["absent_classes"] for name in text.split()})
    return policy + (f" Absent somewhere: {markup.listing(names)}." if names else " Here no class is absent.")


def ground(grounds: Mapping[tuple, Ground]) -> list[str]:
    """The real data behind a table: a sentence for each dataset and size."""
    notes = []
    for (dataset, size), found in grounds.items():
        scenes, train = len(set(found.scenes)), found.train["count"]
        notes.append(
            f"{dataset}, {size} px: {found.space.count} classes, {markup.count(train)} training patches, validated on "
            f"{markup.count(found.val['count'])} patches of {scenes} scene{'s' if scenes != 1 else ''}."
        )
    return notes
