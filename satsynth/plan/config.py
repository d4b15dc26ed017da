"""A config with its preset merged in, every stanza resolved, and the checks that a schema cannot make."""

import copy
import difflib
import re

from satsynth.plan import names
from satsynth.plan.closure import module_of, registered
from satsynth.runtime.errors import ConfigError

FORMATS = "satsynth.datasets"
GENERATORS = ("satsynth.diffusion",)
NETWORKS = "satsynth.segmentation.networks"
SECTIONS = ("datasets", "generators", "sources", "segmenters", "experiments", "figures")


def merge(base: dict, over: dict) -> dict:
    """`over` laid over `base`: maps merge deeply, everything else (lists too) is replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return copy.deepcopy(result)


def nearest(word: str, known) -> str:
    """A hint such as "Did you mean 'steps'?", or the list of what is known."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known) or 'none'}."


def resolve(config: dict, preset: dict) -> dict:
    """Every stanza whole: the preset's defaults, then what it extends, then its own keys; `extends` is gone.

    Args:
        config: the user's config (names, mostly), already valid under the schema.
        preset: the numbers (rules/presets).

    Raises:
        ConfigError: a stanza names something that is not there, or values do not fit together.
    """
    resolved = {key: value for key, value in config.items() if key not in SECTIONS}
    resolved["devices"] = merge(preset["devices"], config.get("devices") or {})
    resolved["report"] = merge(preset["report"], config.get("report") or {})
    resolved["data_root"] = config.get("data_root")
    for section in SECTIONS:
        stanzas = config.get(section) or {}
        for name in stanzas:
            if not re.fullmatch(names.NAME, name) or name in names.BASES:
                raise ConfigError(
                    f"{section}.{name}", "this name cannot be used.", "Use lower-case letters, digits and _, not real or fit."
                )
        resolved[section] = {name: _stanza(section, name, stanzas, preset) for name in stanzas}
    _check(resolved, config)
    return resolved


def parent_of(config: dict, segmenter: str) -> str:
    """The segmenter that this one extends (a control's subject), or itself."""
    return (config["segmenters"][segmenter] or {}).get("extends", segmenter)


def _chain(section: str, name: str, stanzas: dict) -> dict:
    """A stanza over the stanzas that it extends."""
    layers, seen = [], []
    while name is not None:
        if name in seen:
            raise ConfigError(f"{section}.{name}.extends", "the stanzas extend each other in a circle.", "Cut the circle.")
        if name not in stanzas:
            raise ConfigError(f"{section}.{seen[-1]}.extends", f"there is no stanza '{name}'.", nearest(name, stanzas))
        seen.append(name)
        layers.append(stanzas[name] or {})
        name = layers[-1].get("extends")
    whole: dict = {}
    for layer in reversed(layers):
        whole = merge(whole, layer)
    whole.pop("extends", None)
    return whole


def _stanza(section: str, name: str, stanzas: dict, preset: dict) -> dict:
    own = _chain(section, name, stanzas)
    where = f"{section}.{name}"
    if section == "datasets":
        own.setdefault("format", "folder")
        _module(f"{where}.format", own["format"], FORMATS)
        base = merge(preset["datasets"]["any"], preset["datasets"].get(own["format"], {}))
    elif section == "generators":
        kind = own.get("kind")
        _module(f"{where}.kind", kind, *GENERATORS)
        base = preset["generators"].get(kind, {})
    elif section == "segmenters":
        network = own.setdefault("network", name)
        _module(f"{where}.network", network, NETWORKS)
        base = preset["segmenters"].get(network, {})
    elif section == "sources":
        base = preset["sources"]["cascade" if own.get("then") else "plain"]
    elif section == "experiments":
        base = preset["experiments"]
    else:
        base = preset["figures"].get(own.get("view"), {})
    return merge(base, own)


def _module(where: str, value: object, *folders: str) -> str:
    try:
        return module_of(str(value), *folders)
    except KeyError:
        known = [entry for folder in folders for entry in registered(folder)]
        raise ConfigError(where, f"'{value}' is not known.", nearest(str(value), known)) from None


def sizes_of(dataset: dict) -> list[int]:
    """The sides of a dataset's patches, largest first."""
    patches = dataset["patches"]
    return [patches["size"], *patches["reduced"]]


def source_size(resolved: dict, source: str) -> int:
    """The side of the pairs that a source makes."""
    stanza = resolved["sources"][source]
    return resolved["generators"][stanza.get("then") or stanza["generator"]]["size"]


def _check(resolved: dict, config: dict) -> None:
    for name, generator in resolved["generators"].items():
        _check_generator(f"generators.{name}", generator)
    for name, dataset in resolved["datasets"].items():
        _check_dataset(f"datasets.{name}", dataset)
    for name, source in resolved["sources"].items():
        _check_source(f"sources.{name}", source, resolved["generators"])
    for name, experiment in resolved["experiments"].items():
        _check_experiment(f"experiments.{name}", experiment, resolved, config)
    for name, figure in resolved["figures"].items():
        _check_figure(f"figures.{name}", figure, resolved)
    both = set(resolved["experiments"]) & set(resolved["figures"])
    if both:
        raise ConfigError("figures", f"'{min(both)}' is an experiment too.", "Give tables and figures names of their own.")
    for name in resolved["run"]:
        if name not in resolved["experiments"] and name not in resolved["figures"]:
            raise ConfigError(
                "run", f"'{name}' is neither a table nor a figure.", nearest(name, [*resolved["experiments"], *resolved["figures"]])
            )


def _check_dataset(where: str, dataset: dict) -> None:
    for key, value in (dataset.get("split") or {}).items():
        if isinstance(value, str) and key in ("train", "val") and value.startswith(("/", "..")):
            raise ConfigError(
                f"{where}.split.{key}", f"the list {value} lies outside the root.", "Put it below the root, so that a change of it counts."
            )
    needed = {"demo": ["world"], "folder": ["root", "images", "labels", "classes"]}.get(dataset["format"], ["root"])
    for key in needed:
        if key not in dataset:
            raise ConfigError(
                f"{where}.{key}", "this key is missing.", f"A dataset of format {dataset['format']} needs {', '.join(needed)}."
            )
    patches = dataset["patches"]
    for reduced in patches["reduced"]:
        if reduced >= patches["size"] or patches["size"] % reduced:
            raise ConfigError(
                f"{where}.patches.reduced", f"{patches['size']} px cannot be reduced to {reduced}.", "Use an integer divisor."
            )
    if "classes" in dataset:
        class_ids(where, dataset)


def class_ids(where: str, dataset: dict) -> dict[str, int]:
    """Class name -> id (the position in `classes`), checked; `ignore` -> 255."""
    listed = [entry["name"] if isinstance(entry, dict) else entry for entry in dataset["classes"]]
    if len(set(listed)) != len(listed):
        raise ConfigError(f"{where}.classes", "a class name stands twice.", "Give every class a name of its own.")
    if "ignore" in listed:
        raise ConfigError(
            f"{where}.classes", "'ignore' means unlabelled and cannot be a class.", "Leave it out, or name the class otherwise."
        )
    if len(listed) < 2:
        raise ConfigError(f"{where}.classes", f"{len(listed)} class is listed.", "List at least two.")
    ids = {name: number for number, name in enumerate(listed)} | {"ignore": 255}
    for raw, name in (dataset.get("label_map") or {}).items():
        if not re.fullmatch(r"\d+|#[0-9A-Fa-f]{6}", str(raw)):
            raise ConfigError(f"{where}.label_map.{raw}", "this is neither a raw value nor a colour.", 'Write 7, or "#RRGGBB" in quotes.')
        if name not in ids:
            raise ConfigError(f"{where}.label_map.{raw}", f"'{name}' is no class.", nearest(name, ids))
    return ids


def _known(where: str, name: str, stanzas: dict, what: str) -> dict:
    if name not in stanzas:
        raise ConfigError(where, f"'{name}' is no {what}.", nearest(name, stanzas))
    return stanzas[name]


def _check_source(where: str, source: dict, generators: dict) -> None:
    if "generator" not in source:
        raise ConfigError(f"{where}.generator", "this key is missing.", nearest("", generators))
    first = _known(f"{where}.generator", source["generator"], generators, "generator")
    if "low" in first:
        raise ConfigError(f"{where}.generator", f"'{source['generator']}' is an upscaler.", "Begin with a generator, then the upscaler.")
    if source.get("then"):
        second = _known(f"{where}.then", source["then"], generators, "generator")
        if second.get("low") != first["size"]:
            raise ConfigError(
                f"{where}.then",
                f"'{source['then']}' enlarges pairs of {second.get('low')} px, but '{source['generator']}' makes {first['size']} px.",
                "Chain generators whose sizes meet.",
            )


def _check_experiment(where: str, experiment: dict, resolved: dict, config: dict) -> None:
    for key in ("view", "size", "datasets", "grid"):
        if key not in experiment:
            raise ConfigError(f"{where}.{key}", "this key is missing.", "An experiment needs view, size, datasets and grid.")
    for dataset in experiment["datasets"]:
        stanza = _known(f"{where}.datasets", dataset, resolved["datasets"], "dataset")
        if experiment["size"] not in sizes_of(stanza):
            raise ConfigError(f"{where}.size", f"'{dataset}' has no patches of {experiment['size']} px.", f"It has {sizes_of(stanza)}.")
    for number, entry in enumerate(experiment["grid"]):
        here = f"{where}.grid[{number}]"
        for segmenter in [*entry["segmenters"], *entry.get("controls", [])]:
            _known(f"{here}.segmenters", segmenter, resolved["segmenters"], "segmenter")
        for control in entry.get("controls", []):
            subject = parent_of(config, control)
            if subject == control or subject not in entry["segmenters"]:
                raise ConfigError(
                    f"{here}.controls", f"'{control}' extends none of {entry['segmenters']}.", "A control extends its subject."
                )
        if 0 not in entry["ratios"]:
            raise ConfigError(f"{here}.ratios", "R = 0 is missing, and there is nothing to compare with.", "Add 0 to the ratios.")
        if entry.get("alone") and experiment["base"] == "fit":
            raise ConfigError(f"{here}.alone", "D' alone is always judged on val.", "Leave it out where base is fit.")
        for ratio in entry["ratios"]:
            if ratio < 0:
                raise ConfigError(f"{here}.ratios", f"R = {ratio} is negative.", "Use 0 (real pairs only) or more.")
        if max(entry["ratios"]) > 0 and not entry["sources"]:
            raise ConfigError(f"{here}.sources", "no source is named for R above 0.", nearest("", resolved["sources"]))
        for source in entry["sources"]:
            _known(f"{here}.sources", source, resolved["sources"], "source")
            for stage in (resolved["sources"][source]["generator"], resolved["sources"][source].get("then")):
                for size in [resolved["generators"][stage]["size"]] if stage else []:
                    for dataset in experiment["datasets"]:
                        if size not in sizes_of(resolved["datasets"][dataset]):
                            raise ConfigError(
                                f"{here}.sources",
                                f"'{stage}' is trained on {size} px, which '{dataset}' does not have.",
                                f"It has {sizes_of(resolved['datasets'][dataset])} (datasets.{dataset}.patches).",
                            )
            if source_size(resolved, source) != experiment["size"]:
                raise ConfigError(
                    f"{here}.sources",
                    f"'{source}' makes pairs of {source_size(resolved, source)} px, the experiment is at {experiment['size']} px.",
                    "Use a source of the experiment's size.",
                )


NEEDED = {
    "class_distribution": ("dataset", "source"),
    "pairs": ("dataset", "source"),
    "upscaling": ("dataset", "source", "low"),
    "ratio_curve": ("experiment",),
    "training_curves": ("dataset",),
}


def _check_figure(where: str, figure: dict, resolved: dict) -> None:
    for key in ("view", *NEEDED.get(figure.get("view"), ())):
        if key not in figure:
            raise ConfigError(
                f"{where}.{key}", "this key is missing.", f"A figure needs view and {', '.join(NEEDED.get(figure.get('view'), ()))}."
            )
    for key, section in (("dataset", "datasets"), ("source", "sources"), ("low", "sources"), ("experiment", "experiments")):
        if key in figure:
            _known(f"{where}.{key}", figure[key], resolved[section], section[:-1])
    for generator in figure.get("generators", []):
        _known(f"{where}.generators", generator, resolved["generators"], "generator")
    if figure["view"] == "ratio_curve" and resolved["experiments"][figure["experiment"]].get("view") != "gain":
        raise ConfigError(f"{where}.experiment", f"'{figure['experiment']}' is no table of view gain.", "Plot a gain table.")


def _check_generator(where: str, generator: dict) -> None:
    for key in ("size", *(("low",) if generator.get("kind") == "upscaler" else ())):
        if key not in generator:
            raise ConfigError(f"{where}.{key}", "this key is missing.", "Give the side of the pairs in pixels.")
    training = generator["training"]
    if training["batch"] % training["accumulate"]:
        cause = f"a batch of {training['batch']} cannot be cut into {training['accumulate']} equal parts."
        raise ConfigError(f"{where}.training.accumulate", cause, "Use a divisor of the batch.")
