"""What is chosen on held-out training pairs: every candidate against D, and the one to use, if any."""

import math
from collections.abc import Sequence

import pandas as pd

from satsynth.reporting import comparisons, markup, notes, statistics, yields
from satsynth.reporting.runs import Ground, Real, Row, Run, load
from satsynth.runtime.errors import ConfigError
from satsynth.selection.choice import Candidate, choose, corrected

LEADING = (
    *("dataset", "size", "segmenter", "arm", "training_set", "trained_segmenter", "source", "method", "ratio", "real_share"),
    *("n", "seeds", "steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures", "miou_pct", "miou_se_pct"),
)
TRAILING = ("outcome", "chosen")
TEXT = ("source", "method", "outcome")
OUTCOMES = {"gain": "beats D", "loss": "worse than D", "undecided": "not told apart from D", "": markup.NONE}


def tabulate(runs: Sequence[Run], real: Sequence[Real], cfg: dict) -> markup.Table:
    """A row for D and for every candidate, on held; `chosen` is true in one row a comparison (D where none is shown to beat it).

    Scores are in percent, differences in points, with both intervals at the level that all candidates of the comparison together hold to
    `choice_confidence`.

    Args:
        runs, real: of `fit` and `held`.
        cfg: title, replicates, seed, choice_confidence, admissions, and candidates: dicts of dataset, subject, segmenter, source, ratio
            and real_share.

    Raises:
        ConfigError: the bootstrap has too few replicates for that level.
    """
    grounds, groups = load(runs, real)
    shares = {(each["dataset"], each["segmenter"], each["source"], each["ratio"]): each["real_share"] for each in cfg["candidates"]}
    rows, levels = [], {}
    for (dataset, size, segmenter), members in groups.items():
        tried = [row for row in members if row.run.arm == "union"]
        level = levels[segmenter] = corrected(cfg["choice_confidence"], len(tried))
        _check_replicates(cfg["replicates"], level)
        lines = [{"dataset": dataset, "size": size, "segmenter": segmenter, **_line(row, members, shares, cfg, level)} for row in members]
        candidates = [
            Candidate(line["miou_pct"] / 100, line["ratio"], line["real_share"], line["outcome"])
            for line in lines
            if line["arm"] == "union"
        ]
        taken = choose(candidates)
        at = [place for place, line in enumerate(lines) if line["arm"] == "union"]
        chosen = next(place for place, line in enumerate(lines) if line["arm"] == "real") if taken is None else at[taken]
        rows += [{**line, "chosen": place == chosen} for place, line in enumerate(lines)]
    gaps = [f"gain_{part}" for part in comparisons.PARTS]
    frame = pd.DataFrame(rows).reindex(columns=[*LEADING, *gaps, *TRAILING])
    frame[list(TEXT)] = frame[list(TEXT)].fillna("")
    header, cells = _readable(frame)
    return markup.Table(notes.title(cfg, frame), frame, header, cells, tuple(_notes(frame, groups, grounds, cfg, levels)))


def _check_replicates(replicates: int, level: float) -> None:
    needed = math.ceil(2 * notes.TAIL / (1 - level) - 1e-6)
    if replicates < needed:
        cause = f"{replicates} replicates do not reach the level of {notes.percent(level)} that so many candidates ask for."
        raise ConfigError("experiments.replicates", cause, f"Draw {needed} or more.")


def _line(row: Row, members: Sequence[Row], shares: dict, cfg: dict, level: float) -> dict:
    miou = statistics.spread(list(row.score("miou").values()))
    run = row.run
    found = {
        **notes.facts(row),
        "real_share": shares.get((run.dataset, run.segmenter, run.source, run.ratio), 1.0),
        "n": miou.n,
        "seeds": " ".join(map(str, row.metrics)),
        **{name: row.card(name) for name in ("steps", "real_pairs", "synthetic_pairs", "real_exposures", "synthetic_exposures")},
        "miou_pct": 100 * miou.mean,
        "miou_se_pct": 100 * miou.error,
        "outcome": "",
    }
    against_d = [member for member in members if member is row or member.run.arm == "real"]  # and not an augmentation at the same R
    for each in comparisons.compare(row, against_d, {}, {**cfg, "confidence": level}):
        found |= each.cells() | {"outcome": statistics.outcome(each.seeds.interval, each.scenes.interval)}
    return found


def _readable(frame: pd.DataFrame) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lead = notes.leading(frame)
    header = (*(name for name, _ in lead), "Training set", "R", "Real share", "Pairs added", "n", "mIoU on held (%)", "Difference to D")
    header += ("Interval over seeds", "Interval over scenes", "Outcome", "Chosen")
    rows = []
    for row in frame.to_dict("records"):
        rows.append(
            (
                *(str(row[key]) for _, key in lead),
                notes.label(row, {"union"}),
                f"{row['ratio']:g}",
                f"{row['real_share']:g}",
                markup.count(row["synthetic_pairs"]),
                str(row["n"]),
                markup.plus_minus(row["miou_pct"], row["miou_se_pct"]),
                markup.number(row["gain_points"], sign=True),
                markup.interval(row["gain_low"], row["gain_high"]),
                markup.interval(row["gain_scene_low"], row["gain_scene_high"]),
                OUTCOMES[row["outcome"]],
                "chosen" if row["chosen"] else "",
            )
        )
    return header, tuple(rows)


def _notes(frame: pd.DataFrame, groups: dict, grounds: dict[tuple, Ground], cfg: dict, levels: dict[str, float]) -> list[str]:
    told = markup.listing([f"{notes.percent(round(level, 4))} ({name})" for name, level in levels.items()])
    return [
        "Everything here is trained on fit and scored on held, both cut from the training scenes; generators learned fit only, and no "
        "validation patch was looked at. All rows take the same optimiser steps.",
        f"{notes.ERROR} {notes.seeds(groups, {'union'})}",
        "Chosen: the best candidate whose difference to D is above zero in every interval that it has, over seeds (t, paired) and over "
        f"scenes (paired bootstrap, {cfg['replicates']} replicates); D where there is none. The intervals are those of one standard error "
        f"({notes.percent(cfg['choice_confidence'])}), held by all candidates together: each at {told}.",
        "The score of what is chosen is that of the best of several, so too high on average: what it is worth is what it scores on val.",
        *notes.few_scenes({f"{dataset}, {size} px": len(set(ground.scenes)) for (dataset, size), ground in grounds.items()}, "held"),
        *yields.told(cfg.get("admissions", ())),
        *notes.missed(grounds, groups),
        *notes.ground(grounds, "fit", "scored"),
    ]
