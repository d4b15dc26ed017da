"""Paths and slices of the measures: an evaluator's features, the fidelity of a source, and the nearest real patch of every pair."""

from satsynth.plan import layout, names, slices
from satsynth.plan.layout import Layout, evaluator
from satsynth.plan.runs import method_of
from satsynth.plan.stanzas import same_noise

VIEW = "fidelity"
FEATURES = ("pooled.npy", "spatial.npy", "probabilities.npy", "entropy.npy", "card.json")
REAL = "real"  # real validation patches, measured like a source
REFERENCE, HELD_OUT = "real-train", layout.HELD_OUT


def features_of(dataset: str, size: int | str, segmenter: str, seed: int | str, pairs: str) -> str:
    """Folder of a set's features."""
    return f"results/{dataset}/{size}px/features/{segmenter}-{seed}/{pairs}"


def fidelity_of(dataset: str, size: int | str, segmenter: str, seed: int | str, measured: str) -> str:
    """File of the numbers of a source, or of `real`."""
    return f"results/{dataset}/{size}px/fidelity/{segmenter}-{seed}/{measured}.json"


def changes_of(dataset: str, size: int | str, source: str, baseline: str) -> str:
    """File of the share of labels in which a source differs from another one of the same noise."""
    return f"results/{dataset}/{size}px/label_changes/{source}-{baseline}.json"


def sets_of(plan: Layout, dataset: str, size: int | str, measured: str) -> list[str]:
    """The measured sets of a source (one unit of R), or of `real`."""
    if measured == REAL:
        return [HELD_OUT]
    return [layout.set_of(folder) for folder in plan.shards(dataset, size, measured, 1)]


def tables(resolved: dict) -> list[str]:
    """The experiments that measure sources instead of training on them."""
    return [name for name, stanza in resolved["experiments"].items() if stanza.get("view") == VIEW]


def table_rows(resolved: dict, experiment: str) -> list[dict]:
    """The rows of a fidelity table: for each dataset the real validation patches, then every source, as plain values.

    `compared`: whether labels are compared with those of the table's baseline.
    """
    stanza = resolved["experiments"][experiment]
    baseline = stanza.get("baseline")
    return [
        {
            "dataset": dataset,
            "source": source,
            "method": None if source == REAL else method_of(resolved, source),
            "compared": baseline is not None and source not in (REAL, baseline) and same_noise(resolved, source, baseline),
        }
        for dataset in stanza["datasets"]
        for source in (REAL, *stanza["sources"])
    ]


def table_files(plan: Layout, experiment: str) -> dict[str, list[str]]:
    """What a fidelity table is made of, in the order of its rows: fidelity, neighbours and card of every set of a row; and trainings."""
    resolved = plan.resolved
    stanza, (name, seed) = resolved["experiments"][experiment], evaluator(resolved)
    size = stanza["size"]
    rows = table_rows(resolved, experiment)
    sets = [(row["dataset"], pairs) for row in rows for pairs in sets_of(plan, row["dataset"], size, row["source"])]
    folders = [layout.neighbours_of(dataset, size, name, seed, pairs) for dataset, pairs in sets]
    return {
        "fidelity": [fidelity_of(row["dataset"], size, name, seed, row["source"]) for row in rows],
        "neighbours": layout.files_of(folders, "neighbours.csv"),
        "searched": layout.files_of(folders, "card.json"),
        "changes": [changes_of(row["dataset"], size, row["source"], stanza["baseline"]) for row in rows if row["compared"]],
        "stores": [f"{layout.store_of(dataset, size, pairs)}/card.json" for dataset, pairs in sets],
        "confusions": plan.run_files(experiment, "confusion.npy"),
        "runs": plan.run_files(experiment, "card.json", "metrics.json"),
        "real": plan.ground(experiment) if stanza.get("alone") else [],
        "indices": plan.scene_indices(experiment) if stanza.get("alone") else [],
    }


def table(plan: Layout, experiment: str) -> dict:
    """The slice of the config that a fidelity table depends on."""
    resolved = plan.resolved
    stanza = resolved["experiments"][experiment]
    rows = [
        {
            **row,
            "format": resolved["datasets"][row["dataset"]]["format"],
            "sets": len(sets_of(plan, row["dataset"], stanza["size"], row["source"])),
        }
        for row in table_rows(resolved, experiment)
    ]
    kept = {key: stanza[key] for key in ("view", "size", "title")}
    measures = {key: resolved["measures"][key] for key in ("evaluator", "null_quantile", "neighbours", "coverage_neighbours")}
    runs = [run.as_dict() for run in plan.runs(experiment)]
    return slices.ordered({**kept, "rows": rows, **measures, "baseline": stanza.get("baseline"), "runs": runs})


def numbers(resolved: dict) -> dict:
    """The slice of the config that fidelity depends on."""
    kept = ("pairs", "splits", "subsets", "subset_size", "neighbours", "coverage_neighbours", "seed")
    return slices.ordered({key: resolved["measures"][key] for key in kept})


def set_pattern(sources) -> str:
    """A wildcard constraint for measured sets."""
    shards = rf"({names.alternatives(sources)})-shard-[0-9]{{{names.SHARD_DIGITS}}}"
    return rf"{REFERENCE}|{HELD_OUT}|{shards}"
