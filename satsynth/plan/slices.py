"""The slice of the config that each rule depends on: plain, sorted, and nothing more than what its result needs."""

import functools
import os
from pathlib import Path

from satsynth.label_files import label_kind, plain
from satsynth.plan.runs import Run
from satsynth.plan.stanzas import class_ids, inference_keys, stages_of
from satsynth.runtime.errors import ConfigError
from satsynth.runtime.files import sha256

# Base of a training set -> the splits that it is trained and judged on.
SPLITS = {"real": ("train", "val"), "fit": ("fit", "held")}
DIVIDED = ("demo", "folder")  # formats that read the key `split`; the others' sets come divided
EVEN = 0.5  # the library's own default of `real_share`


def ordered(value):
    """The same value with every map in the order of its keys, since the order of a dict counts as a change."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=str)}
    return [ordered(entry) for entry in value] if isinstance(value, list | tuple) else value


def scenes(dataset: dict) -> dict:
    """For the generation of demo scenes."""
    world = dataset["world"]
    return ordered({key: world[key] for key in ("scenes", "size", "zoom", "seed")})


def reader(dataset: dict) -> dict:
    """For reading raw labels and images; no class name, colour or place is in it."""
    keys = ("format", "images", "labels", "label_field", "label_layer", "ignore", "unknown", "bands", "scale", "split")
    cfg = {key: dataset[key] for key in keys if key in dataset}
    cfg["class_count"] = len(dataset["classes"]) if "classes" in dataset else None
    ids = class_ids("classes", dataset) if "classes" in dataset else {}
    label_map = dataset.get("label_map")
    if "labels" in dataset and label_kind(dataset["labels"]) != "masks":
        # Annotations name their classes, by the classes' own names and what the map adds to them. What none covers is the background.
        named = {plain(name): name for name in ids if name != "ignore"} | {plain(str(key)): name for key, name in (label_map or {}).items()}
        if "label_class" in dataset:
            named = {"": dataset["label_class"]}  # what a shape without an attribute is called
        return cfg | {"label_map": {label: ids[name] for label, name in named.items()}, "background": dataset["background"]}
    # Text keys: a map of numbers and colours has no order as it stands.
    cfg["label_map"] = None if label_map is None else {str(key).upper(): ids[name] for key, name in label_map.items()}
    return cfg


def tiles(dataset: dict, split: str) -> dict:
    """For cutting one split into patches of every size."""
    patches = dict(dataset["patches"])
    patches["remainder"] = patches["remainder"][split]
    patches["stride"] = patches["stride"] or patches["size"]
    return ordered(reader(dataset) | patches)


def inspection(dataset: dict) -> dict:
    """For a look at the raw data of both splits; the page shows the whole stanza."""
    patches = dict(dataset["patches"])
    patches["stride"] = patches["stride"] or patches["size"]
    label_map = dataset.get("label_map") and {str(key): name for key, name in dataset["label_map"].items()}
    stanza = dataset | ({"label_map": label_map} if "label_map" in dataset else {})
    return ordered({"reader": reader(dataset) | patches, "labels": label_space(dataset), "stanza": stanza})


def label_space(dataset: dict) -> dict:
    """For the names and colours of the classes: figures and tables depend on them, trainings do not."""
    if "classes" not in dataset:
        return {"format": dataset["format"]}
    ids = class_ids("classes", dataset)
    # A class without a display colour takes the one that stands for it in the raw masks.
    masks = label_kind(dataset.get("labels", "")) == "masks"  # else it is a category whose name begins so
    raw = {str(key): ids[name] for key, name in (dataset.get("label_map") or {}).items() if masks and str(key).startswith("#")}
    return ordered({"format": dataset["format"], "classes": dataset["classes"], "label_map": raw})


def held(dataset: dict) -> dict:
    """For cutting train into fit and held."""
    return ordered({"held": dataset["held"]["share"], "seed": dataset["held"]["seed"]})


def generator(stanza: dict) -> dict:
    """For training a generator; how many devices share it changes nothing. `split` stands in it where it is not train, as it always was."""
    return ordered({key: value for key, value in stanza.items() if key != "gpu" and (key, value) != ("split", "train")})


def source(resolved: dict, name: str) -> dict:
    """For making one shard: generators themselves count through their cards."""
    stanza = resolved["sources"][name]
    if "augment" in stanza:
        return ordered({key: stanza[key] for key in ("augment", "seed", "shards", "options")})
    samplers = [stanza["sampler"]] + ([stanza["then_sampler"]] if stanza.get("then") else [])
    return ordered({key: stanza[key] for key in ("seed", "block", "shards", "compile")} | {"samplers": samplers})


def stages(resolved: dict, name: str) -> list[str]:
    """The generators that a source chains."""
    return stages_of(resolved["sources"][name])


def generator_sizes(generator: dict) -> list[int]:
    """The sides of the stores that a generator is trained on: an upscaler reads low and high pairs of the same rows."""
    return [*([generator["low"]] if "low" in generator else []), generator["size"]]


def segmenter(stanza: dict) -> dict:
    """For training a segmenter; of a local weights file the content counts. How it is scored, how it
    predicts and how many devices share it are no part of it."""
    trained = {key: value for key, value in stanza.items() if key not in ("evaluation", "gpu", *inference_keys(stanza))}
    if trained["real_share"] == EVEN:  # what every training had before there was such a key
        del trained["real_share"]
    weights = stanza["encoder_weights"]
    if weights in ("none", "imagenet"):
        return ordered(trained)
    if not os.path.isfile(weights):  # noqa: PTH113 (Path.is_file raises where a name is too long)
        raise ConfigError("encoder_weights", f"there is no file {weights}.", "Give none, imagenet, or the path of a weights file.")
    return ordered({**trained, "encoder_weights_sha256": _content(weights, Path(weights).stat().st_mtime_ns)})


@functools.cache
def _content(path: str, modified: int) -> str:
    return sha256(path)


def encoder(resolved: dict, dataset: str, name: str) -> dict:
    """For training a segmenter around a generator, which counts through its card; the background is a fact of the dataset."""
    stanza = {key: value for key, value in segmenter(resolved["segmenters"][name]).items() if key != "generator"}
    return ordered({**stanza, "background": resolved["datasets"][dataset]["background"]})


def inference(stanza: dict) -> dict:
    """What a trained segmenter predicts by, beside its weights: {"inference": {...}}, or {} for the networks that need nothing else."""
    read = inference_keys(stanza)
    return ordered({"inference": {key: stanza[key] for key in read}} if read else {})


def evaluation(stanza: dict) -> dict:
    """For scoring a trained segmenter."""
    return ordered({**stanza["evaluation"], **inference(stanza)})


def augmentation(resolved: dict, dataset: str, name: str) -> dict:
    """For making one shard of an augmentation: which class is no object is a fact of the dataset."""
    return ordered({**source(resolved, name), "background": resolved["datasets"][dataset]["background"]})


def table(resolved: dict, name: str, runs: list[Run]) -> dict:
    """For one table."""
    stanza = resolved["experiments"][name]
    return ordered(
        {
            "view": stanza["view"],
            "size": stanza["size"],
            "datasets": stanza["datasets"],
            "formats": {dataset: resolved["datasets"][dataset]["format"] for dataset in stanza["datasets"]},
            "backgrounds": {dataset: resolved["datasets"][dataset]["background"] for dataset in stanza["datasets"]},
            "splits": list(SPLITS[stanza["base"]]),
            "title": stanza["title"],
            "confidence": stanza["confidence"],
            "replicates": stanza["replicates"],
            "seed": stanza["bootstrap_seed"],
            "runs": [run.as_dict() for run in runs],
        }
    )


def figure(resolved: dict, name: str, systems: list[Run]) -> dict:
    """For one figure; `systems` are the runs whose predictions it shows."""
    stanza = {**resolved["figures"][name], **_derived(resolved, resolved["figures"][name])}
    if not systems:
        return ordered(stanza)
    shown = ("segmenter", "arm", "source", "method", "ratio", "seed")
    return ordered({**stanza, "systems": [{key: getattr(run, key) for key in shown} for run in systems]})


def _derived(resolved: dict, stanza: dict) -> dict:
    """What a figure shows that stands elsewhere in the config."""
    if stanza["view"] == "memorisation":
        return {"quantile": resolved["measures"]["null_quantile"]}
    if stanza["view"] == "methods":
        first, *then = [resolved["generators"][name] for name in stages(resolved, stanza["source"])]
        high = then[0]["size"] if then else None
        return {"low": first["size"], "high": high, "timesteps": first["schedule"]["steps"], "prediction": first["prediction"]}
    return {}


def predictions(resolved: dict, name: str, segmenter: str) -> dict:
    """For the masks of a trained segmenter that a figure shows."""
    drawn = {key: resolved["figures"][name][key] for key in ("count", "seed", "batch")}
    return ordered({**drawn, **inference(resolved["segmenters"][segmenter])})


def denoising(resolved: dict, name: str) -> dict:
    """For the states that a figure shows: of the first stage of its source, whatever follows."""
    figure = resolved["figures"][name]
    stanza = resolved["sources"][figure["source"]]
    return ordered({key: stanza[key] for key in ("sampler", "seed", "block")} | {key: figure[key] for key in ("count", "moments")})


def division(dataset: dict) -> dict:
    """How val is chosen: the key `split` where the format reads it, else the format, which brings its own."""
    return ordered(dataset["split"] if dataset["format"] in DIVIDED else {"format": dataset["format"]})


def page(resolved: dict) -> dict:
    """For the report page."""
    views = {name: figure["view"] for name, figure in resolved["figures"].items() if name in resolved["run"]}
    licences = {name: dataset["licence"] for name, dataset in resolved["datasets"].items() if "licence" in dataset}
    splits = {name: division(dataset) for name, dataset in resolved["datasets"].items()}
    shown = {"title": resolved["report"]["title"], "run": resolved["run"], "views": views}
    return ordered({**shown, "licences": licences, "splits": splits})
