"""The checks of a dataset's stanza that a schema cannot make."""

import re
from pathlib import PurePosixPath

from satsynth.label_files import label_kind, plain
from satsynth.plan.stanzas import class_ids, nearest
from satsynth.runtime.errors import ConfigError


def check_dataset(where: str, dataset: dict) -> None:
    """Check a resolved dataset; `where` is its dotted key.

    Raises:
        ConfigError: a key is missing, not read, or contradicts another.
    """
    for key, value in (dataset.get("split") or {}).items():
        if isinstance(value, str) and key in ("train", "val"):
            if re.fullmatch(r"0?\.[0-9]+", value):
                raise ConfigError(f"{where}.split.{key}", f"'{value}' is text, which names a list file.", f"Write {value} without quotes.")
            _check_below(f"{where}.split.{key}", value, dataset.get("root", ""))
    for key in ("images", "labels"):
        if key in dataset:
            _check_below(f"{where}.{key}", dataset[key], dataset.get("root", ""))
            if "**" in dataset[key]:
                remedy = "Write a folder, which is read at any depth, or a star for each folder, as in */*/images/*.png."
                raise ConfigError(f"{where}.{key}", "** is not known in patterns.", remedy)
            if re.search(r"[}*][{*]", dataset[key]):
                cause = f"two wildcards of {dataset[key]} have nothing between them, so a name could be cut in many ways."
                raise ConfigError(f"{where}.{key}", cause, "Write something between them, or use one wildcard.")
    needed = {"demo": ["world"], "folder": ["root", "images", "labels", "classes"]}.get(dataset["format"], ["root"])
    for key in needed:
        if key not in dataset:
            raise ConfigError(
                f"{where}.{key}", "this key is missing.", f"A dataset of format {dataset['format']} needs {', '.join(needed)}."
            )
    _check_label_map(where, dataset)
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
    split = dataset.get("split") or {}
    _check_vectors(where, dataset, label_kind(dataset.get("labels", "")) if dataset["format"] == "folder" else "masks")
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


def _check_label_map(where: str, dataset: dict) -> None:
    """That the keys of a label map are what was written (YAML reads some words as truth values, numbers or dates), each of them once."""
    masks = label_kind(dataset.get("labels", "")) == "masks"
    known: dict[str, tuple[object, str]] = {}
    for key, name in (dataset.get("label_map") or {}).items():
        if isinstance(key, bool) or not isinstance(key, str | int):
            cause = f"YAML reads this key as {'null' if key is None else str(key).lower()}, not as text."
            raise ConfigError(f"{where}.label_map.{key}", cause, 'Put it in quotes as it stands in the labels, as in "yes": building.')
        label = plain(str(key)) if not masks else str(int(key)) if str(key).isdecimal() else str(key).upper()
        other, meant = known.setdefault(label, (key, name))
        if meant != name:
            cause = f"it is {other!r} written otherwise, which is {meant!r} already."
            raise ConfigError(f"{where}.label_map.{key}", cause, "Keep one of the two.")


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


def _check_below(where: str, value: str, root: str) -> None:
    """That a relative path stays below the root that it is relative to."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        if inside := _below(path, PurePosixPath(root)):
            raise ConfigError(where, f"{value} is not relative to the root.", f"Write {where.rpartition('.')[2]}: {inside}.")
        remedy = "Nothing outside is read, and no change there would count: let root be a folder that holds images, labels and lists."
        raise ConfigError(where, f"{value} lies outside the root.", remedy)
    if any(len(part.encode()) > 255 for part in path.parts):
        raise ConfigError(where, "a part of this path has more than 255 bytes, which no file's name can have.", "Shorten it.")


def _below(path: PurePosixPath, root: PurePosixPath) -> str:
    """What of an absolute path comes after the folders of the root, as it was probably meant; "" where they are no part of it."""
    for start in range(len(path.parts) - len(root.parts)) if root.parts and ".." not in path.parts else ():
        if path.parts[start : start + len(root.parts)] == root.parts:
            return "/".join(path.parts[start + len(root.parts) :])
    return ""
