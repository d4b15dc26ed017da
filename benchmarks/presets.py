"""Stanzas as the workflow resolves them from a preset."""

from pathlib import Path

from satsynth.datasets.demo import label_space
from satsynth.plan.config import resolve
from satsynth.plan.presets import load_preset
from satsynth.plan.slices import tiles

PRESETS = Path(__file__).resolve().parents[1] / "rules/presets"


def stanza(preset: str, section: str, name: str, own: dict, **beside: dict) -> dict:
    """The whole stanza `section.name` over a preset, of which `own` is what a config would say, and `beside` its other sections."""
    return resolve({"preset": preset, "run": [], section: {name: own}, **beside}, load_preset(PRESETS, preset))[section][name]


def demo_tiles(split: str, size: int, val: float) -> dict:
    """What tiling is told of `split` of the demo world's scenes, as folders of images and masks cut into patches of `size` px.

    `val`: the share of the scenes that is held back for validation.
    """
    classes = list(label_space({}).names)
    where = {"format": "folder", "root": "unused", "images": "images", "labels": "masks", "classes": classes}
    parting = {"by": "scene", "val": val, "seed": 0}
    patches = {"size": size, "stride": size, "reduced": [], "remainder": {"train": "drop", "val": "drop"}, "max_ignore": 1.0}
    return tiles(stanza("paper", "datasets", "world", where | {"split": parting, "patches": patches}), split)
