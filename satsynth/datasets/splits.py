"""Which scenes, or blocks of scenes, are for training and which for validation: by draw, by wildcard, by list, by block of space.

Whole scenes or blocks are divided, never their patches: neighbouring patches look alike, and would leak.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from satsynth.datasets.lists import Lists
from satsynth.datasets.patterns import WILDCARD
from satsynth.datasets.rasters import fitted, opened
from satsynth.datasets.scenes import Block, Scene, Stopping, drawn, natural
from satsynth.label_files import label_kind, plain
from satsynth.runtime.errors import ConfigError, DataError, SatsynthError

Tags = dict[str, dict[str, str]]  # scene name -> wildcard -> value, wildcards in the order of the pattern
NAMED = 8  # values that a warning names

SCENES = "Name scenes in a list file (val: val.txt), draw whole ones at random (by: scene, val: 0.2)"


def part_of(everything: list[Scene], tags: Tags, lists: Lists | None, split: str, cfg: dict, findings: Stopping) -> list[Scene]:
    """The scenes of `everything` that are in a split ("train" or "val"), in their order; see `folder.scenes` for cfg["split"].

    Args:
        lists: those that cfg["split"] names; None where it names none.

    Raises:
        DataError: an empty split, an unknown name or wildcard value, a scene in both splits. ConfigError: cfg["split"] cannot be read.
    """
    rule = cfg["split"]
    # What val is decides: `by` and `seed` may stand beside a list or a wildcard, from the defaults that the stanza was merged with.
    if lists is not None:
        chosen = _by_list(everything, tags, lists, split, rule, findings)
    elif isinstance(rule["val"], dict):
        chosen = _by_wildcard(everything, tags, split, cfg, findings)
    elif rule.get("train") is not None:
        raise ConfigError("split.val", "it is a share, but train is named.", "Name both, or give only by, val and seed.")
    elif rule["by"] == "block":
        chosen = _by_block(everything, split, cfg, findings)
    else:
        chosen = _by_draw(everything, tags, split, cfg, findings)
    if not chosen:
        findings.error(DataError(f"split.{split}", f"it is empty: none of the {len(everything)} scenes is in it.", "Mend the key split."))
    for wildcard in _dividing(rule):
        findings.divided(split, wildcard, sorted({tags[scene.name][wildcard] for scene in chosen}, key=natural))
    return chosen


def _dividing(rule: dict) -> list[str]:
    """The wildcards by which train and val are divided; none where scenes are drawn or listed, or blocks are."""
    if isinstance(rule["val"], dict):
        return list(dict.fromkeys([*rule["val"], *(rule.get("train") or ())]))
    return [] if isinstance(rule["val"], str) or rule["by"] in ("scene", "block") else [rule["by"]]


def left_out(rule: dict) -> Callable[[dict[str, str]], bool]:
    """Whether an image, by its wildcard values, is in neither split where both are named, as of a test part whose masks are kept back."""
    both = [rule.get(part) for part in ("train", "val")]
    if not all(isinstance(wanted, dict) for wanted in both):
        return lambda tag: False
    fits = [_fitting(wanted) for wanted in both]
    return lambda tag: not any(fit(tag) for fit in fits)


def _fitting(wanted: dict[str, list]) -> Callable[[dict[str, str]], bool]:
    # Once for all scenes: both may be thousands.
    known = {wildcard: {plain(str(value)) for value in values} for wildcard, values in wanted.items()}
    return lambda tag: all(plain(tag.get(wildcard, "")) in values for wildcard, values in known.items())


def _share(rule: dict) -> float:
    if not 0 < rule["val"] < 1:
        raise ConfigError("split.val", f"{rule['val']} is not a share between 0 and 1.", "Write, for example, val: 0.2.")
    return rule["val"]


def _by_draw(everything: list[Scene], tags: Tags, split: str, cfg: dict, findings: Stopping) -> list[Scene]:
    rule = cfg["split"]
    by, share = rule["by"], _share(rule)
    if by != "scene":
        _known_wildcard(by, everything, tags, "split.by", cfg)
    group = {scene.name: scene.name if by == "scene" else tags[scene.name][by] for scene in everything}
    if len(set(group.values())) < 2:
        cause = f"there is one {by} only, which cannot be divided in two."
        raise DataError("split", cause, "Add scenes, or cut it into blocks, as in split: {by: block, block: 1024, val: 0.2, seed: 0}.")
    val = drawn(group.values(), share, rule["seed"], "split")
    names = {part: {name for name, value in group.items() if (value in val) == (part == "val")} for part in ("train", "val")}
    _warn_of_neighbours(tags, names, rule, findings)
    return [scene for scene in everything if scene.name in names[split]]


def edges(side: int, block: int) -> list[int]:
    """Borders of the blocks along one side: multiples of `block`, of which the last block takes what is left up to half a block."""
    return [number * block for number in range(max(1, round(side / block)))] + [side]


def cut(scene: Scene, height: int, width: int, block: int) -> list[Block]:
    """All blocks of a scene of height x width pixels, row by row, each named by the scene and its first row and column."""
    downs, acrosses = edges(height, block), edges(width, block)
    return [
        Block(f"{scene.name}@{top}-{left}", top, left, bottom - top, right - left)
        for top, bottom in itertools.pairwise(downs)
        for left, right in itertools.pairwise(acrosses)
    ]


def _by_block(everything: list[Scene], split: str, cfg: dict, findings: Stopping) -> list[Scene]:
    rule, parts = cfg["split"], {}
    share, side = _share(rule), rule.get("block")
    if side is None:
        raise ConfigError("split.block", "this key is missing.", "Give the side of a block in pixels, as in block: 1024.")
    for scene in everything:
        try:
            with opened(scene.image, cfg["max_pixels"]) as image:
                parts[scene.name] = cut(scene, *fitted(image.height, image.width, cfg["resize"]), side)
        except SatsynthError as error:
            findings.error(error)
    names = [block.name for blocks in parts.values() for block in blocks]
    if len(names) < 2:
        cause = f"blocks of {side} px cut the {len(everything)} scenes into {len(names)} in all, which cannot be divided in two."
        raise DataError("split.block", cause, "Choose smaller blocks.")
    val = drawn(names, share, rule["seed"], "split")
    findings.warning(
        f"split: blocks of {side} px of train and val lie side by side in one scene, so what is near a border may be seen by both; "
        "validation on other scenes is stricter."
    )
    chosen = [
        dataclasses.replace(scene, blocks=tuple(block for block in parts.get(scene.name, ()) if (block.name in val) == (split == "val")))
        for scene in everything
    ]
    return [scene for scene in chosen if scene.blocks]


def _by_list(everything: list[Scene], tags: Tags, lists: Lists, split: str, rule: dict, findings: Stopping) -> list[Scene]:
    names = lists.divide(everything, split)
    _warn_of_neighbours(tags, names, rule, findings)
    return [scene for scene in everything if scene.name in names[split]]


def _by_wildcard(everything: list[Scene], tags: Tags, split: str, cfg: dict, findings: Stopping) -> list[Scene]:
    rule, names = cfg["split"], {}
    for part in ("val", "train"):
        wanted = rule.get(part)
        if wanted is None:
            continue
        if not isinstance(wanted, dict):
            raise ConfigError(
                f"split.{part}", f"{wanted!r} cannot be read.", "Write val: {wildcard: [values]}, and train alike if need be."
            )
        for wildcard, values in wanted.items():
            _known_wildcard(wildcard, everything, tags, f"split.{part}.{wildcard}", cfg)
            there = {plain(tag[wildcard]) for tag in tags.values()}
            absent = [value for value in values if plain(str(value)) not in there]
            if absent:
                findings.error(_absent_value(f"split.{part}.{wildcard}", absent[0], there))
        fits = _fitting(wanted)
        names[part] = {name for name, tag in tags.items() if fits(tag)}
    both = names.get("train", set()) & names["val"]
    if both:
        cause = f"{len(both)} scenes are in train and val, such as {min(both)}."
        findings.error(DataError("split", cause, "Keep each scene in one split."))
    names.setdefault("train", set(tags) - names["val"])
    _warn_of_neighbours(tags, names, rule, findings)
    return [scene for scene in everything if scene.name in names[split]]


def _warn_of_neighbours(tags: Tags, names: dict[str, set[str]], rule: dict, findings: Stopping) -> None:
    """Say where a wildcard has one value in both splits: its scenes may be parts of one.

    A hint, without the advice of another split, where somebody chose this one with such a value in view: where lists divide, and where a
    wildcard that divides the splits keeps its values apart and the other stands after it in the pattern. Part 1 of another tile is
    other ground.

    Args:
        names: split -> the names of its scenes.
        rule: the key `split`; its share and seed are repeated in the remedy.
    """
    apart, divided = None, _dividing(rule)
    for wildcard in next(iter(tags.values()), {}):
        values = {part: {tags[name][wildcard] for name in names[part] if name in tags} for part in ("train", "val")}
        shared = sorted(values["train"] & values["val"], key=natural)
        if not shared and wildcard in divided:
            apart = apart or wildcard
        if not shared or len({tag[wildcard] for tag in tags.values()}) == 1:  # a constant tells no scenes apart
            continue
        some = f"{', '.join(shared[:NAMED])}{', ...' if len(shared) > NAMED else ''}"
        said = f"split: scenes of train and val share {{{wildcard}}} {some} ({len(shared)} value{'s' if len(shared) > 1 else ''})."
        parts = f"scenes of one {{{wildcard}}} are parts of one scene, they may touch, and what is near a border may be seen by both"
        if apart:
            findings.hint(f"{said} If they number what lies within one {{{apart}}}, that is as it should be.")
        elif isinstance(rule["val"], str):
            findings.hint(f"{said} If {parts}.")
        else:
            share = rule["val"] if isinstance(rule["val"], int | float) else 0.2
            together = f"split: {{by: {wildcard}, val: {share}, seed: {rule.get('seed', 0)}}} keeps them together."
            findings.warning(f"{said} If {parts}; {together}")


def _absent_value(key: str, value: object, there: set[str]) -> DataError:
    """The error of a value that no scene has; a number may have been meant as the text that YAML reads as that number."""
    some = f"{', '.join(sorted(there, key=natural)[:12])}{', ...' if len(there) > 12 else ''}"
    if isinstance(value, str):
        return DataError(key, f"no scene has {value!r}; there are {some}.", "Name values that occur.")
    meant = next((text for text in sorted(there) if value in _numbers(text)), "2_13")
    cause = f"no scene has '{value}'; there are {some}. Without quotes YAML reads 07, 010 and 2_13 as the numbers 7, 8 and 213."
    return DataError(key, cause, f'Write values in quotes, as in "{meant}".')


def _numbers(text: str) -> set[int]:
    """The numbers that text may be read as, by YAML or by eye."""
    if not re.fullmatch(r"[0-9][0-9_]*", text):
        return set()
    digits = text.replace("_", "")
    return {int(digits)} | ({int(digits, 8)} if re.fullmatch(r"0[0-7]+", digits) else set())


def _known_wildcard(name: str, everything: list[Scene], tags: Tags, key: str, cfg: dict) -> None:
    known = next(iter(tags.values()), {})
    if name in known:
        return
    if known:
        cause = f"images has no wildcard {{{name}}} (it has {sorted(known)})."
        raise ConfigError(key, cause, f"{SCENES}, or use a wildcard of the pattern.")
    patterns = _as_patterns(name, everything[0], cfg)
    remedy = f"{SCENES}, or give patterns{f', such as {patterns}' if patterns else ''}."
    raise ConfigError(key, f"images is no pattern, so it has no wildcard {{{name}}}.", remedy)


def _as_patterns(wildcard: str, scene: Scene, cfg: dict) -> str:
    """Images and labels of the stanza as patterns that a scene of two folders fits; "" where there are none."""
    found = re.sub(r"[0-9]+(?=[^0-9]*$)", f"{{{wildcard}}}", scene.name, count=1)
    if scene.image.name == PurePosixPath(cfg["images"]).name or not WILDCARD.fullmatch(f"{{{wildcard}}}") or set("{}*") & set(scene.name):
        return ""
    name = found if found != scene.name else f"{scene.name.rpartition('/')[0]}/{{{wildcard}}}".lstrip("/")
    files = {"images": scene.image} | ({"labels": scene.mask} if label_kind(cfg["labels"]) == "masks" else {})
    return ", ".join(f'{key}: "{cfg[key].rstrip("/")}/{name}{path.suffix}"' for key, path in files.items())
