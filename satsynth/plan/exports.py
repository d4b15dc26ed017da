"""Paths and slices of exports: sets of pairs as folders for other people's training code."""

from satsynth.plan import layout, measures, slices
from satsynth.plan.admission import DECISIONS
from satsynth.plan.layout import Layout, files_of
from satsynth.plan.stanzas import source_size, stages_of

FILES = {
    "card": "README.md",
    "classes": "classes.json",
    "data": "data.yaml",
    "mmsegmentation": "mmsegmentation.py",
    "recipe": "recipe.json",
    "preview": "preview.png",
}
ARCHIVES = ("webdataset", "parquet")


def folder(name: str) -> str:
    """Where an export lies."""
    return f"results/exports/{name}"


def folders(resolved: dict, name: str) -> dict[str, str]:
    """The folders that an export's rule makes, by name: train, and val and archives where they are wanted."""
    stanza = resolved["exports"][name]
    return {part: f"{folder(name)}/{part}" for part in ("train", *(part for part in ("val", *ARCHIVES) if stanza[part]))}


def outputs(name: str) -> dict[str, str]:
    """The files beside these folders, by name."""
    return {role: f"{folder(name)}/{file}" for role, file in FILES.items()}


def named(resolved: dict) -> list[str]:
    """The exports that `run` names, in its order."""
    return [name for name in resolved["run"] if name in resolved["exports"]]


def inputs(plan: Layout, name: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What an export is made of by role: files that count by their content, and large ones that count through the cards among these."""
    resolved, stanza = plan.resolved, plan.resolved["exports"][name]
    dataset, source = stanza["dataset"], stanza["source"]
    size = source_size(resolved, source)
    shards = plan.shards(dataset, size, source, stanza["ratio"])
    real = {"real": "train", "val": "val"}  # key of the stanza -> split
    stores = {"cards": shards} | {f"{key}_cards": [layout.real(dataset, size, split)] for key, split in real.items() if stanza[key]}
    counted = {role: files_of(found, "card.json") for role, found in stores.items()}
    large = {role.removesuffix("cards") + "pairs": files_of(found, *layout.STORE[:-1]) for role, found in stores.items()}
    counted["classes"] = [layout.classes(dataset)]
    if "admit" in resolved["sources"][source]:
        counted["decisions"] = files_of(shards, DECISIONS)
    counted["generators"] = files_of(plan.stages(dataset, source), "card.json")
    if stanza["measures"]:
        by = layout.evaluator(resolved)
        places = {role: [layout.neighbours_of(dataset, size, *by, pairs) for pairs in sets] for role, sets in _searched(shards).items()}
        counted |= {f"{role}_searched": files_of(found, "card.json") for role, found in places.items()}
        large |= {role: files_of(found, "neighbours.csv") for role, found in places.items()}
        counted["fidelity"] = [measures.fidelity_of(dataset, size, *by, measured) for measured in (source, measures.REAL)]
    return counted, large


def _searched(shards: list[str]) -> dict[str, list[str]]:
    return {"neighbours": [layout.set_of(shard) for shard in shards], "val_neighbours": [layout.HELD_OUT]}


def export(resolved: dict, name: str) -> dict:
    """The slice of the config that an export depends on."""
    stanza = resolved["exports"][name]
    source, dataset = resolved["sources"][stanza["source"]], resolved["datasets"][stanza["dataset"]]
    measured = {key: resolved["measures"][key] for key in ("evaluator", "null_quantile")} if stanza["measures"] else {}
    facts = {
        "folder": folder(name),
        "size": source_size(resolved, stanza["source"]),
        "licence": dataset.get("licence"),
        "generators": stages_of(source),
        "compile": source.get("compile", False),
    }
    return slices.ordered({**stanza, **facts, **measured})
