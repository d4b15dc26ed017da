"""Reading configs and presets the way the rules do, for tests of both."""

import copy
import functools
from pathlib import Path

from satsynth.plan.config import merge, resolve
from satsynth.plan.layout import Layout
from satsynth.plan.presets import load_preset, read_yaml
from satsynth.plan.validation import validate

ROOT = Path(__file__).resolve().parents[1]
GRID = {"segmenters": ["fpn"], "sources": ["cascade"], "ratios": [0, 1]}


def read(path):
    return copy.deepcopy(_parsed(path))


def preset(name):
    """A preset over the preset that it extends."""
    return copy.deepcopy(_loaded(name))


# Parsing YAML takes longer than most tests that need it.
@functools.cache
def _parsed(path):
    return read_yaml(ROOT / path)


@functools.cache
def _loaded(name):
    return load_preset(ROOT / "rules/presets", name)


def planned(*overlays):
    """The repository's config under overlays, checked and resolved as the rules do it: the config, and its layout."""
    config = read("config.yaml")
    for overlay in overlays:
        config = merge(config, overlay)
    validate(config, read("rules/schemas/config.schema.yaml"))
    return config, Layout(config, resolve(config, preset(config["preset"])))


def load(*overlays):
    """The repository's config under overlays, resolved."""
    return planned(*overlays)[1].resolved
