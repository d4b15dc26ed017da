"""What was run, read from the cards that the stages left, and said in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from satsynth.reporting.markup import count, listing
from satsynth.reporting.runs import Real, Run
from satsynth.runtime import files


def collect(
    real: Sequence[Real],
    generators: Mapping[str, str | Path],
    sources: Mapping[str, Sequence[str | Path]],
    runs: Sequence[Run],
    digests: Mapping[str, str],
    packages: Mapping[str, str],
) -> dict:
    """Read the cards that the page speaks of.

    Args:
        real: stores of the real pairs.
        generators: name -> its card.json; keys that a card lacks are left unsaid.
        sources: name -> card.json of all its shards.
        runs: the segmentation runs.
        digests: name of a part of the configuration -> its digest (hexadecimal).
        packages: package -> version.

    Returns:
        datasets, generators, sources, segmenters (lists of dicts), digests, packages (dicts): plain values, ready for JSON.
    """
    datasets = []
    for entry in real:
        train, val = (files.read_json(Path(folder) / "card.json") for folder in (entry.train, entry.val))
        scenes = pd.read_csv(Path(entry.val) / "index.csv", dtype=str, keep_default_na=False)["scene"].nunique()
        pairs = {"train": train["count"], "val": val["count"], "scenes": int(scenes), "classes": val["classes"]}
        datasets.append({"name": entry.dataset, "size": entry.size, **pairs})
    made = []
    for name, cards in sources.items():
        counts = [files.read_json(card)["count"] for card in cards]
        made.append({"name": name, "shards": len(counts), "pairs": sum(counts)})
    trained: dict[str, dict] = {}
    for run in runs:
        card = files.read_json(Path(run.folder) / "card.json")
        entry = trained.setdefault(
            run.segmenter,
            {
                "name": run.segmenter,
                "parameters": card.get("parameters"),
                "steps": set(),
                "seeds": set(),
                "training_sets": set(),
                "runs": 0,
            },
        )
        entry["steps"].add(card["steps"])
        entry["seeds"].add(run.seed)
        entry["training_sets"].add(run.training_set)
        entry["runs"] += 1
    segmenters = [{key: sorted(value) if isinstance(value, set) else value for key, value in entry.items()} for entry in trained.values()]
    return {
        "datasets": datasets,
        "generators": [{**files.read_json(card), "name": name} for name, card in generators.items()],
        "sources": made,
        "segmenters": segmenters,
        "digests": dict(digests),
        "packages": dict(packages),
    }


def words(facts: Mapping) -> list[str]:
    """The facts of `collect` as sentences, a paragraph for each of data, generators, sources and segmenters."""
    data = [
        f"{entry['name']} at {entry['size']} px: {count(entry['train'])} real training patches and {count(entry['val'])} validation patches "
        f"from {_many(entry['scenes'], 'scene')}, {entry['classes']} classes."
        for entry in facts["datasets"]
    ]
    pairs = [
        f"{entry['name']} made {count(entry['pairs'])} synthetic pairs in {_many(entry['shards'], 'shard')}." for entry in facts["sources"]
    ]
    paragraphs = [data, [_generator(entry) for entry in facts["generators"]], pairs, [_segmenter(entry) for entry in facts["segmenters"]]]
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def _many(number: int, word: str) -> str:
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def _generator(entry: Mapping) -> str:
    size = f" at {entry['size']} px" if "size" in entry else ""
    details = [
        f"{count(entry[key])} {text}"
        for key, text in (("parameters", "parameters"), ("steps", "optimiser steps"), ("images_seen", "images seen"))
        if entry.get(key) is not None
    ]
    kind = f" ({entry['kind']}{size})" if "kind" in entry else size
    return f"Generator {entry['name']}{kind}" + (f": {listing(details)}." if details else ".")


def _segmenter(entry: Mapping) -> str:
    size = f" with {count(entry['parameters'])} parameters" if entry["parameters"] else ""
    steps = listing([count(step) for step in entry["steps"]])
    return (
        f"Segmenter {entry['name']}{size}: {_many(entry['runs'], 'run')} of {steps} optimiser steps, on {listing(entry['training_sets'])}, "
        f"seed{'' if len(entry['seeds']) == 1 else 's'} {listing([str(seed) for seed in entry['seeds']])}; the last weights are scored."
    )
