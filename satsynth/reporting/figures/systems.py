"""How the figures of predictions call a system: a segmenter and the pairs that it was trained on."""

from collections.abc import Sequence

from satsynth.runtime.errors import ConfigError

ARMS = {"real": "D", "control": "D (control)", "synthetic": "D′ alone", "union": "D\u00a0∪\u00a0D′"}


def key(system: dict) -> tuple:
    """What tells systems apart beside the seed: segmenter, arm, source ("" for none) and R.

    Raises:
        ConfigError: the arm is unknown.
    """
    if system["arm"] not in ARMS:
        raise ConfigError("systems", f"'{system['arm']}' is no arm of a comparison.", f"Use one of {', '.join(ARMS)}.")
    return (system["segmenter"], system["arm"], system.get("source") or "", system.get("ratio") or 0)


def heading(system: dict, systems: Sequence[dict] = ()) -> str:
    """Two short lines: the training pairs and R, then segmenter, source and, where `systems` hold several seeds of it, the seed."""
    segmenter, arm, source, ratio = key(system)
    first = ARMS[arm] + (f", R\u00a0=\u00a0{ratio:g}" if arm in ("synthetic", "union") else "")
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
