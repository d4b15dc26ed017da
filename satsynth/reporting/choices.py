"""What a selection has chosen: as a file for the next run, and in the sentences of the report."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from satsynth.reporting import markup, notes
from satsynth.reporting.markup import number
from satsynth.reporting.runs import Run, real_data
from satsynth.reporting.tables.selection import tabulate
from satsynth.runtime import files
from satsynth.runtime.job import Task
from satsynth.selection.choice import Candidate, best, corrected

FORMAT = 1
NO = "Do not use synthetic data here"
YES = "Chosen on held-out training data"


def write_run(task: Task) -> None:
    """Write the table of a selection, then its choice.

    Of `task`: input admissions (cards), and what the runs are read from; cfg as `satsynth.reporting.tables.selection.tabulate` has it,
    with splits, formats, backgrounds and runs; output csv, md, tex and choice.
    """
    cfg = {**task.cfg, "admissions": task.input["admissions"]}
    places = {name: {"format": cfg["formats"][name], "background": cfg["backgrounds"][name]} for name in cfg["datasets"]}
    real = [real_data(name, cfg["size"], cfg["splits"], **facts) for name, facts in places.items()]
    # The view is imported above, and not by its name as for other tables, so that it is part of the job's code.
    table = tabulate([Run(**run) for run in cfg["runs"]], real, cfg)
    markup.write(table, {kind: path for kind, path in task.output.items() if kind != "choice"})
    files.write_json(task.output["choice"], describe(table.frame, cfg, Path(task.declared["csv"]).stem))


def describe(frame: pd.DataFrame, cfg: Mapping, name: str) -> dict:
    """The choice as plain values.

    Args:
        frame: of `satsynth.reporting.tables.selection.tabulate`.
        cfg: choice_confidence, replicates and candidates, with `thresholds` and `final` (see `satsynth.plan.selection`).
        name: of the experiment.

    Returns:
        format, table, choice_confidence, replicates and choices, one for each dataset, size and segmenter: these; level (of each
        interval), seeds, candidates (how many), baseline (D: miou_pct, miou_se_pct), chosen ("none", or source, ratio, real_share,
        segmenter, thresholds (null where the source does not admit), scores and final: training_set, segmenter and the overlay of the run
        on val), best (the same of the best candidate, chosen or not, without `final`).
    """
    planned = {(each["dataset"], each["segmenter"], each["source"], each["ratio"]): each for each in cfg["candidates"]}
    choices = []
    for (dataset, size, segmenter), part in frame.groupby(["dataset", "size", "segmenter"], sort=False):
        base = part[part["arm"] == "real"].iloc[0]
        tried = part[part["arm"] == "union"].to_dict("records")
        told = [_candidate(row, planned[dataset, row["trained_segmenter"], row["source"], row["ratio"]]) for row in tried]
        place = best([Candidate(row["miou_pct"], row["ratio"], row["real_share"], row["outcome"]) for row in tried])
        taken = next((number for number, row in enumerate(tried) if row["chosen"]), None)
        choices.append(
            {
                **{"dataset": dataset, "size": int(size), "segmenter": segmenter, "seeds": [int(seed) for seed in base["seeds"].split()]},
                "candidates": len(tried),
                "level": corrected(cfg["choice_confidence"], len(tried)),
                "baseline": {key: _plain(base[key]) for key in ("miou_pct", "miou_se_pct")},
                "chosen": "none" if taken is None else {**told[taken], "final": _planned(planned, dataset, tried[taken])["final"]},
                "best": None if place is None else told[place],
            }
        )
    kept = {key: cfg[key] for key in ("choice_confidence", "replicates")}
    return {"format": FORMAT, "table": name, **kept, "choices": choices}


def _planned(planned: Mapping, dataset: str, row: Mapping) -> dict:
    return planned[dataset, row["trained_segmenter"], row["source"], row["ratio"]]


def _candidate(row: Mapping, planned: Mapping) -> dict:
    ends = ("gain_points", "gain_low", "gain_high", "gain_scene_low", "gain_scene_high")
    scores = {key: _plain(row[key]) for key in ("miou_pct", "miou_se_pct", *ends)}
    counts = {key: _plain(row[key]) for key in ("n", "gain_scenes", "real_pairs", "synthetic_pairs")}
    told = {"source": row["source"], "ratio": int(row["ratio"]), "real_share": row["real_share"], "segmenter": row["trained_segmenter"]}
    return {**told, "thresholds": planned["thresholds"], **scores, **counts, "outcome": row["outcome"]}


def _plain(value: float) -> float | int | None:
    value = float(value)
    return None if math.isnan(value) else int(value) if value.is_integer() else value


def findings(choice: Mapping, gains: Sequence[pd.DataFrame]) -> list[tuple[str, list[str]]]:
    """A headline and the sentences behind it, for each comparison of a selection.

    Args:
        choice: what `describe` returns.
        gains: the gain tables of the same page: where one has trained on the whole of train by what was chosen, it is told what came out.
    """
    return [(f"{_where(each)}: {_headline(each)}", _lines(each, choice, gains)) for each in choice["choices"]]


def _where(each: Mapping) -> str:
    return f"{each['dataset']}, {each['size']} px, {each['segmenter']}"


def _headline(each: Mapping) -> str:
    chosen = each["chosen"]
    if chosen == "none":
        return f"{NO}: no candidate is shown to beat the real pairs alone."
    share = f", {100 * chosen['real_share']:g} % of every batch real"
    return f"{YES}: synthetic pairs from {chosen['source']} at R = {chosen['ratio']}{share}."


def _lines(each: Mapping, choice: Mapping, gains: Sequence[pd.DataFrame]) -> list[str]:
    chosen, found = each["chosen"], each["best"]
    base = f"D alone {_score(each['baseline'], len(each['seeds']))} on held"
    one = each["candidates"] == 1
    tried = f"{each['candidates']} candidate{' was' if one else 's were'} tried"
    rule = f"one standard error, held by all candidates together: intervals at {notes.percent(round(each['level'], 4))}"
    if chosen == "none":
        near = f"; the best, {found['source']} at R = {found['ratio']}, {_score(found, found['n'])}: {_gap(found)}" if found else ""
        return [f"{tried}. {base}{near}. What would count is a difference above zero in every interval ({rule})."]
    lines = [
        f"{tried}. {base}, the chosen one {_score(chosen, chosen['n'])}: {_gap(chosen)} ({rule}). The best of several scores too high on "
        "average, so only the run on val says what it is worth."
    ]
    final = chosen["final"]
    kept = {key: value for key, value in chosen["thresholds"].items()} if chosen["thresholds"] else None
    lines += [f"Its thresholds: {', '.join(f'{key} {value}' for key, value in kept.items())}."] if kept else []
    lines.append(f"For the run on val lay this over the config: {json.dumps(final['overlay'], sort_keys=True)}")
    return lines + (_on_val(each, gains) or [f"No gain table of this run holds {final['training_set']}, so nothing is known of it on val."])


def _on_val(each: Mapping, gains: Sequence[pd.DataFrame]) -> list[str]:
    """What the chosen setting scored on val, where a gain table has it."""
    final, said = each["chosen"]["final"], {}
    for frame in gains:
        same = (frame["dataset"] == each["dataset"]) & (frame["size"] == each["size"])
        same &= (frame["training_set"] == final["training_set"]) & (frame["trained_segmenter"] == final["segmenter"])
        for row in frame[same].to_dict("records"):
            text = f"On val {final['training_set']} {_score(row, int(row['n']))}, against D there: {_gap(row)}."
            said[text] = None
    return list(said)


def _score(row: Mapping, seeds: int) -> str:
    error = row["miou_se_pct"]
    known = error is not None and not pd.isna(error)
    return f"scores {number(row['miou_pct'])}{f' ± {number(error)}' if known else ''} % mIoU ({seeds} seed{'' if seeds == 1 else 's'})"


def _gap(row: Mapping) -> str:
    if row["gain_points"] is None or pd.isna(row["gain_points"]):
        return "no difference to state"
    parts = []
    for unit, low, high in (("seeds", "gain_low", "gain_high"), ("scenes", "gain_scene_low", "gain_scene_high")):
        if row[low] is not None and not pd.isna(row[low]):
            parts.append(f"{number(row[low], sign=True)} to {number(row[high], sign=True)} over {unit}")
    return f"{number(row['gain_points'], sign=True)} points ({'; '.join(parts) or 'no interval'})"
