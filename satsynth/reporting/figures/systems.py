"""How the figures of predictions call a system: a segmenter and the pairs that it was trained on."""

from collections.abc import Sequence

from satsynth.reporting import methods
from satsynth.runtime.errors import ConfigError

ARMS = {"real": "D", "control": "D (control)", "synthetic": "{} alone", "union": "D\u00a0∪\u00a0{}"}


def key(system: dict) -> tuple:
    """What tells systems apart beside the seed: segmenter, arm, source ("" for none) and R.

    Raises:
        ConfigError: the arm is unknown.
    """
    if system["arm"] not in ARMS:
        raise ConfigError("systems", f"'{system['arm']}' is no arm of a comparison.", f"Use one of {', '.join(ARMS)}.")
    return (system["segmenter"], system["arm"], system.get("source") or "", system.get("ratio") or 0)


def heading(system: dict, systems: Sequence[dict] = ()) -> str:
    """Two short lines: the training pairs and R, then the segmenter and, where `systems` hold several sources or seeds of it, these too.

    What is added to D is called by `method`, where a system has one: D′, or the name of an augmentation, which needs no source besides.
    """
    segmenter, arm, source, ratio = key(system)
    method = system.get("method")
    first = ARMS[arm].format(methods.name(method, source)) + (f", R\u00a0=\u00a0{ratio:g}" if arm in ("synthetic", "union") else "")
    made = {other.get("source") for other in systems if not methods.is_augmentation(other.get("method"))} - {None, ""}
    source = "" if methods.is_augmentation(method) or len(made) < 2 else source
    seeds = {other["seed"] for other in systems if key(other) == key(system)}
    rest = [segmenter, *([source] if source else []), *([f"seed {system['seed']}"] if len(seeds) > 1 else [])]
    return f"{first}\n{', '.join(rest)}"


def check(systems: Sequence[dict], files: Sequence, what: str) -> None:
    """Refuse a figure whose systems and files are not the same number.

    Raises:
        ConfigError: they differ, or there is none.
    """
    if len(systems) != len(files) or not systems:
        raise ConfigError("systems", f"{len(systems)} systems are named for {len(files)} {what}.", "Name one system for each file.")
