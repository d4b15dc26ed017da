"""Reading configs and presets the way the rules do, for tests of both."""

from pathlib import Path

import yaml

from satsynth.plan.presets import load_preset

ROOT = Path(__file__).resolve().parents[1]


def read(path):
    return yaml.safe_load((ROOT / path).read_text())


def preset(name):
    """A preset over the preset that it extends."""
    return load_preset(ROOT / "rules/presets", name)
