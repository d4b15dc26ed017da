"""What the gain table says, in sentences: no number is dressed up."""

import math

import pandas as pd

from satsynth.reporting.markup import listing, number

_KEYS = ["dataset", "size", "segmenter"]


def verdict(table: pd.DataFrame) -> str:
    """Sentences on what came out: paragraphs, one a line, for each comparison (dataset, size, segmenter).

    A gain counts as shown only if it is positive and every interval at hand (over seeds, over scenes) leaves out zero; without an
    interval over seeds nothing is counted as shown. The same holds, mirrored, for a loss.

    Args:
        table: the frame of the gain view, or its CSV as `pandas.read_csv` reads it.
    """
    told = []
    for (dataset, size, segmenter), part in table.groupby(_KEYS, sort=False):
        told += _comparison(f"{dataset} at {size} px with {segmenter}", part)
    return "\n".join(told)


def _comparison(place: str, part: pd.DataFrame) -> list[str]:
    arms = {arm: rows.to_dict("records") for arm, rows in part.groupby("arm")}
    unions, several = arms.get("union", []), part["source"].dropna().replace("", None).nunique() > 1
    said = [f"{place}: training on the real pairs D alone gives {_score(arms['real'][0])}."]
    for row in unions:
        said += _union(row, several)
    paragraphs = [" ".join(said + _summary(unions))]
    controlled = [row for row in unions if not math.isnan(_number(row.get("over_control_points")))]
    paragraphs += [" ".join(_control(row, several) for row in controlled)] if controlled else []
    floor = arms.get("constant", [None])[0]
    alone = arms.get("synthetic", []) if floor else []
    return paragraphs + ([" ".join(_alone(row, floor, several) for row in alone)] if alone else [])


def _summary(unions: list[dict]) -> list[str]:
    outcomes = [outcome(row, "gain") for row in unions]
    if len(unions) < 2:
        return []
    gains, losses = outcomes.count("gain"), outcomes.count("loss")
    return [
        f"Of {len(unions)} training sets with synthetic pairs, {gains or 'none'} show{'s' if gains == 1 else ''} a gain and "
        f"{losses or 'none'} a loss; no correction was made for comparing several, so the best of them is a choice in hindsight."
    ]


def outcome(row: dict, name: str) -> str:
    """gain, loss or undecided: what the intervals of `name` (gain or over_control) of a table's row allow to say."""
    pairs = [
        (_number(row[f"{name}_low"]), _number(row[f"{name}_high"])),
        (_number(row[f"{name}_scene_low"]), _number(row[f"{name}_scene_high"])),
    ]
    if math.isnan(pairs[0][0]):
        return "undecided"
    known = [pair for pair in pairs if not math.isnan(pair[0])]
    if all(low > 0 for low, _ in known):
        return "gain"
    return "loss" if all(high < 0 for _, high in known) else "undecided"


def _union(row: dict, several: bool) -> list[str]:
    points = _number(row["gain_points"])
    if math.isnan(points):
        return [f"Adding {_set(row, several)} gives {_score(row)}; no seed is shared with D, so there is no difference to state."]
    way = "more" if points > 0 else "less" if points < 0 else "different"
    said = f"Adding {_set(row, several)} gives {_score(row)}: {number(abs(points))} points {way} {_intervals(row, 'gain')}."
    kind = outcome(row, "gain")
    if kind == "gain":
        return [said, "The gain is positive and its intervals leave out zero."]
    if kind == "loss":
        return [said, "The gain is not positive: synthetic pairs made the result worse, and the intervals leave out zero."]
    sign = "The gain is not positive" if points <= 0 else "The gain is positive but not shown"
    if math.isnan(_number(row["gain_low"])):
        return [said, f"{sign}: with {_count(row['gain_n'], 'seed')} there is no interval over seeds, so the difference may be chance."]
    wide = [word for word, low, high in _ranges(row, "gain") if low <= 0 <= high]
    reason = f"the interval over {listing(wide)} includes zero" if wide else "the intervals disagree in sign"
    return [said, f"{sign}: {reason}, so the difference may be chance."]


def _control(row: dict, several: bool) -> str:
    points = _number(row["over_control_points"])
    kind = {"gain": "the intervals leave out zero", "loss": "the intervals leave out zero", "undecided": "this is not told apart from zero"}
    return (
        f"Against D shown as many real pairs (the control), adding {_set(row, several)} is {number(points, sign=True)} points "
        f"{_intervals(row, 'over_control')}; {kind[outcome(row, 'over_control')]}."
    )


def _alone(row: dict, floor: dict, several: bool) -> str:
    margin = row["miou_pct"] - floor["miou_pct"]
    source = f" from {row['source']}" if several else ""
    text = f"D′ alone{source} (R = {row['ratio']:g}) gives {_score(row)}, "
    constant = f"the constant class ({floor['answer']}, {number(floor['miou_pct'])} %)"
    if margin <= 0:
        return f"{text}which does not beat {constant}: these pairs taught the segmenter nothing that the class shares do not say."
    return f"{text}{number(margin)} points above {constant}."


def _set(row: dict, several: bool) -> str:
    source = f" from {row['source']}" if several else ""
    return f"synthetic pairs{source} at R = {row['ratio']:g}"


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
