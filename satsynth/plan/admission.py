"""Admission: paths, slices and checks of the sources that take the pairs of another source in, in part or not at all.

A source `{admit: SOURCE}` has the stanza of SOURCE with `admit` and `thresholds` on top, and its shards one to one. What it is decided by
is measured by a judge, a segmenter that is trained on fit, and calibrated on held: the pairs that decide were seen by nothing that they
decide about, as long as the generators were trained on fit, too. No validation pair is looked at.
"""

from satsynth.plan import names, slices
from satsynth.plan.stanzas import known_stanza, split_of
from satsynth.runtime.errors import ConfigError

JUDGE = "admission.judge"
CALIBRATED = "real-held"
DECISIONS = "decisions.csv"


def judge(resolved: dict) -> tuple[str, int]:
    """The segmenter and seed that judge synthetic pairs: the evaluator, where nothing else is said."""
    own, measures = resolved["admission"], resolved["measures"]
    seed = measures["evaluator_seed"] if own["seed"] is None else own["seed"]
    return own["judge"] or measures["evaluator"], seed


def judge_folder(dataset: str, size: int | str, segmenter: str, seed: int | str) -> str:
    """Folder of the trained judge: a segmenter of the fit pairs."""
    return f"results/{dataset}/{size}px/segmentation/fit/{segmenter}/seed-{seed}"


def folder(dataset: str, size: int | str, segmenter: str, seed: int | str) -> str:
    """Folder of what a judge says: features of the real pairs, scores and the calibration."""
    return f"results/{dataset}/{size}px/admission/{segmenter}-{seed}"


def bank_of(resolved: dict, pairs: str) -> str:
    """The split whose pairs a scored set (`real-held`, or `SOURCE-shard-0000`) might be copies of: what its generators learned."""
    return "fit" if pairs == CALIBRATED else split_of(resolved, pairs.rpartition("-shard-")[0])


def scored_pattern(resolved: dict) -> str:
    """A wildcard constraint for scored sets."""
    parents = {stanza["admit"] for stanza in resolved["sources"].values() if "admit" in stanza}
    return rf"{CALIBRATED}|({names.alternatives(parents)})-shard-[0-9]{{{names.SHARD_DIGITS}}}"


def check_parent(where: str, parent: str, stanzas: dict) -> str:
    """The source that is admitted from, which must sample a generator.

    Args:
        where: the admission's place in the config.
        parent: the name that it gives.
        stanzas: every source with what it extends.

    Raises:
        ConfigError: it is not there, or makes its pairs from other pairs.
    """
    own = known_stanza(f"{where}.admit", parent, stanzas, "source")
    if "admit" in own:
        remedy = f"Write admit: {own['admit']}, with all thresholds."
        raise ConfigError(f"{where}.admit", f"'{parent}' is itself an admission.", remedy)
    if "augment" in own:
        cause = f"'{parent}' is an augmentation: its pairs are near copies of real ones, and their labels are real."
        raise ConfigError(f"{where}.admit", cause, "Admit from a source that samples a generator.")
    return parent


def check_origin(where: str, source: str, base: str, resolved: dict) -> None:
    """Refuse a source beside real pairs that it was not made from.

    Made from train, it holds something of the pairs that `fit` is judged on: a leak. Made from fit, it has fewer pairs a unit of R than
    train has.

    Raises:
        ConfigError: see above.
    """
    made = split_of(resolved, source)
    if made == slices.SPLITS[base][0]:
        return
    if base == "fit":
        cause = f"'{source}' is made from the whole of train, which holds the pairs that `fit` is judged on."
        raise ConfigError(where, cause, "Give its generators (or the augmentation) split: fit, use base: real, or ratios: [0].")
    cause = f"'{source}' is made from fit, so R would count the pairs of fit beside those of train."
    raise ConfigError(where, cause, "Use base: fit, or a source whose generators have split: train.")


def decisions(resolved: dict, source: str) -> dict:
    """The slice of the config that the decisions of an admission depend on; what is judged and by whom counts through cards."""
    thresholds = resolved["sources"][source]["thresholds"]
    return {"thresholds": {key: thresholds[key] for key in sorted(thresholds)}}
