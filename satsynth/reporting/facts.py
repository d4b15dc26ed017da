"""What was run, read from the cards that the stages left and the paths that they lie at, and said in words."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pandas as pd

from satsynth.reporting import splits
from satsynth.reporting.markup import count, listing
from satsynth.runtime import files
from satsynth.runtime.job import PACKAGES


def collect(
    real: Sequence[str | Path], generators: Sequence[str | Path], runs: Sequence[str | Path], evaluators: Sequence[str | Path] = ()
) -> dict:
    """Read the cards that the page speaks of; names are told from the paths that this project gives to files.

    Args:
        real: {dataset}/{size}px/real/{split}/card.json of train (or fit) and val (or held), index.csv of the latter, and
            {dataset}/classes.json.
        generators: {dataset}/generators/{generator}/card.json; what a card lacks is left unsaid.
        runs: {dataset}/{size}px/segmentation/{training_set}/{segmenter}/seed-{seed}/card.json.
        evaluators: likewise, of the segmenters whose features synthetic pairs are measured by, or SemGAN's encoder is trained by.

    Returns:
        datasets, generators, training_sets, segmenters, evaluators (lists of dicts) and digests (name -> hexadecimal SHA-256): plain
        values.
    """
    datasets: dict[tuple[str, str, bool], dict] = {}
    digests = {}
    names = {path.parts[-2]: files.read_json(path)["names"] for path in map(Path, real) if path.name == "classes.json"}
    for path in map(Path, real):
        if path.name == "classes.json":
            continue
        dataset, size, split = path.parts[-5], path.parts[-4].removesuffix("px"), path.parts[-2]
        within = split in ("fit", "held")
        entry = datasets.setdefault((dataset, size, within), {"name": dataset, "size": size, "within": within})
        if path.name == "index.csv":
            scenes = pd.read_csv(path, dtype=str, keep_default_na=False)["scene"].unique()
            entry |= {"scenes": len(scenes), "some": splits.some(scenes.tolist())}
        else:
            card = files.read_json(path)
            part = "train" if split in ("train", "fit") else "val"
            entry |= {part: card["count"], "classes": card["classes"], f"{part}_pixels": card["class_pixels"]}
            entry |= {key: card[key] for key in ("patch", "stride") if key in card}
            entry |= {"names": names[dataset]} if dataset in names else {}
            digests[f"{dataset}, {size} px, {split} store (its card)"] = files.sha256(path)
    made = []
    for path in map(Path, generators):
        card = files.read_json(path)
        made.append({**card, "name": path.parts[-2], "dataset": path.parts[-4]})
        if "weights_sha256" in card:
            digests[f"{path.parts[-4]}, generator {path.parts[-2]} (weights)"] = card["weights_sha256"]
    sets, segmenters = _runs(sorted({Path(run) for run in runs}))  # tables share runs
    measured = []
    for path in map(Path, evaluators):
        card, (dataset, size, name, seed) = files.read_json(path), _place(path)
        measured.append({"dataset": dataset, "size": size, "name": name, "seed": seed, "steps": card["steps"]})
        if "weights_sha256" in card:
            digests[f"{dataset}, {size} px, evaluator {name}, seed {seed} (weights)"] = card["weights_sha256"]
    found = {"datasets": list(datasets.values()), "generators": made, "training_sets": sets, "segmenters": segmenters}
    return {**found, "evaluators": measured, "digests": digests}


def _place(card: Path) -> tuple[str, str, str, int]:
    """Dataset, size, segmenter and seed of a run, told from the path of its card."""
    return card.parts[-7], card.parts[-6].removesuffix("px"), card.parts[-3], int(card.parts[-2].removeprefix("seed-"))


def _runs(paths: Sequence[Path]) -> tuple[list[dict], list[dict]]:
    sets: dict[tuple, dict] = {}
    segmenters: dict[str, dict] = {}
    for path in paths:
        (dataset, size, name, seed), training_set = _place(path), path.parts[-4]
        card = files.read_json(path)
        pairs = {"real_pairs": card["real_pairs"], "synthetic_pairs": card["synthetic_pairs"]}
        sets[dataset, size, training_set] = {"dataset": dataset, "size": size, "name": training_set, **pairs}
        entry = segmenters.setdefault(name, {"name": name, "parameters": card.get("parameters"), "steps": [], "seeds": [], "runs": 0})
        entry["steps"] = sorted({*entry["steps"], card["steps"]})
        entry["seeds"] = sorted({*entry["seeds"], seed})
        entry["runs"] += 1
    return list(sets.values()), list(segmenters.values())


def packages() -> dict[str, str]:
    """Versions of the packages that matter, as installed where the page is written."""
    installed = {entry.metadata["Name"].lower().replace("_", "-"): entry.version for entry in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def words(facts: Mapping) -> list[str]:
    """The facts of `collect` as sentences: a paragraph each for data, generators, training sets, segmenters, and evaluators."""
    data = [_data(entry) for entry in facts["datasets"]]
    whole = {entry["name"]: entry for entry in facts["datasets"] if not entry.get("within")}
    data += [
        splits.chosen(name, facts["splits"][name], entry["scenes"], entry["some"])
        for name, entry in whole.items()
        if name in facts.get("splits", {})
    ]
    data += [f"Licence of {name}: {licence}." for name, licence in facts.get("licences", {}).items()]
    pairs = [
        f"{entry['name']} ({entry['dataset']}, {entry['size']} px): {count(entry['real_pairs'])} real, "
        f"{count(entry['synthetic_pairs'])} added"
        for entry in facts["training_sets"]
    ]
    sets = (
        [f"Training sets, by real pairs and those added to them (synthetic, or of an augmentation): {'; '.join(pairs)}."] if pairs else []
    )
    measured = [
        f"Where features of {entry['dataset']} at {entry['size']} px are used (to measure synthetic pairs, to train SemGAN's encoder), "
        f"they are those of {entry['name']}, trained on its real pairs for {count(entry['steps'])} optimiser steps, seed {entry['seed']}."
        for entry in facts.get("evaluators", [])
    ]
    made = [_generator(entry) for entry in facts["generators"]]
    paragraphs = [data, made, sets, [_segmenter(entry) for entry in facts["segmenters"]], measured]
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def _data(entry: Mapping) -> str:
    told = f"{entry['name']} at {entry['size']} px: {count(entry['train'])} real training patches"
    scenes = f"from {_many(entry['scenes'], 'scene')}"
    if entry.get("within"):
        told += f" of its training scenes to choose by (fit), {count(entry['val'])} held-out ones {scenes} of these (held)."
    else:
        told += f", {count(entry['val'])} validation patches {scenes}, {entry['classes']} classes."
    return told + _windows(entry)


def _windows(entry: Mapping) -> str:
    """What a patch is of its scene; nothing where the card does not tell."""
    if "patch" not in entry:
        return ""
    patch, reduced = entry["patch"], str(entry["patch"]) != str(entry["size"])
    every = f", one every {count(entry['stride'])} px" if entry["stride"] != patch else ""
    return f" Patches of {entry['size']} px are windows of {count(patch)} px{every}{', reduced' if reduced else ''}."


def _many(number: int, word: str) -> str:
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def _generator(entry: Mapping) -> str:
    size = f" at {entry['size']} px" if "size" in entry else ""
    details = [
        f"{count(entry[key])} {text}"
        for key, text in (("parameters", "parameters"), ("steps", "optimiser steps"), ("images_seen", "images seen"))
        if entry.get(key) is not None
    ]
    kind = f" ({entry['kind']}{size}, {entry['dataset']})" if "kind" in entry else f" ({entry['dataset']}{size})"
    return f"Generator {entry['name']}{kind}" + (f": {listing(details)}." if details else ".")


def _segmenter(entry: Mapping) -> str:
    size = f" with {count(entry['parameters'])} parameters" if entry["parameters"] else ""
    steps = listing([count(step) for step in entry["steps"]])
    seeds = listing([str(seed) for seed in entry["seeds"]])
    return (
        f"Segmenter {entry['name']}{size}: {_many(entry['runs'], 'run')} of {steps} optimiser steps, "
        f"seed{'' if len(entry['seeds']) == 1 else 's'} {seeds}; the weights after the last step are scored "
        "(their running average where the network keeps one)."
    )
