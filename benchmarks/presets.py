"""Stanzas as the workflow resolves them from a preset."""

from pathlib import Path

from satsynth.plan.config import resolve
from satsynth.plan.presets import load_preset

PRESETS = Path(__file__).resolve().parents[1] / "rules/presets"


def stanza(preset: str, section: str, name: str, own: dict, **beside: dict) -> dict:
    """The whole stanza `section.name` over a preset, of which `own` is what a config would say, and `beside` its other sections."""
    return resolve({"preset": preset, "run": [], section: {name: own}, **beside}, load_preset(PRESETS, preset))[section][name]
