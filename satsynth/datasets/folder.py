"""A user's own imagery: two folders, or two patterns with wildcards, and a split by list, by wildcard or by scene."""

import colorsys
import re
from pathlib import Path

from satsynth.datasets.labels import Colour, Labels
from satsynth.datasets.scenes import Scene, by_key, drawn, files_under, lines_of, paired
from satsynth.pairs import IGNORE, LabelSpace
from satsynth.runtime.errors import ConfigError, DataError

WILDCARD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
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

    A class without a colour has the one by which cfg["label_map"] knows it, else a hue by its position.
    """
    raw = {target: rgb(key) for key, target in (cfg["label_map"] or {}).items() if str(key).startswith("#")}
    names, colours = [], []
    for number, entry in enumerate(cfg["classes"]):
        entry = {"name": entry} if isinstance(entry, str) else entry
        names.append(entry["name"])
        shade = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.75 - 0.25 * (number % 2), 0.9 - 0.2 * (number % 3))
        colours.append(rgb(entry["color"]) if entry.get("color") else raw.get(number, tuple(round(255 * part) for part in shade)))
    return LabelSpace(tuple(names), tuple(colours))


def labels(cfg: dict) -> Labels:
    """The decoder of cfg["label_map"]: {raw value (a number or its text) or "#RRGGBB": class id or 255}, or None for value i = class i.

    Reads cfg["class_count"] (K), cfg["ignore"] (a raw value that means 255, or None), cfg["unknown"].

    Raises:
        ConfigError: without a label_map, the ignore value is also a class.
    """
    classes, table, ignore = cfg["class_count"], cfg["label_map"], cfg["ignore"]
    if table is None:
        if ignore is not None and ignore < classes:
            raise ConfigError("ignore", f"{ignore} is also the raw value of a class.", "Give a label_map that says which value is which.")
        table = {number: number for number in range(classes)}
    colours = {rgb(key): target for key, target in table.items() if str(key).startswith("#")}
    values = {int(key): target for key, target in table.items() if not str(key).startswith("#")}
    if values and ignore is not None:
        values.setdefault(ignore, IGNORE)
    return Labels(classes, values=values, colours=colours, unknown=cfg["unknown"])


def scenes(root: Path, split: str, cfg: dict) -> list[Scene]:
    """The scenes of a split ("train" or "val"), in natural order.

    Args:
        root: what cfg["images"], cfg["labels"] and list files are relative to.
        split: "train" or "val".
        cfg: `images` and `labels`, both a folder (pairs by relative path without suffix) or both a pattern with the same wildcards;
            `split`, one of {"by": "scene" or a wildcard, "val": share, "seed": int},
            {"val": {wildcard: [values]}, optionally "train": {wildcard: [values]}} (train is the rest where it is None or absent), and
            {"train": list file, "val": list file} (a relative path without suffix a line). Whole scenes are divided, never their patches:
            neighbouring patches look alike, and would leak.

    Raises:
        DataError: nothing found, an image without a mask, an empty split, an unknown name or wildcard value, a scene in both splits.
        ConfigError: images, labels or split are given in a way that cannot be read.
    """
    everything, tags = _find(root, cfg["images"], cfg["labels"])
    rule = cfg["split"]
    # What val is decides: `by` and `seed` may stand beside a list or a wildcard, from the defaults that the stanza was merged with.
    if isinstance(rule["val"], str):
        chosen = _by_list(everything, root, split, rule)
    elif isinstance(rule["val"], dict):
        chosen = _by_wildcard(everything, tags, split, rule)
    elif rule.get("train") is None:
        chosen = _by_draw(everything, tags, split, rule)
    else:
        raise ConfigError("split.val", "it is a share, but train is named.", "Name both, or give only by, val and seed.")
    if not chosen:
        raise DataError(f"split.{split}", f"it is empty: none of the {len(everything)} scenes is in it.", "Mend the key split.")
    return chosen


def _find(root: Path, images: str, masks: str) -> tuple[list[Scene], dict[str, dict[str, str]]]:
    """All scenes, and the wildcard values of each by scene name."""
    where = f"images {root / images} and labels {root / masks}"
    if images == masks:
        raise ConfigError(
            "labels", "it is the same as images.", "Name another folder, or two patterns, as in {id}_image.png, {id}_mask.png."
        )
    wildcards = [set(WILDCARD.findall(pattern)) for pattern in (images, masks)]
    if wildcards[0] != wildcards[1]:
        named = " and ".join(str(sorted(names)) for names in wildcards)
        raise ConfigError("labels", f"the wildcards of images and labels differ ({named}).", "Use the same wildcards in both.")
    if not wildcards[0]:
        found = [_in_folder(root / images), _in_folder(root / masks)]
        taken = set(found[1].values())
        return paired(by_key((key, path) for key, path in found[0].items() if path not in taken), found[1], where, "/".join), {}
    order = tuple(sorted(wildcards[0]))
    mask_files = _matches(root, masks, order)
    taken = set(mask_files.values())
    image_files = {key: path for key, path in _matches(root, images, order).items() if path not in taken}
    names = {key: path.relative_to(root).with_suffix("").as_posix() for key, path in image_files.items()}
    return paired(image_files, mask_files, where, names.get), {names[key]: dict(zip(order, key)) for key in image_files}


def _in_folder(folder: Path) -> Found:
    return by_key((path.relative_to(folder).with_suffix("").parts, path) for path in files_under(folder))


def _matches(root: Path, pattern: str, order: tuple[str, ...]) -> Found:
    """Files that fit the pattern, by the values of its wildcards in the given order. A wildcard spans no slash."""
    expression, seen = "", set()
    for part in re.split(r"(\{[A-Za-z_][A-Za-z0-9_]*\})", pattern):
        name = part[1:-1] if WILDCARD.fullmatch(part) else None
        expression += re.escape(part) if name is None else f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
        seen.add(name)
    fixed = Path(pattern[: pattern.index("{")] + "x").parent
    hits = [(re.fullmatch(expression, path.relative_to(root).as_posix()), path) for path in files_under(root / fixed)]
    return by_key((tuple(hit[name] for name in order), path) for hit, path in hits if hit)


def _by_draw(everything: list[Scene], tags: dict, split: str, rule: dict) -> list[Scene]:
    by, share = rule["by"], rule["val"]
    if not 0 < share < 1:
        raise ConfigError("split.val", f"{share} is not a share between 0 and 1.", "Write, for example, val: 0.2.")
    if by != "scene":
        _known_wildcard(by, tags, "split.by")
    group = {scene.name: scene.name if by == "scene" else tags[scene.name][by] for scene in everything}
    val = drawn(group.values(), share, rule["seed"], "split")
    return [scene for scene in everything if (group[scene.name] in val) == (split == "val")]


def _by_list(everything: list[Scene], root: Path, split: str, rule: dict) -> list[Scene]:
    known = {scene.name: scene for scene in everything}
    listed = {}
    for part in ("train", "val"):
        path = root / rule[part] if isinstance(rule.get(part), str) else None
        if path is not None and path.is_file():
            listed[part] = lines_of(path)
        elif part == split:
            raise DataError(
                path or f"split.{part}", "this list of scenes does not exist.", "Write it: a relative path without suffix a line."
            )
    both = set(listed.get("train", ())) & set(listed.get("val", ()))
    if both:
        raise DataError(root / rule["val"], f"{len(both)} scenes are in train too, such as {min(both)}.", "Keep each scene in one list.")
    strange = [name for name in listed[split] if name not in known]
    if strange:
        raise DataError(
            root / rule[split],
            f"{len(strange)} of its {len(listed[split])} names fit no scene, such as {strange[0]!r}; a scene is {everything[0].name!r}.",
            "Write one relative path without suffix a line.",
        )
    wanted = set(listed[split])
    return [scene for scene in everything if scene.name in wanted]


def _by_wildcard(everything: list[Scene], tags: dict, split: str, rule: dict) -> list[Scene]:
    names = {}
    for part in ("val", "train"):
        wanted = rule.get(part)
        if wanted is None:
            continue
        if not isinstance(wanted, dict):
            raise ConfigError(
                f"split.{part}", f"{wanted!r} cannot be read.", "Write val: {wildcard: [values]}, and train alike if need be."
            )
        for wildcard, values in wanted.items():
            _known_wildcard(wildcard, tags, f"split.{part}.{wildcard}")
            there = {tag[wildcard] for tag in tags.values()}
            absent = [str(value) for value in values if str(value) not in there]
            if absent:
                some = ", ".join(sorted(there)[:12])
                raise DataError(f"split.{part}.{wildcard}", f"no scene has {absent[0]!r}; there are {some}.", "Name values that occur.")
        fits = {wildcard: {str(value) for value in values} for wildcard, values in wanted.items()}
        names[part] = {name for name, tag in tags.items() if all(tag[wildcard] in values for wildcard, values in fits.items())}
    both = names.get("train", set()) & names["val"]
    if both:
        raise DataError("split", f"{len(both)} scenes are in train and val, such as {min(both)}.", "Keep each scene in one split.")
    wanted = names.get(split, set(tags) - names["val"])
    return [scene for scene in everything if scene.name in wanted]


def _known_wildcard(name: str, tags: dict, key: str) -> None:
    known = next(iter(tags.values()), {})
    if name not in known:
        raise ConfigError(key, f"images has no wildcard {{{name}}} (it has {sorted(known)}).", "Use scene, or a wildcard of the pattern.")
