"""Stanzas as the workflow resolves them from a preset."""

from pathlib import Path

import yaml

from satsynth.plan.config import merge, resolve

PRESETS = Path(__file__).resolve().parents[1] / "rules/presets"


def stanza(preset: str, section: str, name: str, own: dict, **beside: dict) -> dict:
    """The whole stanza `section.name` over a preset, of which `own` is what a config would say, and `beside` its other sections."""
    return resolve({"preset": preset, "run": [], section: {name: own}, **beside}, _read(preset))[section][name]


def _read(name: str) -> dict:
    """A preset over the one that it extends."""
    found = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    base = found.pop("extends", None)
    return found if base is None else merge(_read(base), found)
