"""What the gain table says, in sentences: no number is dressed up."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from satsynth.reporting import methods, notes, statistics
from satsynth.reporting.markup import listing, number

_KEYS = ["dataset", "size", "segmenter"]
_INTERVALS = {
    f"{name}_{end}" for name in ("gain", "over_control") for end in ("points", "n", "low", "high", "scene_low", "scene_high", "scenes")
}
# What makes a row the same as one of another table: the runs behind it, and what came out.
_SAME = (*_KEYS, "arm", "training_set", "trained_segmenter", "source", "method", "ratio", "seeds", "n", "miou_pct", "miou_se_pct")
_NEEDED = {*_KEYS, *_INTERVALS, "arm", "source", "method", "ratio", "n", "miou_pct", "miou_se_pct", "answer"}


def is_gain(columns: Iterable[str]) -> bool:
    """Whether a table with these columns is one of the gain view: whether `findings` has all that it reads."""
    return set(columns) >= _NEEDED


def verdict(table: pd.DataFrame) -> str:
    """What `findings` says, as text: a headline for each comparison and its sentences below it, one a line."""
    return "\n".join("\n".join([headline, *lines]) for headline, lines in findings(table))


def findings(table: pd.DataFrame, before: Sequence[pd.DataFrame] = ()) -> list[tuple[str, list[str]]]:
    """A headline and the sentences that stand behind it, for each comparison (dataset, size, segmenter).

    The headline is about synthetic pairs alone; augmentations have sentences of their own, and where nothing is added to D (a network that
    is trained on real pairs only, such as the paper's rivals), it is the score on D. A gain counts as shown only if it is positive and
    every interval at hand (over seeds, over scenes) leaves out zero; without an interval over seeds nothing is counted as shown. The same
    holds, mirrored, for a loss.

    Args:
        table: the frame of the gain view, or its CSV as `pandas.read_csv` reads it.
        before: tables of which was told before: what they hold too, of the same runs and with the same numbers, is not said again. Where
            all synthetic pairs of a comparison are among that, its headline says what is new.
    """
    told = {fact for frame in before for row in frame.to_dict("records") for fact in _facts(row)}
    return [
        (f"{dataset}, {size} px, {segmenter}: {_headline(part, told)}", _lines(part, told))
        for (dataset, size, segmenter), part in table.groupby(_KEYS, sort=False)
    ]


def _facts(row: dict) -> set[tuple]:
    """What a row states, as keys that are equal for the same statement: its score and gain, and each of its other differences."""
    names = ["gain", *sorted(name.removesuffix("_points") for name in row if str(name).startswith("over_") and name.endswith("_points"))]
    return {_fact(row, name) for name in names}


def _fact(row: dict, name: str) -> tuple:
    parts = ("points", "low", "high", "scene_low", "scene_high")
    # As text, since a NaN is not equal to itself.
    return (name, *(str(row.get(key)) for key in _SAME), *(str(_number(row.get(f"{name}_{part}"))) for part in parts))


def _headline(part: pd.DataFrame, told: set[tuple]) -> str:
    unions = part[part["arm"] == "union"].to_dict("records")
    if not unions:
        base = part[part["arm"] == "real"].to_dict("records")[0]
        return "its score on real pairs alone is said above." if _fact(base, "gain") in told else f"on real pairs alone, {_score(base)}."
    rows = [row for row in unions if methods.is_synthetic(row["method"])]
    if rows and all(_fact(row, "gain") in told for row in rows):
        added = listing([_set(row, False) for row in unions if row not in rows and _fact(row, "gain") not in told])
        return f"what synthetic pairs change is said above{f'; new here: {added}' if added else ''}."
    outcomes = [outcome(row, "gain") for row in rows]
    gains, losses, all_ = outcomes.count("gain"), outcomes.count("loss"), len(outcomes)
    if not rows:
        return "no training set with both real and synthetic pairs was run."
    if gains:
        fell = f", and lowered it in {losses}" if losses else ""
        return "adding synthetic pairs raised mIoU" + (f" in {gains} of {all_} training sets{fell}." if all_ > 1 else ".")
    if losses:
        return "adding synthetic pairs did not raise mIoU; it lowered it" + (f" in {losses} of {all_} training sets." if all_ > 1 else ".")
    return f"no gain is shown: {_undecided(rows)}."


def _undecided(rows: list[dict]) -> str:
    rows = [row for row in rows if not math.isnan(_number(row["gain_points"]))]
    if not rows:
        return "no seed is shared with D, so there is no difference to state"
    points = sorted(_number(row["gain_points"]) for row in rows)
    if len(rows) == 1:
        return f"{number(points[0], sign=True)} points, {'but' if points[0] > 0 else 'and'} {_reason(rows[0], 'gain')}"
    low, high = (number(value, sign=True) for value in (points[0], points[-1]))
    return f"{low} to {high} points in {len(rows)} training sets, and none is told apart from zero"


def _reason(row: dict, name: str) -> str:
    """Why the difference `name` of a row is undecided."""
    if math.isnan(_number(row[f"{name}_low"])):
        return f"with {_count(row[f'{name}_n'], 'seed')} there is no interval over seeds"
    ranges = _ranges(row, name)
    wide = [word for word, low, high in ranges if low <= 0 <= high]
    if not wide:
        return "the intervals disagree in sign"
    return "both intervals include zero" if len(wide) == 2 else f"the interval over {wide[0]} includes zero"


def _lines(part: pd.DataFrame, told: set[tuple]) -> list[str]:
    arms = {arm: rows.to_dict("records") for arm, rows in part.groupby("arm")}
    synthetic = part["method"].map(methods.is_synthetic)
    unions, several = arms.get("union", []), part.loc[synthetic, "source"].nunique() > 1
    ours, augmented = ([row for row in unions if methods.is_synthetic(row["method"]) == kind] for kind in (True, False))

    def new(rows: list[dict], name: str = "gain") -> list[dict]:
        return [row for row in rows if _fact(row, name) not in told]

    # Without unions the headline says it.
    lines = [f"Training on the real pairs D alone gives {_score(row)}." for row in (new(arms["real"][:1]) if unions else ())]
    lines += [_union(row, several) for row in new(ours)] + [_augmentation(row) for row in new(augmented)]
    for other in augmented:
        rows = [row for row in ours if (name := _column(other, row)) and new([row], name)]
        lines += [_against(other, rows, several)] if rows else []
    if len(unions) > 1 and new(unions):
        lines.append(
            "The intervals are not corrected for comparing several training sets with D, so the best of them is a choice in hindsight; the "
            "notes under the table say what a correction leaves."
        )
    controlled = [row for row in new(unions, "over_control") if not math.isnan(_number(row.get("over_control_points")))]
    if controlled:
        parts = [f"{_set(row, several)} {_difference(row, 'over_control')}" for row in controlled]
        control = "the control, D shown as many real pairs as D ∪ D′ shows (in fewer optimiser steps, which counts too)"
        lines.append(f"Against {control}: {'; '.join(parts)}.")
    floor = arms.get("constant", [None])[0]
    lines += [_alone(row, floor, several) for row in new(arms.get("synthetic", []))] if floor else []
    return lines + (_scene_caution(unions) if lines else [])


def _scene_caution(rows: list[dict]) -> list[str]:
    scenes = {int(row["gain_scenes"]) for row in rows if not math.isnan(_number(row["gain_scene_low"]))}
    return notes.few_scenes({"": min(scenes)}) if scenes else []


def outcome(row: dict, name: str) -> str:
    """gain, loss or undecided: what the intervals of `name` (gain or over_control) of a table's row allow to say."""
    seeds, scenes = ((_number(row[f"{name}_{part}low"]), _number(row[f"{name}_{part}high"])) for part in ("", "scene_"))
    return statistics.outcome(seeds, scenes)


def _union(row: dict, several: bool) -> str:
    points = _number(row["gain_points"])
    if math.isnan(points):
        return f"Adding {_set(row, several)} gives {_score(row)}; no seed is shared with D, so there is no difference to state."
    way = "more" if points > 0 else "less" if points < 0 else "different"
    said = f"Adding {_set(row, several)} gives {_score(row)}: {number(abs(points))} points {way} {_intervals(row, 'gain')}."
    kind = outcome(row, "gain")
    if kind == "gain":
        return f"{said} The gain is positive and no interval includes zero."
    if kind == "loss":
        return f"{said} The gain is not positive: synthetic pairs made the result worse, and no interval includes zero."
    sign = "The gain is not positive" if points <= 0 else "The gain is positive but not shown"
    return f"{said} {sign}: {_reason(row, 'gain')}, so the difference may be chance."


def _augmentation(row: dict) -> str:
    said = f"{_set(row, False)} gives {_score(row)}"
    if math.isnan(_number(row["gain_points"])):
        return f"{said}; no seed is shared with D, so there is no difference to state."
    return f"{said}, against D {_difference(row, 'gain')}."


def _column(other: dict, row: dict) -> str | None:
    """What begins the columns of a row that compare it with an augmentation; None where it is not compared with that one."""
    if other["ratio"] != row["ratio"]:
        return None
    names = (f"over_{other['method']}_{other['source']}", f"over_{other['method']}")
    return next((name for name in names if not math.isnan(_number(row.get(f"{name}_n")))), None)


def _against(other: dict, rows: list[dict], several: bool) -> str:
    """Rows of D ∪ D′ against an augmentation."""
    parts = []
    for row in rows:
        name = _column(other, row)
        shared = not math.isnan(_number(row[f"{name}_points"]))
        parts.append(f"{_set(row, several)} {_difference(row, name) if shared else 'share no seed with it'}")
    return f"Against {_set(other, False)}: {'; '.join(parts)}."


def _difference(row: dict, name: str) -> str:
    """A difference with its intervals, and whether it is shown."""
    points = number(_number(row[f"{name}_points"]), sign=True)
    kind = outcome(row, name)
    told = (
        f"not told apart from zero, since {_reason(row, name)}"
        if kind == "undecided"
        else f"a {kind} that is shown: no interval includes zero"
    )
    return f"{points} points {_intervals(row, name)}, {told}"


def _alone(row: dict, floor: dict, several: bool) -> str:
    margin = row["miou_pct"] - floor["miou_pct"]
    name = methods.name(row["method"], row["source"])
    source = f" from {row['source']}" if several and methods.is_synthetic(row["method"]) else ""
    text = f"{name} alone{source} (R = {row['ratio']:g}) gives {_score(row)}, "
    constant = f"the constant class ({floor['answer']}, {number(floor['miou_pct'])} %)"
    if margin <= 0:
        return f"{text}which does not beat {constant}: these pairs taught the segmenter nothing that the class shares do not say."
    return f"{text}{number(margin)} points above {constant}."


def _set(row: dict, several: bool) -> str:
    """What a row adds to D; an augmentation needs its R only where that is not the usual 1."""
    if methods.is_augmentation(row["method"]):
        return methods.name(row["method"], row["source"]) + (f" at R = {row['ratio']:g}" if row["ratio"] != 1 else "")
    source = f" from {row['source']}" if several else ""
    admitted = "admitted " if methods.is_admitted(row["method"]) else ""
    return f"{admitted}synthetic pairs{source} at R = {row['ratio']:g}"


def _score(row: dict) -> str:
    error, n = _number(row["miou_se_pct"]), _count(row["n"], "seed")
    return f"{number(row['miou_pct'])}{'' if math.isnan(error) else f' ± {number(error)}'} % mIoU ({n})"


def _ranges(row: dict, name: str) -> list[tuple[str, float, float]]:
    keys = (("seeds", f"{name}_low", f"{name}_high"), ("scenes", f"{name}_scene_low", f"{name}_scene_high"))
    found = [(word, _number(row[low]), _number(row[high])) for word, low, high in keys]
    return [(word, low, high) for word, low, high in found if not math.isnan(low)]


def _intervals(row: dict, name: str) -> str:
    parts = []
    for word, low, high in _ranges(row, name):
        units = _count(row[f"{name}_n" if word == "seeds" else f"{name}_scenes"], word[:-1])
        parts.append(f"{number(low, sign=True)} to {number(high, sign=True)} over {units}")
    return f"(interval {'; '.join(parts)})" if parts else "(no interval)"


def _count(value: object, word: str) -> str:
    return f"{int(value)} {word}{'' if int(value) == 1 else 's'}"


def _number(value: object) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)
