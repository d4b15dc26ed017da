"""Reading configs and presets the way the rules do, for tests of both."""

from pathlib import Path

import yaml

from satsynth.plan.config import merge

ROOT = Path(__file__).resolve().parents[1]


def read(path):
    return yaml.safe_load((ROOT / path).read_text())


def preset(name):
    """A preset over the preset that it extends."""
    stanza = read(f"rules/presets/{name}.yaml")
    base = stanza.pop("extends", None)
    return merge(preset(base), stanza) if base else stanza
