"""Questions that a resolved config answers, and the names of what it may name: pure, and known to everything else in this package."""

import difflib
import re

from satsynth import kinds
from satsynth.label_files import label_kind, plain
from satsynth.plan.closure import declared, declares, module_of, registered
from satsynth.runtime.errors import ConfigError

FORMATS = "satsynth.datasets"
GENERATORS = kinds.PACKAGES
DIFFUSION = GENERATORS[0]
NETWORKS = "satsynth.segmentation.networks"
AUGMENTATIONS = "satsynth.augmentation"
ROLES = ("source", "low", "first", "second")  # keys of a figure that name sources


def nearest(word: str, known) -> str:
    """A hint such as "Did you mean 'steps'?", or the list of what is known."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known) or 'none'}."


def known_module(where: str, value: object, *folders: str) -> str:
    """The dotted name of the module `value` of these packages, or a ConfigError that names the nearest one."""
    try:
        return module_of(str(value), *folders)
    except KeyError:
        known = [entry for folder in folders for entry in registered(folder)]
        raise ConfigError(where, f"'{value}' is not known.", nearest(str(value), known)) from None


def known_stanza(where: str, name: str, stanzas: dict, what: str) -> dict:
    """The stanza of that name, or a ConfigError that names the nearest one."""
    if name not in stanzas:
        raise ConfigError(where, f"'{name}' is no {what}.", nearest(name, stanzas))
    return stanzas[name]


def parent_of(config: dict, segmenter: str) -> str:
    """The segmenter that this one extends (a control's subject), or itself."""
    return (config["segmenters"][segmenter] or {}).get("extends", segmenter)


def sizes_of(dataset: dict) -> list[int]:
    """The sides of a dataset's patches, largest first."""
    patches = dataset["patches"]
    return [patches["size"], *patches["reduced"]]


def further_side(name: str, dataset: dict, side: int) -> str:
    """A remedy where a dataset, `datasets.NAME`, has no patches of so many pixels."""
    known, size = sizes_of(dataset), dataset["patches"]["size"]
    if side < size and size % side == 0:
        reduced = sorted([*known[1:], side], reverse=True)
        return f"It has {known}. Write datasets.{name}.patches: {{size: {size}, reduced: {reduced}}}."
    return f"It has {known} (datasets.{name}.patches); divisors of its size may stand under reduced."


def source_size(resolved: dict, source: str) -> int:
    """The side of the pairs that a source makes."""
    stanza = resolved["sources"][source]
    if "augment" in stanza:
        return stanza["size"]
    return resolved["generators"][stanza.get("then") or stanza["generator"]]["size"]


def replicas(listed: str | list[str]) -> list[str]:
    """The sources that an entry of a grid's `sources` stands for: one, or a list of replicas that the seeds take in turn."""
    return [listed] if isinstance(listed, str) else listed


def stages_of(source: dict) -> list[str]:
    """The generators that a resolved source chains; none for an augmentation."""
    return [source[key] for key in ("generator", "then") if source.get(key)]


def split_of(resolved: dict, source: str) -> str:
    """The real pairs that a source is made from, by way of its generators or directly: train, or fit."""
    stanza = resolved["sources"][source]
    return stanza["split"] if "augment" in stanza else resolved["generators"][stanza["generator"]]["split"]


def codes_of(resolved: dict, source: str) -> set[str | None]:
    """The codes of the generators that a source chains; None is that of one without a diffusion model."""
    return {resolved["generators"][stage].get("codes") for stage in stages_of(resolved["sources"][source])}


def makes_masks(resolved: dict, source: str) -> bool:
    """Whether a source makes pairs, rather than images alone."""
    return "none" not in codes_of(resolved, source)


def same_noise(resolved: dict, source: str, other: str) -> bool:
    """Whether pair i of two sources of pairs begins with the same noise: the same generators, seed and block."""
    one, another = (resolved["sources"][name] for name in (source, other))
    alike = all(one.get(key) == another.get(key) for key in ("generator", "then", "seed", "block"))
    numbered = "admit" not in one and "admit" not in another  # what was admitted is numbered anew
    return "generator" in one and alike and numbered and makes_masks(resolved, source)


def takes_parts(segmenter: dict) -> bool:
    """Whether a resolved segmenter is trained around a generator and the evaluator (SemGAN), rather than on pairs alone."""
    return declares(NETWORKS, segmenter["network"], "NEEDS")


def inference_keys(segmenter: dict) -> tuple[str, ...]:
    """The keys of a resolved segmenter that its network reads to predict and never to be trained, such as SegDiff's sampler."""
    return declared(NETWORKS, segmenter["network"], "INFERENCE")


def class_ids(where: str, dataset: dict) -> dict[str, int]:
    """Class name -> id (the position in `classes`), checked; `ignore` -> 255."""
    listed = [entry["name"] if isinstance(entry, dict) else entry for entry in dataset["classes"]]
    twice = [name for place, name in enumerate(listed) if plain(name) in map(plain, listed[:place])]
    if twice:
        raise ConfigError(f"{where}.classes", f"the class {twice[0]!r} stands twice.", "Give every class a name of its own.")
    if "ignore" in listed:
        raise ConfigError(
            f"{where}.classes", "'ignore' means unlabelled and cannot be a class.", "Leave it out, or name the class otherwise."
        )
    if len(listed) < 2:
        raise ConfigError(f"{where}.classes", f"{len(listed)} class is listed.", "List at least two.")
    ids = {name: number for number, name in enumerate(listed)} | {"ignore": 255}
    masks = label_kind(dataset.get("labels", "")) == "masks"
    for raw, name in (dataset.get("label_map") or {}).items():
        if masks and not re.fullmatch(r"[0-9]{1,20}|#[0-9A-Fa-f]{6}", str(raw)):
            raise ConfigError(f"{where}.label_map.{raw}", "this is neither a raw value nor a colour.", 'Write 7, or "#RRGGBB" in quotes.')
        if masks and not str(raw).startswith("#") and int(raw) >= 2**32:
            raise ConfigError(f"{where}.label_map.{raw}", "no mask holds so large a value.", "Write a raw value of 32 bits at most.")
        if name not in ids:
            raise ConfigError(f"{where}.label_map.{raw}", f"'{name}' is no class.", nearest(name, ids))
    return ids
