"""The checks of a dataset's stanza that a schema cannot make."""

import re
from pathlib import PurePosixPath

from satsynth.label_files import label_kind
from satsynth.plan.stanzas import class_ids, nearest
from satsynth.runtime.errors import ConfigError


def check_dataset(where: str, dataset: dict) -> None:
    """Check a resolved dataset; `where` is its dotted key.

    Raises:
        ConfigError: a key is missing, not read, or contradicts another.
    """
    for key, value in (dataset.get("split") or {}).items():
        if isinstance(value, str) and key in ("train", "val"):
            _check_below(f"{where}.split.{key}", value)
    for key in ("images", "labels"):
        if key in dataset:
            _check_below(f"{where}.{key}", dataset[key])
            if re.search(r"[}*][{*]", dataset[key]):
                cause = f"two wildcards of {dataset[key]} have nothing between them, so a name could be cut in many ways."
                raise ConfigError(f"{where}.{key}", cause, "Write something between them, or use one wildcard.")
    needed = {"demo": ["world"], "folder": ["root", "images", "labels", "classes"]}.get(dataset["format"], ["root"])
    for key in needed:
        if key not in dataset:
            raise ConfigError(
                f"{where}.{key}", "this key is missing.", f"A dataset of format {dataset['format']} needs {', '.join(needed)}."
            )
    _check_labels(where, dataset)
    patches = dataset["patches"]
    for reduced in patches["reduced"]:
        if reduced >= patches["size"] or patches["size"] % reduced:
            raise ConfigError(
                f"{where}.patches.reduced", f"{patches['size']} px cannot be reduced to {reduced}.", "Use an integer divisor."
            )
    if "classes" in dataset:
        class_ids(where, dataset)
        if (dataset["background"] or 0) >= len(dataset["classes"]):
            cause = f"there is no class id {dataset['background']} among {len(dataset['classes'])} classes."
            raise ConfigError(f"{where}.background", cause, "Ids count from 0 in the order of `classes`.")


def _check_labels(where: str, dataset: dict) -> None:
    """What labels from files of annotations, and splits by block, need."""
    split, kind = dataset.get("split") or {}, label_kind(dataset.get("labels", ""))
    _check_vectors(where, dataset, kind)
    drawn = isinstance(split.get("val"), int | float)
    if (split.get("by") == "block" and drawn) != ("block" in split):
        if "block" in split:
            cause, remedy = (
                "blocks are drawn only with by: block and val: a share.",
                "Write {by: block, block: 1024, val: 0.2}, or leave it out.",
            )
        else:
            cause = "this key is missing."
            remedy = "Give the side of a block in pixels: a multiple of patches.size, as in block: 1024."
        raise ConfigError(f"{where}.split.block", cause, remedy)
    if "block" in split and split["block"] < dataset["patches"]["size"]:
        cause = f"blocks of {split['block']} px hold no patch of {dataset['patches']['size']} px."
        raise ConfigError(f"{where}.split.block", cause, "Give a multiple of patches.size.")


def _check_vectors(where: str, dataset: dict, kind: str) -> None:
    """The keys that vector labels need, and no others have."""
    given = [key for key in ("label_field", "label_class", "label_layer") if key in dataset]
    if kind != "vectors":
        if given:
            cause, remedy = (
                "only vector labels have attributes and layers.",
                "Leave it out, or name a .geojson, .gpkg or .shp file under labels.",
            )
            raise ConfigError(f"{where}.{given[0]}", cause, remedy)
        return
    if "label_field" not in given and "label_class" not in given:
        remedy = "Name the attribute of the vector labels that says which class a shape has, or one class for all under label_class."
        raise ConfigError(f"{where}.label_field", "this key is missing.", remedy)
    if "label_class" in given:
        beside = next((key for key in ("label_field", "label_map") if dataset.get(key)), None)
        if beside:
            raise ConfigError(f"{where}.{beside}", "label_class already says which class every shape has.", "Leave one of them out.")
        ids = class_ids(where, dataset)
        if dataset["label_class"] not in ids:
            raise ConfigError(f"{where}.label_class", f"'{dataset['label_class']}' is no class.", nearest(dataset["label_class"], ids))


def _check_below(where: str, value: str) -> None:
    """That a relative path stays below the root that it is relative to."""
    parts = PurePosixPath(value).parts
    if value.startswith("/") or ".." in parts:
        raise ConfigError(where, f"{value} lies outside the root.", "Put it below the root, so that a change of it counts.")
    if any(len(part.encode()) > 255 for part in parts):
        raise ConfigError(where, "a part of this path has more than 255 bytes, which no file's name can have.", "Shorten it.")
