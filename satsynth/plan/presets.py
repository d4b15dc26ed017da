"""Presets: the numbers that a config leaves out, in YAML files of which one may extend another."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from satsynth.plan.config import merge
from satsynth.runtime.errors import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # of plain values; libyaml's, where the wheel has it, is eight times as fast


@contextlib.contextmanager
def reading(path: Path) -> Iterator[yaml.SafeLoader]:
    """The loader of a YAML file: for its values, or for its nodes with their lines."""
    loader = LOADER(path.read_text(encoding="utf-8"))
    try:
        yield loader
    finally:
        loader.dispose()


def read_yaml(path: Path) -> dict:
    """A file of this project: a preset or the schema."""
    with reading(path) as loader:
        return loader.get_single_data()


def load_preset(folder: Path, name: str) -> dict:
    """The preset `name` of a folder, over the preset that it extends.

    Raises:
        ConfigError: there is none of this name.
    """
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:  # a name, not a path: nothing outside of the folder is read
        raise ConfigError("preset", f"there is no preset '{name}'.", f"Presets: {', '.join(known)}.")
    preset = read_yaml(folder / f"{name}.yaml")
    base = preset.pop("extends", None)
    return merge(load_preset(folder, base), preset) if base else preset
