"""Kinds of generators: each is a module of one of these packages, and functions of that module train, load and sample it."""

import importlib
import importlib.util
from types import ModuleType

from satsynth.runtime.errors import ConfigError

# The plan of the workflow reads it too, so this module imports no array library.
PACKAGES = ("satsynth.diffusion", "satsynth.adversarial")


def module(kind: str) -> ModuleType:
    """The module of a kind: `train`, `load`, `draw`, `nfe`, `compile_sampling` and `SHARED` (see `satsynth.diffusion.ddpm`).

    Raises:
        ConfigError: there is none.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(f"{package}.{kind}"):
            return importlib.import_module(f"{package}.{kind}")
    raise ConfigError("kind", f"there is no generator of kind '{kind}'.", f"Name a module of {' or '.join(PACKAGES)}.")
