"""A config with its preset merged in, every stanza resolved, and the checks that a schema cannot make."""

import copy
import re

from satsynth.plan import names
from satsynth.plan.admission import check_parent
from satsynth.plan.checks import NEEDED, OPTIONAL, check, check_read
from satsynth.plan.stanzas import AUGMENTATIONS, FORMATS, GENERATORS, NETWORKS, known_module, known_stanza, nearest, takes_parts
from satsynth.runtime.errors import ConfigError

SECTIONS = ("datasets", "generators", "sources", "segmenters", "experiments", "figures", "exports")


def merge(base: dict, over: dict) -> dict:
    """`over` laid over `base`: maps merge deeply, everything else (lists too) is replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return copy.deepcopy(result)


def resolve(config: dict, preset: dict) -> dict:
    """Every stanza whole: the preset's defaults, then what it extends (but its title), then its own keys; `extends` is gone.

    Args:
        config: the user's config (names, mostly), already valid under the schema.
        preset: the numbers (rules/presets).

    Raises:
        ConfigError: a stanza names something that is not there, or values do not fit together.
    """
    resolved = {key: value for key, value in config.items() if key not in SECTIONS}
    resolved["devices"] = merge(preset["devices"], config.get("devices") or {})
    resolved["report"] = merge(preset["report"], config.get("report") or {})
    resolved["measures"] = merge(preset["measures"], config.get("measures") or {})
    resolved["admission"] = merge(preset["admission"], config.get("admission") or {})
    resolved["data_root"] = config.get("data_root")
    for section in SECTIONS:
        stanzas = config.get(section) or {}
        for name in stanzas:
            if not re.fullmatch(names.NAME, name) or name in names.BASES:
                raise ConfigError(
                    f"{section}.{name}", "this name cannot be used.", "Use lower-case letters, digits and _; real and fit are taken."
                )
            if len(name) > names.LONGEST:
                raise ConfigError(f"{section}.{name}", f"this name has {len(name)} characters.", f"Use {names.LONGEST} at most.")
        resolved[section] = {name: _stanza(section, name, stanzas, preset, resolved) for name in stanzas}
    if "dataset" in config:  # before the stanzas that take it over, which would be named
        known_stanza("dataset", config["dataset"], resolved["datasets"], "dataset")
    check(resolved, config)
    return resolved


def _chain(section: str, name: str, stanzas: dict) -> tuple[dict, str]:
    """A stanza over the stanzas that it extends, and the name of the last of these (its own, where it extends none)."""
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
    return whole, seen[-1]


def _stanza(section: str, name: str, stanzas: dict, preset: dict, above: dict) -> dict:
    """One stanza whole; `above`: the sections that were resolved before."""
    own, root = _chain(section, name, stanzas)
    where, dataset = f"{section}.{name}", above.get("dataset")
    if section == "datasets":
        own.setdefault("format", "folder")
        known_module(f"{where}.format", own["format"], FORMATS)
        base = merge(preset["datasets"]["any"], preset["datasets"].get(own["format"], {}))
    elif section == "generators":
        kind = own.get("kind")
        known_module(f"{where}.kind", kind, *GENERATORS)
        base = preset["generators"].get(kind, {})
        check_read(where, own, base, ("kind", "size", *(("low",) if kind == "upscaler" else ())), f"a generator of kind {kind}")
        drawn, known = (stanza.get("previews", {}) for stanza in (own, base))
        parts = {part: (own.get(part, {}), base.get(part, {})) for part in ("network", "training")}
        parts["previews.sampler"] = drawn.get("sampler", {}), known.get("sampler", {})
        for part, pair in parts.items():
            check_read(f"{where}.{part}", *pair, (), f"a generator of kind {kind}")
    elif section == "segmenters":
        network = own.setdefault("network", root)
        known_module(f"{where}.network", network, NETWORKS)
        base = merge(preset["segmenters"]["any"], preset["segmenters"].get(network, {}))
        check_read(where, own, base, ("network", *(("generator",) if takes_parts(own) else ())), f"network {network}")
        for part in ("loss", "points", "sampler", "search", "training"):
            check_read(f"{where}.{part}", own.get(part, {}), base.get(part, {}), (), f"network {network}")
    elif section == "sources" and "admit" in own:
        parent = check_parent(where, own["admit"], {key: _chain(section, key, stanzas)[0] for key in stanzas})
        check_read(where, own, preset["sources"]["admission"], ("admit",), "an admission")
        base = {**_stanza(section, parent, stanzas, preset, above), **preset["sources"]["admission"]}
    elif section == "sources" and "augment" in own:
        known_module(f"{where}.augment", own["augment"], AUGMENTATIONS)
        base = preset["sources"][own["augment"]]
        check_read(where, own, base, ("augment", "size"), f"augmentation {own['augment']}")
        check_read(f"{where}.options", own.get("options", {}), base["options"], (), f"augmentation {own['augment']}")
    elif section == "sources":
        kind = above["generators"].get(own.get("generator"), {}).get("kind")
        sampled = kind if kind in preset["sources"] else "cascade" if own.get("then") else "plain"
        base = preset["sources"][sampled]
        if "then_sampler" in own and sampled == "plain":
            raise ConfigError(f"{where}.then_sampler", "nothing follows this source's generator.", "Name an upscaler under then.")
        check_read(where, own, base, ("generator", "then"), "a source that samples a generator")
        for part in ("sampler", "then_sampler"):
            check_read(f"{where}.{part}", own.get(part, {}), base.get(part, {}), (), f"the sampler of a generator of kind {kind}")
    elif section == "experiments":
        own.setdefault("datasets", [dataset] if dataset else [])
        # A title says what one table shows: it is the stanza's own, or that of its view, and never that of the stanza it extends.
        title = (stanzas[name] or {}).get("title", preset["experiments"]["title"].get(own.get("view"), name))
        own.pop("title", None)
        base = {"grid": [], "sources": [], **preset["experiments"], "title": title}  # view dataset has neither; fidelity no grid
    elif section == "exports":
        base = preset["exports"]
        if dataset:
            own.setdefault("dataset", dataset)
        check_read(where, own, base, ("dataset", "source"), "an export")
    else:
        base, view = preset["figures"].get(own.get("view"), {}), own.get("view")
        if view in NEEDED:
            if dataset and "dataset" in NEEDED[view][0]:
                own.setdefault("dataset", dataset)
            check_read(where, own, base, ("view", *NEEDED[view][0], *OPTIONAL.get(view, ())), f"view {view}")
    return merge(base, own)
