"""Kinds of generators: each is a module of one of these packages, and functions of that module train, load and sample it."""

import importlib
import importlib.util
from types import ModuleType

from satsynth.runtime.errors import ConfigError

PACKAGES = ("satsynth.diffusion", "satsynth.adversarial")


def module(kind: str) -> ModuleType:
    """The module of a kind: `train`, `load`, `draw` and, where its sampler is not that of a diffusion model, `nfe`.

    Raises:
        ConfigError: there is none.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(f"{package}.{kind}"):
            return importlib.import_module(f"{package}.{kind}")
    raise ConfigError("kind", f"there is no generator of kind '{kind}'.", f"Name a module of {' or '.join(PACKAGES)}.")
