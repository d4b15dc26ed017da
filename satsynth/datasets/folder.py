"""A user's own imagery: images in a folder or by a pattern with wildcards, and masks alike, or a file of annotations."""

import re
from pathlib import Path

from satsynth.datasets import absences, coco, nested, patterns, vectors
from satsynth.datasets.labels import Colour, Labels
from satsynth.datasets.lists import Lists
from satsynth.datasets.palette import filled
from satsynth.datasets.rasters import SUFFIXES
from satsynth.datasets.scenes import STOPPING, Scene, Stopping, by_key, files_under, paired
from satsynth.datasets.shapes import Shapes
from satsynth.datasets.splits import Tags, left_out, part_of
from satsynth.datasets.tiling import Decoder
from satsynth.label_files import label_kind, plain
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime.errors import ConfigError, DataError

Found = dict[tuple[str, ...], Path]


def rgb(text: str) -> Colour:
    """A colour from "#RRGGBB".

    Raises:
        ConfigError: the text is no such colour.
    """
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
        raise ConfigError("colour", f"{text!r} is no colour.", "Write colours as '#RRGGBB', in quotes.")
    return tuple(bytes.fromhex(text[1:]))


def label_space(cfg: dict) -> LabelSpace:
    """Names and display colours from cfg["classes"], a list of names or of {"name": ..., "color": "#RRGGBB"}.

    A class without a colour has the one by which cfg["label_map"] knows it, else one of the palette (see `palette`).
    """
    raw = {target: rgb(key) for key, target in (cfg["label_map"] or {}).items() if str(key).startswith("#")}
    entries = [{"name": entry} if isinstance(entry, str) else entry for entry in cfg["classes"]]
    given = [rgb(entry["color"]) if entry.get("color") else raw.get(number) for number, entry in enumerate(entries)]
    return LabelSpace(tuple(entry["name"] for entry in entries), tuple(filled(given)))


def labels(cfg: dict) -> Decoder:
    """The decoder of a dataset's labels, masks or annotations.

    Masks: cfg["label_map"] is {raw value (a number or its text) or "#RRGGBB": class id or 255}, or None for value i = class i. Annotations
    (cfg["labels"] is a .json, .geojson, .gpkg or .shp file): it is {category or attribute: class id or 255}; cfg["background"] is the id of
    what no annotation covers, None for 255; cfg["label_field"] names the attribute of vector labels (without one every shape is ""), and
    cfg["label_layer"] the layer, where a file has several.

    Reads cfg["class_count"] (K), cfg["ignore"] (a raw value that means 255, or None), cfg["unknown"].

    Raises:
        ConfigError: without a label_map, the ignore value is also a class.
    """
    classes, table, ignore = cfg["class_count"], cfg["label_map"], cfg["ignore"]
    if label_kind(cfg["labels"]) != "masks":
        covered = IGNORE if cfg["background"] is None else cfg["background"]
        return Shapes(classes, table, covered, cfg["unknown"], cfg.get("label_field"), cfg.get("label_layer"))
    if table is None:
        if ignore is not None and ignore < classes:
            raise ConfigError("ignore", f"{ignore} is also the raw value of a class.", "Give a label_map that says which value is which.")
        table = {number: number for number in range(classes)}
    colours = {rgb(key): target for key, target in table.items() if str(key).startswith("#")}
    values = {int(key): target for key, target in table.items() if not str(key).startswith("#")}
    if values and ignore is not None:
        values.setdefault(ignore, IGNORE)
    return Labels(classes, values=values, colours=colours, unknown=cfg["unknown"])


def scenes(root: Path, split: str, cfg: dict, findings: Stopping = STOPPING) -> list[Scene]:
    """The scenes of a split ("train" or "val"), in natural order.

    Args:
        root: what cfg["images"], cfg["labels"] and list files are relative to.
        split: "train" or "val".
        cfg: `images`, a folder, one file, or a pattern with {wildcards} or stars; `labels`, a folder (pairs by relative path without
            suffix), the mask of the one image, a pattern with the same wildcards, a COCO file (.json: images by `file_name`), or a vector
            file (.geojson, .gpkg, .shp: all images, by their place on Earth), these two also as a pattern with some of the wildcards, for
            a file a part of the images;
            `split`, one of {"by": "scene" or a wildcard, "val": share, "seed": int},
            {"by": "block", "block": side in pixels, "val": share, "seed": int} (reads `max_pixels` and `resize`, too),
            {"val": {wildcard: [values]}, optionally "train": {wildcard: [values]}} (train is the rest where it is None or absent), and
            {"train": list file, "val": list file} (the path of an image a line, below root or images, or the end of it, with or without
            its suffix; train is the rest where it is None or absent). Where both parts are named, images of neither need no mask.
        findings: what is done about what is not as it should be.

    Raises:
        DataError: nothing found, an image without a mask, an empty split, an unknown name or wildcard value, a scene in both splits.
        ConfigError: images, labels or split are given in a way that cannot be read.
    """
    lists = Lists(root, cfg["split"], findings) if isinstance(cfg["split"]["val"], str) else None
    everything, tags = _find(root, cfg, lists or findings)
    return part_of(everything, tags, lists, split, cfg, findings) if everything else []


def _find(root: Path, cfg: dict, findings: Stopping = STOPPING) -> tuple[list[Scene], Tags]:
    """All scenes, and the wildcard values of each by scene name."""
    images, labels = cfg["images"], cfg["labels"]
    where = f"images {root / images} and labels {root / labels}"
    if images == labels:
        raise ConfigError(
            "labels", "it is the same as images.", "Name another folder, or two patterns, as in {id}_image.png, {id}_mask.png."
        )
    images, labels = patterns.named(images), patterns.named(labels)
    kind, order, of_labels = label_kind(labels), patterns.wildcards(images), patterns.wildcards(labels)
    # A vector file an image is found as a mask is; a COCO file lists its images, however few.
    a_file_each = kind == "masks" or (kind == "vectors" and set(order) == set(of_labels) != set())
    if not a_file_each and set(of_labels) <= set(order):
        return _annotated(root, cfg | {"images": images, "labels": labels}, kind, findings)
    if set(order) != set(of_labels):
        named = f"images: {patterns.written(order)}; labels: {patterns.written(of_labels)}"
        remedy = "Use the same wildcards in both; a pattern that ends without a suffix fits any."
        raise ConfigError("labels", f"the wildcards of images and labels differ ({named}).", remedy)
    if order:
        image_files, mask_files = (_matches(root, pattern, order, findings) for pattern in (images, labels))
    else:
        nested.check(root, {"images": images, "labels": labels})
        image_files, mask_files = _in_two_folders(root / images, root / labels, findings)
    taken = set(mask_files.values())
    image_files = {key: path for key, path in image_files.items() if path not in taken}
    spared = left_out(cfg["split"])
    image_files = {key: path for key, path in image_files.items() if key in mask_files or not spared(dict(zip(order, key)))}
    names = _names(root, order, image_files)
    tags = {names[key]: dict(zip(order, key)) for key in image_files if key in mask_files} if order else {}
    empty = {key: place for key, place, found in (("images", images, image_files), ("labels", labels, mask_files)) if not found}
    return paired(image_files, mask_files, where, names.get, findings, lambda: absences.why(root, empty)), tags


def _in_two_folders(images: Path, labels: Path, findings: Stopping) -> tuple[Found, Found]:
    """Images and masks of two folders by their relative paths without suffix; or one image and its mask, whatever they are called."""
    found = [_in_folder(place, findings) for place in (images, labels)]
    if images.is_file() != labels.is_file():
        one, other = ("images", "labels") if images.is_file() else ("labels", "images")
        raise ConfigError(other, f"{one} is one file, and this is a folder.", "Name one file in both, or a folder in both.")
    return (found[0], dict.fromkeys(found[0], labels)) if images.is_file() else tuple(found)


def _annotated(root: Path, cfg: dict, kind: str, findings: Stopping) -> tuple[list[Scene], Tags]:
    """All scenes where a file of annotations holds the labels of many images: of all, or of those that share the wildcards of its name."""
    images, labels = cfg["images"], cfg["labels"]
    order, shared = patterns.wildcards(images), patterns.wildcards(labels)
    if not order:
        nested.check(root, {"images": images})
    files = _matches(root, images, order, findings) if order else _in_folder(root / images, findings)
    if not files:
        cause = f"no image was found here.{absences.why(root, {'images': images})}"
        raise DataError(root / patterns.as_written(images), cause, "Mend root or images.")
    names = _names(root, order, files)
    named = {names[key]: path for key, path in files.items()}
    tags = {names[key]: dict(zip(order, key)) for key in files} if order else {}
    where = f"images {root / patterns.as_written(images)} and labels {root / patterns.as_written(labels)}"
    label_files = _matches(root, labels, shared, findings) if shared else {(): root / labels}
    of_file: dict[Path, dict[str, Path]] = {path: {} for path in label_files.values()}
    unfiled: dict[str, Path] = {}  # images whose file of annotations is not there
    for name, path in named.items():
        file = label_files.get(tuple(tags[name][wildcard] for wildcard in shared))
        if file:
            of_file[file][name] = path
        else:
            unfiled[name] = path
    masks = {}
    for file, those in of_file.items():
        if kind == "vectors":
            vectors.layer_of(file, cfg.get("label_layer"))  # says at once what is wrong with it
        masks |= dict.fromkeys(those if kind == "vectors" else _listed(file, those, findings), file)
    spared = left_out(cfg["split"])
    named = {name: path for name, path in named.items() if name in masks or not spared(tags.get(name, {}))}
    needed = findings.needed(named)
    if lacking := [name for name in unfiled if masks and name in named and name in needed]:
        absent = root / patterns.WILDCARD.sub(lambda found: tags[lacking[0]][found[1]], labels)
        findings.unpaired([named[name] for name in lacking], [])
        cause = f"this file of labels does not exist, and {len(lacking)} of the {len(named)} images have none, such as {named[lacking[0]]}."
        findings.error(DataError(absent, cause, "Add it, take the images out, or mend labels."))
        named = {name: path for name, path in named.items() if name not in unfiled}
    outside = [path for file in of_file.values() for name, path in file.items() if name in named and name not in masks and name in needed]
    if masks and outside:  # no mask is missing, but an entry in a file
        lost = set(outside)
        file = next(file for file, those in of_file.items() if outside[0] in those.values())
        findings.unpaired(outside, [])
        cause = f"{file} does not list it; so it is with {len(outside)} of the {len(named)} images."
        findings.error(DataError(outside[0], cause, "Add it to the list images, or take it out of the folder."))
        named = {name: path for name, path in named.items() if path not in lost}
    return paired(named, masks, where, str, findings, lambda: "" if label_files else absences.why(root, {"labels": labels})), tags


def _listed(file: Path, images: dict[str, Path], findings: Stopping) -> list[str]:
    """The names of the images that a COCO file lists."""
    listed, known, names = coco.read(file), {}, []
    for name, path in images.items():
        entry = listed.entry_of(path)
        if entry is None:
            continue
        if entry.id in known:
            cause = f"its entry {entry.file_name!r} fits two images, {known[entry.id]} and {path}."
            findings.error(DataError(file, cause, "Write file_name with as many folders as tell them apart."))
        known.setdefault(entry.id, path)
        names.append(name)
    absent = [entry.file_name for entry in listed.entries.values() if entry.id not in known]
    if absent:
        findings.unpaired([], [Path(f"{file} ({name})") for name in absent])
        cause = f"{len(absent)} of the {len(listed.entries)} images that it lists are not there, such as {absent[0]!r}."
        findings.error(DataError(file, cause, "Put them where `images` looks, or mend root, images or the file_name of the entries."))
    return names


def _names(root: Path, order: tuple[str, ...], files: Found) -> dict[tuple[str, ...], str]:
    """The names of the scenes of images by key: below root where a pattern with wildcards found them, else below their folder."""
    return {key: path.relative_to(root).with_suffix("").as_posix() if order else "/".join(key) for key, path in files.items()}


def _in_folder(place: Path, findings: Stopping) -> Found:
    """The rasters of a folder by the parts of their relative path without suffix, or one file by its name without suffix."""
    if place.is_file():
        return {(plain(place.stem),): place}
    if place.suffix.lower() in SUFFIXES and not place.exists():
        raise absences.missing_file(place)
    keys = ((tuple(map(plain, path.relative_to(place).with_suffix("").parts)), path) for path in files_under(place))
    return by_key(keys, findings)


def _matches(root: Path, pattern: str, order: tuple[str, ...], findings: Stopping) -> Found:
    """Files that fit the pattern, by the values of its wildcards in the given order (see `patterns.fitting`)."""
    fits, suffixes = patterns.fitting(pattern), patterns.suffixes(pattern)
    hits = ((fits(path.relative_to(root).as_posix()), path) for path in files_under(root / patterns.fixed_folder(pattern), suffixes))
    return by_key(((tuple(hit[name] for name in order), path) for hit, path in hits if hit), findings)
