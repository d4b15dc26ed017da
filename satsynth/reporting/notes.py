"""What tables say in words: the names of their rows, their titles, and the notes under them."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from satsynth.reporting import markup, methods
from satsynth.reporting.runs import Ground, Row
from satsynth.reporting.statistics import Difference

LEAD = (("Dataset", "dataset"), ("px", "size"), ("Segmenter", "segmenter"))
# Fewer replicates than this beyond either end leave a percentile to chance.
TAIL = 2.5
# Fewer validation scenes than this carry a bootstrap badly.
FEW_SCENES = 10
ERROR = "± is the standard error over n seeds (sample standard deviation over √n)."


def label(row: Mapping, named: set[str]) -> str:
    """The name of a row as people read it; rows of the arms in `named` bear their source (or, a control, its segmenter).

    An augmentation is called by its own name, never D′, and bears its source only where that is called otherwise.
    """
    added = methods.name(row.get("method"), row.get("source"))
    name = {
        "constant": f"constant class ({row.get('answer', '')})",
        "real": "D",
        "control": "D, as many exposures of real pairs as D\u00a0∪\u00a0D′",
        "synthetic": f"{added} alone",
        "union": f"D\u00a0∪\u00a0{added}",
    }[row["arm"]]
    if row["arm"] not in named or methods.is_augmentation(row.get("method")):
        return name
    return f"{name} ({row['trained_segmenter'] if row['arm'] == 'control' else row['source']})"


def at_ratio(row: Mapping, named: set[str]) -> str:
    """`label`, with R where the row has one."""
    return label(row, named) + (f", R\u00a0=\u00a0{row['ratio']:g}" if row["arm"] in ("synthetic", "union") else "")


def named_arms(frame: pd.DataFrame) -> set[str]:
    """The arms whose rows need the name of their source or segmenter to be told apart."""
    wide = {"synthetic", "union"} if frame.loc[frame["method"].map(methods.is_synthetic), "source"].nunique() > 1 else set()
    controls = frame[frame["arm"] == "control"].groupby(["dataset", "size", "segmenter"])["trained_segmenter"].nunique()
    return wide | ({"control"} if (controls > 1).any() else set())


def facts(row: Row) -> dict:
    """The cells that name a row of a table, and that `label` reads."""
    return {
        "network": row.run.network,
        "arm": row.run.arm,
        "training_set": " ".join(row.training_sets),
        "trained_segmenter": row.run.segmenter,
        "source": row.run.source or "",
        "method": row.run.method or "",
        "ratio": row.run.ratio,
    }


def place(frame: pd.DataFrame, row: Mapping, columns: Sequence[tuple[str, str]] = LEAD) -> list[str]:
    """What tells the comparison of a row from the others of a table, in words: the cells of `leading`."""
    return [f"{row[key]} px" if key == "size" else str(row[key]) for _, key in leading(frame, columns)]


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
    """What differs from seed to seed, and in which rows: the segmenter alone, or with it the pairs that are added to D.

    Seeds that take replicas of a source vary the generator where the replicas have generators of their own, another sampling of one
    generator where they do not, and another draw where they are of an augmentation.
    """
    told = [(at_ratio(facts(row), named), " ".join(map(str, key)), *_varied(row)) for key, members in groups.items() for row in members]
    varied: dict[str, dict[str, None]] = {}
    for name, where, kind, units in told:
        if kind:
            # Rows of one name that are not all alike in this are told apart by their comparison.
            mixed = any(other == name and rest != [kind, units] for other, _, *rest in told)
            varied.setdefault(kind, {})[f"{name}{f' of {where}' if mixed else ''} ({units})"] = None
    if not varied:
        return f"The seeds vary the segmenter's training only{_same(groups)}."
    said = [_VARIED[kind].format(markup.listing(list(names))) for kind, names in varied.items()]
    said += [
        f"Seeds that share {what} are not independent, so ± and the intervals over seeds are too small there." for what in _shared(groups)
    ]
    if any(not kind for _, _, kind, _ in told):
        said.append("In all other rows the seeds vary the segmenter's training only.")
    return " ".join(said)


_VARIED = {
    "generator": "For {} the seeds vary generator and segmenter: each seed takes its synthetic pairs from one of several generators.",
    "sampling": "For {} the seeds vary the sampling and the segmenter: each seed takes its synthetic pairs from one of several samplings "
    "of the same generator, so the spread of another training of it is not in these rows.",
    "draw": "For {} the seeds vary the draw of the augmentation and the segmenter: each seed takes its pairs from one of several draws.",
}


def stand_ins(groups: Mapping[tuple, list[Row]]) -> list[str]:
    """What measures a perceptual distance in place of the weights that a network (SemGAN) was published with."""
    found: dict[str, dict[str, None]] = {}
    for row in (row for members in groups.values() for row in members):
        for card in row.cards.values():
            if "evaluator_sha256" in card:
                evaluator = f"{card['segmenter']['evaluator']['network']}, weights {card['evaluator_sha256'][:12]}, of {row.run.dataset}"
                found.setdefault(row.run.segmenter, {})[evaluator] = None
    return [
        f"{name} searches the latent space of a generator for the image that is asked about. How near it has come is measured by the "
        f"frozen encoder of the evaluator ({'; '.join(evaluators)}), which stands in for the perceptual weights of the original (LPIPS)."
        for name, evaluators in found.items()
    ]


def _varied(row: Row) -> tuple[str, str]:
    """What the seeds of a row vary beside the segmenter (a key of `_VARIED`, "" for nothing), and how many there are of it."""
    sets = len(row.training_sets)
    if len(row.generators) > 1:
        # Chains that share a stage, such as the upscaler of all cascades, vary the other stages only.
        shared = set.intersection(*(set(chain.split("+")) for chain in row.generators))
        common = f", each with {markup.listing(sorted(shared))}" if shared else ""
        return "generator", f"{len(row.generators)} generators{common}"
    if sets == 1:
        return "", ""
    if methods.is_augmentation(row.run.method):
        return "draw", f"{sets} draws"
    return "sampling", f"{sets} samplings"


def _same(groups: Mapping[tuple, list[Row]]) -> str:
    """What every seed has in common where nothing but the segmenter varies."""
    used = [row.run.method for members in groups.values() for row in members]
    said = []
    if any(map(methods.is_synthetic, used)):
        said += ["generators", "synthetic pairs"]
    if any(map(methods.is_augmentation, used)):
        said.append("the pairs of an augmentation")
    return f"; {markup.listing(said)} are the same for every seed, so their own spread is not in it" if said else ""


def _shared(groups: Mapping[tuple, list[Row]]) -> list[str]:
    """What some seeds of a row share, though others of it do not."""
    found = set()
    for row in (row for members in groups.values() for row in members):
        apart, what = (row.generators, "a generator") if len(row.generators) > 1 else (row.training_sets, "their pairs")
        if 1 < len(apart) < len(row.cards):
            found.add(what)
    return sorted(found)


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
    others: Mapping[str, int] | None = None,
) -> list[str]:
    """What the number of differences means for those that look decided: chance findings, and Bonferroni's correction.

    Args:
        cfg: confidence, replicates.
        shown: each difference of the table with its interval over seeds and over scenes.
        again: level -> the differences of `shown` that are decided at cfg's level, with intervals at the new one.
        decided: whether the two intervals of a difference count as a finding.
        others: what differences of `shown` are taken to, where not to D -> how many.
    """
    count, level = len(shown), cfg["confidence"]
    if count < 2:
        return ["The table shows one difference to D, so there is no number of comparisons to correct for."] if count else []
    to = {"D": count - sum((others or {}).values()), **(others or {})}
    kinds = markup.listing([f"{many} to {what}" for what, many in to.items() if many])
    told = f"{count} differences to D" if to["D"] == count else f"{count} differences ({kinds})"
    intervals = sum(not math.isnan(each.low) for pair in shown for each in pair)
    if not intervals:
        return [f"The table shows {told} and no interval, so nothing is decided."]
    found, strict = sum(decided(*pair) for pair in shown), 1 - (1 - level) / count
    text = (
        f"The table shows {told} with {intervals} intervals: were there no difference at all, about "
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


def missed(grounds: Mapping[tuple, Ground], groups: Mapping[tuple, list[Row]]) -> list[str]:
    """The classes that the truth holds and no run finds, by dataset and size: the means count them as 0."""
    found = []
    for (dataset, size), known in grounds.items():
        rows = [row for key, members in groups.items() if key[:2] == (dataset, size) for row in members]
        hits = sum(np.diagonal(row.sums, axis1=-2, axis2=-1).sum((0, 1)) for row in rows)
        names = [known.space.names[place] for place in np.flatnonzero((hits == 0) & (known.truth > 0))]
        found += [f"{markup.listing(names)} ({dataset}, {size} px)"] if names else []
    if not found:
        return []
    return [
        f"Never found: {'; '.join(found)}. No run of this table predicts a single pixel of such a class right, whatever it was trained on: "
        "its IoU and F1 are 0 in all of them, and the means count it as 0."
    ]


def few_scenes(counts: Mapping[str, int], split: str = "validation") -> list[str]:
    """A caution where an interval over scenes rests on fewer than `FEW_SCENES` of them.

    Args:
        counts: what an interval is about ("" where that is plain) -> its scenes; below two there is no interval.
        split: what they are scenes of.
    """
    few = {name: count for name, count in counts.items() if 2 <= count < FEW_SCENES}
    if not few:
        return []
    told = markup.listing([f"{count} {split} scenes{f' ({name})' if name else ''}" for name, count in few.items()])
    return [f"Caution: intervals over scenes rest on {told} here; with fewer than {FEW_SCENES} a bootstrap is rough, mostly too narrow."]


def ground(grounds: Mapping[tuple, Ground], learned: str = "training", judged: str = "validated") -> list[str]:
    """The real data behind a table: a sentence for each dataset and size; `learned` and `judged` are the words of its two splits."""
    notes = []
    for (dataset, size), found in grounds.items():
        scenes, train = len(set(found.scenes)), found.train["count"]
        notes.append(
            f"{dataset}, {size} px: {found.space.count} classes, {markup.count(train)} {learned} patches, {judged} on "
            f"{markup.count(found.val['count'])} patches of {scenes} scene{'s' if scenes != 1 else ''}."
        )
    return notes
